"""Policy: nearest first, and the profile decides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import MediaError, MediaFault, UnknownNameError
from scanner.policy import judge, judge_error, judge_low_quality, judge_timeout, judge_unscannable, not_too_flat
from scanner.profiles import PROFILES, profile_named
from scanner.types import Action, HashedFrame, HashedMedia, Match, Outcome, PerceptualHash, VideoMatch

STANDARD = PROFILES["standard"]
PICTURE = HashedFrame(PerceptualHash("pdq", bytes([0x5A]) * 32), 77, 0.0)
MEDIA = HashedMedia((PICTURE,))


def judged(matches, profile, *, frames=1, complete=True):
    """The verdict on a picture with these matches."""
    return judge(PICTURE, matches, frames=frames, complete=complete, list_name="l", profile=profile)


matches = st.lists(
    st.builds(Match, st.integers(0, 50), st.integers(0, 31), st.integers(0, 9), st.just("a label")), max_size=12
)

VERDICTS = {
    Outcome.MATCH: lambda profile: judged([Match(0, 0, 1, "a")], profile),
    Outcome.NO_MATCH: lambda profile: judged([], profile),
    Outcome.LOW_QUALITY: lambda profile: judge_low_quality(MEDIA, quality_floor=90, profile=profile),
    Outcome.UNSCANNABLE: lambda profile: judge_unscannable(MediaError(MediaFault.DAMAGED, "cut"), profile=profile),
    Outcome.TIMEOUT: lambda profile: judge_timeout(2.0, profile=profile),
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
def test_a_verdict_names_what_was_found(found):
    """Nothing is lost, added or put in another order."""
    verdict = judged(found, STANDARD)
    assert verdict.matches == tuple(found)
    assert verdict.matched is bool(found)


def test_the_reason_tells_how_a_video_matched():
    """Shares for a known video, the time for a known picture in a video, nothing of either for a picture."""
    assert judged([Match(0, 4, 1, "a")], STANDARD).reason == "on the list l, 4 of 256 bits away"
    moving = judged([Match(0, 4, 1, "a", 2.5)], STANDARD, frames=9)
    assert moving.reason == "on the list l, 4 of 256 bits away, 2.5 seconds in"
    video = judged([Match(0, 4, 1, "a", 2.5, VideoMatch(0.9, 0.25))], STANDARD, frames=9)
    assert video.reason == "on the list l, 4 of 256 bits away, with 90% of its frames in 25% of a known video's"
    assert (video.frames, moving.frames) == (9, 9)


def test_the_reason_tells_what_was_not_looked_at():
    """No match in a part of the frames is not no match."""
    assert judged([], STANDARD, frames=3, complete=False).reason.endswith("only 3 of its frames could be looked at")


@pytest.mark.parametrize(("quality", "flat"), [(0, True), (49, True), (50, False), (51, False), (100, False)])
def test_the_floor_itself_is_not_flat(quality, flat):
    """Below the floor a picture is not searched; at the floor it is."""
    frame = PICTURE._replace(quality=quality)
    assert not_too_flat(HashedMedia((frame, PICTURE)), 50) == ([PICTURE] if flat else [frame, PICTURE])


@pytest.mark.parametrize("outcome", [Outcome.MATCH, Outcome.NO_MATCH, Outcome.LOW_QUALITY])
def test_what_was_hashed_stays_in_the_verdict(outcome):
    """Hash and quality are there wherever one was computed."""
    verdict = VERDICTS[outcome](STANDARD)
    assert (verdict.hash, verdict.quality) == PICTURE[:2]


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
