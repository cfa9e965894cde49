"""The simulator's numbers are what the oracle finds in its messages."""

import io
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.message import derive_event_id, to_event_time
from contract.names import PAGEVIEW
from contract.reasons import Reason
from local import visitors
from local.messages import MAX_GAP_MS, MAX_PAUSE_MS, draw_gaps
from local.visitors import Fate, Mix, Planned, simulate
from tests.oracle import Message, judge, read_hit

START_MS = 1_790_000_000_000
WINDOW_MS, DELAY_MS = 1_800_000, 200_000


@pytest.fixture(scope="module")
def plan() -> list[Planned]:
    return list(simulate(7, pageviews=3000, start_ms=START_MS))


def event_ms(planned: Planned) -> int:
    return int(read_hit(Message(planned.value, START_MS))["at_ms"])


def end_ms(planned: Planned) -> int:
    """Where the window of the pageview ends."""
    return event_ms(planned) // WINDOW_MS * WINDOW_MS + WINDOW_MS


def test_the_ledger_s_sums_are_true_by_the_oracle(plan: list[Planned]) -> None:
    expected = visitors.expect(plan)
    verdict = judge(Message(each.value, START_MS) for each in plan if each.fate is not Fate.LATE)
    assert len(verdict.event_ids) == sum(row["Pageviews"] for row in verdict.sessions) == expected["session"] == 3000
    assert verdict.pageviews - 3000 == expected["duplicate"] == 50
    assert (verdict.others, verdict.heartbeats) == (expected["custom"], expected["heartbeat"]) == (30, 6)
    assert verdict.rejected == {reason: expected[f"rejected.{reason.value}"] for reason in Reason}
    assert expected["accepted"] == 3000 + 20 + 3 * len(Reason)


def test_each_message_s_own_fate_is_true_by_the_oracle(plan: list[Planned]) -> None:
    for fate in (Fate.SESSION, Fate.DUPLICATE, Fate.LATE, Fate.CUSTOM):
        of_fate = [each for each in plan if each.fate is fate]
        assert of_fate
        for each in of_fate:
            hit = read_hit(Message(each.value, START_MS))
            assert hit["eventId"] == each.event_id
            assert each.key == hit["uiud"].encode()
            assert (hit["eventType"] == PAGEVIEW) is (fate is not Fate.CUSTOM)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reject_reason_comes_in_its_number_and_every_kind(reason: Reason) -> None:
    mix = Mix(rejected_each=12)
    refused = [each for each in simulate(1, pageviews=200, start_ms=START_MS, mix=mix) if each.reason is reason]
    verdict = judge(Message(each.value, START_MS) for each in refused)
    assert verdict.rejected == {reason: 12}
    assert len({each.value for each in refused}) > 3


def test_a_duplicate_is_the_same_message_again_after_the_first(plan: list[Planned]) -> None:
    for index, each in enumerate(plan):
        if each.fate is Fate.DUPLICATE:
            assert any(first.value == each.value and first.fate is Fate.SESSION for first in plan[:index])


def test_event_ids_differ_but_for_duplicates(plan: list[Planned]) -> None:
    named = [each.event_id for each in plan if each.event_id and each.fate is not Fate.DUPLICATE]
    assert len(named) == len(set(named))


def test_nothing_is_late_by_chance_whatever_the_batches_are(plan: list[Planned]) -> None:
    """At no message has the topic seen a time from which the message's window would be over."""
    newest_ms = 0
    for each in plan:
        if each.fate in (Fate.REJECTED, Fate.HEARTBEAT):
            continue
        if each.fate is not Fate.LATE:
            newest_ms = max(newest_ms, event_ms(each))
            assert end_ms(each) > newest_ms - DELAY_MS
            # With what may be on its way at the same time it still holds.
            assert each.due_ms - event_ms(each) + 30_000 < DELAY_MS


def test_late_ones_are_an_hour_behind_the_watermark_of_the_first_phase(plan: list[Planned]) -> None:
    watermark_ms = visitors.watermark_after(plan, 1)
    second = [each for each in plan if each.phase == 2]
    ends = {fate: [end_ms(each) for each in second if each.fate is fate] for fate in (Fate.LATE, Fate.SESSION)}
    assert max(ends[Fate.LATE]) <= watermark_ms - 1_800_000
    assert min(ends[Fate.SESSION]) > watermark_ms
    assert {each.phase for each in plan if each.fate is Fate.LATE} == {2}


