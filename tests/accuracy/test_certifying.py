"""A certificate counts what a hash set matches in a run, as a slow search does, and fits that set alone."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from benchmarks.accuracy.certifying import certify, nearest_distances, plugin_of
from benchmarks.accuracy.recalls import recalls_of
from scanner import HashSet, HashSetBuilder
from scanner.errors import ArgumentError, HashSetError
from scanner.hashset import Calibration, Entry, attach_calibration
from scanner.types import PerceptualHash
from tests.accuracy.drawn import of_bits

DAY = dt.date(2026, 1, 2)


def hash_set(folder, codes, algorithm="phash"):
    """Write a hash set of these hashes."""
    builder = HashSetBuilder("list", algorithm)
    for code in codes:
        builder.add(Entry(PerceptualHash(algorithm, code.tobytes()), quality=90))
    path = folder / "known.prescan"
    builder.write(path)
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A run of hashes by chance, of which every third is near another."""
    return of_bits(tmp_path_factory.mktemp("bits"))


@pytest.fixture
def known(raw, tmp_path):
    """A hash set of hashes near some of the run's."""
    rng = np.random.default_rng(9)
    codes = np.unpackbits(raw.hashed.hashes["phash-64"][0][:40], axis=1)
    near = codes ^ (rng.random(codes.shape) < 0.12)
    return hash_set(tmp_path, np.packbits(near, axis=1))


def test_hits_are_those_of_a_slow_search(raw, known):
    """Queries, hits, strata, nearest distances and misses are counted as one by one."""
    with HashSet.open(known) as opened:
        found = certify(raw, opened, DAY)
        entries = [entry.hash.data for entry in opened.entries()]
        floor, radius = opened.header.quality_floor, opened.header.radius
    asked = [at for at in raw.numbers("phash-64", "every") if raw.hashed.quality[0][at] >= floor]
    codes = raw.hashed.hashes["phash-64"][0]
    away = [
        min(sum((a ^ b).bit_count() for a, b in zip(codes[at].tolist(), entry, strict=True)) for entry in entries)
        for at in asked
    ]
    hits = [distance <= radius for distance in away]
    assert (found.query_clusters, found.hits) == (len(asked), sum(hits))
    assert 0 < found.hits < found.query_clusters
    assert list(found.nearest_distances) == sorted(away)[: len(found.nearest_distances)]
    kinds = [raw.pictures[at].stratum.value for at in asked]
    for one in found.strata:
        assert one.query_clusters == kinds.count(one.name)
        assert one.hits == sum(hit for hit, kind in zip(hits, kinds, strict=True) if kind == one.name)
    missed = (recalls_of(raw).distances["phash-64"] > radius).sum(axis=1)
    assert [one.missed for one in found.edits] == missed.tolist()
    assert found.corpus_digest.hex() == raw.manifest


def test_a_certificate_is_attached_to_its_set_and_to_no_other(raw, known, tmp_path):
    """It survives being written and read, is taken by the set it names, and refused by another."""
    with HashSet.open(known) as opened:
        found = Calibration.from_json(certify(raw, opened, DAY).to_json())
        digest = opened.digest
    assert attach_calibration(known, found, tmp_path / "calibrated", today=DAY) == digest
    with HashSet.open(tmp_path / "calibrated") as opened:
        assert opened.header.sections["calibration"]
    (tmp_path / "other").mkdir()
    other = hash_set(tmp_path / "other", raw.hashed.hashes["phash-64"][0][:3])
    with pytest.raises(HashSetError, match="digest"):
        attach_calibration(other, found, tmp_path / "not", today=DAY)


def test_it_is_looked_further_until_something_is_near(tmp_path):
    """With no entry near any query the nearest distance is found all the same, and is none beyond the bits."""
    queries = np.zeros((5, 8), np.uint8)
    entries = np.full((2, 8), 255, np.uint8)
    entries[0, 0] = 0
    assert nearest_distances(queries, entries, 64, 10, tmp_path).tolist() == [56] * 5


def test_edits_of_too_little_quality_are_missed(raw, known):
    """What falls under the set's floor is never matched, however near its hash is."""
    low = type(raw.edits)(**{**raw.edits.__dict__, "quality": np.zeros_like(raw.edits.quality)})
    blurred = type(raw)(**{**raw.__dict__, "edits": low})
    with HashSet.open(known) as opened:
        assert all(one.missed == one.pictures for one in certify(blurred, opened, DAY).edits)
        alone = certify(type(raw)(**{**raw.__dict__, "edits": None}), opened, DAY)
    assert (alone.ladder, alone.edits) == (None, ())


def test_a_run_without_the_algorithm_is_refused(raw, known):
    """The error names what the run has; a run whose pictures are all too plain is refused as well."""
    assert plugin_of(raw, "pdq") == "pdq"
    with pytest.raises(ArgumentError, match="no hashes of dhash, only of pdq, phash-64"):
        plugin_of(raw, "dhash")
    plain = type(raw.hashed)(**{**raw.hashed.__dict__, "quality": np.zeros_like(raw.hashed.quality)})
    with HashSet.open(known) as opened, pytest.raises(ArgumentError, match="quality floor"):
        certify(type(raw)(**{**raw.__dict__, "hashed": plain}), opened, DAY)
