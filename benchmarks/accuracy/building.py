"""Build a corpus in a folder: list its pictures, take near copies out, and write down how.

Rules: what is left out is written down; a corpus that is there is not built again; the folder of the pictures is in
``corpus.json`` alone, so that the list is the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from benchmarks.accuracy.corpora import Corpus, folder_corpus, recipe_corpus
from benchmarks.accuracy.debian import debian_corpus, default_cache
from benchmarks.accuracy.manifest import Manifest
from benchmarks.accuracy.packages import PRESETS as PACKAGES
from benchmarks.accuracy.pools import processes
from benchmarks.accuracy.purge import purge
from scanner.errors import ArgumentError, StorageError
from scanner.files import replace_file

Tell = Callable[[str], None]


def build(kind: str, root: Path | None, out: Path, *, purged: bool, tell: Tell) -> Path:
    """Build a corpus in a folder.

    Args:
        kind: a preset of packages, a recipe, or ``folder``.
        root: of the pictures; of packages, the cache, the usual one if left out.
        out: gets ``manifest.jsonl``, ``purged.jsonl`` and ``corpus.json``.
        purged: take near copies out.
        tell: given a line for each step.

    Returns:
        the path of the list.

    Raises:
        ArgumentError: the root is missing or no folder.
        ManifestError: there is no picture. StorageError: a file can't be written, or no package be had.
        UnknownNameError: no such kind.
    """
    with processes() as pool:
        executor = pool.executor
        corpus = _found(kind, root, executor, tell)
        place = _root(kind, root)
        counted = ", ".join(f"{number:,} {name}" for name, number in corpus.manifest.counts().items())
        tell(f"{len(corpus.manifest.pictures):,} pictures: {counted}")
        manifest, summary = corpus.manifest, None
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"can't make {out}: {error.strerror}") from error
        if purged:
            found = purge(manifest, place, executor=executor, tell=tell)
            found.write(out / "purged.jsonl")
            manifest = found.manifest
            left = sum(len(group) - 1 for group in found.groups)
            summary = {"groups": len(found.groups), "purged": left, "confirmed": len(found.confirmed),
                       "proposed": found.proposed}  # fmt: skip
            tell(f"{left:,} near copies left out, {len(manifest.pictures):,} pictures stay")
    manifest.write(out / "manifest.jsonl")
    about = {"root": str(place.resolve()), "purge": summary, "left_out": dict(corpus.left_out),
             "digest": manifest.digest}  # fmt: skip
    replace_file(out / "corpus.json", [json.dumps(about, indent=1).encode()])
    return out / "manifest.jsonl"


def _found(kind: str, root: Path | None, executor: Executor, tell: Tell) -> Corpus:
    if kind in PACKAGES:
        return debian_corpus(kind, _root(kind, root), tell, executor)
    if root is None:
        raise ArgumentError(f"--root names the folder of {kind}")
    if not root.is_dir():
        raise ArgumentError(f"{root} is no folder")
    return folder_corpus(root, executor=executor) if kind == "folder" else recipe_corpus(kind, root, executor=executor)


def _root(kind: str, root: Path | None) -> Path:
    return default_cache() if root is None and kind in PACKAGES else root or Path()


def listed(corpus: str, root: Path | None, out: Path, tell: Tell) -> tuple[Manifest, Path, dict[str, Any]]:
    """Find the corpus that a run names: a preset, which is built once, or the folder or list of one that was built.

    Args:
        corpus: name of a preset, or path.
        root: of the pictures; as it was built if left out.
        out: of the run; a preset's corpus is built in it.
        tell: given a line for each step.

    Returns:
        the list, the root, and what is known of how it was made.

    Raises:
        ArgumentError: the root is not known; otherwise as of ``build``.
    """
    place = Path(corpus)
    if corpus in PACKAGES:
        place = out / f"corpus-{corpus}"
        if not (place / "corpus.json").exists():
            build(corpus, root, place, purged=True, tell=tell)
    path = place / "manifest.jsonl" if place.is_dir() else place
    manifest = Manifest.read(path)
    about: dict[str, Any] = {}
    try:
        held = json.loads(path.with_name("corpus.json").read_bytes())
        about = held if held["digest"] == manifest.digest else {}
    except (OSError, ValueError, KeyError, TypeError):
        tell(f"{path} stands alone: what was left out of it is not known")
    found = root or about.get("root")
    if found is None:
        raise ArgumentError(f"--root names the folder that the paths in {path} begin at")
    return manifest, Path(found), {name: about[name] for name in ("purge", "left_out") if name in about}
