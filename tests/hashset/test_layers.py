"""A base with deltas on top is the set built from scratch, and a delta goes on its own base alone."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import Scanner
from scanner.errors import ArgumentError, HashSetError, HashShapeError
from scanner.hashing import hash_picture
from scanner.hashset import Check, DeltaBuilder, Entry, HashSet, HashSetBuilder, LayeredSet, open_layers
from scanner.hashset import format as layout
from scanner.index import CROSSOVER, ENGINES
from scanner.types import Outcome, PerceptualHash
from tests import oracle
from tests.conftest import pdq_hash
from tests.hashset.test_corruption import replaced, sealed, taken_apart
from tests.strategies import banks, codes, near

SIZE_OF = {"phash": 8, "pdq": 32}
RADII = (0, 10, 15, 16, 31, 32, 63, 64)

every_algorithm = pytest.mark.parametrize("algorithm", SIZE_OF)


def engines_for(algorithm: str) -> list[str]:
    """Engines that search hashes of an algorithm."""
    return ["auto", *(engine for engine in ENGINES if engine != "compact" or SIZE_OF[algorithm] == 32)]


def labelled(edition: int, algorithm: str, hashes: list[bytes]) -> list[Entry]:
    """Entries no two of which are equal, whatever their hashes; some of them in one cluster."""
    return [
        Entry(PerceptualHash(algorithm, data), f"{edition}.{number}", number % 3 or None)
        for number, data in enumerate(hashes)
    ]


def written(path: Path, algorithm: str, entries: list[Entry], epoch: int = 1) -> bytes:
    """Write a set from scratch; gives its digest."""
    builder = HashSetBuilder("set", algorithm, epoch=epoch)
    builder.add_all(entries)
    assert len(builder) == len(entries)
    return builder.write(path)


def changed(path: Path, paths: list[Path], *, removed: list[bytes] = (), added: list[Entry] = ()) -> list[int]:
    """Write a delta on top of others; gives how many entries each removal met."""
    with open_layers(paths[0], paths[1:]) as below:
        builder = DeltaBuilder(below, epoch=below.header.epoch + 1)
        met = [builder.remove(PerceptualHash(below.header.algorithm, data)) for data in removed]
        assert all(builder.add(entry) for entry in added)
        builder.write(path)
        del builder
    return met


def described(known: HashSet | LayeredSet, indices: np.ndarray, distances: np.ndarray) -> list[tuple[int, int, str]]:
    """Matches without their positions."""
    pairs = zip(indices.tolist(), distances.tolist(), strict=True)
    matches = [known.match_at(index, distance) for index, distance in pairs]
    assert [match.index for match in matches] == indices.tolist()
    return [(match.distance, match.cluster, match.label) for match in matches]


@st.composite
def histories(draw: st.DrawFn, size: int) -> tuple[list[bytes], list[tuple[list[bytes], list[bytes]]], list[bytes]]:
    """A base's hashes; for each of up to three deltas what it removes and adds; what is asked for afterwards."""
    pool = [row.tobytes() for row in draw(banks(size, most=12))] or [bytes(size)]
    known = st.sampled_from(pool)
    edition = st.tuples(st.lists(known, max_size=4), st.lists(known, max_size=8))
    asked = st.one_of(known, known.flatmap(near), codes(size))
    return (
        draw(st.lists(known, max_size=15)),
        draw(st.lists(edition, max_size=3)),
        draw(st.lists(asked, max_size=4)),
    )


