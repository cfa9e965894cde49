"""Messages read without Spark's parser, as far as they are plain: what the collector writes, with nothing at fault.

Runs in Spark's Python workers. Plain is an accepted message that is spelled as the contract has it: one JSON object in
UTF-8, its fields of the contract's types, its time as the collector writes it. It becomes the hit that
transform.decode, judge and to_hits make of it. Nothing here refuses a message: what is not plain is left to them.
"""

from collections.abc import Iterable
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
USED = (
    "uiud", "sessionId", "timestamp", "eventId", "eventType", "pageUrl", "referrer", "landingPage", "pageTitle",
    "robot",
)  # fmt: skip
NEEDED = ("uiud", "sessionId", "eventId", "eventType", "pageUrl")
HITS = pa.schema(
    [
        ("kafkaPartition", pa.int64()), ("kafkaOffset", pa.int64()), ("uiud", pa.string()), ("sessionId", pa.string()),
        ("eventAt", TIME), ("eventId", pa.string()), ("pageUrl", pa.string()), ("referrer", pa.string()),
        ("landingPage", pa.string()), ("pageTitle", pa.string()), ("robot", pa.bool_()),
    ]
)  # fmt: skip

DATE_TIME = np.frombuffer(b"0000-00-00 00:00:00.000", np.uint8)
SPREAD = np.where(ord("0") == DATE_TIME, 9, 0).astype(np.uint8)


def read(messages: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Divide messages into hits and what is not plain.

    In:  value binary, partition int, offset long, timestamp timestamp (Kafka's)
    Out: HITS, a row a message: eventAt null where it is not plain, pageUrl null where it is no pageview; the messages
         that are not plain, as they are
    """
    fields = _parse(messages.column("value"))
    at_us = _event_times(fields["timestamp"])
    sent_us = messages.column("timestamp").cast(pa.int64()).to_numpy()
    accepted = (at_us >= 0) & (at_us <= sent_us + FUTURE_TOLERANCE_S * 1_000_000)
    for name in NEEDED:
        accepted &= np.diff(laid_out(fields[name])[0]) > 0
    is_pageview = pc.equal(fields["eventType"], PAGEVIEW)
    if not pc.all(is_pageview).as_py():
        accepted &= pc.not_equal(fields["eventType"], HEARTBEAT).to_numpy(zero_copy_only=False)
        fields["pageUrl"] = pc.if_else(is_pageview, fields["pageUrl"], pa.scalar(None, pa.string()))
    fields["eventAt"] = pa.array(at_us, mask=~accepted).cast(TIME)
    # Copies: a column of the batch would keep all of it, the messages among it, for as long as its hits are held.
    fields["kafkaPartition"] = pa.array(messages.column("partition").to_numpy().astype(np.int64))
    fields["kafkaOffset"] = pa.array(messages.column("offset").to_numpy().copy())
    hits = pa.RecordBatch.from_arrays([fields[name] for name in HITS.names], schema=HITS)
    return hits, messages.filter(pa.array(~accepted))


def _decoder(names: Iterable[str], *, is_strict: bool) -> msgspec.json.Decoder[Any]:
    """Of an object with these fields of the contract. What is absent is '', False or 0, null is None.

    Any other field is an error, or is passed over, whatever JSON is in it.
    """
    int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    types: dict[str, tuple[Any, Any]] = {"string": (str, ""), "boolean": (bool, False), "long": (int64, 0)}
    kinds = {field["name"]: field["type"] for field in schema("pageview")["fields"]}
    needed = {name: types[kinds[name] if isinstance(kinds[name], str) else kinds[name][1]] for name in names}
    fields = [(name, kind | None, default) for name, (kind, default) in needed.items()]
    return msgspec.json.Decoder(msgspec.defstruct("Message", fields, gc=False, forbid_unknown_fields=is_strict))


QUICK, STRICT = _decoder(USED, is_strict=False), _decoder(field_names("pageview"), is_strict=True)
NOTHING = QUICK.decode(b"{}")


def _parse(values: pa.BinaryArray) -> dict[str, Any]:
    """A column a field of USED: '' or False where it is null or absent, and all of them where a value is at fault."""
    bounds, content = laid_out(values)
    is_short = np.diff(bounds).max(initial=0) <= SHORT_BYTES
    read = QUICK.decode if is_short and content.max(initial=0) < 128 else _read
    messages = map(read, values.fill_null(b"").to_pylist())
    found: list[Any] = []
    while len(found) < len(values):
        try:
            for message in messages:
                found.append(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found.append(NOTHING)
    texts = zip(*map(astuple, found), strict=True) if found else [()] * len(USED)
    columns = {
        name: pa.array(column, pa.bool_() if name == "robot" else pa.string())
        for name, column in zip(USED, texts, strict=True)
    }
    for name, column in columns.items():
        if column.null_count:
            columns[name] = column.fill_null(getattr(NOTHING, name))
    return columns


def _read(value: bytes) -> Any:
    """A message of any length and alphabet: in a long one, no field may be one that Spark's parser refuses."""
    value.decode()
    if len(value) <= SHORT_BYTES:
        return QUICK.decode(value)
    if len(value) > LONGEST_BYTES:
        return NOTHING
    found = STRICT.decode(value)
    return type(NOTHING)(*(getattr(found, name) for name in USED))


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
