"""How much of a file is checked when it is opened, and what is never answered from one that is corrupt."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest

from scanner import Scanner
from scanner.errors import HashSetError
from scanner.hashing import hash_picture
from scanner.hashset import Check, DeltaBuilder, Entry, HashSet, HashSetBuilder, open_layers
from scanner.index import ENGINES
from scanner.types import Outcome
from tests.conftest import pdq_hash
from tests.hashset.test_corruption import sealed, taken_apart

PAYLOAD = ("codes", "clusters", "labels")
every_check = pytest.mark.parametrize("check", Check)


def places_of(data: bytes, names: tuple[str, ...]) -> list[int]:
    """Every byte of some sections, FAISS's header left out."""
    sections = taken_apart(data)[1]["sections"]
    return [
        place
        for name in names
        for place in range(
            sections[name]["offset"] + (33 if name == "codes" else 0),
            sections[name]["offset"] + sections[name]["length"],
        )
    ]


def flipped_at(path: Path, data: bytes, place: int) -> None:
    changed = bytearray(data)
    changed[place] ^= 0x10
    path.write_bytes(changed)


def verifiers() -> list[threading.Thread]:
    """Threads of deferred checks that still run."""
    return [thread for thread in threading.enumerate() if thread.name == "prescan-verify"]


@pytest.fixture
def delta_path(small_path, small_set) -> Path:
    """A delta on the small set."""
    builder = DeltaBuilder(small_set, epoch=8)
    builder.remove(pdq_hash(2))
    builder.add(Entry(pdq_hash(4), "four", 1))
    builder.write(small_path.with_name("delta"))
    return small_path.with_name("delta")


@pytest.fixture
def large_path(tmp_path) -> Path:
    """A set of 20,000 entries, whose check takes a while."""
    builder = HashSetBuilder("large")
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 32), np.uint8)
    builder.add_codes(codes, np.arange(20_000, dtype=np.uint64))
    builder.write(tmp_path / "large")
    return tmp_path / "large"


@every_check
def test_a_sound_file_opens_in_every_mode(check, small_path, delta_path):
    """The mode changes nothing about what is read."""
    with open_layers(small_path, [delta_path], check=check) as layers:
        layers.ensure_verified()
        layers.ensure_verified()
        assert [entry.label for entry in layers.entries()] == ["one", "three", "four"]
        assert layers.open_index().search(pdq_hash(4).data, 0).indices.tolist() == [3]


def test_full_notices_every_changed_byte_of_a_delta_at_once(delta_path):
    """Removals are verified like everything else."""
    data = delta_path.read_bytes()
    for place in range(len(data)):
        flipped_at(delta_path, data, place)
        with pytest.raises(HashSetError) as raised:
            HashSet.open_any(delta_path)
        assert str(raised.value).startswith(f"{delta_path}: ")


@pytest.mark.parametrize("kind", ["set", "delta"])
def test_deferred_notices_every_changed_byte_before_the_first_answer(kind, small_path, delta_path):
    """What does not make opening fail makes the check fail, each time it is asked, and with it every index."""
    path = small_path if kind == "set" else delta_path
    data = path.read_bytes()
    for place in range(len(data)):
        flipped_at(path, data, place)
        try:
            known = HashSet.open_any(path, check=Check.DEFERRED)
        except HashSetError:
            continue
        with known:
            for attempt in (known.open_index, known.ensure_verified, known.ensure_verified):
                with pytest.raises(HashSetError) as raised:
                    attempt()
                assert str(raised.value).startswith(f"{path}: section ")


def test_deferred_opens_before_the_payload_was_looked_at(small_path):
    """A changed code, cluster or label fails no opening: header and length are there, answers are not."""
    data = small_path.read_bytes()
    for place in places_of(data, PAYLOAD):
        flipped_at(small_path, data, place)
        with HashSet.open(small_path, check=Check.DEFERRED) as known:
            assert (len(known), known.header.name) == (3, "small")
            with pytest.raises(HashSetError):
                known.ensure_verified()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_engine_opens_on_a_corrupt_file(engine, small_path):
    """Each waits for the check."""
    data = small_path.read_bytes()
    flipped_at(small_path, data, places_of(data, PAYLOAD)[0])
    with HashSet.open(small_path, check=Check.DEFERRED) as known, pytest.raises(HashSetError, match="section codes"):
        known.open_index(engine)


@pytest.mark.parametrize("section", PAYLOAD)
def test_a_scanner_on_a_corrupt_file_gives_an_error_verdict(section, astronaut, small_path):
    """Nothing raises in the middle of sending, and nothing is matched, however often it is asked."""
    data = small_path.read_bytes()
    flipped_at(small_path, data, places_of(data, (section,))[-1])
    with HashSet.open(small_path, check=Check.DEFERRED) as known:
        scanner = Scanner(known, isolation="in-process")
        for _ in range(2):
            verdict = scanner.scan(astronaut)
            assert (verdict.outcome, verdict.matches) == (Outcome.ERROR, ())
        with pytest.raises(HashSetError):
            scanner.warm_up()


