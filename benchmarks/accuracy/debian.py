"""Real pictures out of Debian packages, where no data set can be downloaded.

Rules: packages are fetched and unpacked, never installed or run; only pictures, copyright files and the record of what
was fetched are kept; a package that fails is told and left out, and the others are a corpus all the same.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from benchmarks import debs
from benchmarks.accuracy.containers import CONTAINERS, pictures_in
from benchmarks.accuracy.corpora import Corpus, build
from benchmarks.accuracy.looks import SUFFIXES
from benchmarks.accuracy.manifest import Role
from benchmarks.accuracy.packages import PRESETS, Preset
from benchmarks.accuracy.recipes import Find
from scanner.errors import ArgumentError, StorageError, UnknownNameError

Tell = Callable[[str], None]

DOCUMENTS = Path("usr/share/doc")


def default_cache() -> Path:
    """Folder in which packages are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "prescan" / "packages"


def preset_named(name: str) -> Preset:
    """Find a preset.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, tuple(PRESETS))
    return PRESETS[name]


def fetch_preset(preset: Preset, cache: Path, tell: Tell) -> list[debs.Deb]:
    """Fetch a preset's packages that are not there yet.

    Args:
        preset: which packages, and how many bytes at most.
        cache: folder that holds a folder a package.
        tell: given a line for each package that is fetched or left out.

    Returns:
        the packages that are there, in the preset's order.

    Raises:
        StorageError: this is no Debian, or no package at all can be had.
    """
    debs.require_apt()
    cache.mkdir(parents=True, exist_ok=True)
    found, total, last = [], 0, ""
    for name in preset.sources:
        try:
            here = (cache / name).is_dir()
            size = debs.fetched(cache / name).archive_bytes if here else debs.archive_size(name)
            if total + size > preset.largest_download:
                tell(f"left out {name}: with its {size / 1e6:.0f} MB more than {preset.largest_download / 1e6:.0f} MB")
                continue
            if not here:
                tell(f"fetching {name}, {size / 1e6:.0f} MB")
            found.append(debs.fetch(name, cache, partial(keep_pictures, tell=tell)))
            total += size
        except StorageError as error:
            last = str(error)
            tell(f"left out {name}: {last}")
    if not found:
        raise StorageError(f"no package of the preset can be had; the last failed so: {last}")
    return found


def keep_pictures(folder: Path, tell: Tell) -> None:
    """Take the pictures out of the containers in a folder, and remove all that is neither picture nor copyright file.

    Links are removed too, so that nothing in the folder leads out of it.

    Args:
        folder: what was unpacked.
        tell: given a line for each container that can't be read to its end.
    """
    for place, folders, names in os.walk(folder, topdown=False):
        for path in (Path(place, name) for name in sorted(names)):
            if path.is_symlink():
                path.unlink()
                continue
            suffix = path.suffix.lower()
            if suffix in CONTAINERS:
                _take_out(path, tell)
            if suffix not in SUFFIXES and not (path.name == "copyright" and DOCUMENTS.name in path.parts):
                path.unlink()
        for inner in (Path(place, name) for name in folders):
            if inner.is_symlink():
                inner.unlink()
            elif not any(inner.iterdir()):
                inner.rmdir()


def finds(preset: Preset, cache: Path, packages: list[debs.Deb]) -> Iterator[Find]:
    """Yield each picture of these packages, package by package, in order of path."""
    for deb in packages:
        source = preset.sources[deb.name]
        for place, folders, names in os.walk(cache / deb.name):
            folders.sort()
            for path in (Path(place, name) for name in sorted(names)):
                if path.suffix.lower() in SUFFIXES:
                    relative = path.relative_to(cache).as_posix()
                    yield Find(
                        relative, Role.NEGATIVE, licence=deb.licence, source=deb.source, kind=source.kind_of(relative)
                    )


def debian_corpus(name: str, cache: Path, tell: Tell, executor: Executor | None = None) -> Corpus:
    """Fetch a preset and list its pictures; the manifest's root is the cache.

    Args:
        name: ``small`` or ``full``.
        cache: folder that holds a folder a package; :func:`default_cache` for the usual one.
        tell: given a line for each step and each package left out.
        executor: reads the pictures in its workers; in this process if left out.

    Raises:
        StorageError: no package can be had. UnknownNameError: no such preset.
    """
    preset = preset_named(name)
    packages = fetch_preset(preset, cache, tell)
    return build(
        cache, finds(preset, cache, packages), smallest_side=preset.smallest_side, executor=executor, tell=tell
    )


def _take_out(container: Path, tell: Tell) -> None:
    """Write the pictures in a container beside it; of a damaged one, those that could be read."""
    folder = container.with_name(container.name + ".d")
    try:
        for number, (inside, data) in enumerate(pictures_in(container, SUFFIXES)):
            target = folder.joinpath(
                *(_plain(part) for part in inside.parts[:-1]), f"{number:05}-{_plain(inside.name)}"
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    except ArgumentError as error:
        tell(f"left out what else is in {container.name}: {error}")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _plain(name: str) -> str:
    """Make a name from a container safe as one part of a path here."""
    kept = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)[-100:]
    return kept if kept.strip(".") else "_"
