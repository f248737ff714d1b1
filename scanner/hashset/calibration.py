"""How often a list flags an innocent picture: what was counted, on what, and what may follow from it.

Rules:
1. A calibration is evidence, not authority. It is unsigned: it names by digest the list and the corpus it speaks of, so
   that whoever has both can count again. A policy signs the list's digest, which leaves the calibration out.
2. Counts are the measurement; rates and bounds follow from them.
3. A trial is a cluster of query pictures, so that near copies count once. Each lies in one stratum: strata add up.
4. It fits one list with its radius and quality floor, and no other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from scanner.account_rates import upper_rate
from scanner.errors import ArgumentError, HashSetError
from scanner.hashset.format import Header
from scanner.profiles import ALGORITHMS, CalibrationDemand

CONFIDENCE = 0.95
MOST_TRIALS = 10**9
MOST_STRATA = 256
MOST_EDITS = 512
MOST_EDITED = 10**6
MOST_DISTANCES = 1000
MOST_VERSIONS = 64
LONGEST_TEXT = 100
EARLIEST = dt.date(2020, 1, 1)
"""A clock that says less is not set."""


@dataclass(frozen=True)
class Stratum:
    """What was counted among one kind of pictures.

    Attributes:
        name: the kind, such as ``photograph``; up to 100 printable characters.
        query_clusters: clusters of query pictures of this kind; 1 to 1e9.
        hits: how many of them matched.

    Raises:
        ArgumentError: a value is of another type or out of its range.
    """

    name: str
    query_clusters: int
    hits: int

    def __post_init__(self) -> None:
        _check_text("a stratum's name", self.name)
        _check_counts(f"stratum {self.name}", self.hits, self.query_clusters)

    @property
    def fpir(self) -> float:
        """False positive identification rate: the share of query clusters that matched."""
        return self.hits / self.query_clusters

    @cached_property
    def upper(self) -> float:
        """Its upper bound at 95 %, one-sided; :func:`scanner.account_rates.upper_rate`."""
        return upper_rate(self.hits, self.query_clusters, CONFIDENCE)


@dataclass(frozen=True)
class Edit:
    """How many listed pictures were no longer found after one edit.

    Attributes:
        name: the edit and its strength; up to 100 printable characters.
        pictures: clusters of listed pictures that were edited; 1 to 1e6.
        missed: how many of them did not match.

    Raises:
        ArgumentError: a value is of another type or out of its range.
    """

    name: str
    pictures: int
    missed: int

    def __post_init__(self) -> None:
        _check_text("an edit's name", self.name)
        _check_counts(f"edit {self.name}", self.missed, self.pictures, MOST_EDITED)

    @property
    def fnir(self) -> float:
        """False negative identification rate: the share that was missed; recall is the rest."""
        return self.missed / self.pictures

    @cached_property
    def upper(self) -> float:
        """Its upper bound at 95 %, one-sided."""
        return upper_rate(self.missed, self.pictures, CONFIDENCE)


@dataclass(frozen=True)
class Calibration:
    """What a calibration certificate says; :mod:`scanner.hashset.certificate` has its form as JSON.

    Attributes:
        hashset_digest: :attr:`scanner.HashSet.digest` of the list, 32 bytes.
        algorithm, radius, quality_floor: as in the list's header.
        corpus_digest: SHA-256 of the corpus's manifest, 32 bytes.
        date: of the measurement; from 2020 on.
        query_clusters: clusters of query pictures, none of which is on the list; 1 to 1e9.
        hits: how many of them had an entry within the radius.
        nearest_distances: for the nearest query clusters, up to 1,000, the distance to the nearest entry, in bits,
            ascending.
        versions: names of the tools that measured, and their versions; 1 to 64.
        strata: what was counted by kind of pictures; none, or they add up to the whole. Kept in order of their names.
        ladder: version of the ladder of edits.
        edits: figures by edit, up to 512, in the ladder's order; none without a ladder.

    Raises:
        ArgumentError: a value is of another type or out of its range, or two contradict each other.
    """

    hashset_digest: bytes
    algorithm: str
    radius: int
    quality_floor: int
    corpus_digest: bytes
    date: dt.date
    query_clusters: int
    hits: int
    nearest_distances: tuple[int, ...]
    versions: Mapping[str, str]
    strata: tuple[Stratum, ...] = ()
    ladder: str | None = None
    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        for name in ("hashset_digest", "corpus_digest"):
            if type(getattr(self, name)) is not bytes or len(getattr(self, name)) != 32:
                raise ArgumentError(f"{name} is 32 bytes")
        if type(self.algorithm) is not str or self.algorithm not in ALGORITHMS:
            raise ArgumentError(f"no algorithm named {self.algorithm!r}; known: {', '.join(ALGORITHMS)}")
        bits = ALGORITHMS[self.algorithm].bits
        _check_number("radius", self.radius, 0, bits - 1)
        _check_number("quality_floor", self.quality_floor, 0, 100)
        if type(self.date) is not dt.date or self.date < EARLIEST:
            raise ArgumentError(f"the date is a day from {EARLIEST} on")
        _check_counts("the whole", self.hits, self.query_clusters)
        for name, most in (("strata", MOST_STRATA), ("edits", MOST_EDITS), ("nearest_distances", MOST_DISTANCES)):
            if not isinstance(getattr(self, name), (tuple, list)) or len(getattr(self, name)) > most:
                raise ArgumentError(f"{name} is a tuple of at most {most:,}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_distances(bits)
        self._check_strata()
        self._check_edits()
        if not isinstance(self.versions, Mapping) or not 1 <= len(self.versions) <= MOST_VERSIONS:
            raise ArgumentError(f"versions names 1 to {MOST_VERSIONS} tools")
        for tool, version in self.versions.items():
            _check_text("a tool's name", tool)
            _check_text("a tool's version", version)
        object.__setattr__(self, "versions", MappingProxyType(dict(sorted(self.versions.items()))))

    def _check_distances(self, bits: int) -> None:
        near = self.nearest_distances
        for distance in near:
            _check_number("a nearest distance", distance, 0, bits)
        if not 1 <= len(near) <= self.query_clusters or list(near) != sorted(near):
            raise ArgumentError("nearest_distances ascend, and are at least one and at most one a query cluster")
        if sum(distance <= self.radius for distance in near) != min(self.hits, len(near)):
            raise ArgumentError("nearest_distances within the radius are not as many as the hits")

    def _check_strata(self) -> None:
        if any(type(one) is not Stratum for one in self.strata):
            raise ArgumentError("strata are of the class Stratum")
        object.__setattr__(self, "strata", tuple(sorted(self.strata, key=lambda one: one.name)))
        _check_distinct("stratum", [one.name for one in self.strata])
        clusters, hits = sum(one.query_clusters for one in self.strata), sum(one.hits for one in self.strata)
        if self.strata and (clusters, hits) != (self.query_clusters, self.hits):
            raise ArgumentError(
                f"the strata have {hits:,} hits of {clusters:,} query clusters, "
                f"the whole {self.hits:,} of {self.query_clusters:,}"
            )

    def _check_edits(self) -> None:
        if any(type(one) is not Edit for one in self.edits):
            raise ArgumentError("edits are of the class Edit")
        _check_distinct("edit", [one.name for one in self.edits])
        if (self.ladder is None) == bool(self.edits):
            raise ArgumentError("edits go with the version of their ladder, and neither without the other")
        if self.ladder is not None:
            _check_text("the ladder's version", self.ladder)

    @property
    def fpir(self) -> float:
        """False positive identification rate: the share of query clusters that matched."""
        return self.hits / self.query_clusters

    @cached_property
    def upper(self) -> float:
        """Its upper bound at 95 %, one-sided; :func:`scanner.account_rates.upper_rate`."""
        return upper_rate(self.hits, self.query_clusters, CONFIDENCE)

    def to_json(self) -> str:
        """Write the certificate; one calibration is always the same text."""
        from scanner.hashset.certificate import write_certificate

        return write_certificate(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Calibration:
        """Read a certificate.

        Raises:
            HashSetError: it does not have exactly the fields that :meth:`to_json` writes, or its figures contradict
                each other.
        """
        from scanner.hashset.certificate import read_certificate

        return read_certificate(text)

    def check_fits(self, header: Header, digest: bytes) -> None:
        """Refuse the calibration of another list.

        Args:
            header: of the list.
            digest: of the list, 32 bytes.

        Raises:
            HashSetError: saying what differs.
        """
        for name in ("algorithm", "radius", "quality_floor"):
            theirs, here = getattr(header, name), getattr(self, name)
            if theirs != here:
                raise HashSetError(
                    f"the calibration certificate is for {name.replace('_', ' ')} {here}, and the list "
                    f"{header.name} has {theirs}"
                )
        if digest != self.hashset_digest:
            raise HashSetError(
                f"the calibration certificate is for the list of digest {self.hashset_digest.hex()}, which is not "
                f"{header.name} epoch {header.epoch}"
            )


def check_demand(calibration: Calibration | None, demand: CalibrationDemand, name: str) -> None:
    """Refuse a list that lacks the evidence a profile asks for.

    Args:
        calibration: of the list, if it has one.
        demand: the profile's.
        name: the list, for the message.

    Raises:
        HashSetError: there is none, it is too old, lacks the stratum, or its bound is too high.
    """
    if calibration is None:
        raise HashSetError(
            f"the list {name} has no calibration certificate, and the profile asks for one: measure the list, then "
            "scanner hashset attach-calibration"
        )
    if calibration.date < demand.not_before:
        raise HashSetError(
            f"the list {name} was calibrated on {calibration.date}, and the profile asks for {demand.not_before} or "
            "later: measure it again"
        )
    counted: Calibration | Stratum = calibration
    of = ""
    if demand.stratum is not None:
        of = f" of {demand.stratum}"
        found = [one for one in calibration.strata if one.name == demand.stratum]
        if not found:
            raise HashSetError(
                f"the list {name} was not calibrated on {demand.stratum}, the stratum the profile asks for"
            )
        counted = found[0]
    if counted.upper > demand.highest_fpir:
        raise HashSetError(
            f"the list {name} has {counted.hits:,} false hits in {counted.query_clusters:,} query clusters{of}: an "
            f"FPIR of at most {counted.upper:.3g} at {CONFIDENCE:.0%}, and the profile allows {demand.highest_fpir:.3g}"
        )


def _check_text(what: str, text: Any) -> None:
    if type(text) is not str or not 1 <= len(text) <= LONGEST_TEXT or not text.isprintable():
        raise ArgumentError(f"{what} is 1 to {LONGEST_TEXT} printable characters")


def _check_number(what: str, number: Any, low: int, high: int) -> None:
    if type(number) is not int or not low <= number <= high:
        raise ArgumentError(f"{what} is a whole number from {low:,} to {high:,}")


def _check_counts(what: str, part: Any, whole: Any, most: int = MOST_TRIALS) -> None:
    _check_number(f"{what}: the number of clusters", whole, 1, most)
    _check_number(f"{what}: the number counted of them", part, 0, whole)


def _check_distinct(what: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ArgumentError(f"there are two entries for one {what}")
