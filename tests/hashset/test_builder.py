"""What a builder refuses and counts, and how it writes."""

from __future__ import annotations

import pytest

from scanner.errors import HashShapeError, StorageError, UnknownNameError
from scanner.files import replace_file
from scanner.hashset import Entry, HashSet, HashSetBuilder
from scanner.types import PerceptualHash
from tests.conftest import pdq_hash, run_python


@pytest.mark.parametrize(("quality", "taken"), [(None, True), (0, False), (49, False), (50, True), (100, True)])
def test_low_quality_is_refused_and_counted(quality, taken):
    """Entries below the floor are left out; those of unknown quality are the list maker's affair."""
    builder = HashSetBuilder("set")
    assert builder.add(Entry(pdq_hash(1), quality=quality)) == taken
    assert len(builder) == taken
    assert builder.refused == ({} if taken else {"quality below 50": 1})


def test_repetitions_are_refused_and_counted():
    """The same hash, cluster and label once; with another cluster or label it is another entry."""
    builder = HashSetBuilder("set")
    known = pdq_hash(1)
    entries = [
        Entry(known, "a", 1), Entry(known, "a", 1), Entry(known, "b", 1), Entry(known, "a", 2), Entry(known, "a"),
        Entry(known, "a"), Entry(pdq_hash(2), "a", 1),
    ]  # fmt: skip
    assert [builder.add(entry) for entry in entries] == [True, False, True, True, True, False, True]
    assert builder.refused == {"repeated": 2}
    assert len(builder) == 5


@pytest.mark.parametrize(
    "other",
    [PerceptualHash("pdq-512", bytes(32)), PerceptualHash("phash", bytes(8)), PerceptualHash("pdq", bytes(31))],
)
def test_hashes_of_another_algorithm_or_length_are_refused(other):
    """A set holds one lineage."""
    builder = HashSetBuilder("set")
    with pytest.raises(HashShapeError, match="the set holds 256-bit pdq hashes"):
        builder.add(Entry(other))
    assert len(builder) == 0


@pytest.mark.parametrize("cluster", [-1, 2**64])
def test_clusters_out_of_range_are_refused(cluster):
    """A cluster is an unsigned 64-bit number."""
    with pytest.raises(HashShapeError, match="a cluster is a number"):
        HashSetBuilder("set").add(Entry(pdq_hash(1), cluster=cluster))


@pytest.mark.parametrize(
    "options",
    [{"radius": -1}, {"radius": 256}, {"quality_floor": -1}, {"quality_floor": 101}, {"epoch": -1}, {"epoch": 2**53}],
)
def test_settings_out_of_range_are_refused(options):
    """Radius, floor and epoch are checked before anything is built."""
    with pytest.raises(HashShapeError, match="radius is 0 to 255"):
        HashSetBuilder("set", **options)


@pytest.mark.parametrize(
    "options", [{"radius": 0}, {"radius": 255}, {"quality_floor": 0}, {"quality_floor": 100}, {"epoch": 0}]
)
def test_settings_at_their_limits_are_kept(options, tmp_path):
    """0 is a value, not the absence of one."""
    builder = HashSetBuilder("set", **options)
    builder.write(tmp_path / "set")
    with HashSet.open(tmp_path / "set") as known:
        assert {name: getattr(known.header, name) for name in options} == options


def test_unknown_algorithms_are_refused():
    """There are no sets of hashes nobody can compute."""
    with pytest.raises(UnknownNameError):
        HashSetBuilder("set", "md5")


def test_writing_replaces_the_whole_file(small_path):
    """The new list stands in the old one's place, and nothing beside it."""
    HashSetBuilder("empty").write(small_path)
    with HashSet.open(small_path) as known:
        assert (known.header.name, len(known)) == ("empty", 0)
    assert list(small_path.parent.iterdir()) == [small_path]


def test_writing_into_a_missing_folder_is_a_storage_error(tmp_path):
    """No folder is made on the way."""
    with pytest.raises(StorageError, match="can't write"):
        HashSetBuilder("set").write(tmp_path / "missing" / "set")
    assert list(tmp_path.iterdir()) == []


def test_writing_over_a_folder_is_a_storage_error(tmp_path):
    """A folder in the way stays, and no temporary file beside it."""
    (tmp_path / "set").mkdir()
    with pytest.raises(StorageError, match="can't write"):
        HashSetBuilder("set").write(tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


FULL_DISK = """
import resource
from scanner.errors import StorageError
from scanner.hashset import Entry, HashSetBuilder
from scanner.types import PerceptualHash

builder = HashSetBuilder("large")
builder.add_all(Entry(PerceptualHash("pdq", number.to_bytes(32))) for number in range(500))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
try:
    builder.write({path!r})
except StorageError as error:
    print(error)
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
"""


def test_a_full_disk_leaves_the_old_list(small_path):
    """A write that fails half way is told; the old file is untouched and nothing is left beside it."""
    before = small_path.read_bytes()
    assert run_python(FULL_DISK.format(path=str(small_path))).startswith(f"can't write {small_path}: ")
    assert small_path.read_bytes() == before
    assert list(small_path.parent.iterdir()) == [small_path]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_an_interrupted_write_leaves_the_old_list(stop, small_path):
    """Whatever stops a write, the file has its name only once it is whole."""
    before = small_path.read_bytes()

    def parts():
        yield b"begun"
        raise stop

    with pytest.raises(stop):
        replace_file(small_path, parts())
    assert small_path.read_bytes() == before
    assert list(small_path.parent.iterdir()) == [small_path]
