"""The gate: what got worse beyond chance fails it, what did not passes, and nothing that is gone passes by."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy import stats

from benchmarks.accuracy.evaluation import EvaluationError
from benchmarks.accuracy.gate import Judged, bits_of, fisher, gate, holm, mcnemar
from benchmarks.accuracy.identification import as_hex
from scanner.errors import ArgumentError

SOURCES, QUERIES, EDITS = 200, 1000, 20


def evaluation(seed: int = 0, missed: float = 0.2, hit: float = 0.01, digest: str = "a", skill: float | None = None):
    """What the gate reads of an evaluation, by chance; ``skill`` is the seed of which pictures are hard."""
    rng = np.random.default_rng(seed if skill is None else [seed, int(skill)])
    rows = [
        {"edit": f"edit-{at}", "missed": as_hex(rng.random(SOURCES) < missed), "pictures": SOURCES}
        for at in range(EDITS)
    ]
    one = {"radius": 31, "hits": as_hex(rng.random(QUERIES) < hit), "queries": QUERIES, "fnir": rows}
    return {
        "corpus": {"digest": digest, "pictures": 2000, "listable": 2000},
        "ladder": {"digest": "l", "sources": SOURCES, "rungs": [{"name": row["edit"]} for row in rows]},
        "made_with": {"plan": {"seed": 0}, "floor": 50},
        "hashes": {"pdq": one},
    }


def with_more_missed(document, edit: int, share: float):
    """The same, but a share of the pictures that were found after one edit is missed."""
    worse = copy.deepcopy(document)
    row = worse["hashes"]["pdq"]["fnir"][edit]
    bits = bits_of(row["missed"], SOURCES)
    row["missed"] = as_hex(bits | (np.random.default_rng(1).random(SOURCES) < share))
    return worse


def test_the_same_evaluation_passes():
    """Nothing changed: no rate is worse, all are judged."""
    verdict = gate(evaluation(), evaluation())
    assert verdict.passed
    assert (verdict.tests, verdict.worse) == (EDITS + 1, 0)


@pytest.mark.parametrize("digest", ["a", "b"])
def test_one_edit_that_is_missed_far_more_often_fails(digest):
    """The one rate that got worse is named, on the same pictures and on others."""
    worse = with_more_missed(evaluation(), 7, 0.5)
    worse["corpus"]["digest"] = digest
    verdict = gate(evaluation(), worse)
    assert not verdict.passed
    assert [line.partition(":")[0] for line in verdict.regressions] == ["pdq, FNIR after edit-7 at 31"]
    assert ("paired" in verdict.regressions[0]) == (digest == "a")


def test_more_false_hits_fail():
    """FPIR is judged as FNIR is."""
    verdict = gate(evaluation(hit=0.01), evaluation(hit=0.06))
    assert any("FPIR at 31" in line for line in verdict.regressions)


def test_better_passes():
    """Fewer misses and fewer hits are no regression."""
    assert gate(evaluation(missed=0.3, hit=0.05), evaluation(missed=0.05, hit=0.0)).passed


def test_pairs_tell_more_than_independent_counts():
    """A few more misses of the same pictures fail when paired, and would not among others."""
    worse = with_more_missed(evaluation(), 3, 0.09)
    assert not gate(evaluation(), worse).passed
    worse["corpus"]["digest"] = "b"
    assert gate(evaluation(), worse).passed


@pytest.mark.parametrize("digest", ["a", "b"])
def test_a_build_without_a_regression_seldom_fails(digest):
    """Of builds that differ by chance alone, at most a share of alpha fails, over all rates together."""
    failed = 0
    for seed in range(150):
        other = evaluation(1000 + seed, digest=digest)
        failed += not gate(evaluation(seed), other, alpha=0.05).passed
    assert failed <= stats.binom.ppf(0.999, 150, 0.05)


def test_a_hash_or_an_edit_that_is_gone_fails():
    """What the baseline has and the run has not is a regression; what is new is none."""
    old, new = evaluation(), evaluation()
    new["hashes"]["other"] = copy.deepcopy(new["hashes"]["pdq"])
    assert gate(old, new).passed
    assert "other: the baseline has figures" in gate(new, old).regressions[0]
    del new["hashes"]["pdq"]["fnir"][2]
    assert gate(old, new).regressions == ("pdq: the baseline has edit-2, this run has not",)
    new["hashes"]["pdq"] = {"refused": "too few pictures"}
    assert not gate(old, new).passed


def test_what_can_not_be_judged_is_refused():
    """Alpha outside its range, a document without counts, or a baseline without rates raise the named error."""
    for alpha in (0.0, 1.0):
        with pytest.raises(ArgumentError):
            gate(evaluation(), evaluation(), alpha)
    short = evaluation()
    short["hashes"]["pdq"]["hits"] = "ff"
    with pytest.raises(EvaluationError, match="do not hold 1000 bits"):
        gate(evaluation(), short)
    for part in ("corpus", "hits"):
        broken = evaluation()
        del (broken if part == "corpus" else broken["hashes"]["pdq"])[part]
        with pytest.raises(EvaluationError):
            gate(evaluation(), broken)
    with pytest.raises(EvaluationError, match="no rate"):
        gate({**evaluation(), "hashes": {}}, evaluation())


def test_p_values_are_those_of_the_exact_tests():
    """McNemar's is a one-sided sign test and Fisher's that of SciPy."""
    rng = np.random.default_rng(5)
    for _ in range(30):
        old, new = rng.random(40) < 0.3, rng.random(40) < 0.4
        gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
        if gained:
            sign = stats.binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue
            assert mcnemar(old, new) == pytest.approx(sign)
        table = [[int(new.sum()), 40 - int(new.sum())], [int(old.sum()), 40 - int(old.sum())]]
        exact = stats.fisher_exact(table, alternative="greater").pvalue
        assert fisher((int(old.sum()), 40), (int(new.sum()), 40)) == pytest.approx(exact)
    assert mcnemar(np.ones(3, bool), np.zeros(3, bool)) == fisher((3, 9), (0, 9)) == 1.0


def test_holm_stops_at_the_first_that_is_within_chance():
    """The smallest p-value is held to alpha over all, the next to alpha over the rest, and none after a pass."""
    tests = [Judged(str(p), (0, 1), (1, 1), p, False) for p in (0.2, 0.001, 0.02, 0.016)]
    assert [test.chance for test in holm(tests, 0.05)] == [0.001, 0.016, 0.02]
    assert [test.chance for test in holm(tests, 0.03)] == [0.001]
    assert holm([], 0.05) == []
