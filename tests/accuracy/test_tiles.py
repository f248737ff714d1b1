"""Tiles of all pairs: each is what a slow count says, and so is their sum, however they are cut."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.accuracy import tiles
from benchmarks.accuracy.banks import mapped_clusters, mapped_words, store_bank
from benchmarks.accuracy.clusters import numbered, pairs_within
from benchmarks.accuracy.kept import keep, kept
from benchmarks.accuracy.rates import degrees_of_freedom
from benchmarks.accuracy.running import AllPairs, agree
from benchmarks.accuracy.sums import cluster_sums
from benchmarks.accuracy.tiles import Counted, Task, add_up, count, count_tile, cut, read_tile, tasks
from scanner.errors import ArgumentError, HashShapeError, LocalError, StorageError
from scanner.index import distance_histogram
from tests.conftest import run_python

LENGTHS = (1, 8, 42, 64, 100, 256, 300)
"""Bits: one word and four take the kernel of bytes, the others that of two bytes."""


def some_codes(seed: int, count: int, bits: int) -> np.ndarray:
    """Hashes of which many are alike, some equal and some each other's opposite."""
    rng = np.random.default_rng(seed)
    parents = rng.integers(0, 2, (3, bits), np.uint8)
    flips = rng.random((count, bits)) < rng.choice([0.0, 0.02, 0.5, 1.0], (count, 1))
    return np.packbits(parents[rng.integers(0, 3, count)] ^ flips, axis=1)


def by_hand(left, right, clusters, other_clusters, bits, reach):
    """Histogram, near pairs, pairs inside clusters and sums by cluster, one pair after the other."""
    within = right is None
    right, other_clusters = (left, clusters) if within else (right, other_clusters)
    histogram, near, inside = [0] * (bits + 1), [], 0
    sums = [[0, 0, 0] for _ in range(1 + max(*clusters, *other_clusters))]
    for i, j in itertools.product(range(len(left)), range(len(right))):
        if within and j <= i:
            continue
        away = sum((int(a) ^ int(b)).bit_count() for a, b in zip(left[i], right[j], strict=True))
        if clusters[i] == other_clusters[j]:
            inside += 1
            continue
        histogram[away] += 1
        if away <= reach:
            near.append((i, j, away))
        for cluster in (clusters[i], other_clusters[j]):
            for power in range(3):
                sums[cluster][power] += away**power
    return histogram, near, inside, sums


def counted_in_tiles(left, right, clusters, other, bits, reach, folder, height, width, order=None):
    """The same by tiles in a folder, done in an order."""
    one = store_bank(left, clusters, bits, folder)
    two = None if right is None else store_bank(right, other, bits, folder)
    work = tasks(one, two, reach, folder, height=height, width=width)
    for task in sorted(work, key=order or (lambda task: task)):
        count_tile(*task)
    return add_up(work, bits), cluster_sums(one, two), work


