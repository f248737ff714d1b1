"""Evaluation: every figure is that of a slow count on the raw results, which are only read."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import evaluation, identification
from benchmarks.accuracy.evaluation import EvaluationError, Settings
from benchmarks.accuracy.identification import Account, account_thresholds, identify, search
from benchmarks.accuracy.intervals import clopper_pearson
from benchmarks.accuracy.measuring import chosen, drawn_sources, reach_of
from benchmarks.accuracy.raw import EVERY, LISTABLE, Plan, Raw
from benchmarks.accuracy.recalls import cross_lineage, recalls_of
from scanner.errors import ArgumentError, StorageError
from tests.accuracy.drawn import AT, draw_pictures, evaluated, manifest_of, measured, of_bits


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A run of hashes by chance."""
    return of_bits(tmp_path_factory.mktemp("bits"))


@pytest.fixture(scope="module")
def document(raw):
    """Its evaluation."""
    return evaluation.evaluate(raw, Settings(replicates=200), AT)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run of drawn pictures, hashed."""
    return measured(tmp_path_factory.mktemp("real"), 44, 6, hashes=("pdq", "pdq-512"))


def bits_apart(one: np.ndarray, two: np.ndarray) -> int:
    """Distance of two packed hashes, bit by bit."""
    return sum((int(a) ^ int(b)).bit_count() for a, b in zip(one, two, strict=True))


def test_nearest_entries_are_those_of_a_slow_search(raw):
    """Each query's distance to each nested list is the least over its entries, where it is within reach."""
    for name in ("pdq", "phash-64"):
        found = search(raw, name, LISTABLE)
        numbers = raw.numbers(name, LISTABLE)
        entries = [at for at in numbers if at not in set(found.queries.tolist())]
        codes = raw.hashed.hashes[name][0]
        for size, row in zip(found.sizes, found.nearest, strict=True):
            for query, near in zip(found.queries.tolist(), row.tolist(), strict=True):
                truth = min(bits_apart(codes[query], codes[entry]) for entry in entries[:size])
                assert near == min(truth, found.reach + 1)


