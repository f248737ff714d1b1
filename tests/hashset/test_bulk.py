"""Adding many codes at once is adding them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.errors import HashShapeError
from scanner.hashset import Entry, HashSet, HashSetBuilder
from scanner.index import CROSSOVER
from scanner.types import PerceptualHash
from tests.strategies import banks

SIZE_OF = {"phash": 8, "pdq": 32}


def one_by_one(builder: HashSetBuilder, codes: np.ndarray, clusters: np.ndarray, label: str) -> None:
    for code, cluster in zip(codes, clusters, strict=True):
        assert builder.add(Entry(PerceptualHash(builder.settings.name, code.tobytes()), label, int(cluster)))


@pytest.mark.parametrize("algorithm", SIZE_OF)
@settings(max_examples=30)
@given(data=st.data())
def test_many_at_once_give_the_same_file_as_one_by_one(algorithm, data, tmp_path_factory):
    """Without repetitions, and with equal clusters and labels, the files are equal byte for byte."""
    folder = tmp_path_factory.getbasetemp()
    bulk, single = (HashSetBuilder("set", algorithm) for _ in range(2))
    for number in range(data.draw(st.integers(1, 3))):
        codes = np.unique(data.draw(banks(SIZE_OF[algorithm], most=15)), axis=0)
        if not len(codes):
            continue
        clusters = np.array([data.draw(st.integers(0, 2**64 - 1)) for _ in codes], np.uint64)
        label = f"{number}{data.draw(st.text(max_size=5))}"
        bulk.add_codes(codes, clusters, label)
        one_by_one(single, codes, clusters, label)
    assert len(bulk) == len(single)
    assert bulk.write(folder / "bulk") == single.write(folder / "single")
    assert (folder / "bulk").read_bytes() == (folder / "single").read_bytes()


def test_many_at_once_give_the_same_tables(tmp_path):
    """The same holds for sets large enough for tables."""
    codes = np.arange(CROSSOVER * 4, dtype="<u8").view(np.uint8).reshape(CROSSOVER, 32)
    clusters = np.arange(CROSSOVER, dtype=np.uint64)[::-1]
    bulk, single = HashSetBuilder("set"), HashSetBuilder("set")
    bulk.add_codes(codes, clusters)
    one_by_one(single, codes, clusters, "")
    assert bulk.write(tmp_path / "bulk") == single.write(tmp_path / "single")
    with HashSet.open(tmp_path / "bulk") as known:
        assert known.tables is not None


def test_codes_keep_their_order_between_single_entries(tmp_path):
    """Both ways of adding may be mixed; labels are shared between them."""
    codes = np.arange(96, dtype=np.uint8).reshape(3, 32)
    builder = HashSetBuilder("set")
    builder.add(Entry(PerceptualHash("pdq", bytes(32)), "a", 1))
    builder.add_codes(codes, np.array([5, 6, 2**64 - 1], np.uint64), "b")
    builder.add(Entry(PerceptualHash("pdq", b"x" * 32), "a", 2))
    builder.add_codes(codes[:1], np.array([7], np.uint64), "a")
    builder.write(tmp_path / "set")
    with HashSet.open(tmp_path / "set") as known:
        listed = [(entry.hash.data, entry.cluster, entry.label) for entry in known.entries()]
    assert listed == [
        (bytes(32), 1, "a"), (codes[0].tobytes(), 5, "b"), (codes[1].tobytes(), 6, "b"),
        (codes[2].tobytes(), 2**64 - 1, "b"), (b"x" * 32, 2, "a"), (codes[0].tobytes(), 7, "a"),
    ]  # fmt: skip


def test_repetitions_are_taken_as_they_are():
    """Nothing is looked at, so nothing is refused."""
    builder = HashSetBuilder("set")
    builder.add_codes(np.zeros((4, 32), np.uint8), np.zeros(4, np.uint64))
    assert (len(builder), builder.refused) == (4, {})


@given(start=st.integers(0, 3), step=st.sampled_from([1, 2, 3, -1]))
@example(start=0, step=-1)
def test_codes_and_clusters_may_lie_anywhere(start, step, tmp_path_factory):
    """Strided and reversed arrays are taken by their values."""
    folder = tmp_path_factory.getbasetemp()
    codes = np.random.default_rng(0).integers(0, 256, (12, 32), np.uint8)[start::step]
    clusters = np.arange(12, dtype=np.uint64)[start::step]
    one, other = HashSetBuilder("set"), HashSetBuilder("set")
    one.add_codes(codes, clusters)
    other.add_codes(np.asfortranarray(codes.copy()), clusters.copy())
    single = HashSetBuilder("set")
    one_by_one(single, codes, clusters, "")
    assert one.write(folder / "one") == other.write(folder / "one") == single.write(folder / "one")


def test_no_codes_leave_the_set_empty(tmp_path):
    """Nothing may be added too."""
    builder = HashSetBuilder("set")
    builder.add_codes(np.empty((0, 32), np.uint8), np.empty(0, np.uint64), "none")
    assert len(builder) == 0
    builder.write(tmp_path / "set")
    with HashSet.open(tmp_path / "set") as known:
        assert (len(known), list(known.entries())) == (0, [])


@pytest.mark.parametrize(
    ("codes", "clusters"),
    [
        (np.zeros((2, 32), np.int8), np.zeros(2, np.uint64)),
        (np.zeros((2, 4), np.uint64), np.zeros(2, np.uint64)),
        (np.zeros((2, 8), np.uint8), np.zeros(2, np.uint64)),
        (np.zeros((2, 31), np.uint8), np.zeros(2, np.uint64)),
        (np.zeros(64, np.uint8), np.zeros(2, np.uint64)),
        (np.zeros((2, 1, 32), np.uint8), np.zeros(2, np.uint64)),
        (np.zeros((2, 32), np.uint8), np.zeros(3, np.uint64)),
        (np.zeros((2, 32), np.uint8), np.zeros(0, np.uint64)),
        (np.zeros((0, 32), np.uint8), np.zeros(1, np.uint64)),
        (np.zeros((2, 32), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 32), np.uint8), np.zeros(2, np.uint32)),
        (np.zeros((2, 32), np.uint8), np.zeros(2, ">u8")),
        (np.zeros((2, 32), np.uint8), np.zeros(2, float)),
        (np.zeros((2, 32), np.uint8), np.zeros((2, 1), np.uint64)),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_other_shapes_are_refused_and_nothing_is_taken(codes, clusters, tmp_path):
    """Codes are rows of bytes as long as the algorithm's hashes, with a cluster each."""
    builder = HashSetBuilder("set")
    with pytest.raises(HashShapeError):
        builder.add_codes(codes, clusters, "label")
    assert len(builder) == 0
    assert builder.write(tmp_path / "set") == HashSetBuilder("set").write(tmp_path / "set")
