"""Matches, quality and a profile to a verdict. Pure: no clock, no file, no search.

Rules: low quality is decided before any search, so a flat picture can't match; the nearest match comes first, ties by
lowest index; the action is the profile's, whatever the outcome.
"""

from __future__ import annotations

from collections.abc import Iterable

from scanner.errors import MediaError
from scanner.profiles import Profile
from scanner.types import HashedPicture, Match, Outcome, Verdict


def too_flat(picture: HashedPicture, quality_floor: int) -> bool:
    """Whether a picture is below the floor and is not to be searched."""
    return picture.quality < quality_floor


def judge(picture: HashedPicture, matches: Iterable[Match], *, list_name: str, profile: Profile) -> Verdict:
    """Judge a picture that was searched."""
    nearest_first = tuple(sorted(matches, key=lambda match: (match.distance, match.index)))
    if not nearest_first:
        return _verdict(profile, Outcome.NO_MATCH, f"not on the list {list_name}", picture=picture)
    reason = f"on the list {list_name}, {nearest_first[0].distance} of {picture.hash.bits} bits away"
    return _verdict(profile, Outcome.MATCH, reason, nearest_first, picture)


def judge_low_quality(picture: HashedPicture, *, quality_floor: int, profile: Profile) -> Verdict:
    """Judge a picture too flat to be told from others."""
    reason = f"too flat to be told from other pictures (quality {picture.quality}, floor {quality_floor})"
    return _verdict(profile, Outcome.LOW_QUALITY, reason, picture=picture)


def judge_unscannable(error: MediaError, *, profile: Profile) -> Verdict:
    """Judge media that could not be decoded."""
    return _verdict(profile, Outcome.UNSCANNABLE, f"{error.fault.value}: {error}")


def judge_error(error: BaseException, *, profile: Profile) -> Verdict:
    """Judge a scan that failed through a fault of ours."""
    return _verdict(profile, Outcome.ERROR, f"the scanner failed ({type(error).__name__})")


def judge_timeout(*, profile: Profile) -> Verdict:
    """Judge a scan that took longer than the profile allows."""
    return _verdict(profile, Outcome.TIMEOUT, f"not done within {profile.time_limit:g} s")


def _verdict(
    profile: Profile,
    outcome: Outcome,
    reason: str,
    matches: tuple[Match, ...] = (),
    picture: HashedPicture | None = None,
) -> Verdict:
    known, quality = picture if picture is not None else (None, None)
    return Verdict(outcome, profile.action_for(outcome), reason, matches, known, quality)
