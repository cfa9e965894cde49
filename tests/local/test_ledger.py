from local.ledger import Ledger, Outcome, read_ledger


def test_an_event_is_on_disk_before_it_is_sent_and_unknown_until_it_is_answered(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.begin("a", {"pageUrl": "/"})
    ledger.begin("b", {"pageUrl": "/b"})
    ledger.end("b", Outcome.OK)
    entries = list(read_ledger(path))  # another process would read the same: nothing is held back
    assert [(entry.event_id, entry.event["pageUrl"], entry.outcome) for entry in entries] == [
        ("a", "/", Outcome.UNKNOWN),
        ("b", "/b", Outcome.OK),
    ]
    ledger.end("a", Outcome.REFUSED)
    ledger.close()
    assert [entry.outcome for entry in read_ledger(path)] == [Outcome.REFUSED, Outcome.OK]
    assert (ledger.begun, ledger.counts[Outcome.OK]) == (2, 1)


def test_a_line_that_a_crash_cut_is_left_out(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.begin("a", {"pageUrl": "/"})
    ledger.close()
    with path.open("a") as file:
        file.write('{"id":"b","ev')
    assert [entry.event_id for entry in read_ledger(path)] == ["a"]
