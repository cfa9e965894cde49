"""The verdict over made-up accounts: each fault alone must overturn it."""

import pytest

from warehouse.accounts import Accounts, Coverage, Day, Unmatched, enter, judge
from warehouse.records import Fate


def accounts(**changes):
    made = Accounts(pageviews_in_sessions=5, sessions_rows=3)
    made.days["2015-05-17"].add(Day(accepted=10, in_sessions=5, rejected=2, late=1, open=2))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_it_holds():
    assert accounts().holds


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"pageviews_in_sessions": 6}, id="a pageview more in the table"),
        pytest.param({"pageviews_in_sessions": 4}, id="a pageview fewer in the table"),
        pytest.param({"missing": ("e",)}, id="an eventId is missing"),
        pytest.param({"twice": ("e",)}, id="an eventId stands there twice"),
        pytest.param({"strangers": ("e",)}, id="an eventId that nobody sent"),
        pytest.param({"topics": (Coverage("t", 1, 0, 0, 0, ("t/0/0",)),)}, id="a message in no table"),
    ],
)
def test_it_does_not_hold(changes):
    assert not accounts(**changes).holds


def test_what_the_archive_has_not_read_yet_is_accepted_and_open():
    behind = accounts(topics=(Coverage("t", 14, 10, 1, 3),))
    assert (behind.total.accepted, behind.total.open, behind.holds) == (13, 5, True)


class AlwaysSays:
    def __init__(self, *fates):
        self.fates = list(fates)

    def fate(self, *_):
        return self.fates.pop(0)


def copies(*event_ids):
    return [Unmatched(event_id, "t", 0, n, 0, "2015-05-17") for n, event_id in enumerate(event_ids)]


def test_of_two_copies_the_worst_fate_counts():
    assert judge(copies("e", "e"), AlwaysSays(Fate.LOST, Fate.LATE)) == {"e": ("2015-05-17", Fate.LOST)}
    assert judge(copies("e", "e"), AlwaysSays(Fate.LATE, Fate.OPEN)) == {"e": ("2015-05-17", Fate.OPEN)}


def test_a_lost_pageview_is_listed_and_counted_on_its_day():
    made = Accounts()
    enter(made, {"b": ("2015-05-18", Fate.LOST), "a": ("2015-05-17", Fate.LATE)})
    assert made.missing == ("b",)
    assert (made.days["2015-05-17"].late, made.days["2015-05-18"].lost) == (1, 1)
