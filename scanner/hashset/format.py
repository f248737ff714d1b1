"""The hash-set file: known hashes with their clusters and labels, in one verified, memory-mapped file.

Rules:
1. The file begins with a FAISS IndexBinaryFlat of the codes, so ``faiss.read_index_binary(path)`` reads it as it is.
2. Every byte is covered by a SHA-256: sections by the header, the header by the footer. The SHA-256 of the header
   without the calibration is the set's digest: two files with one digest hold the same list.
3. The footer comes last, so a file cut anywhere is no hash set. Nothing is unpickled; all integers are little-endian.
4. A file is written whole under another name and renamed into place: a reader sees the old list or the new one.
5. Policies and vouchers name the digest, and a calibration can be measured only of a list that has one. So attaching it
   changes no other section and not the digest: what is matched stays what was signed, and the calibration is unsigned.

Layout::

    codes      FAISS IndexBinaryFlat: 33 bytes of FAISS header, then count x bits/8 bytes
    padding    zeros up to a multiple of 64 (also after each section below)
    clusters   count x u64
    labels     count x u32, each a position in label_texts
    label_texts  JSON array of the distinct labels, ASCII
    videos     only if there are some: u64 cluster, u64 number of entries that are its frames; clusters ascending
    tables     only in larger sets: the search tables of the codes (scanner.index.tables)
    removed    only in a delta: i64 positions in the base that no longer count, ascending
    calibration  only if it was attached: how often the list is wrong, as JSON (scanner.hashset.certificate)
    header     JSON object, keys sorted, ASCII (HEADER_KEYS); names each section's offset, length, SHA-256
    footer     u64 header offset, u64 header length, 32 bytes SHA-256 of the header, 8 bytes MAGIC
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any

from scanner.errors import HashSetError
from scanner.profiles import ALGORITHMS

FORMAT_VERSION = 1
MAGIC = b"PRESCAN\x01"
ALIGNMENT = 64
VIDEO_BYTES = 16
SECTIONS = ("codes", "clusters", "labels", "label_texts", "videos", "tables", "removed", "calibration")
OPTIONAL = frozenset({"videos", "tables", "removed", "calibration"})
LARGEST_HEADER = 1 << 20
LARGEST_CALIBRATION = 1 << 20

_FOOTER = struct.Struct("<QQ32s8s")
FOOTER_BYTES = _FOOTER.size
_FAISS = struct.Struct("<4siiq?iQ")  # fourcc, bits, code bytes, count, trained, metric, vector length
FAISS_HEADER_BYTES = _FAISS.size
_FAISS_L2 = 1


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section lies and what it must hash to."""

    offset: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a hash set says of itself.

    Attributes:
        name: the list's name, shown to people.
        epoch: number of this edition of the list; later is higher.
        algorithm: algorithm and lineage of the hashes.
        bits: length of a hash.
        radius: largest distance that counts as a match, inclusive.
        quality_floor: pictures below it are neither listed nor matched.
        count: number of entries.
        sections: where the parts lie.
        base: of a delta: digest of the set it goes on top of, 64 hexadecimal digits.
    """

    name: str
    epoch: int
    algorithm: str
    bits: int
    radius: int
    quality_floor: int
    count: int
    sections: Mapping[str, Section]
    base: str | None = None

    def to_bytes(self) -> bytes:
        """Write the header as canonical JSON."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in HEADER_KEYS}
        fields["format"] = FORMAT_VERSION
        if self.base is not None:
            fields["base"] = self.base
        fields["sections"] = {
            name: {"offset": part.offset, "length": part.length, "sha256": part.sha256}
            for name, part in self.sections.items()
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Read a header and check that it makes sense.

        Raises:
            HashSetError: anything is missing, of the wrong type, out of range or contradicts the rest.
        """
        try:
            fields = json.loads(data)
            version = fields["format"]
            if type(version) is not int or version != FORMAT_VERSION:
                raise HashSetError(
                    f"the hash set has format version {version}; this release reads {FORMAT_VERSION}. "
                    "Install a newer prescan, or build the set again"
                )
            sections = {name: Section(**part) for name, part in fields["sections"].items()}
            header = cls(**{name: fields[name] for name in HEADER_KEYS}, sections=sections, base=fields.get("base"))
            header.check()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HashSetError(f"the hash set's header is not valid ({type(error).__name__}: {error})") from error
        if header.to_bytes() != data:
            raise HashSetError("the hash set's header is not written as it should be")
        return header

    @property
    def digest(self) -> bytes:
        """SHA-256 of the header as it is without a calibration: the set's digest, 32 bytes."""
        return hashlib.sha256(self.without_calibration().to_bytes()).digest()

    def without_calibration(self) -> Header:
        """The header as it was before a calibration was attached."""
        return replace(self, sections={name: self.sections[name] for name in self.present() if name != "calibration"})

    def end(self) -> int:
        """Where the sections end, padding included, and the header begins."""
        last = self.sections[self.present()[-1]]
        return last.offset + last.length + len(padding(last.length))

    def present(self) -> list[str]:
        """Names of the sections the file has, in order."""
        return [name for name in SECTIONS if name in self.sections]

    def check(self) -> None:
        """Raise HashSetError unless the fields agree with each other."""
        numbers = {name: getattr(self, name) for name in HEADER_KEYS if name not in {"name", "algorithm"}}
        numbers |= {f"{name} {key}": getattr(part, key) for name, part in self.sections.items() for key in _PLACES}
        wrong = [name for name, value in numbers.items() if type(value) is not int or not 0 <= value < 2**53]
        if wrong or not isinstance(self.name, str) or not isinstance(self.algorithm, str):
            raise HashSetError(f"the hash set's header is not valid (wrong type: {', '.join(wrong) or 'text'})")
        known = ALGORITHMS.get(self.algorithm)
        if known is None or known.bits != self.bits:
            raise HashSetError(f"the hash set is of {self.bits}-bit {self.algorithm} hashes, which are unknown here")
        if (self.base is None) == ("removed" in self.sections) or not isinstance(self.base, (str, NoneType)):
            raise HashSetError("the hash set's header names a base without removals, or removals without a base")
        if self.radius >= self.bits or self.quality_floor > 100:
            raise HashSetError("the hash set's radius or quality floor is out of range")
        lengths = {
            "codes": FAISS_HEADER_BYTES + self.count * self.bits // 8,
            "clusters": 8 * self.count,
            "labels": 4 * self.count,
        }
        if "videos" in self.sections and (
            self.sections["videos"].length % VIDEO_BYTES or not self.sections["videos"].length
        ):
            raise HashSetError("the hash set's videos are no whole records")
        if "removed" in self.sections and self.sections["removed"].length % 8:
            raise HashSetError("the hash set's removals are no whole numbers")
        if "calibration" in self.sections and self.sections["calibration"].length > LARGEST_CALIBRATION:
            raise HashSetError(f"the hash set's calibration is over {LARGEST_CALIBRATION:,} bytes")
        if not set(SECTIONS) - OPTIONAL <= set(self.sections) <= set(SECTIONS) or any(
            self.sections[name].length != length for name, length in lengths.items()
        ):
            raise HashSetError("the hash set's sections do not fit its count of entries")


_PLACES = ("offset", "length")
HEADER_KEYS = ("name", "epoch", "algorithm", "bits", "radius", "quality_floor", "count")


def faiss_prefix(bits: int, count: int) -> bytes:
    """Write what FAISS puts before the codes of an IndexBinaryFlat."""
    return _FAISS.pack(b"IBxF", bits, bits // 8, count, True, _FAISS_L2, count * bits // 8)


def footer(header_offset: int, header: bytes) -> bytes:
    """Write the footer that points at a header."""
    return _FOOTER.pack(header_offset, len(header), hashlib.sha256(header).digest(), MAGIC)


def locate_header(file: memoryview) -> tuple[int, int, bytes]:
    """Read the footer of a whole file: header offset, header length, SHA-256 of the header.

    Raises:
        HashSetError: the file is cut, corrupt, or something else.
    """
    if len(file) < FOOTER_BYTES:
        raise HashSetError("the file is too short to be a hash set")
    offset, length, digest, magic = _FOOTER.unpack(file[-FOOTER_BYTES:])
    if magic[:-1] != MAGIC[:-1]:
        raise HashSetError("the file is not a hash set, or it was cut: its closing mark is missing")
    if magic != MAGIC:
        raise HashSetError(f"the hash set has footer version {magic[-1]}; this release reads {MAGIC[-1]}")
    if length > LARGEST_HEADER or offset + length + FOOTER_BYTES != len(file):
        raise HashSetError("the hash set's footer points outside the file: it is corrupt")
    return offset, length, digest


def padding(length: int) -> bytes:
    """Zeros that bring a length up to the next multiple of ALIGNMENT."""
    return bytes(-length % ALIGNMENT)


def gaps(header: Header, header_offset: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the padding between sections, which must be zeros.

    Raises:
        HashSetError: sections overlap, leave the file or lie further apart than padding explains.
    """
    position = 0
    for name in header.present():
        part = header.sections[name]
        if part.offset != position:
            raise HashSetError(f"the hash set's section {name} is not where it belongs: the file is corrupt")
        end = part.offset + part.length
        position = end + (-end % ALIGNMENT)
        yield end, position
    if position != header_offset:
        raise HashSetError("the hash set's header is not where it belongs: the file is corrupt")
