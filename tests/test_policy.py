"""Policy: nearest first, and the profile decides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import MediaError, MediaFault, UnknownNameError
from scanner.policy import judge, judge_error, judge_low_quality, judge_timeout, judge_unscannable, too_flat
from scanner.profiles import PROFILES, profile_named
from scanner.types import Action, HashedPicture, Match, Outcome, PerceptualHash

STANDARD = PROFILES["standard"]
PICTURE = HashedPicture(PerceptualHash("pdq", bytes([0x5A]) * 32), 77)

matches = st.lists(
    st.builds(Match, st.integers(0, 50), st.integers(0, 31), st.integers(0, 9), st.just("a label")), max_size=12
)

VERDICTS = {
    Outcome.MATCH: lambda profile: judge(PICTURE, [Match(0, 0, 1, "a")], list_name="l", profile=profile),
    Outcome.NO_MATCH: lambda profile: judge(PICTURE, [], list_name="l", profile=profile),
    Outcome.LOW_QUALITY: lambda profile: judge_low_quality(PICTURE, quality_floor=90, profile=profile),
    Outcome.UNSCANNABLE: lambda profile: judge_unscannable(MediaError(MediaFault.DAMAGED, "cut"), profile=profile),
    Outcome.TIMEOUT: lambda profile: judge_timeout(profile=profile),
    Outcome.ERROR: lambda profile: judge_error(RuntimeError("inner"), profile=profile),
}

S, H = Action.SEND, Action.HOLD
ACTIONS = {
    #              match no-match low-quality unscannable timeout error
    "standard": (H, S, S, S, S, S),
    "report-only": (S, S, S, S, S, S),
    "strict": (H, S, S, H, H, H),
}


def test_the_table_of_actions_is_complete():
    """Every profile and every outcome has its place in the table below."""
    assert set(ACTIONS) == set(PROFILES)
    assert list(VERDICTS) == list(Outcome)


@pytest.mark.parametrize(
    ("profile", "outcome", "action"),
    [(name, outcome, action) for name, row in ACTIONS.items() for outcome, action in zip(Outcome, row, strict=True)],
)
def test_each_profile_has_one_action_for_each_outcome(profile, outcome, action):
    """The verdict's outcome is what was found, its action what the profile says."""
    verdict = VERDICTS[outcome](profile_named(profile))
    assert (verdict.outcome, verdict.action) == (outcome, action)
    assert verdict.matched is (outcome is Outcome.MATCH)


@given(found=matches)
@settings(derandomize=True, deadline=None)
def test_matches_are_nearest_first_then_lowest_index(found):
    """The order does not depend on the order of the search, and nothing is lost or added."""
    verdict = judge(PICTURE, reversed(found), list_name="l", profile=STANDARD)
    order = [(match.distance, match.index) for match in verdict.matches]
    assert order == sorted((match.distance, match.index) for match in found)
    assert set(verdict.matches) == set(found)
    assert verdict.matched is bool(found)


@pytest.mark.parametrize(("quality", "flat"), [(0, True), (49, True), (50, False), (51, False), (100, False)])
def test_the_floor_itself_is_not_flat(quality, flat):
    """Below the floor a picture is not searched; at the floor it is."""
    assert too_flat(HashedPicture(PICTURE.hash, quality), 50) is flat


@pytest.mark.parametrize("outcome", [Outcome.MATCH, Outcome.NO_MATCH, Outcome.LOW_QUALITY])
def test_what_was_hashed_stays_in_the_verdict(outcome):
    """Hash and quality are there wherever one was computed."""
    verdict = VERDICTS[outcome](STANDARD)
    assert (verdict.hash, verdict.quality) == PICTURE


@pytest.mark.parametrize("outcome", list(Outcome))
def test_reasons_are_one_line_without_the_hash(outcome):
    """A reason is shown and logged, so it names no hash."""
    reason = VERDICTS[outcome](STANDARD).reason
    assert reason
    assert "\n" not in reason
    assert PICTURE.hash.hex not in reason


def test_the_reason_of_an_error_does_not_repeat_its_message():
    """An inner error's message may hold anything; only its kind is told."""
    assert "inner" not in VERDICTS[Outcome.ERROR](STANDARD).reason
    assert "RuntimeError" in VERDICTS[Outcome.ERROR](STANDARD).reason


def test_an_unknown_profile_is_named_with_the_known_ones():
    """The message says what there is."""
    with pytest.raises(UnknownNameError, match=r"'lax'.*standard, report-only, strict"):
        profile_named("lax")