@every_algorithm
@settings(max_examples=25)
@given(data=st.data())
def test_layers_equal_the_set_built_from_scratch(algorithm, data, tmp_path_factory):
    """Whatever was added and removed, by every engine, one at a time and many at once, and at every radius."""
    folder = tmp_path_factory.mktemp("layers")
    first, later, queries = data.draw(histories(SIZE_OF[algorithm]))
    entries = labelled(0, algorithm, first)
    alive = dict(enumerate(entries))
    positions = len(entries)
    paths = [folder / "0"]
    digests = {written(paths[0], algorithm, entries)}
    for number, (removed, added) in enumerate(later, 1):
        entries = labelled(number, algorithm, added)
        path = folder / str(number)
        met = changed(path, paths, removed=removed, added=entries)
        assert met == [sum(entry.hash.data == data for entry in alive.values()) for data in removed]
        paths.append(path)
        alive = {place: entry for place, entry in alive.items() if entry.hash.data not in removed}
        alive |= dict(enumerate(entries, positions))
        positions += len(entries)
    scratch = written(folder / "scratch", algorithm, list(alive.values()), epoch=1 + len(later))
    radii = [*RADII, data.draw(st.integers(0, 8 * SIZE_OF[algorithm]))]
    bank = np.frombuffer(b"".join(queries), np.uint8).reshape(-1, SIZE_OF[algorithm])
    with open_layers(paths[0], paths[1:]) as layers, HashSet.open(folder / "scratch") as whole:
        assert len(layers) == layers.header.count == len(alive) == len(whole)
        assert (layers.header.epoch, layers.positions) == (1 + len(later), positions)
        assert (layers.digest == whole.digest) == (not later)
        assert layers.digest not in digests or not later
        assert [(place, entry.hash, entry.label) for place, entry in layers.numbered_entries()] == [
            (place, entry.hash, entry.label) for place, entry in alive.items()
        ]
        assert written(folder / "merged", algorithm, list(layers.entries()), layers.header.epoch) == scratch
        for engine in engines_for(algorithm):
            index, other = layers.open_index(engine), whole.open_index(engine)
            assert (len(index), index.bits) == (len(alive), 8 * SIZE_OF[algorithm])
            for radius in radii:
                many = index.search_many(bank, radius)
                assert len(many.limits) == len(queries) + 1
                for number, query in enumerate(queries):
                    hits = index.search(query, radius)
                    rows = [entry.hash.data for entry in alive.values()]
                    places = list(alive)
                    expected = [(places[at], away) for at, away in oracle.search(rows, query, radius)]
                    assert list(zip(hits.indices.tolist(), hits.distances.tolist(), strict=True)) == expected
                    assert described(layers, *hits[:2]) == described(whole, *other.search(query, radius)[:2])
                    asked = slice(*many.limits[number : number + 2])
                    np.testing.assert_array_equal(many.indices[asked], hits.indices)
                    np.testing.assert_array_equal(many.distances[asked], hits.distances)
                    assert all(layers.hash_at(place).data == alive[place].hash.data for place in hits.indices.tolist())


@pytest.fixture
def chain(small_path) -> list[Path]:
    """The small set, a delta that removes its first entry and adds two, and one that undoes this in part."""
    first, second = small_path.with_name("first"), small_path.with_name("second")
    again = Entry(pdq_hash(1), "one again", 11)
    changed(
        first,
        [small_path],
        removed=[pdq_hash(1).data],
        added=[Entry(pdq_hash(4), "four", 9), Entry(pdq_hash(5), "five", 10)],
    )
    changed(second, [small_path, first], removed=[pdq_hash(4).data], added=[again])
    return [small_path, first, second]


def labels_found(paths: list[Path], seed: int) -> list[tuple[int, str]]:
    """Positions and labels of a hash in a base with deltas."""
    with open_layers(paths[0], paths[1:]) as layers:
        places = layers.open_index().search(pdq_hash(seed).data, 31).indices.tolist()
        return [(place, layers.match_at(place, 0).label) for place in places]


def test_removed_entries_are_not_found_and_added_ones_come_after(chain):
    """Positions of the base keep their meaning through every delta."""
    assert [labels_found(chain[:1], seed) for seed in (1, 2, 4)] == [[(0, "one")], [(1, "two")], []]
    assert [labels_found(chain[:2], seed) for seed in (1, 2, 4, 5)] == [
        [], [(1, "two")], [(3, "four")], [(4, "five")],
    ]  # fmt: skip
    assert [labels_found(chain, seed) for seed in (1, 2, 4, 5)] == [
        [(5, "one again")], [(1, "two")], [], [(4, "five")],
    ]  # fmt: skip


def test_a_hash_removed_and_added_in_one_delta_is_the_new_entry(small_path, tmp_path):
    """A removal concerns the base alone, whichever is asked first."""
    with HashSet.open(small_path) as base:
        for name, seed, first in (("one", 1, "remove"), ("two", 2, "add")):
            builder = DeltaBuilder(base, epoch=8)
            if first == "remove":
                assert builder.remove(pdq_hash(seed)) == 1
            assert builder.add(Entry(pdq_hash(seed), "new"))
            if first == "add":
                assert builder.remove(pdq_hash(seed)) == 1
            builder.write(tmp_path / name)
    assert labels_found([small_path, tmp_path / "one"], 1) == [(3, "new")]
    assert labels_found([small_path, tmp_path / "two"], 2) == [(3, "new")]


