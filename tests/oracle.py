"""What the sessions must be, worked out from the messages of a topic in plain Python, apart from the job.

It shares with the job the contract only: field names, reasons, the eventId that content stands for. Lateness is the
caller's: leave out of `messages` what the watermark dropped.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from contract.message import EPOCH, derive_event_id, to_event_time
from contract.reasons import Reason
from contract.schemas import field_names

WINDOW_MS = 1_800_000
AHEAD_MS = 60_000
COLUMNS = tuple(name for name in field_names("session") if name != "batchKey")
DATE_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?")
EPOCH_MS = re.compile(r"-?\d{1,15}")
Row = dict[str, Any]


class Message(NamedTuple):
    """A message as it lies on the topic."""

    value: bytes | None
    kafka_ms: int


@dataclass
class Verdict:
    """What becomes of the messages. `sessions` are rows of the contract without batchKey; times are aware UTC."""

    sessions: list[Row] = field(default_factory=list)
    rejected: Counter[Reason] = field(default_factory=Counter)
    pageviews: int = 0
    """Accepted pageview messages, retries included."""
    others: int = 0
    """Accepted messages of another type: custom events."""
    heartbeats: int = 0

    @property
    def event_ids(self) -> set[str]:
        """Of all pageviews in sessions."""
        return {event_id for row in self.sessions for event_id in row["eventIds"]}


class Refusal(Exception):
    """The message is refused; args[0] is the Reason."""


def judge(messages: Iterable[Message], *, window_ms: int = WINDOW_MS) -> Verdict:
    """Sessions, refusals and counts of all messages, in whatever order they come."""
    verdict = Verdict()
    groups: defaultdict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for message in messages:
        try:
            hit = read_hit(message)
        except Refusal as refusal:
            verdict.rejected[refusal.args[0]] += 1
            continue
        if hit["eventType"] == "Heartbeat":
            verdict.heartbeats += 1
        elif hit["eventType"] != "Pageview":
            verdict.others += 1
        else:
            verdict.pageviews += 1
            groups[hit["uiud"], hit["sessionId"], hit["at_ms"] // window_ms * window_ms].append(hit)
    verdict.sessions = [build_row(*key, hits, window_ms) for key, hits in sorted(groups.items())]
    return verdict


def read_hit(message: Message) -> Row:
    """The fields of an accepted message as text, with at_ms; raises Refusal with the first reason that holds."""
    fields = decode(message.value)
    fields["eventType"] = fields.get("eventType") or ""
    raw_type = fields["eventType"]
    if raw_type == "Heartbeat":
        return fields
    for name, reason in (
        ("uiud", Reason.MISSING_UIUD),
        ("sessionId", Reason.MISSING_SESSION_ID),
        ("timestamp", Reason.MISSING_TIMESTAMP),
        ("pageUrl", Reason.MISSING_PAGE_URL),
    ):
        if not fields.get(name):
            raise Refusal(reason)
    at_ms = read_time(fields["timestamp"])
    if at_ms < 0:
        raise Refusal(Reason.TIMESTAMP_OUT_OF_RANGE)
    if at_ms > message.kafka_ms + AHEAD_MS:
        raise Refusal(Reason.TIMESTAMP_IN_FUTURE)
    event_id = fields.get("eventId") or derive_event_id({**fields, "timestamp": to_event_time(at_ms)})
    return {**fields, "at_ms": at_ms, "eventId": event_id, "eventType": raw_type or "Pageview"}


def decode(value: bytes | None) -> Row:
    """The first JSON object of the value, every scalar as the text that stands there; null fields are left out."""
    try:
        text = (value or b"").decode("utf-8").lstrip()
        decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
        fields, _ = decoder.raw_decode(text)
    except ValueError:
        raise Refusal(Reason.UNDECODABLE) from None
    if not isinstance(fields, dict):
        raise Refusal(Reason.UNDECODABLE)
    return {name: _to_text(given) for name, given in fields.items() if given is not None}


def _to_text(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given, separators=(",", ":"), ensure_ascii=False)


def read_time(text: str) -> int:
    """Event time in ms since the epoch, negative before 1970; raises Refusal."""
    if EPOCH_MS.fullmatch(text):
        return int(text)
    match = DATE_TIME.fullmatch(text)
    if match is None:
        raise Refusal(Reason.UNREADABLE_TIMESTAMP)
    *parts, milli = match.groups()
    try:
        at = datetime(*map(int, parts), int(milli or 0) * 1000, tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
    except ValueError:
        raise Refusal(Reason.UNREADABLE_TIMESTAMP) from None
    return (at - EPOCH) // timedelta(milliseconds=1)


def build_row(uiud: str, session: str, start_ms: int, hits: list[Row], window_ms: int) -> Row:
    """The session row: of hits with one eventId the earliest; all arrays by time, then eventId."""
    earliest: dict[str, Row] = {}
    for hit in sorted(hits, key=_by_time):
        earliest.setdefault(hit["eventId"], hit)
    kept = sorted(earliest.values(), key=_by_time)
    times = [_at(hit["at_ms"]) for hit in kept]
    pages = [hit["pageUrl"] for hit in kept]
    landings = [hit.get("referrer", "") for hit in kept if hit.get("landingPage") == "1"]
    return {
        "uiud": uiud,
        "sessionId": session,
        "window_start": _at(start_ms),
        "window_end": _at(start_ms + window_ms),
        "Pages": pages,
        "referrer": [hit.get("referrer", "") for hit in kept],
        "LandingPageCode": [hit.get("landingPage", "") for hit in kept],
        "sessionTimestamps": times,
        "pageTitles": [hit.get("pageTitle", "") for hit in kept],
        "eventIds": [hit["eventId"] for hit in kept],
        "Pageviews": len(kept),
        "firstSeen": times[0],
        "lastSeen": times[-1],
        "entryPage": pages[0],
        "exitPage": pages[-1],
        "landingReferrer": landings[0] if landings else None,
        "robot": any(hit.get("robot", "").lower() == "true" for hit in kept),
        "correction": 0,
    }


def _by_time(hit: Row) -> tuple[Any, ...]:
    # Two messages with one eventId and one time that differ all the same: the smaller text, whatever came first.
    names = ("pageUrl", "referrer", "landingPage", "pageTitle")
    return (hit["at_ms"], hit["eventId"], *(hit.get(name, "") for name in names))


def _at(epoch_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=epoch_ms)


def dump(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of sessions as canonical text, to compare and to hash: sorted lines of JSON, batchKey left out.

    Takes the oracle's rows, Row objects of google-cloud-bigquery, and records that fastavro has read.
    """
    return "".join(sorted(json.dumps(to_plain(row), ensure_ascii=False) + "\n" for row in rows))


def digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """sha256 of the dump: equal tables, equal digest."""
    return hashlib.sha256(dump(rows).encode()).hexdigest()


def to_plain(row: Mapping[str, Any]) -> Row:
    """The row's columns but batchKey, in the contract's order, times spelled with microseconds."""
    strangers = set(row.keys()) - {*COLUMNS, "batchKey"}
    if strangers:
        raise KeyError(f"not a column of sessions: {sorted(strangers)}")
    return {name: _spell(row[name]) for name in COLUMNS}


def _spell(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S.%f}"
    if isinstance(value, (list, tuple)):
        return [_spell(each) for each in value]
    return value


def read_topic(kafka_servers: str, topic: str, *, timeout_s: float = 30.0) -> list[Message]:
    """All messages that the topic holds now, partition after partition."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka_servers, "group.id": "oracle", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions
        ranges = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=timeout_s)
            for number in partitions
        }
        consumer.assign([TopicPartition(topic, number, start) for number, (start, _) in ranges.items()])
        found: dict[tuple[int, int], Message] = {}
        while len(found) < sum(end - start for start, end in ranges.values()):
            message = consumer.poll(timeout_s)
            if message is None or message.error():
                raise TimeoutError(f"{topic}: only {len(found)} messages were read within {timeout_s:.0f} s")
            found[message.partition() or 0, message.offset() or 0] = Message(message.value(), message.timestamp()[1])
        return [found[place] for place in sorted(found)]
    finally:
        consumer.close()
