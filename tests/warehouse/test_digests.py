"""A table's digest: what it is made of, and that the rows' order is not."""

import hashlib

import pytest

from warehouse.digests import table_digest

pytestmark = pytest.mark.stack


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(room, *digests: str) -> str:
    listed = ", ".join(f"'{each}'" for each in digests)
    (row,) = room.ask(table_digest(f"SELECT each AS digest FROM UNNEST([{listed}]) AS each"))
    return row["digest"]


def test_digests_of_one_beginning_are_folded_first_then_all(room):
    wanted = sha256(sha256("aaaa1aaaa2") + sha256("bbbb1"))
    assert digest_of(room, "aaaa1", "aaaa2", "bbbb1") == wanted


@pytest.mark.parametrize("order", [("aaaa2", "bbbb1", "aaaa1"), ("bbbb1", "aaaa2", "aaaa1")])
def test_the_order_of_the_rows_does_not_matter(room, order):
    assert digest_of(room, *order) == digest_of(room, "aaaa1", "aaaa2", "bbbb1")


def test_a_row_that_is_there_twice_matters(room):
    assert digest_of(room, "aaaa1", "aaaa1") != digest_of(room, "aaaa1")


def test_no_rows_have_the_digest_of_nothing(room):
    (row,) = room.ask(table_digest("SELECT 'x' AS digest FROM UNNEST([1]) AS n WHERE n > 1"))
    assert row["digest"] == sha256("")