def test_a_removal_meets_every_entry_of_the_hash_and_no_near_one(tmp_path):
    """Removing is by the exact hash; labels and clusters do not matter."""
    close = bytes([1]) + bytes(31)
    hashes = [bytes(32), close, bytes(32), bytes(32)]
    written(tmp_path / "base", "pdq", labelled(0, "pdq", hashes))
    assert changed(tmp_path / "delta", [tmp_path / "base"], removed=[bytes(32), bytes([2] * 32)]) == [3, 0]
    with open_layers(tmp_path / "base", [tmp_path / "delta"]) as layers:
        assert [place for place, _ in layers.numbered_entries()] == [1]
        assert layers.open_index().search(bytes(32), 31).indices.tolist() == [1]


def test_hashes_of_another_length_can_not_be_removed(small_set):
    """A removal is a search, and refuses what a search refuses."""
    builder = DeltaBuilder(small_set, epoch=8)
    with pytest.raises(HashShapeError):
        builder.remove(PerceptualHash("phash", bytes(8)))
    with pytest.raises(HashShapeError):
        builder.add(Entry(PerceptualHash("phash", bytes(8))))
    del builder


def test_a_delta_keeps_what_the_base_says_of_itself(tmp_path):
    """Name, algorithm, radius and floor go from edition to edition; the epoch is the new one."""
    HashSetBuilder("list", "phash", epoch=3, radius=4, quality_floor=77).write(tmp_path / "base")
    changed(tmp_path / "delta", [tmp_path / "base"])
    with open_layers(tmp_path / "base", [tmp_path / "delta"]) as layers:
        header = layers.header
        assert (header.name, header.algorithm, header.radius, header.quality_floor) == ("list", "phash", 4, 77)
        assert (header.epoch, layers.settings.name) == (4, "phash")


def test_the_same_changes_give_the_same_delta(chain):
    """A delta is reproducible, as a set is."""
    again = chain[0].with_name("again")
    changed(again, chain[:2], removed=[pdq_hash(4).data], added=[Entry(pdq_hash(1), "one again", 11)])
    assert again.read_bytes() == chain[2].read_bytes()


@pytest.mark.parametrize("epoch", [7, 6, 0, -1])
def test_an_epoch_not_over_the_bases_is_refused(epoch, small_set):
    """Editions only go up, so that the newest can be told."""
    with pytest.raises(ArgumentError, match="must be over the base's, 7"):
        DeltaBuilder(small_set, epoch=epoch)


def test_a_delta_alone_is_no_hash_set(chain):
    """A delta is told from a set, and the message says what to do; open_any opens both."""
    for path in chain[1:]:
        with pytest.raises(HashSetError, match=r"delta .* open it with its base") as raised:
            HashSet.open(path)
        assert str(path) in str(raised.value)
        with pytest.raises(HashSetError, match="delta"):
            open_layers(path)
    bases = []
    for path in chain:
        with HashSet.open_any(path) as known:
            bases.append(known.header.base)
    with open_layers(chain[0]) as base:
        assert isinstance(base, HashSet)
        assert bases[:2] == [None, base.digest.hex()]


@pytest.mark.parametrize("order", [(0, 2), (0, 2, 1), (0, 1, 1), (0, 1, 2, 2), (0, 0), (0, 1, 0)])
def test_deltas_missing_repeated_or_out_of_order_are_refused(order, chain):
    """Each delta fits the layers it was made on and nothing else; the message names its file."""
    paths = [chain[number] for number in order]
    with pytest.raises(HashSetError, match="belongs to another base") as raised:
        open_layers(paths[0], paths[1:])
    wrong = next(place for place, number in enumerate(order) if place != number)
    assert str(raised.value).startswith(f"{paths[wrong]}: ")