@pytest.mark.parametrize("phase", [1, 2])
def test_the_heartbeats_of_a_phase_close_its_windows_in_every_partition(plan: list[Planned], phase: int) -> None:
    seen = [each for each in plan if each.phase == phase and each.fate in (Fate.SESSION, Fate.CUSTOM)]
    last_end_ms = max(end_ms(each) for each in seen)
    assert visitors.watermark_after(plan, phase) >= last_end_ms
    beats = [each for each in plan if each.phase == phase and each.fate is Fate.HEARTBEAT]
    assert [each.partition for each in beats] == [0, 1, 2]
    assert plan.index(beats[0]) > plan.index(seen[-1])


def test_no_event_time_is_ahead_of_the_start_but_the_refused_ones(plan: list[Planned]) -> None:
    assert max(event_ms(each) for each in plan if each.fate in (Fate.SESSION, Fate.LATE, Fate.CUSTOM)) < START_MS
    assert max(each.due_ms for each in plan if each.fate is Fate.HEARTBEAT) <= START_MS


def test_the_plan_has_what_real_traffic_has(plan: list[Planned]) -> None:
    views = [json.loads(each.value or b"") for each in plan if each.fate is Fate.SESSION]
    lengths = Counter((view["uiud"], str(view["sessionId"])) for view in views)
    assert min(lengths.values()) == 1
    assert 30 < max(lengths.values()) <= 60
    assert {type(view["sessionId"]) for view in views} == {type(view["landingPage"]) for view in views} == {int, str}
    assert {"eventId" in view for view in views} == {"robot" in view for view in views} == {True, False}
    assert any(view.get("clockSkewed") for view in views)
    assert {len(view["timestamp"]) for view in views} == {19, 23}
    pages = [times for _, times in Counter(view["pageUrl"] for view in views).most_common()]
    assert pages[0] > 5 * pages[-1]
    times = [event_ms(each) for each in plan if each.fate is Fate.SESSION]
    assert times != sorted(times)


def test_equal_arguments_give_an_equal_plan_and_another_seed_another(plan: list[Planned]) -> None:
    assert list(simulate(7, pageviews=3000, start_ms=START_MS)) == plan
    assert list(simulate(8, pageviews=3000, start_ms=START_MS)) != plan


def test_a_ledger_that_is_written_is_read_back(plan: list[Planned]) -> None:
    ledger = io.StringIO()
    visitors.write_ledger(plan, ledger)
    # Compared as text: a fate equals its own name, but it is not the name.
    assert repr(list(visitors.read_ledger(ledger.getvalue().splitlines()))) == repr(plan)


@settings(max_examples=15, deadline=None)
@given(st.integers(), st.integers(120, 400), st.integers(0, 10**12))
def test_the_numbers_hold_for_any_seed_and_start(seed: int, pageviews: int, later_ms: int) -> None:
    start_ms = START_MS + later_ms
    plan = list(simulate(seed, pageviews=pageviews, start_ms=start_ms))
    verdict = judge(Message(each.value, start_ms) for each in plan if each.fate is not Fate.LATE)
    assert len(verdict.event_ids) == sum(row["Pageviews"] for row in verdict.sessions) == pageviews
    assert verdict.rejected == dict.fromkeys(Reason, 3)


@given(st.integers(min_value=0), st.integers(1, 60))
def test_a_session_has_no_silence_that_would_end_it(seed: int, pages: int) -> None:
    gaps = draw_gaps(seed, pages)
    assert len(gaps) == pages - 1
    assert all(2000 <= gap <= MAX_PAUSE_MS < WINDOW_MS for gap in gaps)
    assert sum(gap > MAX_GAP_MS for gap in gaps) <= 1


def test_a_derived_id_is_of_the_time_with_milliseconds() -> None:
    published = simulate(3, pageviews=120, start_ms=START_MS, mix=Mix(published=1.0))
    first = next(each for each in published if each.fate is Fate.SESSION)
    sent = json.loads(first.value or b"")
    assert len(sent["timestamp"]) == 19
    assert first.event_id == derive_event_id({**sent, "timestamp": to_event_time(event_ms(first))})


@pytest.mark.parametrize(("pageviews", "span_s"), [(4, 6 * 3600), (99, 6 * 3600), (1000, 5 * 3600 - 1)])
def test_a_plan_that_cannot_be_kept_is_refused(pageviews: int, span_s: int) -> None:
    with pytest.raises(ValueError, match="want span_s"):
        next(simulate(1, pageviews=pageviews, start_ms=START_MS, span_s=span_s))
