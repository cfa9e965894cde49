"""The view visits: pageviews whose neighbours lie less than 30 minutes apart are one visit."""

import pytest

from contract.names import Kind
from tests.warehouse.conftest import at, session

pytestmark = pytest.mark.stack


def visits(room):
    return room.ask("SELECT * FROM `{d}.visits` ORDER BY uiud, sessionId, visitNumber")


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        pytest.param([[1], [31]], [1, 1], id="exactly 30 minutes apart are two visits"),
        pytest.param([[1], [30.99]], [2], id="just under 30 minutes apart are one visit"),
        pytest.param([[29], [31]], [2], id="a window's border does not cut a visit"),
        pytest.param([[1, 29], [45], [70]], [4], id="three windows in a row are one visit"),
        pytest.param([[1], [59], [61]], [1, 2], id="a pause in the middle makes two"),
    ],
)
def test_pageviews_of_the_visits(room, minutes, expected):
    rows = [session(*(f"e{m}" for m in each), minutes=each, batch=n) for n, each in enumerate(minutes)]
    room.load(Kind.SESSIONS, *rows)
    assert [visit["Pageviews"] for visit in visits(room)] == expected


def test_a_visit_tells_its_whole_story(room):
    room.load(
        Kind.SESSIONS,
        session("c", minutes=[31], batch=1, robot=True),
        session("a", "b", minutes=[10, 29], LandingPageCode=["1", "0"], referrer=["https://x.example/", "direct"]),
    )
    (visit,) = visits(room)
    assert visit == {
        "uiud": "u", "sessionId": "s", "visitNumber": 1, "visitStart": at(10), "visitEnd": at(31),
        "durationSeconds": 1260, "Pageviews": 3, "bounce": False, "Pages": ["/a", "/b", "/c"], "entryPage": "/a",
        "exitPage": "/c", "landingReferrer": "https://x.example/", "robot": True,
    }  # fmt: skip


def test_one_pageview_is_a_bounce_without_a_landing(room):
    room.load(Kind.SESSIONS, session("a"))
    (visit,) = visits(room)
    assert (visit["bounce"], visit["durationSeconds"], visit["landingReferrer"]) == (True, 0, None)


def test_a_row_within_another_does_not_begin_a_visit(room):
    room.load(
        Kind.SESSIONS, session("a", "d", minutes=[1, 28]), session("b", minutes=[2], batch=1),
        session("e", minutes=[50], batch=2),
    )  # fmt: skip
    (visit,) = visits(room)
    assert (visit["Pageviews"], visit["exitPage"]) == (4, "/e")


def test_a_late_pageview_stands_between_two_others_of_the_streams_row(room):
    landing = {"LandingPageCode": ["1"], "referrer": ["https://y.example/"], "robot": True, "correction": 1}
    room.load(
        Kind.SESSIONS,
        session("a", "c", minutes=[1, 20], LandingPageCode=["0", "1"], referrer=["direct", "https://x.example/"]),
        session("b", minutes=[10], batch=1, **landing),
    )
    (visit,) = visits(room)
    found = {name: visit[name] for name in ("Pages", "Pageviews", "bounce", "landingReferrer", "robot")}
    assert found == {
        "Pages": ["/a", "/b", "/c"], "Pageviews": 3, "bounce": False, "landingReferrer": "https://y.example/",
        "robot": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("minutes", "ends"),
    [
        pytest.param([0, 12], ("/0", "/20", 1200), id="before the row's first"),
        pytest.param([25, 12], ("/10", "/25", 900), id="after the row's last"),
        pytest.param([10, 20], ("/10", "/20", 600), id="at the very times of the row's ends"),
    ],
)
def test_a_correction_moves_the_ends_of_a_visit(room, minutes, ends):
    room.load(
        Kind.SESSIONS,
        session("10", "20", minutes=[10, 20]),
        session(*map(str, sorted(minutes)), minutes=sorted(minutes), batch=1, correction=1),
    )
    (visit,) = visits(room)
    assert (visit["entryPage"], visit["exitPage"], visit["durationSeconds"]) == ends
    assert visit["Pages"] == sorted(visit["Pages"], key=lambda page: int(page[1:]))


def test_a_correction_joins_two_visits_that_were_apart(room):
    room.load(Kind.SESSIONS, session("a", minutes=[1]), session("c", minutes=[45], batch=1))
    assert len(visits(room)) == 2
    room.load(Kind.SESSIONS, session("b", minutes=[20], batch=2, correction=1))
    (visit,) = visits(room)
    assert visit["Pages"] == ["/a", "/b", "/c"]


def test_pageviews_at_one_time_are_ordered_by_event_id_over_all_rows(room):
    room.load(
        Kind.SESSIONS,
        session("b", "d", minutes=[5, 5]), session("a", "c", "e", minutes=[5, 5, 5], batch=1, correction=1),
    )  # fmt: skip
    (visit,) = visits(room)
    assert visit["Pages"] == ["/a", "/b", "/c", "/d", "/e"]
    assert (visit["entryPage"], visit["exitPage"], visit["durationSeconds"]) == ("/a", "/e", 0)


def test_two_visitors_never_share_a_visit(room):
    room.load(Kind.SESSIONS, session("a"), session("b", uiud="v"), session("c", sessionId="t"))
    assert len(visits(room)) == 3
