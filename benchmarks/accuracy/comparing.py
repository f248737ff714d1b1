"""Two evaluations beside each other: which rates moved further than their intervals explain.

Rules: a rate moved if the interval of its difference leaves out zero; evaluations are taken as independent, so on the
same corpus, where they are not, too few are called moved rather than too many (``gate`` pairs them); what stands in one
alone is named.

The interval of a difference joins those of the two rates: Zou and Donner 2008, Statistics in Medicine 27:1693.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.evaluation import estimate_of
from benchmarks.accuracy.intervals import Estimate

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A rate in two evaluations.

    Attributes:
        hash: its name.
        what: the rate, in words.
        before, after: with their intervals.
        low, high: interval of the difference, after less before.
    """

    hash: str
    what: str
    before: Estimate
    after: Estimate
    low: float
    high: float

    @property
    def moved(self) -> bool:
        """Whether the difference is more than the two intervals explain."""
        return self.low > 0 or self.high < 0

    def line(self) -> str:
        """The change in a line."""
        way = "up" if self.low > 0 else "down" if self.high < 0 else "within"
        return (
            f"{way:<7}{self.hash}: {self.what} {_told(self.before)} -> {_told(self.after)}, "
            f"difference {self.low:+.3g} to {self.high:+.3g}"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that is in both evaluations, and what is not.

    Attributes:
        changes: every rate that is in both.
        apart: conditions that differ and what one of them lacks, in lines.
    """

    changes: tuple[Change, ...]
    apart: tuple[str, ...]

    def lines(self, *, every: bool = False) -> list[str]:
        """Put it in words: what differs, what moved, and a count; all rates if wanted."""
        moved = [change for change in self.changes if change.moved]
        shown = self.changes if every else moved
        counted = f"{len(moved):,} of {len(self.changes):,} rates moved beyond their intervals"
        chance = "; of independent runs one in twenty would by chance alone" if self.changes else ""
        return [*(f"differs: {line}" for line in self.apart), *(change.line() for change in shown), counted + chance]


def compare(before: Document, after: Document) -> Comparison:
    """Compare two evaluations.

    Raises:
        EvaluationError: a rate is not as this version writes it.
    """
    apart = list(conditions_apart(before, after))
    changes = []
    for name, old in before["hashes"].items():
        new = after["hashes"].get(name)
        if new is None:
            continue
        theirs = dict(_rates(new))
        for what, rate in _rates(old):
            if what in theirs:
                changes.append(_change(name, what, rate, theirs[what]))
    return Comparison(tuple(changes), tuple(apart))


def conditions_apart(before: Document, after: Document) -> Iterator[str]:
    """Say what was not the same: corpus, ladder, hashes, their versions and radii."""
    for what, old, new in (
        ("corpus", before["corpus"].get("digest"), after["corpus"].get("digest")),
        ("pictures", before["corpus"].get("pictures"), after["corpus"].get("pictures")),
        ("ladder", before["ladder"].get("digest"), after["ladder"].get("digest")),
        ("edited pictures", before["ladder"].get("sources"), after["ladder"].get("sources")),
    ):
        if old != new:
            yield f"{what}: {old} and {new}"
    for name in dict.fromkeys([*before["hashes"], *after["hashes"]]):
        old, new = before["hashes"].get(name), after["hashes"].get(name)
        if old is None or new is None:
            yield f"{name} is in the {'second' if old is None else 'first'} alone"
            continue
        for field in ("version", "radius", "refused"):
            if old.get(field) != new.get(field):
                yield f"{name}, {field}: {old.get(field)} and {new.get(field)}"


def difference(before: Estimate, after: Estimate) -> tuple[float, float]:
    """Ends of the interval of ``after`` less ``before``, of independent ones."""
    apart = after.estimate - before.estimate
    low = apart - math.hypot(after.estimate - after.low, before.high - before.estimate)
    high = apart + math.hypot(after.high - after.estimate, before.estimate - before.low)
    return low, high


def _change(name: str, what: str, before: Estimate, after: Estimate) -> Change:
    low, high = difference(before, after)
    return Change(name, what, before, after, low, high)


def _rates(one: Mapping[str, Any]) -> Iterator[tuple[str, Estimate]]:
    """Every rate of a hash, named so that the same name means the same rate."""
    for population, held in one.get("populations", {}).items():
        for row in held["fmr"]:
            yield f"FMR({row['radius']}) of {population}", estimate_of(row)
        if "refused" not in held["freedom"]:
            yield f"degrees of freedom of {population}", estimate_of(held["freedom"])
    for row in one.get("fpir_by_size", ()):
        yield f"FPIR({row['size']:,}, {row['radius']})", estimate_of(row)
    for stratum, row in one.get("strata", {}).items():
        if stratum != "listable":
            yield f"FPIR({one['list']:,}, {one['radius']}) of {stratum}", estimate_of(row)
    for row in one.get("fnir", ()):
        yield f"FNIR({one['radius']}) after {row['edit']}", estimate_of(row["at_radius"])
    for stratum, row in one.get("fnir_by_stratum", {}).items():
        yield f"FNIR({one['radius']}) over {'all edits' if stratum == 'ladder' else stratum}", estimate_of(row)


def _told(rate: Estimate) -> str:
    return f"{rate.estimate:.4g} ({rate.low:.3g} to {rate.high:.3g})"
