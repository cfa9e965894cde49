"""Messages read without Spark's parser, as far as they are plain: what the collector writes, with nothing at fault.

Runs in Spark's Python workers. Plain is an accepted message that is spelled as the contract has it: one JSON object in
UTF-8, its fields of the contract's types, its time as the collector writes it. It becomes the hit or the event that
transform.decode, judge and to_hits or to_events make of it. Nothing here refuses a message: what is not plain is left
to them.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from contract.names import HEARTBEAT, PAGEVIEW
from contract.schemas import field_names, schema

FUTURE_TOLERANCE_S = 60
LONGEST_BYTES = 16_384
"""A longer value is not plain: what a batch holds at a time stays bounded, and Spark's parser has limits of its own."""
SHORT_BYTES = 1000
"""No longer value has room for a number or a nesting of more than 1,000, which Spark's parser refuses."""

TIME = pa.timestamp("us", "UTC")
NEEDED = ("uiud", "sessionId", "eventId", "eventType", "pageUrl")
USED = tuple(
    name
    for name in field_names("pageview")
    if name in {*NEEDED, "timestamp", "referrer", "landingPage", "pageTitle", "robot"}
)
"""Of a message, what a hit is made of, in the order of its fields: msgspec looks for each behind the one before it."""
KINDS = {
    field["name"]: field["type"] if isinstance(field["type"], str) else field["type"][1]
    for field in schema("pageview")["fields"]
}
ARROW = {"string": pa.string(), "boolean": pa.bool_(), "long": pa.int64()}
HITS = pa.schema(
    [
        ("kafkaPartition", pa.int64()), ("kafkaOffset", pa.int64()), ("uiud", pa.string()), ("sessionId", pa.string()),
        ("eventAt", TIME), ("eventId", pa.string()), ("pageUrl", pa.string()), ("referrer", pa.string()),
        ("landingPage", pa.string()), ("pageTitle", pa.string()), ("robot", pa.bool_()),
    ]
)  # fmt: skip
EVENTS = pa.schema(
    [
        ("timestamp", TIME), ("uiud", pa.string()), ("sessionId", pa.string()), ("pageUrl", pa.string()),
        ("eventType", pa.string()), ("lastPageVisited", pa.string()), ("pageTitle", pa.string()),
        ("landingPage", pa.string()), ("referrer", pa.string()), ("eventId", pa.string()), ("sentAt", pa.int64()),
        ("receivedAt", pa.int64()), ("seq", pa.int64()), ("clockSkewed", pa.bool_()),
        ("originalTimestamp", pa.int64()), ("robot", pa.bool_()), ("extra", pa.string()),
        ("kafkaPartition", pa.int64()), ("kafkaOffset", pa.int64()), ("kafkaTimestamp", TIME),
    ]
)  # fmt: skip

DATE_TIME = np.frombuffer(b"0000-00-00 00:00:00.000", np.uint8)
SPREAD = np.where(ord("0") == DATE_TIME, 9, 0).astype(np.uint8)


