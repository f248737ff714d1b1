"""Two evaluations beside each other: what moved is named, and what differs between the runs too."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from benchmarks.accuracy.comparing import compare, difference
from benchmarks.accuracy.evaluation import EvaluationError
from benchmarks.accuracy.intervals import wilson
from tests.accuracy.drawn import evaluated


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """An evaluation of hashes by chance."""
    return evaluated(tmp_path_factory.mktemp("bits"), hashes={"phash-64": 64})


def test_nothing_moves_between_a_run_and_itself(document):
    """No rate moved, no condition differs, and all rates can be shown."""
    found = compare(document, document)
    assert not [change for change in found.changes if change.moved]
    assert found.apart == ()
    assert found.lines()[-1].startswith(f"0 of {len(found.changes):,} rates")
    assert len(found.lines(every=True)) == len(found.changes) + 1


def test_every_kind_of_rate_is_compared(document):
    """FMR, degrees of freedom, FPIR by size and kind, FNIR by edit and kind are all there, once each."""
    names = [change.what for change in compare(document, document).changes]
    assert len(set(names)) == len(names)
    size = document["hashes"]["phash-64"]["list"]
    for start in ("FMR(", "degrees of freedom", f"FPIR({size}, ", "FNIR(10) after", "FNIR(10) over all edits"):
        assert any(name.startswith(start) for name in names), start
    assert any(name.endswith("of photograph") and name.startswith("FPIR") for name in names)


def test_a_rate_beyond_its_interval_is_named(document):
    """A rate that jumped is shown, with its way; one that hardly changed is not."""
    other = copy.deepcopy(document)
    row = other["hashes"]["phash-64"]["fnir"][0]["at_radius"]
    row |= {"estimate": 0.9, "low": 0.8, "high": 0.95}
    (line,) = compare(document, other).lines()[:-1]
    assert line.startswith("up")
    assert "after jpeg-q50" in line
    assert compare(other, document).lines()[0].startswith("down")


def test_what_differs_between_the_runs_is_said(document):
    """Another corpus, ladder, version or a hash that one lacks stand before the rates."""
    other = copy.deepcopy(document)
    other["corpus"]["digest"], other["ladder"]["digest"] = "b" * 64, "c" * 64
    other["hashes"]["phash-64"]["version"] = "2"
    other["hashes"]["new"] = {"version": "1"}
    told = "\n".join(compare(document, other).apart)
    for part in ("corpus: ", "ladder: ", "phash-64, version: 1 and 2", "new is in the second alone"):
        assert part in told
    assert "new is in the first alone" in "\n".join(compare(other, document).apart)


def test_a_broken_rate_is_refused(document):
    """A rate that is none raises the named error."""
    other = copy.deepcopy(document)
    del other["hashes"]["phash-64"]["fnir"][0]["at_radius"]["low"]
    with pytest.raises(EvaluationError):
        compare(document, other)


def test_the_interval_of_a_difference_covers_it():
    """Of differences of two independent rates, the interval holds the truth in 93 to 97.5 of a hundred studies."""
    rng = np.random.default_rng(3)
    covered = 0
    studies = 4000
    for hits, other in zip(rng.binomial(300, 0.1, studies), rng.binomial(500, 0.15, studies), strict=True):
        low, high = difference(wilson(int(hits), 300), wilson(int(other), 500))
        covered += low <= 0.05 <= high
    assert 0.93 <= covered / studies <= 0.975
