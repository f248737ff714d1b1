"""A list of the pictures that error rates are measured on: JSON lines, one picture a line.

Rules: the first line says format, version, number of pictures, and the digest of the rest with how it is made; pictures
are distinct by content and in order of path; paths are relative to a root that is not written down, so a list is the
same on every machine; a list is read whole and as this version writes it, or refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from scanner.errors import RemoteError
from scanner.files import replace_file

FORMAT = "prescan-pictures"
VERSION = 1
DIGEST_RULE = "sha256 of every line after this one, each with its line feed"
LARGEST_SIDE = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ManifestError(RemoteError, ValueError):
    """A list of pictures is not one, or not as this version writes it."""


class Role(StrEnum):
    """What a picture is there for.

    Attributes:
        NEGATIVE: shows nothing that any other picture shows; only such pairs are false matches.
        QUERY: a picture that is asked about and is on no list.
        KNOWN: is on the list.
        DERIVED: a query made from a known picture, which is in its group.
    """

    NEGATIVE = "negative"
    QUERY = "query"
    KNOWN = "known"
    DERIVED = "derived"


class Stratum(StrEnum):
    """Kinds of pictures that have error rates of their own."""

    PHOTOGRAPH = "photograph"
    DRAWING = "drawing"
    TEXTURE = "texture"
    DOCUMENT = "document"
    ICON = "icon"


@dataclass(frozen=True, slots=True)
class Picture:
    """A line of the list.

    Attributes:
        sha256: of the file, in hex.
        path: of the file, relative to the corpus's root, parts set apart by ``/``.
        width, height: in pixels, as stored: before any turn that EXIF asks for.
        mode: Pillow's name for what a pixel is.
        role: what it is there for.
        group: name of the cluster of pictures that show the same thing; what the intervals are made over.
        stratum: what it looks like.
        licence: under which it may be used, as its source says.
        source: package and version, or data set.
    """

    sha256: str
    path: str
    width: int
    height: int
    mode: str
    role: Role
    group: str
    stratum: Stratum
    licence: str
    source: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ManifestError("sha256 is not 64 hex digits")
        if not is_inside(self.path):
            raise ManifestError(f"path {self.path!r} is not a plain path inside the root")
        if not all(0 < side <= LARGEST_SIDE for side in (self.width, self.height)):
            raise ManifestError(f"a picture of {self.width} x {self.height} pixels is none")
        if not all((self.mode, self.group, self.licence, self.source)):
            raise ManifestError("mode, group, licence and source are never empty")

    def line(self) -> str:
        """Write it the one way it is written, without the line feed."""
        return _json({field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def of_line(cls, line: str) -> Picture:
        """Read a line.

        Raises:
            ManifestError: it is no picture, or not written as :meth:`line` writes it.
        """
        values = _object(line)
        expected = {field.name: field.type for field in fields(cls)}
        if list(values) != list(expected):
            raise ManifestError(f"its fields are not {', '.join(expected)}")
        for name, value in values.items():
            if type(value) is not (int if expected[name] == "int" else str):
                raise ManifestError(f"{name} is not of its type, {'int' if expected[name] == 'int' else 'str'}")
        try:
            values["role"], values["stratum"] = Role(values["role"]), Stratum(values["stratum"])
        except ValueError as error:
            raise ManifestError(str(error)) from None
        picture = cls(**values)
        if picture.line() != line:
            raise ManifestError("it is not written as this version writes it")
        return picture


@dataclass(frozen=True)
class Manifest:
    """Pictures, distinct by content and path, in order of path.

    Raises:
        ManifestError: two have the same content or path, or they are out of order.
    """

    pictures: tuple[Picture, ...]

    def __post_init__(self) -> None:
        for name, values in (("path", self.paths), ("sha256", [picture.sha256 for picture in self.pictures])):
            if len(set(values)) < len(values):
                twice = Counter(values).most_common(1)[0][0]
                raise ManifestError(f"two pictures have the {name} {twice}")
        if self.paths != sorted(self.paths):
            raise ManifestError("the pictures are not in order of path")

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> Manifest:
        """Put pictures in order."""
        return cls(tuple(sorted(pictures, key=lambda picture: picture.path)))

    @property
    def paths(self) -> list[str]:
        """Every picture's path, in order."""
        return [picture.path for picture in self.pictures]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the pictures' lines, in hex: the same wherever the corpus lies, another if anything is changed."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(f"{picture.line()}\n".encode())
        return digest.hexdigest()

    def with_role(self, *roles: Role) -> tuple[Picture, ...]:
        """Choose the pictures that are there for one of these."""
        return tuple(picture for picture in self.pictures if picture.role in roles)

    def counts(self) -> dict[str, int]:
        """Count the pictures in each stratum that has any."""
        found = Counter(picture.stratum for picture in self.pictures)
        return {stratum.value: found[stratum] for stratum in Stratum if found[stratum]}

    def write(self, path: Path) -> None:
        """Write it to a file: the same list gives the same bytes.

        Raises:
            StorageError: it can't be written.
        """
        lines = (self._header(), *(picture.line() for picture in self.pictures))
        replace_file(path, (f"{line}\n".encode() for line in lines))

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a file that :meth:`write` wrote.

        Raises:
            ManifestError: it can't be read, is cut or changed, or of another version; the line is named.
        """
        try:
            text = path.read_bytes().decode()
        except OSError as error:
            raise ManifestError(f"can't read {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ManifestError(f"{path} is not UTF-8 at byte {error.start}") from None
        header, *lines = text.split("\n")
        pictures: list[Picture] = []
        number = 1
        try:
            _check_version(_object(header))
            if not lines or lines.pop():
                raise ManifestError("the file is cut: its last line has no end")
            for line in lines:
                number += 1
                pictures.append(Picture.of_line(line))
            number = 1
            manifest = cls(tuple(pictures))
            if manifest._header() != header:
                raise ManifestError("the digest or number of pictures is not that of the lines: the file was changed")
        except ManifestError as error:
            raise ManifestError(f"{path}, line {number}: {error}") from None
        return manifest

    def _header(self) -> str:
        return _json(
            {
                "format": FORMAT,
                "version": VERSION,
                "pictures": len(self.pictures),
                "digest_rule": DIGEST_RULE,
                "digest": self.digest,
            }
        )


def is_inside(path: str) -> bool:
    """Say whether a path is relative, plain, and stays inside its root."""
    plain = PurePosixPath(path)
    return (
        plain.as_posix() == path
        and not plain.is_absolute()
        and ".." not in plain.parts
        and path != "."
        and path.isprintable()
        and "\\" not in path
    )


def _check_version(header: dict[str, Any]) -> None:
    if header.get("format") != FORMAT:
        raise ManifestError(f"this is no list of pictures: its format is not {FORMAT}")
    if header.get("version") != VERSION or header.get("digest_rule") != DIGEST_RULE:
        raise ManifestError(f"the list is of another version than {VERSION}; build it again")


def _object(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"it is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise ManifestError("it is no JSON object")
    return values


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
