"""Cursors: what was written is read, whatever else comes is told apart, and a page ends where the next begins."""

from __future__ import annotations

import base64
from collections import namedtuple
from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.paging import cut, read_cursor, write_cursor
from scanner.intake.problems import ProblemError

PARTS = {
    int: st.integers(0, 2**63 - 1),
    str: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    bytes: st.binary(max_size=20),
}
KEYS = st.lists(st.sampled_from(list(PARTS)), min_size=1, max_size=3).flatmap(
    lambda kinds: st.tuples(st.just(kinds), st.tuples(*(PARTS[kind] for kind in kinds)))
)


@given(KEYS)
def test_a_cursor_is_read_as_it_was_written(key):
    """Key and kinds come back."""
    kinds, values = key
    assert read_cursor(write_cursor(*values), *kinds) == values


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(cbor2.dumps(value)).decode()


@pytest.mark.parametrize(
    "cursor",
    ["", "!", "A", "é", encoded([]), encoded(1), encoded({}), encoded([True]), encoded(["1"]), encoded([1, 2])]
    + [encoded([number]) for number in (-1, 2**63, 2**70, 1.0)],
    ids=repr,
)
def test_what_is_no_cursor_of_this_list_is_told(cursor):
    """400 with a stable name, for a list of one integer."""
    with pytest.raises(ProblemError) as told:
        read_cursor(cursor, int)
    assert (told.value.status, told.value.name) == (400, "bad-cursor")


def test_text_that_a_database_refuses_is_no_cursor():
    """PostgreSQL has no NUL in text."""
    with pytest.raises(ProblemError):
        read_cursor(write_cursor("a\0b"), str)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_cursor_or_told(data):
    """Nothing else is raised."""
    with suppress(ProblemError):
        assert isinstance(read_cursor(base64.urlsafe_b64encode(data).decode(), int, bytes), tuple)


@given(st.integers(0, 30), st.integers(1, 12))
def test_pages_one_after_another_are_the_list(rows, limit):
    """Nothing is left out, nothing comes twice, and only the last page has no next."""
    row = namedtuple("row", "number")
    everything = [row(number) for number in range(rows)]
    seen, after = [], -1
    while True:
        page, following = cut([one for one in everything if one.number > after][: limit + 1], limit, "number")
        seen += page
        if following is None:
            break
        assert len(page) == limit
        (after,) = read_cursor(following, int)
    assert seen == everything
