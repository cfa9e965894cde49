"""Simulated visitors against a collector that answers as it is told."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import pytest

from contract.message import derive_event_id, to_event_time
from local.audience import Audience, Draft, Shares, Sort, draw, to_posted
from local.ledger import Ledger, Outcome, read_ledger


class Answers:
    """A server that answers with `statuses` in turn, then with 200; 0 cuts the connection."""

    def __init__(self, statuses):
        self.statuses, self.bodies, self.lock = list(statuses), [], threading.Lock()
        self.rename = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with outer.lock:
                    outer.bodies.append(event)
                    status = outer.statuses.pop(0) if outer.statuses else 200
                if status == 0:
                    self.close_connection = True
                    return
                spelled = {**event, "timestamp": to_event_time(event["timestamp"])}
                said = json.dumps({"id": outer.rename or event.get("eventId") or derive_event_id(spelled)}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def answering():
    servers = []

    def start(*statuses):
        servers.append(Answers(statuses))
        return servers[-1]

    yield start
    for each in servers:
        each.server.shutdown()
        each.server.server_close()


def send(url, tmp_path, drafts, **more):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    audience = Audience(url, ledger, iter(drafts), events=len(drafts), connections=1, **more)
    audience.start()
    for thread in audience._threads:
        thread.join(30)
    ledger.close()
    return audience, [entry.outcome for entry in read_ledger(ledger.path)]


def test_equal_seeds_draw_equal_events_and_each_id_once():
    first, second = (list(islice(draw(5, Shares(late=0.1)), 3_000)) for _ in range(2))
    assert first == second != list(islice(draw(6, Shares(late=0.1)), 3_000))
    ids = Counter(draft.event["eventId"] for draft in first if "eventId" in draft.event)
    assert set(ids.values()) == {1}
    sorts = Counter(draft.sort for draft in first)
    assert set(sorts) == set(Sort) and sorts[Sort.LATE] > 200
    assert any("eventId" not in draft.event for draft in first) and any(draft.again for draft in first)


@pytest.mark.parametrize(
    ("statuses", "sent", "outcome"),
    [
        ([], 1, Outcome.OK),
        ([503, 0, 429, 500], 5, Outcome.OK),
        ([400], 1, Outcome.REFUSED),
        ([503, 413], 2, Outcome.REFUSED),
    ],
)
def test_an_event_is_sent_again_until_the_answer_is_final(answering, tmp_path, statuses, sent, outcome):
    server = answering(*statuses)
    [draft] = islice(draw(1, Shares(again=0, custom=0, faulty=0)), 1)
    audience, outcomes = send(server.url, tmp_path, [draft])
    assert outcomes == [outcome]
    assert len(server.bodies) == sent == audience.again + 1
    kept = [{name: value for name, value in body.items() if name != "sentAt"} for body in server.bodies]
    assert all(body == kept[0] for body in kept)


def test_an_event_whose_answer_the_visitor_never_saw_comes_twice(answering, tmp_path):
    server = answering()
    [draft] = islice(draw(1, Shares()), 1)
    _, outcomes = send(server.url, tmp_path, [Draft(draft.sort, draft.event, again=True)])
    assert outcomes == [Outcome.OK]
    assert len(server.bodies) == 2


def test_who_is_never_answered_stays_unknown(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    audience = Audience("http://127.0.0.1:9", ledger, draw(1, Shares()), connections=2)
    audience.start()
    audience.stop(patience_s=0.2)
    assert audience.done()
    assert {entry.outcome for entry in read_ledger(ledger.path)} == {Outcome.UNKNOWN}


def test_a_late_event_is_of_an_hour_ago_and_a_faulty_one_has_no_visitor():
    drafts = {draft.sort: draft for draft in islice(draw(3, Shares(late=0.2, faulty=0.2)), 200)}
    assert to_posted(drafts[Sort.LATE], 10_000_000)[1]["timestamp"] == 6_400_000
    assert to_posted(drafts[Sort.PAGEVIEW], 10_000_000)[1]["timestamp"] == 10_000_000
    assert drafts[Sort.FAULTY].event["uiud"] == ""


def test_a_paced_audience_waits_for_each_events_turn(answering, tmp_path):
    server = answering()
    ledger = Ledger(tmp_path / "ledger.jsonl")
    audience = Audience(server.url, ledger, draw(1, Shares(again=0)), per_second=0.001, connections=4)
    audience.start()
    deadline = threading.Event()
    while not ledger.counts[Outcome.OK]:
        deadline.wait(0.01)
    audience.stop()
    assert len(server.bodies) == 1


def test_a_collector_that_gives_another_id_ends_the_run(answering, tmp_path):
    server = answering()
    [draft] = islice(draw(1, Shares(again=0, custom=0, faulty=0)), 1)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    audience = Audience(server.url, ledger, iter([Draft(draft.sort, draft.event)]), events=1, connections=1)
    server.rename = "another"
    audience.start()
    with pytest.raises(RuntimeError, match="and calls it another"):
        audience.stop()


def test_an_event_that_was_acknowledged_once_is_no_unknown(answering, tmp_path):
    server = answering(200, *[0] * 1_000)
    [draft] = islice(draw(1, Shares(again=0, custom=0, faulty=0)), 1)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    drafts = iter([Draft(draft.sort, draft.event, again=True)])
    audience = Audience(server.url, ledger, drafts, events=1, connections=1)
    audience.start()
    while len(server.bodies) < 2:
        threading.Event().wait(0.01)
    audience.stop(patience_s=0.1)
    assert [entry.outcome for entry in read_ledger(ledger.path)] == [Outcome.OK]