def test_a_list_and_its_queries_share_no_cluster(tmp_path):
    """Clusters of several pictures lie on one side, and one picture asks for each."""
    raw = of_bits(tmp_path, hashes={"phash-64": 64}, group=4)
    found = search(raw, "phash-64", EVERY)
    clusters = raw.clusters
    asking = clusters[found.queries]
    assert len(set(asking.tolist())) == len(asking)
    every = set(clusters[raw.numbers("phash-64", EVERY)].tolist())
    assert found.sizes[-1] == sum(clusters[raw.numbers("phash-64", EVERY)] < (len(every) + 1) // 2)


def test_histograms_hold_every_pair_of_two_clusters(raw, document):
    """The histogram, mean and FMR of a population are those of all its pairs, one by one."""
    held = document["hashes"]["phash-64"]["populations"]["photograph"]
    codes = raw.hashed.hashes["phash-64"][0][raw.numbers("phash-64", "photograph")]
    away = [bits_apart(one, two) for at, one in enumerate(codes) for two in codes[at + 1 :]]
    assert held["histogram"] == [Counter(away)[at] for at in range(65)]
    assert held["mean"] == pytest.approx(np.mean(away) / 64)
    assert held["sd"] == pytest.approx(np.std(away) / 64)
    for row in held["fmr"]:
        assert row["estimate"] == pytest.approx(np.mean(np.array(away) <= row["radius"]))


def test_strata_add_up_to_the_whole(document):
    """Hits and queries of the kinds are together those of all pictures that can be listed."""
    for one in document["hashes"].values():
        parts = [row for name, row in one["strata"].items() if name not in (LISTABLE, EVERY)]
        whole = one["strata"][LISTABLE]
        assert sum(row["hits"] for row in parts) == whole["hits"]
        assert sum(row["n"] for row in parts) == whole["n"] == one["queries"]
        exact = clopper_pearson(whole["hits"], whole["n"])
        assert (whole["low"], whole["high"]) == (exact.low, exact.high)
        assert 0 < whole["hits"] < whole["n"]


def test_equal_radius_is_the_largest_that_keeps_the_target(raw):
    """At the radius FPIR is at most the target; one bit more and it is not, or the reach ends."""
    found = search(raw, "phash-64", LISTABLE)
    for target in (0.02, 0.1, 0.5):
        radius = found.equal_radius(target)
        assert (found.nearest[-1] <= radius).mean() <= target
        assert radius == found.reach or (found.nearest[-1] <= radius + 1).mean() > target
    near = identify(raw, "phash-64", 1e-9, Account(), 100, 0)
    assert near["equal_radius"] is None or near["fpir_by_radius"][near["equal_radius"]]["estimate"] == 0


def test_misses_after_each_edit_are_counted(raw, document):
    """FNIR after an edit is the share of sources whose edit lies beyond the radius of their own hash."""
    for name, one in document["hashes"].items():
        for number, row in enumerate(one["fnir"], 1):
            pairs = zip(raw.edits.hashes[name][number], raw.edits.hashes[name][0], strict=True)
            away = [bits_apart(a, b) for a, b in pairs]
            assert row["at_radius"]["estimate"] == pytest.approx(np.mean(np.array(away) > one["radius"]))
            assert row["distances"] == [[at, n] for at, n in sorted(Counter(away).items())]
            assert row["mean"] == pytest.approx(np.mean(away) / one["bits"])


def test_det_points_follow_from_the_edits(document):
    """Over the ladder every edit counts alike, and misses fall as the radius grows."""
    for one in document["hashes"].values():
        points = one["det"]["ladder"]
        assert [row["estimate"] for row in points] == sorted((row["estimate"] for row in points), reverse=True)
        at = next(row for row in points if row["radius"] == one["radius"])
        assert at["estimate"] == pytest.approx(np.mean([row["at_radius"]["estimate"] for row in one["fnir"]]))


def test_a_hash_that_did_not_come_finds_nothing(raw):
    """A gap counts as a miss at every radius, and its distance in no mean."""
    hashed = raw.edits
    there = {name: there.copy() for name, there in hashed.there.items()}
    there["pdq"][1, :] = False
    gap = Raw(**{**raw.__dict__, "edits": type(hashed)(**{**hashed.__dict__, "there": there})})
    assert (recalls_of(gap).distances["pdq"][0] == 257).all()
    figures = evaluation.evaluate(gap, Settings(replicates=100), AT)["hashes"]["pdq"]["fnir"][0]
    assert figures["at_radius"]["estimate"] == 1
    assert figures["mean"] is None


def test_the_same_results_give_the_same_document(raw, document):
    """An evaluation follows from raw results and settings alone, and is strict JSON."""
    again = evaluation.evaluate(raw, Settings(replicates=200), AT)
    assert json.dumps(again, allow_nan=False) == json.dumps(document, allow_nan=False)


def test_predictive_values_fall_with_prevalence(document):
    """The rarer what is looked for, the smaller the share of it among what is flagged."""
    for one in document["hashes"].values():
        values = [row["estimate"] for row in one["ppv"]]
        assert values == sorted(values, reverse=True)
        assert all(row["low"] <= row["estimate"] <= row["high"] for row in one["ppv"])


def test_thresholds_rise_with_the_rate_or_say_why_there_is_none():
    """The threshold at the upper end is never below that at the rate; an impossible one is refused in words."""
    found = account_thresholds(clopper_pearson(3, 5000), Account())
    assert all(law["at_upper"] >= law["at_rate"] >= 1 for law in found["laws"].values())
    assert "refused" in account_thresholds(clopper_pearson(5000, 5000), Account(pictures=10**6))


def test_without_edits_there_are_no_misses_and_all_else(tmp_path):
    """A run of the list alone has FPIR and no FNIR, and compares nothing."""
    document = evaluated(tmp_path, rungs=(), sources=0, hashes={"phash-64": 64})
    assert document["comparisons"] == document["cross_lineage"] == []
    assert "fnir" not in document["hashes"]["phash-64"]
    assert document["hashes"]["phash-64"]["strata"][LISTABLE]["n"] > 0


def test_a_list_of_few_pictures_has_a_reason_and_no_rates(tmp_path):
    """Under ten clusters that can be listed nothing is said but why."""
    document = evaluated(tmp_path, pictures=11, sources=0, rungs=(), hashes={"phash-64": 64})
    assert "under 10 clusters" in document["hashes"]["phash-64"]["refused"]


def test_drawn_pictures_are_measured_and_read_back(real):
    """What is read from the folder is what was measured, and both lineages of PDQ agree on small pictures."""
    again = Raw.read(real.folder)
    assert (again.plan, again.pictures, again.sources) == (real.plan, real.pictures, real.sources)
    assert all((again.hashed.hashes[name] == real.hashed.hashes[name]).all() for name in real.plan.hashes)
    assert set(again.about["ladder"]) >= {"version", "digest", "rungs"}
    rows = cross_lineage(recalls_of(again), {"pdq": 31, "pdq-512": 31}, 100, 0)
    assert [(row["list"], row["picture"]) for row in rows] == [("pdq", "pdq-512"), ("pdq-512", "pdq")]
    assert all(row["unchanged"]["mean_bits"] == 0 for row in rows)
    assert 0 < again.populations()[LISTABLE].sum() < len(again.pictures)


def test_another_manifest_or_no_run_is_refused(real, tmp_path):
    """A folder without a finished run, or whose list was changed, is not read."""
    with pytest.raises(StorageError, match="no finished measurement"):
        Raw.read(tmp_path)
    held = json.loads((real.folder / "raw.json").read_text())
    for name in ("manifest.jsonl", "pictures.hashed", "edits.hashed"):
        (tmp_path / name).write_bytes((real.folder / name).read_bytes())
    (tmp_path / "raw.json").write_text(json.dumps({**held, "manifest": "0" * 64}))
    with pytest.raises(StorageError, match="not the list"):
        Raw.read(tmp_path)
    (tmp_path / "raw.json").write_text(json.dumps({**held, "version": 99}))
    with pytest.raises(StorageError, match="another version"):
        Raw.read(tmp_path)


def test_a_smaller_run_is_the_beginning_of_a_larger_one(tmp_path):
    """Which pictures are taken follows from their content and the seed."""
    draw_pictures(tmp_path, 30)
    manifest = manifest_of(tmp_path)
    plan = {"hashes": ("pdq",), "rungs": ()}
    whole = chosen(manifest, Plan(**plan))
    assert chosen(manifest, Plan(**plan, pictures=7)) == whole[:7]
    assert chosen(manifest, Plan(**plan, seed=1)) != whole


def test_half_of_the_sources_are_photographs(raw):
    """As many photographs as other pictures are edited while there are enough of both, one a cluster."""
    listable = raw.populations()[LISTABLE]
    for wanted in (0, 10, 24):
        found = drawn_sources(raw.pictures, listable, wanted)
        kinds = Counter(raw.pictures[at].stratum.value for at in found)
        assert kinds["photograph"] == kinds["drawing"] == wanted / 2
    assert len(drawn_sources(raw.pictures, listable, 10_000)) == listable.sum()


def test_the_reach_holds_the_radius_unless_far_too_much_is_near(raw):
    """Pairs are kept to the radius at least; if most pairs are equal, only to where two in a hundred are."""
    codes = raw.hashed.hashes["pdq"][0]
    assert reach_of(codes, 256, 31) >= 31
    alike = np.zeros((3000, 8), np.uint8)
    alike[::2] = 255
    assert reach_of(alike, 64, 10) == 0


def test_a_radius_beyond_reach_is_brought_down_for_every_kind_of_picture(raw, monkeypatch):
    """Of a hash that sets little apart, all rates are told at the distance to which pairs are kept."""

    def shorter(raw, name, population):
        found = search(raw, name, population)
        return replace(found, reach=1, nearest=np.minimum(found.nearest, 2))

    monkeypatch.setattr(identification, "search", shorter)
    found = identify(raw, "phash-64", 1e-9, Account(), 100, 0)
    assert found["radius"] == 1
    for held in found["populations"].values():
        assert 1 in {row["radius"] for row in held["fmr"]}


@pytest.mark.parametrize("content", [None, b"{", b"[]", b"{}", {"version": 2}, {"version": 1}])
def test_what_is_no_evaluation_is_refused(tmp_path, content):
    """A file that is missing, no JSON, of another format or version, or incomplete raises the one error."""
    path = tmp_path / "evaluation.json"
    if isinstance(content, dict):
        content = json.dumps({"format": "prescan-accuracy", **content}).encode()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvaluationError, match=r"evaluation\.json"):
        evaluation.read(tmp_path)


def test_a_document_is_written_and_read(tmp_path, document):
    """What was written is read, from the file or its folder."""
    evaluation.write(document, tmp_path / "evaluation.json")
    assert (
        evaluation.read(tmp_path)
        == evaluation.read(Path(tmp_path, "evaluation.json"))
        == json.loads(json.dumps(document))
    )
    with pytest.raises(EvaluationError):
        evaluation.estimate_of({"estimate": 2, "low": 3, "high": 1, "level": 0.95, "n": 1, "note": ""})


def test_settings_outside_their_range_are_refused():
    """A target of 0 or 1, few draws, or a plan without a hash are refused at once."""
    for bad in ({"target": 0.0}, {"target": 1.0}, {"replicates": 99}, {"seed": -1}, {"account": Account(pictures=0)}):
        with pytest.raises(ArgumentError):
            Settings(**bad)
    with pytest.raises(ArgumentError):
        Plan((), ())
