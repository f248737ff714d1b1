"""The table of a case's life."""

from __future__ import annotations

import itertools

import pytest

from scanner.intake.cases.lifecycle import TRANSITIONS, CaseOutcome, CaseState, CaseStep, round_of, step_of

REPORT, DISMISS = CaseOutcome.REPORT, CaseOutcome.DISMISS


@pytest.mark.parametrize("said", list(itertools.product(CaseOutcome, repeat=3)))
def test_a_case_closes_when_two_people_said_the_same_and_not_before(said):
    """Whatever three people say one after another, it closes with the second voice for one outcome."""
    state, heard = CaseState.WAITING, []
    while state is not CaseState.CLOSED:
        assert all(heard.count(outcome) < 2 for outcome in CaseOutcome)
        outcome = said[len(heard)]
        state = TRANSITIONS[step_of(state, list(heard), outcome)][state]
        heard.append(outcome)
    assert heard.count(heard[-1]) == 2


def test_every_state_but_waiting_can_be_reopened_and_none_is_a_dead_end():
    """From each state some step leads on."""
    assert set(TRANSITIONS[CaseStep.REOPEN]) == set(CaseState) - {CaseState.WAITING}
    assert {source for steps in TRANSITIONS.values() for source in steps} == set(CaseState)


@pytest.mark.parametrize(
    ("state", "last", "number"),
    [(CaseState.WAITING, None, 1), (CaseState.DECIDED_ONCE, 1, 1), (CaseState.CLOSED, 1, 1), (CaseState.WAITING, 1, 2)],
)
def test_a_round_begins_when_a_case_waits(state, last, number):
    """A case that waits is in the round after the last that anyone decided in."""
    assert round_of(state, last) == number
