"""Hashes of pictures and of their edits, as they came: what every rate is made of.

Rules: each picture has a place for each variant and plug-in, whether or not there is a hash; for each that is not there
a reason is given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.kept import keep, kept
from scanner.errors import StorageError

UNCHANGED = "unchanged"
"""Name of the picture itself among its variants."""
NO_PLUGIN = ""
NO_QUALITY = -1

Codes = NDArray[np.uint8]


class Failure(NamedTuple):
    """A hash that is not there.

    Attributes:
        picture: its number.
        variant: the edit's name, or ``UNCHANGED``.
        plugin: the plug-in's name; empty if there was no picture to hash.
        reason: in a line.
    """

    picture: int
    variant: str
    plugin: str
    reason: str


@dataclass(frozen=True, eq=False)
class Hashed:
    """Hashes of pictures and their variants.

    Attributes:
        digest: of what they follow from.
        variants: names of what was hashed of each picture.
        bits: length of each plug-in's hashes.
        hashes: by plug-in; shape ``(variants, pictures, ceil(bits / 8))``, uint8; 0 where there is none.
        there: by plug-in, whether there is one; shape ``(variants, pictures)``, bool.
        quality: PDQ's, 0 to 100; -1 where there is no picture, or one too small; shape ``(variants, pictures)``, int16.
        failures: one for each hash that is not there, or for all of a picture or variant that is not.
    """

    digest: str
    variants: tuple[str, ...]
    bits: dict[str, int]
    hashes: dict[str, Codes]
    there: dict[str, NDArray[np.bool_]]
    quality: NDArray[np.int16]
    failures: tuple[Failure, ...]

    def write(self, path: Path) -> None:
        """Keep it in a file, whole or not at all; the same hashes make the same bytes.

        Raises:
            StorageError: it can't be written.
        """
        about = {"variants": self.variants, "bits": self.bits, "failures": self.failures}
        arrays: dict[str, NDArray[Any]] = {"about": as_text(about), "quality": self.quality}
        for number, name in enumerate(self.bits):
            arrays[f"hashes-{number}"], arrays[f"there-{number}"] = self.hashes[name], self.there[name]
        keep(path, arrays, self.digest)

    @classmethod
    def read(cls, path: Path, digest: str) -> Hashed:
        """Read what ``write`` wrote of a run of this digest.

        Raises:
            StorageError: there is none, it is damaged, or it is of another run.
        """
        held = kept(path, digest)
        if held is None:
            raise StorageError(f"{path} is missing, damaged, or of another run")
        about = json.loads(held["about"].tobytes())
        return cls(
            digest,
            tuple(about["variants"]),
            about["bits"],
            {name: held[f"hashes-{number}"] for number, name in enumerate(about["bits"])},
            {name: held[f"there-{number}"] for number, name in enumerate(about["bits"])},
            held["quality"],
            tuple(Failure(*failure) for failure in about["failures"]),
        )


def as_text(value: object) -> NDArray[np.uint8]:
    """Put plain values in an array, as JSON, for a file of arrays."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)
