"""A damaged, cut, foreign or contradictory file is refused by name, and nothing else happens."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import HashSetError
from scanner.hashset import Entry, HashSet, HashSetBuilder
from scanner.hashset import format as layout
from scanner.index import CROSSOVER
from scanner.types import PerceptualHash
from tests.conftest import pdq_hash


def refusal(path: Path, data: bytes) -> str:
    """Open bytes as a set, which must fail with the one error; gives its message."""
    path.write_bytes(data)
    with pytest.raises(HashSetError) as raised:
        HashSet.open(path)
    assert str(path) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_changed_byte_is_noticed(mask, small_path):
    """A byte changed anywhere, padding and footer included, makes the file no hash set."""
    data = small_path.read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= mask
        refusal(small_path, bytes(changed))


def test_every_cut_is_noticed(small_path):
    """A file cut anywhere is no hash set, down to the empty file."""
    data = small_path.read_bytes()
    for length in range(len(data)):
        refusal(small_path, data[:length])


@pytest.mark.parametrize("more", [b"\0", b"\n", bytes(64), b"PRESCAN\x01", None])
def test_appended_bytes_are_noticed(more, small_path):
    """A file grows no tail, and one set after another is not a set."""
    data = small_path.read_bytes()
    refusal(small_path, data + (data if more is None else more))
    refusal(small_path, (data if more is None else more) + data)


@given(start=st.integers(0, 1200), length=st.integers(1, 300), where=st.integers(0, 1200))
def test_moved_bytes_are_noticed(start, length, where, tmp_path_factory):
    """A piece copied over another piece is noticed unless it changed nothing."""
    path = tmp_path_factory.getbasetemp() / "moved.prescan"
    builder = HashSetBuilder("small", epoch=7)
    builder.add_all([Entry(pdq_hash(1), "one", 5), Entry(pdq_hash(2), "two", 5)])
    builder.write(path)
    data = path.read_bytes()
    piece = data[start : start + length]
    changed = (data[:where] + piece + data[where + len(piece) :])[: len(data)]
    if changed != data:
        refusal(path, changed)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused(data, tmp_path_factory):
    """No random file is a hash set."""
    refusal(tmp_path_factory.getbasetemp() / "random.prescan", data)


@pytest.mark.parametrize("place", [0, 5000, -5000])
def test_a_changed_byte_of_a_set_with_tables_is_noticed(place, tmp_path):
    """The tables are verified like everything else."""
    builder = HashSetBuilder("large")
    builder.add_all(Entry(PerceptualHash("pdq", number.to_bytes(32))) for number in range(CROSSOVER))
    builder.write(tmp_path / "set")
    data = bytearray((tmp_path / "set").read_bytes())
    data[place] ^= 1
    refusal(tmp_path / "set", bytes(data))


def taken_apart(data: bytes) -> tuple[bytes, dict]:
    """Everything before the header, and the header."""
    offset, length, _, _ = struct.unpack("<QQ32s8s", data[-56:])
    return data[:offset], json.loads(data[offset : offset + length])


def sealed(sections: bytes, header: object, **footer: object) -> bytes:
    """A file whose header and footer have valid digests, whatever they say."""
    raw = header if isinstance(header, bytes) else json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    fields = {"offset": len(sections), "length": len(raw), "magic": b"PRESCAN\x01"} | footer
    digest = hashlib.sha256(raw).digest()
    return sections + raw + struct.pack("<QQ32s8s", fields["offset"], fields["length"], digest, fields["magic"])


def replaced(sections: bytes, header: dict, name: str, data: bytes) -> bytes:
    """A file with one section's bytes replaced by others of the same length, all digests valid."""
    part = header["sections"][name]
    assert len(data) == part["length"]
    part["sha256"] = hashlib.sha256(data).hexdigest()
    return sealed(sections[: part["offset"]] + data + sections[part["offset"] + part["length"] :], header)


def test_taking_apart_and_sealing_again_gives_the_same_file(small_path):
    """The forgeries below differ from a sound file only in what they forge."""
    data = small_path.read_bytes()
    assert sealed(*taken_apart(data)) == data


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_named(version, small_path):
    """A file of a later release says so, by number, in the header."""
    sections, header = taken_apart(small_path.read_bytes())
    assert f"format version {version}" in refusal(small_path, sealed(sections, header | {"format": version}))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_footer_version_is_named(version, small_path):
    """The same for the footer."""
    sections, header = taken_apart(small_path.read_bytes())
    message = refusal(small_path, sealed(sections, header, magic=b"PRESCAN" + bytes([version])))
    assert f"footer version {version}" in message


