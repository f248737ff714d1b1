"""What once went wrong stays right: one test for each fault found."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.errors import HashListError, HashSetError, StorageError
from scanner.hashing import hash_pixels
from scanner.hashing.pdq import pdq_512
from scanner.hashset import Check, Entry, HashSet, HashSetBuilder, find_files, read_hash_list
from scanner.index import CROSSOVER
from scanner.index.tables import build_tables
from scanner.media import Accuracy, decode
from tests.conftest import encoded, pdq_hash, smooth
from tests.hashset.test_corruption import refusal, replaced, sealed, taken_apart

NOT_NUMBERS = [float("inf"), float("-inf"), float("nan"), False, True, 0.9, 0.0, "7", None, [], {}]


@pytest.fixture
def large_path(tmp_path) -> Path:
    """A set large enough for tables."""
    builder = HashSetBuilder("large")
    codes = np.random.default_rng(0).integers(0, 256, (CROSSOVER, 32), np.uint8)
    builder.add_codes(codes, np.arange(CROSSOVER, dtype=np.uint64))
    builder.write(tmp_path / "large")
    return tmp_path / "large"


@pytest.mark.parametrize("labels", [[0, 1, 3], [3, 0, 1], [0, 2**32 - 1, 0], [2**31, 0, 0]], ids=str)
def test_a_sealed_label_out_of_range_is_a_hash_set_error(labels, small_path):
    """A view of the file that is still held when the refusal is raised does not hide it."""
    sections, header = taken_apart(small_path.read_bytes())
    data = replaced(sections, header, "labels", np.array(labels, "<u4").tobytes())
    assert "an entry's label is not in the set" in refusal(small_path, data)


@pytest.mark.parametrize("check", Check)
@pytest.mark.parametrize("place", [0, 8, 16, 24, 32, 40, 48, 56])
def test_sealed_tables_that_do_not_fit_are_a_hash_set_error(place, check, large_path):
    """Each number in the tables' header is the one the codes ask for, in every mode of checking."""
    sections, header = taken_apart(large_path.read_bytes())
    part = header["sections"]["tables"]
    tables = bytearray(sections[part["offset"] : part["offset"] + part["length"]])
    tables[place] ^= 0x41
    large_path.write_bytes(replaced(sections, header, "tables", bytes(tables)))
    with pytest.raises(HashSetError, match="search tables") as raised:
        HashSet.open(large_path, check=check)
    assert str(raised.value).startswith(f"{large_path}: ")


@pytest.mark.parametrize("check", Check)
@pytest.mark.parametrize("count", [0, 1, CROSSOVER - 1, CROSSOVER + 1])
def test_sealed_tables_of_another_count_are_a_hash_set_error(count, check, large_path):
    """Sound tables of other codes are not those of these."""
    sections, header = taken_apart(large_path.read_bytes())
    part = header["sections"]["tables"]
    tables = build_tables(np.zeros((count, 32), np.uint8)).tobytes()
    part |= {"length": len(tables), "sha256": hashlib.sha256(tables).hexdigest()}
    sections = sections[: part["offset"]] + tables
    large_path.write_bytes(sealed(sections + bytes(-len(sections) % 64), header))
    with pytest.raises(HashSetError, match="search tables"):
        HashSet.open(large_path, check=check)


@pytest.mark.parametrize("wrong", NOT_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["codes", "clusters", "labels", "label_texts"])
@pytest.mark.parametrize("key", ["offset", "length"])
def test_places_that_are_no_whole_numbers_are_refused(key, name, wrong, small_path):
    """Neither infinity nor what Python takes for a number makes an offset."""
    sections, header = taken_apart(small_path.read_bytes())
    header["sections"][name][key] = wrong
    refusal(small_path, sealed(sections, header))


@pytest.mark.parametrize("name", ["count", "epoch", "bits", "radius", "quality_floor", "format"])
@pytest.mark.parametrize("wrong", NOT_NUMBERS, ids=repr)
def test_numbers_that_are_no_whole_numbers_are_refused(name, wrong, small_path):
    """The same for what the set says of itself."""
    sections, header = taken_apart(small_path.read_bytes())
    refusal(small_path, sealed(sections, header | {name: wrong}))


@pytest.mark.parametrize("same", [{"format": 1.0}, {"format": True}, {"count": 3.0}, {"epoch": 7.0}], ids=str)
def test_numbers_that_only_compare_equal_are_refused(same, small_path):
    """One list has one header, so one digest."""
    sections, header = taken_apart(small_path.read_bytes())
    (name,) = same
    assert header[name] == same[name]
    refusal(small_path, sealed(sections, header | same))


@pytest.mark.parametrize("epoch", [2**53, 2**60, 2**64, 10**300])
def test_epochs_no_other_reader_could_hold_are_refused(epoch, small_path):
    """Numbers stay below 2^53, which every JSON reader keeps exactly."""
    sections, header = taken_apart(small_path.read_bytes())
    assert "epoch" in refusal(small_path, sealed(sections, header | {"epoch": epoch}))
    small_path.write_bytes(sealed(sections, header | {"epoch": 2**53 - 1}))
    with HashSet.open(small_path) as known:
        assert known.header.epoch == 2**53 - 1


