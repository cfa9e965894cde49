"""Messages read in columns, as far as they are plain: Arrow's JSON reader takes them, and nothing in them is at fault.

Runs in Spark's Python workers. Plain is an accepted message that is spelled as the contract has it: one JSON object in
UTF-8, its fields those of the contract, each of its type, its time as the collector writes it. It becomes the hit that
transform.decode, judge and to_hits make of it. Nothing here refuses a message: what is not plain is left to them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from contract.names import HEARTBEAT, PAGEVIEW
from contract.schemas import schema

FUTURE_TOLERANCE_S = 60
LONGEST_BYTES = 16_384
"""A longer value is not plain: what a batch holds at a time stays bounded, and Spark's parser has limits of its own."""
FEWEST = 16
"""Where one of so many messages cannot be read, none of them is plain."""

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

TYPES = {"string": pa.string(), "long": pa.int64(), "boolean": pa.bool_()}
FIELDS = pa.schema(
    [(field["name"], TYPES[field["type"] if isinstance(field["type"], str) else field["type"][1]])
     for field in schema("pageview")["fields"]]
)  # fmt: skip
READING = json.ReadOptions(use_threads=False, block_size=1 << 30)
PARSING = json.ParseOptions(explicit_schema=FIELDS, unexpected_field_behavior="error")
DATE_TIME = np.frombuffer(b"0000-00-00 00:00:00.000", np.uint8)
SPREAD = np.where(ord("0") == DATE_TIME, 9, 0).astype(np.uint8)


def read(messages: pa.RecordBatch) -> tuple[list[pa.RecordBatch], pa.RecordBatch]:
    """Divide messages into hits and what is not plain.

    In:  value binary, partition int, offset long, timestamp timestamp (Kafka's)
    Out: HITS, pageUrl null where the message is no pageview; the messages that are not plain, as they are
    """
    braced = _is_braced(messages.column("value"))
    places = np.flatnonzero(braced)
    objects = messages if len(places) == len(braced) else messages.filter(pa.array(braced))
    hits = []
    rest = np.ones(len(braced), dtype=bool)
    for start, found, accepted in _divide(objects):
        hits.append(found)
        rest[places[start : start + len(accepted)][accepted]] = False
    return hits, messages.filter(pa.array(rest))


def _is_braced(values: pa.BinaryArray) -> Any:
    """Whether each value is `{...}`, and of a length to be looked at."""
    bounds, content = laid_out(values)
    size = np.diff(bounds)
    braced = (size > 1) & (size <= LONGEST_BYTES)
    if values.null_count:
        braced &= values.is_valid().to_numpy(zero_copy_only=False)
    braced[braced] = content[bounds[:-1][braced]] == ord("{")
    braced[braced] = content[bounds[1:][braced] - 1] == ord("}")
    return braced


def _divide(objects: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch, Any]]:
    """Place of the first message, hits, and which of the messages they are; what cannot be read is left out."""
    ranges = [(0, objects.num_rows)]
    while ranges:
        start, end = ranges.pop()
        try:
            yield start, *_read(objects.slice(start, end - start))
            continue
        except (ValueError, pa.ArrowException):
            half = (end - start) // 2
        if half >= FEWEST:
            ranges += [(start + half, end), (start, start + half)]


def _read(objects: pa.RecordBatch) -> tuple[pa.RecordBatch, Any]:
    """Hits of the accepted messages, and which these are. Raises ValueError where one cannot be read."""
    fields = _parse(objects.column("value"))
    at_us = _event_times(fields["timestamp"])
    sent_us = objects.column("timestamp").cast(pa.int64()).to_numpy()
    accepted = (at_us >= 0) & (at_us <= sent_us + FUTURE_TOLERANCE_S * 1_000_000)
    for name in NEEDED:
        accepted &= np.diff(laid_out(fields[name])[0]) > 0
    is_pageview = pc.equal(fields["eventType"], PAGEVIEW)
    if not pc.all(is_pageview).as_py():
        accepted &= pc.not_equal(fields["eventType"], HEARTBEAT).to_numpy(zero_copy_only=False)
        fields["pageUrl"] = pc.if_else(is_pageview, fields["pageUrl"], pa.scalar(None, pa.string()))
    fields["eventAt"] = pa.array(at_us).cast(TIME)
    # Copies: a column of the batch would keep all of it, the messages among it, for as long as its hits are held.
    fields["kafkaPartition"] = pa.array(objects.column("partition").to_numpy().astype(np.int64))
    fields["kafkaOffset"] = pa.array(objects.column("offset").to_numpy().copy())
    hits = pa.RecordBatch.from_arrays([fields[name] for name in HITS.names], schema=HITS)
    return (hits if accepted.all() else hits.filter(pa.array(accepted))), accepted


def _parse(values: pa.BinaryArray) -> dict[str, Any]:
    """A column a field of USED; what is null or absent is '' or False. Raises ValueError where a value is at fault.

    Every value is `{...}`: a line's end between two stands where an object has ended, or where it is an error. As many
    objects as values are therefore one a value.
    """
    whole = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    text = pc.binary_join(whole, b"\n")[0].as_py()
    if b"\0" in text:
        raise ValueError("Arrow's reader may take it for the end")
    if not text.isascii():
        _check_utf8(text)
    found = json.read_json(pa.BufferReader(text), read_options=READING, parse_options=PARSING)
    if found.num_rows != len(values):
        raise ValueError("more than one object in a value")
    columns = {name: found[name].chunk(0) for name in USED}
    for name, column in columns.items():
        if column.null_count:
            columns[name] = column.fill_null(False if name == "robot" else "")
    return columns


def _check_utf8(text: bytes) -> None:
    """Raise ArrowInvalid where a byte is no UTF-8."""
    bounds = pa.py_buffer(np.array([0, len(text)], np.int32))
    pa.StringArray.from_buffers(1, bounds, pa.py_buffer(text)).validate(full=True)


def _event_times(texts: pa.StringArray) -> Any:
    """Microseconds since 1970 in UTC of 'yyyy-MM-dd HH:mm:ss.SSS'; -1 where it is spelled in another way.

    Raises ValueError where there is no such day or time.
    """
    bounds, content = laid_out(texts)
    timed = np.diff(bounds) == len(DATE_TIME)
    letters = content[bounds[:-1][timed][:, None] + np.arange(len(DATE_TIME))]
    timed[timed] = (letters - DATE_TIME <= SPREAD).all(axis=1)
    spelled = texts if timed.all() else texts.filter(pa.array(timed))
    at_us = np.full(len(texts), -1, dtype=np.int64)
    at_us[timed] = spelled.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return at_us


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
