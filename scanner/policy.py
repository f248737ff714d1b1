"""Matches, quality and a profile to a verdict. Pure: no clock, no file, no search.

Rules: low quality is decided before any search, so a flat picture can't match; the nearest match comes first, ties by
lowest index; the action is the profile's, whatever the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence

from scanner.errors import MediaError
from scanner.profiles import Profile
from scanner.types import HashedFrame, HashedMedia, Match, Outcome, Verdict


def not_too_flat(media: HashedMedia, quality_floor: int) -> list[HashedFrame]:
    """The frames that are not below the floor; the others are not to be searched."""
    return [frame for frame in media.frames if frame.quality >= quality_floor]


def judge(
    frame: HashedFrame, matches: Sequence[Match], *, frames: int, complete: bool, list_name: str, profile: Profile
) -> Verdict:
    """Judge media that was searched.

    Args:
        frame: the one that is nearest to a known hash, or the first.
        matches: nearest first.
        frames: how many were looked at.
        complete: whether that was all of them.
        list_name: what was searched.
        profile: says what to do.
    """
    if not matches:
        seen = "" if complete else f"; only {frames} of its frames could be looked at"
        return _verdict(profile, Outcome.NO_MATCH, f"not on the list {list_name}{seen}", frame=frame, frames=frames)
    near = matches[0]
    reason = f"on the list {list_name}, {near.distance} of {frame.hash.bits} bits away"
    if near.video is not None:
        reason += f", with {near.video.sent:.0%} of its frames in {near.video.known:.0%} of a known video's"
    elif frames > 1:
        reason += f", {near.seconds:.1f} seconds in"
    return _verdict(profile, Outcome.MATCH, reason, tuple(matches), frame, frames)


def judge_low_quality(media: HashedMedia, *, quality_floor: int, profile: Profile) -> Verdict:
    """Judge media all too flat to be told from others."""
    best = max(media.frames, key=lambda frame: frame.quality)
    reason = f"too flat to be told from other pictures (quality {best.quality}, floor {quality_floor})"
    return _verdict(profile, Outcome.LOW_QUALITY, reason, frame=best, frames=len(media.frames))


def judge_unscannable(error: MediaError, *, profile: Profile) -> Verdict:
    """Judge media that could not be decoded."""
    return _verdict(profile, Outcome.UNSCANNABLE, f"{error.fault.value}: {error}")


def judge_error(error: BaseException, *, profile: Profile) -> Verdict:
    """Judge a scan that failed through a fault of ours."""
    return _verdict(profile, Outcome.ERROR, f"the scanner failed ({type(error).__name__})")


def judge_timeout(seconds: float, *, profile: Profile) -> Verdict:
    """Judge a scan that took longer than the profile allows, so many seconds."""
    return _verdict(profile, Outcome.TIMEOUT, f"not done within {seconds:g} s")


def _verdict(
    profile: Profile,
    outcome: Outcome,
    reason: str,
    matches: tuple[Match, ...] = (),
    frame: HashedFrame | None = None,
    frames: int = 0,
) -> Verdict:
    known, quality = (frame.hash, frame.quality) if frame is not None else (None, None)
    return Verdict(outcome, profile.action_for(outcome), reason, matches, known, quality, frames)
