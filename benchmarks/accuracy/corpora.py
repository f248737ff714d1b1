"""Corpora by path: any folder, and recipes for the data sets that papers measure on.

Rules: nothing is downloaded here; a recipe knows a data set's published layout, roles and licence, and refuses a
folder that is not laid out so; each picture is decoded before it is listed; what is left out is counted by its reason.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks.accuracy.looks import SUFFIXES, Look, look_at
from benchmarks.accuracy.manifest import Manifest, ManifestError, Picture, Role, is_inside
from benchmarks.accuracy.strata import Kind, stratum_of
from scanner.errors import ArgumentError, UnknownNameError

CHUNK = 32
"""Pictures given to a worker at a time."""

TOLD_EVERY = 2000

_SAME = "the same content as another"


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


class Corpus(NamedTuple):
    """A list, and what did not get on it.

    Attributes:
        manifest: the pictures.
        left_out: how many files were left out, by reason, the most frequent first.
    """

    manifest: Manifest
    left_out: Mapping[str, int]


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


def build(
    root: Path,
    found: Iterable[Find],
    *,
    smallest_side: int = 1,
    executor: Executor | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Corpus:
    """Look at files and list them, each content once: the first path in order stands.

    Args:
        root: folder that the paths are relative to.
        found: the files.
        smallest_side: pixels; pictures with a shorter side are left out.
        executor: reads the files in its workers; in this process if left out. The list is the same.
        tell: given a line now and then.

    Raises:
        ManifestError: no picture is left.
    """
    left_out: Counter[str] = Counter()
    ordered = []
    for item in sorted(found, key=lambda item: item.path):
        if is_inside(item.path) and not (root / item.path).is_symlink():
            ordered.append(item)
        else:
            left_out["a link, or a name that can't be written down"] += 1
    call = partial(_look, os.fspath(root), smallest_side)
    paths = [item.path for item in ordered]
    looks = map(call, paths) if executor is None else executor.map(call, paths, chunksize=CHUNK)
    pictures: dict[str, Picture] = {}
    for number, (item, look) in enumerate(zip(ordered, looks, strict=True), 1):
        if isinstance(look, str):
            left_out[look] += 1
        elif look.sha256 in pictures:
            left_out[_SAME] += 1
        else:
            pictures[look.sha256] = _listed(item, look)
        if number % TOLD_EVERY == 0:
            tell(f"looked at {number:,} of {len(paths):,} files, {len(pictures):,} pictures")
    if not pictures:
        raise ManifestError(f"{root} holds no picture that can be listed: {dict(left_out.most_common(5))}")
    return Corpus(Manifest.of(pictures.values()), MappingProxyType(dict(left_out.most_common())))


def folder_corpus(
    root: Path,
    *,
    licence: str = "unknown",
    source: str = "folder",
    role: Role = Role.NEGATIVE,
    smallest_side: int = 1,
    executor: Executor | None = None,
) -> Corpus:
    """List every picture in a folder and below it.

    Raises:
        ManifestError: there is none.
    """
    found = (Find(path, role, licence, source) for path in picture_paths(root))
    return build(root, found, smallest_side=smallest_side, executor=executor)


def recipe_corpus(name: str, root: Path, *, executor: Executor | None = None) -> Corpus:
    """List a data set that lies in a folder.

    Args:
        name: one of :data:`RECIPES`.
        root: the folder.
        executor: reads the pictures in its workers; in this process if left out.

    Raises:
        UnknownNameError: there is no such recipe.
        ManifestError: the folder is not laid out as the data set is, or a file of it can't be read.
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, tuple(RECIPES))
    recipe = RECIPES[name]
    found = list(recipe.find(root))
    if not found:
        raise ManifestError(f"{root} is not laid out as {recipe.name}: expected {recipe.layout}")
    return build(root, found, executor=executor)


def picture_paths(root: Path, below: str = "") -> Iterator[str]:
    """Yield the pictures in a folder and below it, relative to the root, in no order."""
    for place, _, names in os.walk(root / below):
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES:
                yield Path(place, name).relative_to(root).as_posix()


def _look(root: str, smallest_side: int, path: str) -> Look | str:
    """Look at a file, or say why not; errors come back as text so that one file ends nobody's run."""
    try:
        return look_at(Path(root, path), smallest_side)
    except ArgumentError as error:
        return str(error).partition(":")[0]


def _listed(item: Find, look: Look) -> Picture:
    return Picture(
        look.sha256,
        item.path,
        look.width,
        look.height,
        look.mode,
        item.role,
        item.group or look.sha256,
        stratum_of(look, item.kind),
        item.licence,
        item.source,
    )


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