@pytest.mark.parametrize("check", [Check.DEFERRED, Check.TRUSTED])
def test_header_structure_and_texts_are_checked_in_every_mode(check, small_path, delta_path):
    """Only codes, clusters, labels and removals may lie unchecked; any other changed byte is refused at once."""
    for path, names in ((small_path, PAYLOAD), (delta_path, (*PAYLOAD, "removed"))):
        data = path.read_bytes()
        unchecked = set(places_of(data, names))
        for place in sorted(set(range(len(data))) - unchecked):
            flipped_at(path, data, place)
            with pytest.raises(HashSetError):
                HashSet.open_any(path, check=check)


@every_check
@pytest.mark.parametrize("length", [0, 1, 55, 56, 300, -1])
def test_cut_files_are_refused_in_every_mode(check, length, small_path):
    """The footer comes last, so nothing is read of a file that was cut."""
    small_path.write_bytes(small_path.read_bytes()[:length])
    with pytest.raises(HashSetError):
        HashSet.open(small_path, check=check)


def test_trusted_takes_codes_as_they_lie(small_path):
    """A changed code is another hash, and found as such: that is what trusting the disk means."""
    data = small_path.read_bytes()
    place = places_of(data, ("codes",))[0]
    flipped_at(small_path, data, place)
    with HashSet.open(small_path, check=Check.TRUSTED) as known:
        known.ensure_verified()
        index = known.open_index()
        hits = index.search(pdq_hash(1).data, 1)
        assert (hits.indices.tolist(), hits.distances.tolist()) == ([0], [1])
        del index


def test_a_damaged_label_of_a_trusted_file_is_told(small_path):
    """A number of no text is never taken for that of another."""
    data = small_path.read_bytes()
    place = places_of(data, ("labels",))[7]
    flipped_at(small_path, data, place)
    with HashSet.open(small_path, check=Check.TRUSTED) as known:
        assert known.label_at(0) == "one"
        with pytest.raises(HashSetError, match="label is not in the set"):
            known.match_at(1, 0)


def test_a_scan_that_matches_a_damaged_label_gives_an_error_verdict(astronaut, tmp_path):
    """A trusted file that is damaged raises nothing in the middle of sending."""
    builder = HashSetBuilder("set")
    builder.add(Entry(hash_picture(astronaut).hash, "astronaut"))
    builder.write(tmp_path / "set")
    data = (tmp_path / "set").read_bytes()
    with HashSet.open(tmp_path / "set", check=Check.TRUSTED) as known:
        assert Scanner(known, isolation="in-process").scan(astronaut).outcome is Outcome.MATCH
    flipped_at(tmp_path / "set", data, places_of(data, ("labels",))[-1])
    with HashSet.open(tmp_path / "set", check=Check.TRUSTED) as known:
        assert Scanner(known, isolation="in-process").scan(astronaut).outcome is Outcome.ERROR


def test_closing_while_a_check_runs_ends_it(large_path):
    """A set may be closed at once; no thread stays behind, and the file is given back."""
    for _ in range(5):
        known = HashSet.open(large_path, check=Check.DEFERRED)
        known.close()
        assert verifiers() == []
        assert known._file.closed


def test_closing_while_a_check_of_a_corrupt_file_runs_raises_nothing(large_path):
    """Who does not ask is not told."""
    data = large_path.read_bytes()
    flipped_at(large_path, data, places_of(data, ("tables",))[-1])
    known = HashSet.open(large_path, check=Check.DEFERRED)
    known.close()
    assert verifiers() == []
    with pytest.raises(HashSetError, match="section tables does not match"):
        HashSet.open(large_path)


@every_check
def test_closing_twice_is_no_error(check, small_path):
    """By hand and by a context manager."""
    with HashSet.open(small_path, check=check) as known:
        known.close()
        known.close()
    assert known._file.closed


def test_an_index_made_before_closing_keeps_the_pages(small_path):
    """The mapping goes with the last that looks at it: closing too early never reads memory that is gone."""
    known = HashSet.open(small_path)
    index = known.open_index()
    known.close()
    small_path.unlink()
    assert index.search(pdq_hash(2).data, 0).indices.tolist() == [1]


@pytest.mark.parametrize("number", [1, 3, 2**32 - 1])
def test_sealed_labels_out_of_range_are_refused_when_checked(number, tmp_path):
    """Digests that fit do not make a label that is not there; the check says so at once or later."""
    builder = HashSetBuilder("set")
    builder.add(Entry(pdq_hash(1), "one"))
    builder.write(tmp_path / "set")
    sections, header = taken_apart((tmp_path / "set").read_bytes())
    part = header["sections"]["labels"]
    data = number.to_bytes(4, "little")
    part["sha256"] = hashlib.sha256(data).hexdigest()
    sections = sections[: part["offset"]] + data + sections[part["offset"] + 4 :]
    (tmp_path / "set").write_bytes(sealed(sections, header))
    with pytest.raises(HashSetError, match="label is not in the set"):
        HashSet.open(tmp_path / "set")
    with HashSet.open(tmp_path / "set", check=Check.DEFERRED) as known:
        with pytest.raises(HashSetError, match="label is not in the set"):
            known.ensure_verified()
        with pytest.raises(HashSetError, match="label is not in the set"):
            known.open_index()