def test_unknown_keys_are_refused(small_path):
    """A header says nothing this release does not understand, nor does a section."""
    sections, header = taken_apart(small_path.read_bytes())
    refusal(small_path, sealed(sections, header | {"more": 1}))
    refusal(small_path, sealed(sections, header | {"": None}))
    header["sections"]["labels"]["more"] = 1
    refusal(small_path, sealed(sections, header))


def test_keys_twice_are_refused(small_path):
    """Readers differ in which of two equal keys counts, so there are none."""
    sections, header = taken_apart(small_path.read_bytes())
    raw = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    small_path.write_bytes(sealed(sections, raw))
    HashSet.open(small_path).close()
    for twice in (b'{"epoch":8,' + raw[1:], b'{"epoch":7,' + raw[1:], raw[:-1] + b',"sections":{}}'):
        refusal(small_path, sealed(sections, twice))
    doubled = raw.replace(b'"labels":{', b'"labels":{"length":12,', 1)
    assert doubled != raw
    refusal(small_path, sealed(sections, doubled))


def test_headers_written_another_way_are_refused(small_path):
    """Spaces, another order or plain text in place of escapes would be another digest of the same list."""
    sections, header = taken_apart(small_path.read_bytes())
    header["name"] = "ü"
    raw = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    small_path.write_bytes(sealed(sections, raw))
    HashSet.open(small_path).close()
    backwards = dict(sorted(header.items(), reverse=True))
    for other in (
        raw + b" ",
        b" " + raw,
        json.dumps(header, sort_keys=True).encode(),
        json.dumps(backwards, separators=(",", ":")).encode(),
        json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(),
    ):
        assert other != raw
        refusal(small_path, sealed(sections, other))


@pytest.mark.parametrize("quality", ["1e999", "-1e999", "Infinity", "-Infinity", "NaN"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_endless_qualities_in_lists_are_a_hash_list_error(suffix, quality, tmp_path):
    """JSON as Python reads it has infinities; no picture has that quality."""
    row = f'{{"hash": "{pdq_hash(1).hex}", "quality": {quality}}}'
    texts = {".jsonl": row, ".json": f"[{row}]", ".csv": f"hash,quality\n{pdq_hash(1).hex},{quality}\n"}
    path = tmp_path / f"list{suffix}"
    path.write_text(texts[suffix])
    with pytest.raises(HashListError, match="quality is no whole number") as raised:
        list(read_hash_list(path, "pdq", pytest.fail))
    assert str(raised.value).startswith(f"{path}, line {2 if suffix == '.csv' else 1}: ")


@pytest.mark.parametrize("check", Check)
def test_a_nul_in_the_path_of_a_set_is_a_storage_error(check, tmp_path):
    """Reading such a file fails by name."""
    with pytest.raises(StorageError, match="can't open"):
        HashSet.open(tmp_path / "a\0b", check=check)


def test_a_nul_in_the_path_to_write_is_a_storage_error(tmp_path):
    """Writing one does, whether the NUL is in the folder or in the name, and leaves nothing behind."""
    for path in (tmp_path / "a\0b", tmp_path / "a\0b" / "set"):
        with pytest.raises(StorageError, match="can't write"):
            HashSetBuilder("set").write(path)
    assert list(tmp_path.iterdir()) == []


def test_a_nul_in_the_path_of_a_folder_is_a_storage_error(tmp_path):
    """So does listing one."""
    with pytest.raises(StorageError, match="NUL"):
        find_files(tmp_path / "a\0b")


def test_long_file_names_are_written(tmp_path):
    """A name as long as the file system takes is written: the temporary one is no longer."""
    path = tmp_path / ("x" * 250)
    builder = HashSetBuilder("set")
    builder.add(Entry(pdq_hash(1), "one"))
    builder.write(path)
    with HashSet.open(path) as known:
        assert len(known) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("accuracy", Accuracy)
def test_multi_picture_jpegs_are_jpegs(accuracy):
    """Phones write several pictures into one JPEG; the first counts and the format is JPEG."""
    first, second = Image.fromarray(smooth(40, 60)), Image.fromarray(255 - smooth(40, 60))
    data = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "MPO"
    picture = decode(data, accuracy=accuracy)
    assert (picture.format, picture.width, picture.height) == ("JPEG", 60, 40)
    alone = decode(encoded(first, "JPEG", quality=95), accuracy=accuracy)
    np.testing.assert_array_equal(picture.pixels, alone.pixels)


@pytest.mark.parametrize("shape", [(0, 700), (700, 0), (4, 700), (700, 4), (0, 0), (1, 1), (0, 700, 3), (4, 700, 3)])
@pytest.mark.parametrize("algorithm", ["pdq", "pdq-512"])
def test_pictures_too_small_for_pdq_have_zeros_and_no_quality(algorithm, shape):
    """A side of fewer than five pixels has no hash, even where the other is cut to 512."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    known, quality = hash_pixels(pixels, algorithm)
    assert (known.data, quality) == (bytes(32), 0)
    assert pdq_512(pixels) == (bytes(32), 0)


@pytest.mark.parametrize("shape", [(0, 0), (0, 700), (700, 0), (0, 0, 3), (0, 9, 3)])
@pytest.mark.parametrize("algorithm", ["phash", "dhash", "whash"])
def test_pictures_without_pixels_have_zeros_and_no_quality(algorithm, shape):
    """Nothing to see is no fault."""
    known, quality = hash_pixels(np.zeros(shape, np.uint8), algorithm)
    assert (known.data, quality) == (bytes(8), 0)
