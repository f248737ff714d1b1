"""Corpora by path: any folder, or a data set by its recipe.

Rules: nothing is downloaded here; each picture is decoded before it is listed, and listed once; what is left out is
counted by its reason; a folder that is not laid out as its data set is refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from benchmarks.accuracy.looks import Look, look_at
from benchmarks.accuracy.manifest import Manifest, ManifestError, Picture, Role, is_inside
from benchmarks.accuracy.recipes import RECIPES, Find, picture_paths
from benchmarks.accuracy.strata import stratum_of
from scanner.errors import ArgumentError, UnknownNameError

CHUNK = 32
"""Pictures given to a worker at a time."""

TOLD_EVERY = 2000

_SAME = "the same content as another"


class Corpus(NamedTuple):
    """A list, and what did not get on it.

    Attributes:
        manifest: the pictures.
        left_out: how many files were left out, by reason, the most frequent first.
    """

    manifest: Manifest
    left_out: Mapping[str, int]


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