def the_same(found: Counted, other: Counted) -> bool:
    """Whether two are equal in every value and type."""
    return all(
        a.dtype == b.dtype and np.array_equal(a, b)
        for a, b in zip(found.arrays().values(), other.arrays().values(), strict=True)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for many examples: files are named by their content."""
    return tmp_path_factory.mktemp("tiles")


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1 << 20),
    rows=st.integers(1, 24),
    columns=st.none() | st.integers(1, 24),
    bits=st.sampled_from(LENGTHS),
    groups=st.integers(1, 30),
    height=st.integers(1, 26),
    width=st.integers(1, 26),
    share=st.floats(0, 1),
)
def test_tiles_add_up_to_a_count_by_hand(folder, seed, rows, columns, bits, groups, height, width, share):
    """Histogram, near pairs, pairs inside clusters and sums are those of a plain loop, however the pairs are cut."""
    rng = np.random.default_rng(seed)
    left, clusters = some_codes(seed, rows, bits), rng.integers(0, groups, rows)
    right = other = None
    if columns is not None:
        right, other = some_codes(seed + 1, columns, bits), rng.integers(0, groups, columns)
    reach = int(share * bits)
    found, sums, work = counted_in_tiles(left, right, clusters, other, bits, reach, folder, height, width)
    histogram, near, inside, wanted = by_hand(left, right, clusters, other, bits, reach)
    assert found.histogram.tolist() == histogram
    assert list(zip(found.first, found.second, found.distance, strict=True)) == near
    assert (found.inside, sums.tolist()) == (inside, wanted)
    assert sum(task.pairs for task in work) == sum(histogram) + inside
    agree(found, sums)


@pytest.mark.parametrize("bits", [64, 256, 512])
def test_more_columns_than_a_row_meets_at_once(folder, bits):
    """Long rows, and more near pairs than there is room for at once, are counted like short ones."""
    left, right = some_codes(1, 130, bits), some_codes(2, 2 * 1024 + 77, bits)
    clusters, other = np.arange(130) % 90, np.arange(len(right)) % 1500
    found, sums, _ = counted_in_tiles(left, right, clusters, other, bits, bits, folder, 1000, 10_000)
    away = np.bitwise_count(left[:, None] ^ right).sum(axis=2, dtype=np.int64)
    apart = clusters[:, None] != other
    assert found.histogram.tolist() == np.bincount(away[apart], minlength=bits + 1).tolist()
    assert len(found.first) == apart.sum() > tiles.ROOM
    assert np.array_equal(found.distance, away[apart])
    assert np.array_equal(np.stack([found.first, found.second]), np.nonzero(apart))
    agree(found, sums)


@pytest.mark.parametrize("bits", [64, 256])
def test_each_hash_by_itself_gives_the_histogram_of_the_index(folder, bits):
    """With no two hashes of one cluster the histogram is that of ``scanner.index``."""
    codes = some_codes(3, 700, bits)
    found, _, _ = counted_in_tiles(codes, None, np.arange(700), None, bits, 3, folder, 128, 300)
    assert np.array_equal(found.histogram, distance_histogram(codes))


def test_the_order_of_tiles_changes_nothing(tmp_path):
    """Tiles done and added up in any order give the same arrays and the same files."""
    codes, clusters = some_codes(4, 90, 256), np.arange(90) // 2
    files = []
    for turn in range(3):
        folder = tmp_path / str(turn)
        chance = random.Random(turn)
        found, sums, work = counted_in_tiles(
            codes, None, clusters, None, 256, 60, folder, 16, 32, order=lambda _, chance=chance: chance.random()
        )
        assert the_same(found, add_up(chance.sample(work, len(work)), 256))
        AllPairs(found, sums, 256, 60, "left", None).write(folder / "pairs.npz")
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1] == files[2]


def test_figures_fit_the_statistics(folder):
    """Near pairs and sums are accepted, with the histogram, by what intervals are made from."""
    codes, clusters = some_codes(5, 300, 64), numbered(np.arange(300) // 2)
    found, sums, _ = counted_in_tiles(codes, None, clusters, None, 64, 20, folder, 100, 128)
    pairs_within(found.first, found.second, found.distance, clusters, reach=20).check(found.histogram, range(21))
    assert "150 clusters" in degrees_of_freedom(found.histogram, sums).note


@settings(max_examples=200)
@given(
    rows=st.integers(0, 60), columns=st.none() | st.integers(0, 60), height=st.integers(1, 70), width=st.integers(1, 70)
)
def test_every_pair_is_in_one_tile(rows, columns, height, width):
    """Tiles cover each pair once, and know how many they hold."""
    met: dict[tuple[int, int], int] = {}
    for bounds in cut(rows, columns, height, width):
        held = 0
        for pair in itertools.product(range(*bounds[:2]), range(*bounds[2:])):
            if columns is not None or pair[0] < pair[1]:
                met[pair] = met.get(pair, 0) + 1
                held += 1
        assert bounds.pairs(within=columns is None) == held
    across = rows if columns is None else columns
    wanted = {(i, j) for i in range(rows) for j in range(across) if columns is not None or i < j}
    assert met == dict.fromkeys(wanted, 1)


def test_disagreeing_figures_are_refused(folder):
    """A pair moved in the histogram, or a sum changed, is noticed."""
    codes = some_codes(6, 40, 64)
    found, sums, _ = counted_in_tiles(codes, None, np.arange(40), None, 64, 3, folder, 40, 40)
    agree(found, sums)
    held = int(np.flatnonzero(found.histogram)[0])
    found.histogram[[held, held + 1]] += [-1, 1]
    with pytest.raises(LocalError, match="distances"):
        agree(found, sums)
    found.histogram[[held, held + 1]] += [1, -1]
    sums[3, 2] += 1
    with pytest.raises(LocalError, match="squares"):
        agree(found, sums)


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "heading", "another's"])
def test_a_damaged_tile_counts_as_absent(tmp_path, harm):
    """A file that is cut, changed in one bit, or of another tile is not believed, and is made again as it was."""
    codes = some_codes(7, 30, 256)
    _, _, work = counted_in_tiles(codes, None, np.arange(30), None, 256, 90, tmp_path, 10, 10)
    task, path = work[0], Path(work[0].path)
    right = path.read_bytes()
    damaged = {
        "cut": right[:-1],
        "flipped": right[:200] + bytes([right[200] ^ 1]) + right[201:],
        "empty": b"",
        "heading": b"P" + right[1:],
        "another's": Path(work[1].path).read_bytes(),
    }[harm]
    path.write_bytes(damaged)
    assert read_tile(task) is None
    with pytest.raises(StorageError, match="missing or damaged"):
        add_up(work, 256)
    count_tile(*task)
    assert path.read_bytes() == right


def test_any_change_of_the_inputs_is_another_tile(tmp_path):
    """A tile's name follows from hashes, clusters, bounds and reach, so no result is taken for another's."""
    codes, labels = some_codes(8, 20, 64), np.arange(20)
    flipped = codes.copy()
    flipped[0, 0] ^= 1
    one = store_bank(codes, labels, 64, tmp_path)
    names = {tasks(one, None, 5, tmp_path)[0].digest}
    for bank, other, reach, height in (
        (store_bank(flipped, labels, 64, tmp_path), None, 5, 100),
        (store_bank(codes, labels // 2, 64, tmp_path), None, 5, 100),
        (one, one, 5, 100),
        (one, None, 6, 100),
        (one, None, 5, 10),
    ):
        names.add(tasks(bank, other, reach, tmp_path, height=height)[0].digest)
    assert len(names) == 6


def test_too_many_near_pairs_end_a_tile(tmp_path):
    """A reach that is no tail is refused before memory is full of pairs."""
    bank = store_bank(np.zeros((50, 8), np.uint8), np.arange(50), 64, tmp_path)
    (task,) = tasks(bank, None, 5, tmp_path, most=100)
    with pytest.raises(ArgumentError, match="lower the reach"):
        count_tile(*task)
    assert read_tile(task) is None


def test_a_full_disk_leaves_no_tile(tmp_path, monkeypatch):
    """Where a tile can't be written whole, there is none and the error says why."""
    bank = store_bank(some_codes(9, 20, 64), np.arange(20), 64, tmp_path)
    (task,) = tasks(bank, None, 5, tmp_path)
    before = sorted(tmp_path.iterdir())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scanner.files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        count_tile(*task)
    assert sorted(tmp_path.iterdir()) == before


def test_a_bank_refuses_what_is_no_hash(tmp_path):
    """Shapes, dtypes, stray bits, clusters and lengths are looked at before anything is written."""
    codes = np.zeros((4, 8), np.uint8)
    for wrong, bits in ((codes[0], 64), (codes.astype(int), 64), (codes, 256), (codes + np.uint8(1), 63)):
        with pytest.raises(HashShapeError):
            store_bank(wrong, np.arange(4), bits, tmp_path)
    for clusters in (np.arange(3), np.arange(4) - 1, np.arange(4.0)):
        with pytest.raises(ArgumentError, match="clusters"):
            store_bank(codes, clusters, 64, tmp_path)
    for few, bits in ((codes[:0], 64), (codes, 0), (codes, 1 << 20)):
        with pytest.raises(ArgumentError):
            store_bank(few, np.arange(len(few)), bits, tmp_path)
    bank = store_bank(codes, np.arange(4), 64, tmp_path)
    for reach, other in ((-1, None), (65, None), (5, store_bank(codes, np.arange(4), 60, tmp_path))):
        with pytest.raises(ArgumentError):
            tasks(bank, other, reach, tmp_path)
    with pytest.raises(ArgumentError, match="no distance"):
        cluster_sums(bank, store_bank(codes, np.arange(4), 60, tmp_path))
    with pytest.raises(ArgumentError, match="no pair"):
        list(cut(3, None, 0, 1))


def test_a_bank_that_is_gone_is_told(tmp_path):
    """A missing file, or one of other contents, is named."""
    with pytest.raises(StorageError, match="absent"):
        mapped_words(tmp_path / "absent.npy")
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(StorageError, match="float64"):
        mapped_clusters(tmp_path / "other.npy")


def test_a_file_is_bound_to_its_digest(tmp_path):
    """What was kept under one digest is not found under another."""
    keep(tmp_path / "a", {"x": np.arange(3)}, "one")
    assert kept(tmp_path / "a", "one")["x"].tolist() == [0, 1, 2]
    assert kept(tmp_path / "a", "two") is None
    assert kept(tmp_path / "b", "one") is None
    with pytest.raises(StorageError, match="can't read"):
        kept(tmp_path, "one")


def test_kernels_do_the_same_without_the_compiler():
    """As plain Python the kernels count as they do compiled."""
    script = """
from tests.accuracy.test_tiles import counts_of_few
print(counts_of_few())
"""
    assert run_python(script, NUMBA_DISABLE_JIT="1") == f"{counts_of_few()}\n"


def counts_of_few() -> list[object]:
    """What a few hashes of each kernel come to."""
    found: list[object] = []
    for words in (1, 3, 4):
        rng = np.random.default_rng(words)
        codes = rng.integers(0, 1 << 64, (14, words), np.uint64)
        codes[3], codes[4] = ~codes[2], codes[2]
        labels = np.arange(14) // 2
        counted = count(codes, codes, labels, labels, 64 * words, 30 * words, shift=0)
        found += [array.tolist() for array in counted.arrays().values()]
    return found


def test_a_task_is_numbers_and_texts(tmp_path):
    """Nothing but plain values crosses between processes."""
    bank = store_bank(some_codes(10, 9, 64), np.arange(9), 64, tmp_path)
    (task,) = tasks(bank, None, 5, tmp_path)
    assert isinstance(task, Task)
    assert {type(value) for value in task} == {int, str}