def test_a_delta_of_another_base_is_refused(chain, tmp_path):
    """A base that differs in one label is another base; a copy of the same base is the same."""
    other = tmp_path / "other"
    builder = HashSetBuilder("small", epoch=7)
    builder.add_all(
        [Entry(pdq_hash(1), "one", 5), Entry(pdq_hash(2), "two", 5), Entry(pdq_hash(3), "Three", 2**64 - 1)]
    )
    builder.write(other)
    with pytest.raises(HashSetError, match="belongs to another base"):
        open_layers(other, chain[1:2])
    other.write_bytes(chain[0].read_bytes())
    with open_layers(other, chain[1:]) as layers:
        assert len(layers) == 4


@pytest.mark.parametrize(
    "removed", [[3], [0, 3], [-1], [-1, 0], [0, 0], [1, 0], [0, 2, 1], [2**63 - 1], [-(2**63)], [0, 2**62]], ids=str
)
def test_removals_the_base_does_not_have_are_refused(removed, small_path, tmp_path):
    """Positions are those of the base, ascending, each once; a sealed file does not make them right."""
    with HashSet.open(small_path) as base:
        digest = base.digest.hex()
    HashSetBuilder("small", epoch=8).write(tmp_path / "delta", base=digest, removed=np.array(removed))
    for check in Check:
        with pytest.raises(HashSetError, match="removes entries that the base does not have"):
            open_layers(small_path, [tmp_path / "delta"], check=check)


@pytest.mark.parametrize("removed", [[], [0], [2], [0, 1, 2]], ids=str)
def test_removals_the_base_has_are_taken(removed, small_path, tmp_path):
    """None, the first, the last or all of them."""
    with HashSet.open(small_path) as base:
        digest = base.digest.hex()
    HashSetBuilder("small", epoch=8).write(tmp_path / "delta", base=digest, removed=np.array(removed, np.int64))
    with open_layers(small_path, [tmp_path / "delta"]) as layers:
        assert [place for place, _ in layers.numbered_entries()] == [n for n in range(3) if n not in removed]
        assert len(layers) == 3 - len(removed)


