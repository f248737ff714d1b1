"""When a webhook is sent again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.hooks.retrying import SPREAD, next_attempt
from scanner.intake.settings import Settings

SCHEDULE = Settings().hook_schedule


def test_the_schedule_is_followed():
    """Each wait is the next one of the schedule, and after the last there is none."""
    waits = [next_attempt(SCHEDULE, attempts, 1000, None, 0.0) for attempts in range(1, len(SCHEDULE) + 1)]
    assert waits == [1005, 1300, 2800, 8200, 19000, 37000, 37000, None]


@given(
    attempts=st.integers(1, len(SCHEDULE) - 1),
    random=st.floats(0, 1),
    asked=st.none() | st.floats(0, 86_400),
)
def test_a_wait_is_never_shorter_than_asked_for(attempts, random, asked):
    """By the schedule nor by the receiver; and longer by the spread at most."""
    wait = SCHEDULE[attempts]
    due = next_attempt(SCHEDULE, attempts, 0, asked, random)
    assert due is not None
    assert due >= max(wait, asked or 0)
    assert due <= max(wait * (1 + SPREAD), asked or 0) + 1


def test_what_fails_together_is_spread():
    """The random part counts."""
    assert next_attempt((0, 100), 1, 0, None, 0.0) == 100
    assert next_attempt((0, 100), 1, 0, None, 1.0) == 120


def test_retry_after_gives_no_more_attempts():
    """A receiver that asks for time after the last attempt gets nothing more."""
    assert next_attempt((0,), 1, 0, 60.0, 0.0) is None
