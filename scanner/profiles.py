"""Named, sourced settings. A value without a source is marked as ours, to be measured.

Rules: settings are frozen; a threshold belongs to one algorithm and carries over to no other; what is unsafe
says so in its name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeVar

from scanner.errors import ArgumentError, UnknownNameError
from scanner.types import Action, Outcome


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def _by_name(items: Iterable[_T]) -> Mapping[str, _T]:
    return MappingProxyType({item.name: item for item in items})


@dataclass(frozen=True, slots=True)
class AlgorithmSettings:
    """What a hash set uses for an algorithm unless it says otherwise.

    Attributes:
        name: algorithm and lineage.
        bits: length of a hash.
        radius: largest distance that counts as a match, inclusive.
        quality_floor: pictures below it are neither listed nor matched, 0 to 100.
        source: where radius and floor come from.
    """

    name: str
    bits: int
    radius: int
    quality_floor: int
    source: str


_PDQ_SOURCE = (
    "Facebook, The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm (2019): 'confident match' "
    "at distance <= 31 of 256, 'discard' below quality 50"
)
_OWN_SOURCE = (
    "radius: distance 10 of 64, the value in use for 64-bit pHash and dHash since Krawetz, hackerfactor.com (2011); "
    "floor: ours, refuses only flat pictures. Measure both on your own pictures before you rely on them"
)

ALGORITHMS: Mapping[str, AlgorithmSettings] = _by_name(
    (
        AlgorithmSettings("pdq", 256, 31, 50, _PDQ_SOURCE),
        AlgorithmSettings("pdq-512", 256, 31, 50, _PDQ_SOURCE),
        AlgorithmSettings("phash", 64, 10, 10, _OWN_SOURCE),
        AlgorithmSettings("dhash", 64, 10, 10, _OWN_SOURCE),
        AlgorithmSettings("whash", 64, 10, 10, _OWN_SOURCE),
    )
)


@dataclass(frozen=True, slots=True)
class VideoRule:
    """When a video on the list matches.

    Attributes:
        least_sent: share of the sent frames that must be near a frame of it, 0 to 1.
        least_known: share of its frames that must be near a sent frame, 0 to 1.
        source: where the shares come from.
    """

    least_sent: float
    least_known: float
    source: str


VIDEO_RULE = VideoRule(
    0.8,
    0.0,
    "ThreatExchange's vPDQ: query match 80 %, index match 0 %; so a part of a known video matches, and a still of it",
)


@dataclass(frozen=True, slots=True)
class CalibrationDemand:
    """What evidence a list must carry of how seldom it is wrong; see :class:`scanner.hashset.Calibration`.

    A calibration is unsigned. The demand keeps a list that nobody measured, or that is measured to be too bad, from
    being used by mistake; it does not stop whoever may write the list's file from inventing the measurement.

    Attributes:
        highest_fpir: the upper bound of the FPIR at 95 % may be no higher; over 0, at most 1.
        not_before: day of the oldest measurement that counts.
        stratum: kind of pictures whose bound counts; None: all query pictures together.

    Raises:
        ArgumentError: a value is of another type or out of its range.
    """

    highest_fpir: float
    not_before: dt.date
    stratum: str | None = None

    def __post_init__(self) -> None:
        if type(self.highest_fpir) not in (int, float) or not 0 < self.highest_fpir <= 1:
            raise ArgumentError(f"the highest FPIR is over 0 and at most 1, not {self.highest_fpir!r}")
        if type(self.not_before) is not dt.date:
            raise ArgumentError(f"not_before is a date, not {self.not_before!r}")
        if self.stratum is not None and (type(self.stratum) is not str or not self.stratum):
            raise ArgumentError(f"a stratum is a name, or None for all pictures together, not {self.stratum!r}")


@dataclass(frozen=True, slots=True)
class Profile:
    """What to do about each outcome.

    Attributes:
        name: the profile's name.
        on_match, on_low_quality, on_unscannable, on_timeout, on_error: the action per outcome. There is no
            ``on_no_match``: a picture that matched nothing is always sent.
        time_limit: seconds a scan may take before it counts as ``TIMEOUT``; in-process an asynchronous one.
        video_time_limit: the same for videos.
        source: why it is as it is.
        requires_calibration: evidence without which a list is not used; None: any list is.
    """

    name: str
    on_match: Action
    on_low_quality: Action
    on_unscannable: Action
    on_timeout: Action
    on_error: Action
    time_limit: float
    video_time_limit: float
    source: str
    requires_calibration: CalibrationDemand | None = None

    def action_for(self, outcome: Outcome) -> Action:
        """Look up the action of an outcome."""
        return {
            Outcome.MATCH: self.on_match,
            Outcome.NO_MATCH: Action.SEND,
            Outcome.LOW_QUALITY: self.on_low_quality,
            Outcome.UNSCANNABLE: self.on_unscannable,
            Outcome.TIMEOUT: self.on_timeout,
            Outcome.ERROR: self.on_error,
        }[outcome]


_SEND, _HOLD = Action.SEND, Action.HOLD

PROFILES: Mapping[str, Profile] = _by_name(
    (
        Profile(
            "standard", _HOLD, _SEND, _SEND, _SEND, _SEND, 2.0, 30.0,
            "holds known pictures and nothing else: a fault of the scanner never stops a message (fail open)",
        ),
        Profile(
            "report-only", _SEND, _SEND, _SEND, _SEND, _SEND, 2.0, 30.0,
            "never holds anything; a match still leaves a voucher",
        ),
        Profile(
            "strict", _HOLD, _SEND, _HOLD, _HOLD, _HOLD, 2.0, 30.0,
            "holds whatever can't be checked (fail closed); low quality is sent, as flat pictures carry no content",
        ),
    )
)  # fmt: skip


def algorithm_named(name: str) -> AlgorithmSettings:
    """Look up an algorithm's settings.

    Raises:
        UnknownNameError: there is none of that name.
    """
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise UnknownNameError("algorithm", name, tuple(ALGORITHMS)) from None


def profile_named(name: str) -> Profile:
    """Look up a profile.

    Raises:
        UnknownNameError: there is none of that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise UnknownNameError("profile", name, tuple(PROFILES)) from None