def forged(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_removals_that_are_no_whole_numbers_are_refused(chain, tmp_path):
    """A section of removals is a multiple of eight bytes."""
    sections, header = taken_apart(chain[1].read_bytes())
    part = header["sections"]["removed"]
    data = sections[part["offset"] : part["offset"] + 8] + b"\1"
    part |= {"length": 9, "sha256": hashlib.sha256(data).hexdigest()}
    sections = sections[: part["offset"]] + data + layout.padding(9)
    with pytest.raises(HashSetError, match="removals"):
        HashSet.open_any(forged(tmp_path / "forged", sealed(sections, header)))


@pytest.mark.parametrize("base", ["", "0" * 64, "x", None, 7, ["0" * 64]], ids=repr)
def test_a_base_forged_into_the_header_is_refused(base, chain, tmp_path):
    """A delta names its base by digest, and removals without a base are no set."""
    sections, header = taken_apart(chain[1].read_bytes())
    with pytest.raises(HashSetError):
        open_layers(chain[0], [forged(tmp_path / "forged", sealed(sections, header | {"base": base}))])
    sections, header = taken_apart(chain[0].read_bytes())
    with pytest.raises(HashSetError):
        HashSet.open(forged(tmp_path / "forged", sealed(sections, header | {"base": base})))


def test_every_change_of_a_delta_changes_the_digest_of_the_whole(chain, tmp_path):
    """Removing another entry is another edition, so its digest is another one."""
    sections, header = taken_apart(chain[1].read_bytes())
    other = forged(tmp_path / "other", replaced(sections, header, "removed", np.array([1], "<i8").tobytes()))
    digests = set()
    for paths in (chain[:1], chain[:2], chain, [chain[0], other]):
        with open_layers(paths[0], paths[1:]) as layers:
            digests.add(layers.digest)
    assert len(digests) == 4
    with pytest.raises(HashSetError, match="belongs to another base"):
        open_layers(chain[0], [other, chain[2]])


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("section", ["codes", "clusters", "labels"])
def test_a_corrupt_layer_is_never_searched(which, section, chain):
    """A full check refuses it at once; a deferred one before the first answer."""
    data = bytearray(chain[which].read_bytes())
    _, header = taken_apart(bytes(data))
    part = header["sections"][section]
    data[part["offset"] + part["length"] - 1] ^= 1
    chain[which].write_bytes(data)
    with pytest.raises(HashSetError, match=f"section {section} does not match"):
        open_layers(chain[0], chain[1:])
    with open_layers(chain[0], chain[1:], check=Check.DEFERRED) as layers:
        with pytest.raises(HashSetError, match=f"section {section} does not match"):
            layers.ensure_verified()
        with pytest.raises(HashSetError, match=f"section {section} does not match"):
            layers.open_index()


def test_a_scanner_matches_entries_of_every_layer(astronaut, photographs, tmp_path):
    """Verdicts name label, cluster and position of base and delta entries; what was removed matches no more."""
    coffee = next(path for path in photographs if path.name == "coffee.png")
    known, other = hash_picture(astronaut).hash, hash_picture(coffee).hash
    paths = [tmp_path / name for name in ("base", "first", "second")]
    written(paths[0], "pdq", [Entry(pdq_hash(1), "noise"), Entry(other, "coffee", 6)])
    changed(paths[1], paths[:1], added=[Entry(known, "astronaut", 77)])
    changed(paths[2], paths[:2], removed=[known.data])
    seen = []
    for count in (1, 2, 3):
        with open_layers(paths[0], paths[1:count]) as layers:
            scanner = Scanner(layers, isolation="in-process")
            scanner.warm_up()
            verdicts = [scanner.scan(path) for path in (astronaut, coffee)]
            del scanner
        seen.append([[(m.index, m.cluster, m.label) for m in verdict.matches] for verdict in verdicts])
        assert verdicts[0].outcome is (Outcome.MATCH if count == 2 else Outcome.NO_MATCH)
    old = [(1, 6, "coffee")]
    assert seen == [[[], old], [[(2, 77, "astronaut")], old], [[], old]]


@every_algorithm
def test_a_small_delta_on_a_base_with_tables(algorithm, tmp_path):
    """The base's tables are searched as they lie, and the delta beside them."""
    size = SIZE_OF[algorithm]
    rng = np.random.default_rng(7)
    bank = rng.integers(0, 256, (CROSSOVER + 50, size), np.uint8)
    bank[1::2] = bank[::2]
    bank[1::2, :2] ^= rng.integers(0, 256, (len(bank) // 2, 2), np.uint8)
    builder = HashSetBuilder("set", algorithm)
    builder.add_codes(bank, np.arange(len(bank), dtype=np.uint64))
    builder.write(tmp_path / "base")
    fresh = bank[100:110] ^ np.uint8(1)
    gone = [row.tobytes() for row in bank[200:220:2]]
    added = [Entry(PerceptualHash(algorithm, row.tobytes()), "new") for row in fresh]
    changed(tmp_path / "delta", [tmp_path / "base"], removed=gone, added=added)
    assert (tmp_path / "delta").stat().st_size < 4096
    rows = {place: row.tobytes() for place, row in enumerate(bank) if row.tobytes() not in gone}
    rows |= {len(bank) + place: row.tobytes() for place, row in enumerate(fresh)}
    places = list(rows)
    queries = np.concatenate([bank[96:112], bank[198:222], fresh])
    with open_layers(tmp_path / "base", [tmp_path / "delta"]) as layers:
        assert layers.below.tables is not None
        assert layers.above.tables is None
        index = layers.open_index()
        assert index.engine == "multi, then flat"
        for radius in (0, 8, 31):
            many = index.search_many(queries, radius)
            for number, query in enumerate(queries):
                expected = [(places[at], away) for at, away in oracle.search(rows.values(), query.tobytes(), radius)]
                hits = index.search(query.tobytes(), radius)
                assert list(zip(hits.indices.tolist(), hits.distances.tolist(), strict=True)) == expected
                asked = slice(*many.limits[number : number + 2])
                assert many.indices[asked].tolist() == [place for place, _ in expected]
        del index


def test_layers_refused_half_way_leave_no_file_open(chain):
    """What was opened before the refusal is closed, so that the same files open again."""
    for _ in range(3):
        with pytest.raises(HashSetError):
            open_layers(chain[0], [chain[1], chain[1]], check=Check.DEFERRED)
    with ExitStack() as opened:
        layers = [opened.enter_context(open_layers(chain[0], chain[1:])) for _ in range(3)]
        assert [len(one) for one in layers] == [4, 4, 4]
