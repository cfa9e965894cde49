"""The queries of SECURITY.md, run as they stand there: each finds its forger, and no reader of pages."""

import re
from pathlib import Path

import pytest

from contract.names import Kind
from tests.warehouse.conftest import event

pytestmark = pytest.mark.stack
TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)


def test_each_query_finds_its_forger(room):
    reader = [
        event(f"r{n}", n, offset=n, uiud="reader", seq=n + 1, pageUrl="https://www.example.com/") for n in range(5)
    ]
    forger = [
        event(f"f{n}", n / 100, offset=100 + n, uiud="forger", sessionId="f", clockSkewed=n < 3,
              pageUrl=f"https://casino.example/{n}")
        for n in range(501)
    ]  # fmt: skip
    room.load(Kind.EVENTS, *reader, *forger)
    greedy, hosts, clocks = (room.ask(query.replace("`webevents.", "`{d}.")) for query in QUERIES)
    assert greedy == [{"uiud": "forger", "pageviews": 501, "sessions": 1, "pages": 501, "withoutTag": 501}]
    assert [(row["host"], row["pageviews"], row["visitors"]) for row in hosts] == [
        ("casino.example", 501, 1), ("www.example.com", 5, 1)
    ]  # fmt: skip
    assert clocks == [{"uiud": "forger", "sessionId": "f", "noOrSameNumber": 501, "skewed": 3}]
