"""A gate for a build: is a hash worse than its baseline beyond what chance allows?

Rules: only FPIR at the hash's radius and FNIR after each edit are judged, by counts of clusters; the error of the whole
gate is held, not of each test; a rate that can't be judged, or a hash that is gone, is a regression and never passed
over.

Logic: if corpus, ladder and sources are the same, each picture is its own comparison, and pictures that only the new
one gets wrong are set against those that only the old one does, by McNemar's exact test (McNemar 1947, Psychometrika
12:153). If they are not, the counts are taken as independent: Fisher's exact test (Fisher 1935, JRSS 98:39). Both are
one-sided, and all p-values together are held to ``alpha`` by Holm's method (1979, Scandinavian Journal of Statistics
6:65), so that a build without a regression fails at most so often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.accuracy.evaluation import EvaluationError
from scanner.errors import ArgumentError

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """One rate before and after.

    Attributes:
        what: hash and rate, in words.
        before, after: errors counted, and of how many.
        chance: of a count as bad as this or worse, if nothing had changed.
        paired: whether pictures were compared one by one.
    """

    what: str
    before: tuple[int, int]
    after: tuple[int, int]
    chance: float
    paired: bool

    def line(self) -> str:
        """The test in a line."""
        old, new = (f"{errors:,} of {trials:,}" for errors, trials in (self.before, self.after))
        return f"{self.what}: {old} -> {new}, p = {self.chance:.2g} ({'paired' if self.paired else 'independent'})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found.

    Attributes:
        regressions: a line each; none if the gate is passed.
        tests: how many rates were judged.
        worse: how many are worse, beyond chance or not.
    """

    regressions: tuple[str, ...]
    tests: int
    worse: int

    @property
    def passed(self) -> bool:
        """Whether there is no regression."""
        return not self.regressions


def gate(baseline: Document, current: Document, alpha: float = 0.05) -> Verdict:
    """Judge an evaluation against a baseline.

    Args:
        baseline: an evaluation that was accepted.
        current: the one to be judged; it has every hash of the baseline.
        alpha: how often a build without a regression may fail; over 0 and under 1.

    Raises:
        ArgumentError: alpha is not as above.
        EvaluationError: a document is not as this version writes it.
    """
    if not 0 < alpha < 1:
        raise ArgumentError(f"alpha {alpha:g} is not over 0 and under 1")
    paired = _same_pictures(baseline, current)
    missing: list[str] = []
    tests: list[Judged] = []
    try:
        for name, old in baseline["hashes"].items():
            new = current["hashes"].get(name)
            if new is None or ("refused" in new and "refused" not in old):
                missing.append(f"{name}: the baseline has figures of it, this run has none")
            elif "refused" not in old:
                missing += _lacking(name, old, new)
                tests += _tests(name, old, new, paired=paired)
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"a document lacks what is judged: {error!r}") from None
    if not tests and not missing:
        raise EvaluationError("the baseline has no rate that could be judged")
    worse = [test for test in tests if test.after[0] * test.before[1] > test.before[0] * test.after[1]]
    found = [test.line() for test in holm(tests, alpha)]
    return Verdict((*missing, *found), len(tests), len(worse))


def holm(tests: list[Judged], alpha: float) -> list[Judged]:
    """Tests that are beyond chance if all together may be wrong with a chance of alpha; the worst first."""
    found = []
    for rank, test in enumerate(sorted(tests, key=lambda test: test.chance)):
        if test.chance > alpha / (len(tests) - rank):
            break
        found.append(test)
    return found


def mcnemar(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> float:
    """Chance of so many errors of the new one alone, among those of one alone, or more."""
    new, old = int((after & ~before).sum()), int((before & ~after).sum())
    return float(stats.binom.sf(new - 1, new + old, 0.5)) if new else 1.0


def fisher(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Chance of so many errors among the second, or more, if both have one rate."""
    (old, old_trials), (new, new_trials) = before, after
    return float(stats.hypergeom.sf(new - 1, old_trials + new_trials, old + new, new_trials)) if new else 1.0


def bits_of(digits: str, count: int) -> NDArray[np.bool_]:
    """Bits out of hexadecimal digits.

    Raises:
        ValueError: they are no such digits, or too few.
    """
    data = np.frombuffer(bytes.fromhex(digits), np.uint8)
    if len(data) != -(-count // 8):
        raise ValueError(f"{len(data)} bytes do not hold {count} bits")
    return np.unpackbits(data, count=count).astype(np.bool_)


def _same_pictures(baseline: Document, current: Document) -> bool:
    def of(document: Document) -> list[Any]:
        corpus, ladder, plan = document["corpus"], document["ladder"], document["made_with"].get("plan", {})
        names = [rung["name"] for rung in ladder["rungs"]]
        held = [corpus["digest"], corpus["pictures"], corpus["listable"], ladder["digest"], ladder["sources"], names]
        return [*held, plan.get("seed"), document["made_with"].get("floor")]

    try:
        return of(baseline) == of(current)
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"a document lacks what its pictures are known by: {error!r}") from None


def _lacking(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    edits = {row["edit"] for row in new.get("fnir", ())}
    for row in old.get("fnir", ()):
        if row["edit"] not in edits:
            yield f"{name}: the baseline has {row['edit']}, this run has not"


def _tests(name: str, old: Mapping[str, Any], new: Mapping[str, Any], *, paired: bool) -> Iterator[Judged]:
    what = f"{name}, FPIR at {new['radius']}"
    yield _test(what, (old["hits"], old["queries"]), (new["hits"], new["queries"]), paired=paired)
    theirs = {row["edit"]: row for row in old.get("fnir", ())}
    for row in new.get("fnir", ()):
        if row["edit"] in theirs:
            before = theirs[row["edit"]]
            what = f"{name}, FNIR after {row['edit']} at {new['radius']}"
            pair = (before["missed"], before["pictures"]), (row["missed"], row["pictures"])
            yield _test(what, *pair, paired=paired)


def _test(what: str, before: tuple[str, int], after: tuple[str, int], *, paired: bool) -> Judged:
    old, new = bits_of(*before), bits_of(*after)
    counts = (int(old.sum()), len(old)), (int(new.sum()), len(new))
    together = paired and len(old) == len(new)
    return Judged(what, *counts, mcnemar(old, new) if together else fisher(*counts), together)
