"""Pictures inside other files: Qt resources (.rcc) and zip archives, as programs ship them.

Rules: only pictures come out, each under a name made here and never the container's; what is damaged or would grow
beyond measure is left out and told.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from scanner.errors import ArgumentError

ZIPS = frozenset({".zip", ".pk3", ".pk4", ".pkz", ".oxt", ".jar", ".kra", ".dz"})
RESOURCES = frozenset({".rcc"})
CONTAINERS = ZIPS | RESOURCES

LARGEST_MEMBER = 64 << 20
"""Bytes; no picture worth hashing is larger, and a larger one is more likely an attack on the reader."""

_FOLDER, _DEFLATED, _ZSTD = 2, 1, 4  # Qt's rcc.cpp: Flags
_NODE_BYTES = {1: 14, 2: 22, 3: 22}  # from version 2 on a node ends in a time


def pictures_in(path: Path, suffixes: frozenset[str]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield each picture in a container, by the name it has there.

    Args:
        path: the container; its suffix tells its kind.
        suffixes: of pictures, in small letters with their dot.

    Raises:
        ArgumentError: the container can't be read.
    """
    if path.suffix.lower() in RESOURCES:
        yield from _in_resource(path.read_bytes(), suffixes)
    else:
        yield from _in_zip(path, suffixes)


def _in_zip(path: Path, suffixes: frozenset[str]) -> Iterator[tuple[PurePosixPath, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = PurePosixPath(member.filename)
                if name.suffix.lower() in suffixes and not member.flag_bits & 1 and member.file_size <= LARGEST_MEMBER:
                    yield name, archive.read(member)
    except (zipfile.BadZipFile, OSError, NotImplementedError, zlib.error, EOFError) as error:
        raise ArgumentError(f"{path.name} can't be read: {error}") from error


def _in_resource(data: bytes, suffixes: frozenset[str]) -> Iterator[tuple[PurePosixPath, bytes]]:
    try:
        magic, version, tree, content, names = struct.unpack_from(">4s4I", data)
        if magic != b"qres" or version not in _NODE_BYTES:
            raise ArgumentError("not a Qt resource of version 1 to 3")
        yield from _nodes(data, (tree, content, names, _NODE_BYTES[version]), suffixes)
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise ArgumentError(f"a Qt resource is damaged: {error}") from error


def _nodes(data: bytes, places: Sequence[int], suffixes: frozenset[str]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Walk the tree; a node is taken once, so that no loop holds us up."""
    tree, content, names, size = places
    waiting, seen = [(0, PurePosixPath())], set()
    while waiting:
        number, above = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        name_at, flags = struct.unpack_from(">IH", data, tree + number * size)
        if flags & _FOLDER:
            count, first = struct.unpack_from(">II", data, tree + number * size + 6)
            folder = above / _name(data, names + name_at) if number else above
            if count * size > len(data):
                raise ArgumentError("a Qt resource is damaged: a folder is larger than the file")
            waiting += [(first + child, folder) for child in reversed(range(count))]
            continue
        name = above / _name(data, names + name_at)
        (start,) = struct.unpack_from(">I", data, tree + number * size + 10)
        (length,) = struct.unpack_from(">I", data, content + start)
        if name.suffix.lower() in suffixes and length <= LARGEST_MEMBER and not flags & _ZSTD:
            stored = data[content + start + 4 : content + start + 4 + length]
            yield name, _inflated(stored[4:]) if flags & _DEFLATED else stored


def _name(data: bytes, at: int) -> str:
    (length,) = struct.unpack_from(">H", data, at)
    return data[at + 6 : at + 6 + 2 * length].decode("utf-16-be").replace("/", "_").replace("\0", "_")


def _inflated(stored: bytes) -> bytes:
    out = zlib.decompressobj().decompress(stored, LARGEST_MEMBER + 1)
    return out if len(out) <= LARGEST_MEMBER else b""
