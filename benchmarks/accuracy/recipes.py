"""The data sets that papers measure on, as they are laid out on disk.

Rules: a recipe knows a data set's published layout, roles and terms, and takes no file that is not part of it; what was
made from a known picture is in that picture's group.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.accuracy.looks import SUFFIXES
from benchmarks.accuracy.manifest import ManifestError, Role
from benchmarks.accuracy.strata import Kind


@dataclass(frozen=True, slots=True)
class Find:
    """A picture file before it is looked at.

    Attributes:
        path: relative to the root, parts set apart by ``/``.
        role, licence, source: as in the list.
        group: of pictures known to show the same; left out for one of its own.
        kind: what its source holds, for the stratum.
    """

    path: str
    role: Role
    licence: str
    source: str
    group: str | None = None
    kind: Kind = Kind.MIXED


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a data set is laid out.

    Attributes:
        name: of the data set.
        home: where its terms are published.
        layout: what the folder has to hold, in a line.
        find: yields its pictures, none if the folder is not laid out so.
    """

    name: str
    home: str
    layout: str
    find: Callable[[Path], Iterator[Find]]


def picture_paths(root: Path, below: str = "") -> Iterator[str]:
    """Yield the pictures in a folder and below it, relative to the root, in no order."""
    for place, _, names in os.walk(root / below):
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES:
                yield Path(place, name).relative_to(root).as_posix()


COCO_FOLDERS = ("train2014", "val2014", "test2014", "test2015", "train2017", "val2017", "test2017", "unlabeled2017")
COCO_LICENCE = "Flickr terms of use; each picture's own in the annotations"


def _coco(root: Path) -> Iterator[Find]:
    licences: dict[str, str] = {}
    for path in sorted(root.glob("annotations/*.json")):
        licences |= _coco_licences(path)
    for folder in COCO_FOLDERS:
        for below in (folder, f"images/{folder}"):
            for found in picture_paths(root, below):
                licence = licences.get(Path(found).name, COCO_LICENCE)
                yield Find(found, Role.NEGATIVE, licence, f"COCO {folder}", kind=Kind.PHOTOGRAPHS)


def _coco_licences(path: Path) -> dict[str, str]:
    try:
        data = json.loads(path.read_bytes())
        names: dict[Any, str] = {licence["id"]: str(licence["name"]) for licence in data.get("licenses", ())}
        return {
            image["file_name"]: names[image["license"]]
            for image in data.get("images", ())
            if image.get("license") in names
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{path} is no annotation file of COCO: {error!r}") from None


def _mirflickr(root: Path) -> Iterator[Find]:
    """Both sizes: ``im1.jpg`` ... of the 25,000, and ``images/0/0.jpg`` ... of the million."""
    for path in picture_paths(root):
        name = Path(path).name
        stem = Path(path).stem
        if (name.startswith("im") and stem[2:].isdecimal()) or (
            stem.isdecimal() and Path(path).parent.name.isdecimal()
        ):
            million = stem.isdecimal()
            source = "MIRFLICKR-1M" if million else "MIRFLICKR-25000"
            yield Find(
                path, Role.NEGATIVE, "Creative Commons; each picture's own in meta/", source, kind=Kind.PHOTOGRAPHS
            )


def _imagenet(root: Path) -> Iterator[Find]:
    for base in ("ILSVRC/Data/CLS-LOC/", ""):
        for split in ("train", "val", "test"):
            for path in picture_paths(root, base + split):
                name = Path(path).name
                if name.startswith(("n", "ILSVRC2012_")):
                    yield Find(
                        path,
                        Role.NEGATIVE,
                        "ImageNet terms of access, research only",
                        f"ILSVRC2012 {split}",
                        kind=Kind.PHOTOGRAPHS,
                    )


DISC_LICENCE = "DISC21 licence, research only"
_DISC_ROLES = {"R": Role.KNOWN, "T": Role.NEGATIVE, "Q": Role.QUERY}


def _disc21(root: Path) -> Iterator[Find]:
    """``R`` references, ``T`` training pictures, ``Q`` queries: derived where the ground truth names a reference."""
    truth: dict[str, str] = {}
    for path in sorted(root.glob("*ground*truth*.csv")):
        truth |= _disc21_truth(path)
    for found in picture_paths(root):
        stem = Path(found).stem
        if stem[0] in _DISC_ROLES and stem[1:].isdecimal() and len(stem) >= 6:
            reference = truth.get(stem)
            role = _DISC_ROLES[stem[0]] if reference is None else Role.DERIVED
            yield Find(found, role, DISC_LICENCE, "DISC21", group=reference or stem, kind=Kind.PHOTOGRAPHS)


def _disc21_truth(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="") as file:
            return {row[0]: row[1] for row in csv.reader(file) if len(row) == 2 and row[0][:1] == "Q" and row[1]}
    except (OSError, ValueError, csv.Error) as error:
        raise ManifestError(f"{path} is no ground truth of DISC21: {error}") from None


def _copydays(root: Path) -> Iterator[Find]:
    """Names are numbers: all but the last two digits tell the original."""
    for folder, role in (
        ("original", Role.KNOWN),
        ("strong", Role.DERIVED),
        ("crops", Role.DERIVED),
        ("jpegqual", Role.DERIVED),
        ("jpeg", Role.DERIVED),
    ):
        for path in picture_paths(root, folder):
            stem = Path(path).stem
            if stem.isdecimal():
                group = f"copydays-{int(stem) // 100}"
                source = f"Copydays {Path(path).parent.as_posix()}"
                yield Find(path, role, "Copydays terms, research only", source, group, Kind.PHOTOGRAPHS)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "coco": Recipe("COCO", "cocodataset.org", "val2017/000000000139.jpg, with or without annotations/", _coco),
        "mirflickr": Recipe("MIRFLICKR", "press.liacs.nl/mirflickr", "im1.jpg or images/0/0.jpg below it", _mirflickr),
        "imagenet": Recipe(
            "ImageNet",
            "image-net.org",
            "train/n01440764/*.JPEG or val/*.JPEG, there or in ILSVRC/Data/CLS-LOC",
            _imagenet,
        ),
        "disc21": Recipe(
            "DISC21", "ai.meta.com/datasets/disc21-dataset", "R000000.jpg, Q00000.jpg, T000000.jpg", _disc21
        ),
        "copydays": Recipe(
            "Copydays",
            "lear.inrialpes.fr/~jegou/data.php",
            "original/200000.jpg beside strong/, crops/, jpegqual/",
            _copydays,
        ),
    }
)
"""Data sets that can be named; where a folder holds them, nothing is fetched."""
