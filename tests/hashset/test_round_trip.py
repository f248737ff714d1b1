"""What is built, written and opened again is what was put in."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import StorageError
from scanner.hashset import Entry, HashSet, HashSetBuilder
from scanner.hashset.entry import cluster_of
from scanner.index import CROSSOVER
from scanner.profiles import ALGORITHMS
from scanner.types import Match, PerceptualHash
from tests.conftest import pdq_hash
from tests.strategies import codes, entries


def written(path: Path, some: list[Entry], name: str = "set", **options: object) -> bytes:
    """Write entries as a set; gives its digest."""
    builder = HashSetBuilder(name, **options)
    builder.add_all(some)
    return builder.write(path)


def completed(entry: Entry) -> Entry:
    """An entry as a set gives it back: its cluster filled in, its quality no longer known."""
    cluster = cluster_of(entry.hash) if entry.cluster is None else entry.cluster
    return Entry(entry.hash, entry.label, cluster)


@given(some=st.lists(entries, max_size=20), name=st.text(max_size=10), epoch=st.integers(0, 2**53 - 1))
def test_entries_come_back_in_order(some, name, epoch):
    """Hashes, labels of any script, clusters and settings survive; exact repetitions are stored once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set")
        digest = written(path, some, name, epoch=epoch, radius=20, quality_floor=50)
        expected = list(dict.fromkeys(completed(entry) for entry in some))
        with HashSet.open(path) as known:
            assert list(known.entries()) == expected
            assert len(known) == len(expected)
            header = known.header
            assert (header.name, header.epoch, header.radius, header.quality_floor) == (name, epoch, 20, 50)
            assert (header.algorithm, header.bits) == ("pdq", 256)
            assert known.digest == digest
            for index, entry in enumerate(expected):
                assert known.match_at(index, 7) == Match(index, 7, entry.cluster, entry.label)


@given(some=st.lists(entries, max_size=10))
def test_the_same_entries_give_the_same_bytes(some):
    """Neither the time nor the place of writing is in the file."""
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder, "one"), Path(folder, "other")
        assert written(one, some) == written(other, some)
        assert one.read_bytes() == other.read_bytes()


@given(some=st.lists(entries, max_size=10))
def test_faiss_reads_the_file_as_it_is(some):
    """faiss.read_index_binary finds the codes at the beginning of the file and in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set")
        written(path, some)
        index = faiss.read_index_binary(str(path))
        stored = faiss.vector_to_array(index.xb).reshape(-1, 32)
        with HashSet.open(path) as known:
            np.testing.assert_array_equal(stored, known.codes)
            assert faiss.deserialize_index_binary(known.faiss_bytes()).ntotal == len(known) == index.ntotal


@pytest.mark.parametrize("count", [0, 1, 2, 64, 256, CROSSOVER - 1, CROSSOVER])
def test_sets_of_every_awkward_count_round_trip(count, tmp_path):
    """Empty, one, powers of two, and either side of where tables begin."""
    some = [Entry(pdq_hash(number), f"label {number % 3}", number % 5) for number in range(count)]
    written(tmp_path / "set", some)
    with HashSet.open(tmp_path / "set") as known:
        assert list(known.entries()) == some
        assert (known.tables is None) == (count < CROSSOVER)
    assert faiss.read_index_binary(str(tmp_path / "set")).ntotal == count


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_has_sets(algorithm, tmp_path):
    """Length, radius and floor are the algorithm's own unless told."""
    settings = ALGORITHMS[algorithm]
    known_hash = PerceptualHash(algorithm, bytes(range(settings.bits // 8)))
    written(tmp_path / "set", [Entry(known_hash, "x", 1)], algorithm=algorithm)
    with HashSet.open(tmp_path / "set") as known:
        assert known.hash_at(0) == known_hash
        assert known.settings is settings
        assert (known.header.radius, known.header.quality_floor) == (settings.radius, settings.quality_floor)


BASE = [Entry(pdq_hash(1), "one", 1), Entry(pdq_hash(2), "two", 2)]


@pytest.mark.parametrize(
    ("some", "options"),
    [
        ([Entry(pdq_hash(3), "one", 1), BASE[1]], {}),
        ([Entry(pdq_hash(1), "ONE", 1), BASE[1]], {}),
        ([Entry(pdq_hash(1), "one", 3), BASE[1]], {}),
        (BASE[::-1], {}),
        (BASE[:1], {}),
        ([*BASE, BASE[0], Entry(pdq_hash(1), "one", 2)], {}),
        (BASE, {"name": "other"}),
        (BASE, {"epoch": 2}),
        (BASE, {"radius": 30}),
        (BASE, {"quality_floor": 49}),
    ],
)
def test_the_digest_changes_when_anything_changes(some, options, tmp_path):
    """Two sets with one digest hold the same list."""
    assert written(tmp_path / "one", BASE) != written(tmp_path / "other", some, **options)


def test_the_digest_names_the_algorithm_too(tmp_path):
    """The same bits of another lineage are another list."""
    others = [Entry(PerceptualHash("pdq-512", entry.hash.data), entry.label, entry.cluster) for entry in BASE]
    assert written(tmp_path / "one", BASE) != written(tmp_path / "other", others, algorithm="pdq-512")


@given(data=codes(32))
def test_a_derived_cluster_depends_on_algorithm_and_hash_alone(data):
    """The same hash keeps its cluster from epoch to epoch and whatever its label."""
    known = PerceptualHash("pdq", data)
    expected = int.from_bytes(hashlib.sha256(b"pdq\0" + data).digest()[:8])
    assert cluster_of(known) == cluster_of(PerceptualHash("pdq", bytes(data))) == expected
    assert cluster_of(PerceptualHash("pdq-512", data)) != expected


def test_a_set_is_merged_into_another(small_set, tmp_path):
    """Entries of an open set go into a builder, beside new ones, each once."""
    builder = HashSetBuilder("merged", epoch=8)
    builder.add(Entry(pdq_hash(9), "new", 9))
    builder.add_all(small_set.entries())
    builder.add_all(small_set.entries())
    builder.write(tmp_path / "merged")
    assert builder.refused == {"repeated": 3}
    with HashSet.open(tmp_path / "merged") as merged:
        assert list(merged.entries()) == [Entry(pdq_hash(9), "new", 9), *small_set.entries()]


def test_a_set_stays_readable_after_its_file_is_replaced_and_removed(small_path):
    """A reader keeps the list it opened."""
    with HashSet.open(small_path) as known:
        before = list(known.entries())
        written(small_path, BASE)
        small_path.unlink()
        assert list(known.entries()) == before


@pytest.mark.parametrize("place", [".", "missing", "missing/set"])
def test_what_cannot_be_opened_is_a_storage_error(place, tmp_path):
    """A folder and a missing file are told with their name."""
    with pytest.raises(StorageError, match="can't open the hash set"):
        HashSet.open(tmp_path / place)


def test_codes_of_an_open_set_cannot_be_written(small_set):
    """What was verified stays as it was."""
    for array in (small_set.codes, small_set.clusters, small_set.labels):
        assert not array.flags.writeable
    assert (small_set.codes.shape, small_set.clusters.dtype, small_set.labels.dtype) == ((3, 32), np.uint64, np.uint32)