WRONG_FIELDS = [
    {"count": 4}, {"count": 2}, {"count": 0}, {"count": -3}, {"count": 3.0}, {"count": "3"}, {"count": True},
    {"count": None}, {"count": [3]}, {"count": 2**63}, {"count": 10**400}, {"epoch": -1}, {"epoch": 1.5},
    {"epoch": True}, {"epoch": "7"}, {"radius": -1}, {"radius": 256}, {"radius": True}, {"radius": 31.0},
    {"quality_floor": 101}, {"quality_floor": -1}, {"quality_floor": False}, {"bits": 64}, {"bits": 0}, {"bits": -256},
    {"bits": 256.0}, {"algorithm": "phash"}, {"algorithm": "md5"}, {"algorithm": None}, {"algorithm": ["pdq"]},
    {"algorithm": {}}, {"name": 1}, {"name": None}, {"name": ["small"]}, {"format": None}, {"format": "1"},
    {"sections": None}, {"sections": []}, {"sections": {}}, {"sections": "codes"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_FIELDS, ids=lambda wrong: str(wrong)[:40])
def test_header_fields_that_contradict_the_file_are_refused(wrong, small_path):
    """Valid digests do not make a wrong header right."""
    sections, header = taken_apart(small_path.read_bytes())
    refusal(small_path, sealed(sections, header | wrong))


@pytest.mark.parametrize("key", ["format", "sections", *layout.HEADER_KEYS])
def test_headers_with_a_field_missing_are_refused(key, small_path):
    """Nothing has a default."""
    sections, header = taken_apart(small_path.read_bytes())
    del header[key]
    refusal(small_path, sealed(sections, header))


WRONG_PLACES = [
    {"offset": 0}, {"offset": -64}, {"offset": 64}, {"offset": 2**64}, {"offset": 10**300}, {"offset": None},
    {"offset": "x"}, {"length": 0}, {"length": -1}, {"length": 2**64}, {"length": 10**300}, {"length": None},
    {"length": []}, {"sha256": ""}, {"sha256": "0" * 64}, {"sha256": None}, {"sha256": 0},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_PLACES, ids=lambda wrong: str(wrong)[:40])
@pytest.mark.parametrize("name", ["clusters", "labels", "label_texts"])
def test_sections_that_overlap_or_lie_outside_are_refused(name, wrong, small_path):
    """Each section lies right after the one before and has the length its count asks."""
    sections, header = taken_apart(small_path.read_bytes())
    header["sections"][name] |= wrong
    refusal(small_path, sealed(sections, header))


@pytest.mark.parametrize("name", ["codes", "clusters", "labels", "label_texts"])
def test_files_with_a_section_missing_or_too_many_are_refused(name, small_path):
    """Every section but the tables is needed, and no other is known."""
    sections, header = taken_apart(small_path.read_bytes())
    refusal(
        small_path, sealed(sections, header | {"sections": header["sections"] | {"more": header["sections"][name]}})
    )
    refusal(
        small_path, sealed(sections, header | {"sections": header["sections"] | {"tables": header["sections"][name]}})
    )
    del header["sections"][name]
    refusal(small_path, sealed(sections, header))


def test_swapped_sections_are_refused(small_path):
    """Sections stand in one order."""
    sections, header = taken_apart(small_path.read_bytes())
    parts = header["sections"]
    parts["clusters"]["offset"], parts["labels"]["offset"] = parts["labels"]["offset"], parts["clusters"]["offset"]
    refusal(small_path, sealed(sections, header))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"1", b'"header"', b"{", b"{}", b"\xff\xfe\xff", b"NaN", b"[" * 200_000,
        b'{"a":' * 100_000, b'{"format":' + b"9" * 5000 + b"}", b'{"format": 1, "sections": {"codes": 1}}',
    ],
    ids=lambda raw: f"{raw[:12]!r}x{len(raw)}",
)  # fmt: skip
def test_headers_that_are_no_header_are_refused(raw, small_path):
    """Deep nesting, huge numbers, wrong encodings and other JSON raise the one error."""
    sections, _ = taken_apart(small_path.read_bytes())
    refusal(small_path, sealed(sections, raw))


@pytest.mark.parametrize(
    "footer",
    [{"offset": 0}, {"offset": 2**64 - 1}, {"length": 0}, {"length": 2**64 - 1}, {"offset": 2**63, "length": 2**63}],
)
def test_footers_that_point_elsewhere_are_refused(footer, small_path):
    """The header ends where the footer begins."""
    sections, header = taken_apart(small_path.read_bytes())
    refusal(small_path, sealed(sections, header, **footer))


def test_headers_of_more_than_a_mebibyte_are_refused(small_path):
    """A header is read whole, so it is bounded."""
    sections, header = taken_apart(small_path.read_bytes())
    refusal(small_path, sealed(sections, header | {"name": "x" * layout.LARGEST_HEADER}))


@pytest.mark.parametrize(
    ("place", "value"), [(0, b"X"), (4, b"\x40"), (12, b"\x02"), (20, b"\0"), (21, b"\0"), (25, b"\x01")]
)
def test_a_faiss_part_that_says_otherwise_is_refused(place, value, small_path):
    """FAISS reads its own header; it must say what ours says."""
    sections, header = taken_apart(small_path.read_bytes())
    length = header["sections"]["codes"]["length"]
    codes = sections[:place] + value + sections[place + 1 : length]
    assert "FAISS" in refusal(small_path, replaced(sections, header, "codes", codes))


def test_padding_that_holds_data_is_refused(small_path):
    """Nothing is smuggled between the sections."""
    sections, header = taken_apart(small_path.read_bytes())
    place = header["sections"]["codes"]["length"]
    assert "padding" in refusal(small_path, sealed(sections[:place] + b"x" + sections[place + 1 :], header))


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"null", b'"one"', b"[1,2,3]", b'["one","two",null]', b"[[[", b"[" * 100_000]
)
def test_labels_that_are_no_array_of_texts_are_refused(text, small_path):
    """The labels are JSON of one shape, however deep or short."""
    sections, header = taken_apart(small_path.read_bytes())
    part = header["sections"]["label_texts"]
    part |= {"length": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    sections = sections[: part["offset"]] + text + layout.padding(len(text))
    assert "labels" in refusal(small_path, sealed(sections, header))