def read_hits(messages: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Divide messages into hits and what is not plain.

    In:  value binary, partition int, offset long, timestamp timestamp (Kafka's)
    Out: HITS, a row a message: eventAt null where it is not plain, pageUrl null where it is no pageview; the messages
         that are not plain, as they are
    """
    fields = OF_HITS.parse(messages.column("value"))
    at_us, accepted = _judge(fields, messages.column("timestamp"))
    is_pageview = pc.equal(fields["eventType"], PAGEVIEW)
    if not pc.all(is_pageview).as_py():
        fields["pageUrl"] = pc.if_else(is_pageview, fields["pageUrl"], pa.scalar(None, pa.string()))
    fields["eventAt"] = pa.array(at_us, mask=~accepted).cast(TIME)
    return _divide(fields, messages, accepted, HITS)


def read_events(messages: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Divide messages into events and what is not plain.

    In:  value binary, partition int, offset long, timestamp timestamp (Kafka's)
    Out: EVENTS, a row a plain message; the messages that are not plain, as they are
    """
    fields = OF_EVENTS.parse(messages.column("value"))
    at_us, accepted = _judge(fields, messages.column("timestamp"))
    fields["timestamp"] = pa.array(at_us).cast(TIME)
    fields["kafkaTimestamp"] = pa.array(messages.column("timestamp").cast(pa.int64()).to_numpy().copy()).cast(TIME)
    events, others = _divide(fields, messages, accepted, EVENTS)
    return (events.filter(pa.array(accepted)) if others.num_rows else events), others


def _judge(fields: dict[str, Any], kafka_times: Any) -> tuple[Any, Any]:
    """Event times in microseconds since 1970, and which messages are accepted and no heartbeats."""
    at_us = _event_times(fields["timestamp"])
    sent_us = kafka_times.cast(pa.int64()).to_numpy()
    accepted = (at_us >= 0) & (at_us <= sent_us + FUTURE_TOLERANCE_S * 1_000_000)
    for name in NEEDED:
        accepted &= np.diff(laid_out(fields[name])[0]) > 0
    accepted &= pc.not_equal(fields["eventType"], HEARTBEAT).to_numpy(zero_copy_only=False)
    return at_us, accepted


def _divide(
    fields: dict[str, Any], messages: pa.RecordBatch, accepted: Any, wanted: pa.Schema
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """All messages as rows of `wanted`, and those that are not accepted as they are."""
    # Copies: a column of the batch would keep all of it, the messages among it, for as long as its rows are held.
    fields["kafkaPartition"] = pa.array(messages.column("partition").to_numpy().astype(np.int64))
    fields["kafkaOffset"] = pa.array(messages.column("offset").to_numpy().copy())
    rows = pa.RecordBatch.from_arrays([fields[name] for name in wanted.names], schema=wanted)
    return rows, messages.filter(pa.array(~accepted))


class Fields:
    """Some fields of the contract, as they are read of messages."""

    def __init__(self, names: Sequence[str], *, blank: Sequence[str]) -> None:
        """Of `blank`, what is absent or null becomes '' or False; of the others, null."""
        self.names, self.blank = tuple(names), tuple(blank)
        self.quick = self._decoder(self.names, is_strict=False)
        self.strict = self._decoder(field_names("pageview"), is_strict=True)
        self.nothing = self.quick.decode(b"{}")

    def _decoder(self, names: Sequence[str], *, is_strict: bool) -> msgspec.json.Decoder[Any]:
        """Of an object with these fields. Any other one is an error, or is passed over, whatever JSON is in it."""
        int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
        types: dict[str, tuple[Any, Any]] = {"string": (str, ""), "boolean": (bool, False), "long": (int64, 0)}
        fields = []
        for name in names:
            kind, default = types[KINDS[name]]
            fields.append((name, kind | None, default if name in self.blank else None))
        return msgspec.json.Decoder(msgspec.defstruct("Message", fields, gc=False, forbid_unknown_fields=is_strict))

    def parse(self, values: pa.BinaryArray) -> dict[str, Any]:
        """A column a field: as of a message without fields where a value is at fault."""
        bounds, content = laid_out(values)
        is_short = np.diff(bounds).max(initial=0) <= SHORT_BYTES
        read = self.quick.decode if is_short and content.max(initial=0) < 128 else self._read
        # Taken apart while it is in the processor's caches.
        messages = map(astuple, map(read, values.fill_null(b"").to_pylist()))
        found: list[tuple[Any, ...]] = []
        while len(found) < len(values):
            try:
                # Those before one at fault are kept.
                found.extend(messages)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                found.append(astuple(self.nothing))
        texts = zip(*found, strict=True) if found else [()] * len(self.names)
        columns = {name: pa.array(column, ARROW[KINDS[name]]) for name, column in zip(self.names, texts, strict=True)}
        for name in self.blank:
            if columns[name].null_count:
                columns[name] = columns[name].fill_null(getattr(self.nothing, name))
        return columns

    def _read(self, value: bytes) -> Any:
        """A message of any length and alphabet: in a long one, no field may be one that Spark's parser refuses."""
        value.decode()
        if len(value) <= SHORT_BYTES:
            return self.quick.decode(value)
        if len(value) > LONGEST_BYTES:
            return self.nothing
        found = self.strict.decode(value)
        return type(self.nothing)(*(getattr(found, name) for name in self.names))


OF_HITS, OF_EVENTS = Fields(USED, blank=USED), Fields(field_names("pageview"), blank=(*NEEDED, "timestamp"))


def _event_times(texts: pa.StringArray) -> Any:
    """Microseconds since 1970 in UTC of 'yyyy-MM-dd HH:mm:ss.SSS'; -1 of what is spelled in another way or no time."""
    at_us = np.full(len(texts), -1, dtype=np.int64)
    timed = np.diff(laid_out(texts)[0]) == len(DATE_TIME)
    spelled = texts if timed.all() else texts.filter(pa.array(timed))
    bounds, content = laid_out(spelled)
    letters = content[bounds[0] : bounds[-1]].reshape(-1, len(DATE_TIME))
    strange = letters - DATE_TIME > SPREAD
    if strange.any():
        known = ~strange.any(axis=1)
        timed[timed] = known
        spelled = spelled.filter(pa.array(known))
    at_us[timed] = _to_micros(spelled)
    return at_us


def _to_micros(times: pa.StringArray) -> Any:
    """As _event_times, of what is spelled rightly: 30 February is no time."""
    try:
        return times.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        half = len(times) // 2
        return np.concatenate([_to_micros(times[:half]), _to_micros(times[half:])]) if half else np.array([-1])


def laid_out(values: Any) -> tuple[Any, Any]:
    """Of binary or text: where each value begins and the last one ends, and the bytes of all."""
    if not len(values):
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    _, bounds, content = values.buffers()
    begin = values.offset
    return (
        np.frombuffer(bounds, np.int32)[begin : begin + len(values) + 1],
        np.frombuffer(content, np.uint8) if content else np.zeros(0, np.uint8),
    )
