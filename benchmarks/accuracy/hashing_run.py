"""Hash every picture of a corpus, and its edits, with every plug-in: raw, in chunks that are kept.

    run = Hashing(pictures, manifest.digest, plugins=("pdq", "phash-256"), rungs=("jpeg-q50", "crop-all-5"))
    hashed = hash_all(run, root, folder)

Rules: a picture that can't be read, an edit that can't be made and a hash that does not come are written down with the
reason and leave a gap, never a shorter list; a chunk's name follows from the pictures' content, the ladder and the
versions of all that makes bits, never from where the pictures lie.

A plug-in whose code changes without its version is not noticed: start anew in an empty folder then.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy.alterations import as_rgb
from benchmarks.accuracy.banks import digest_of
from benchmarks.accuracy.edits import ladder_digest, rung_named
from benchmarks.accuracy.hashed import NO_PLUGIN, NO_QUALITY, UNCHANGED, Failure, Hashed, as_text
from benchmarks.accuracy.hashes import HashPlugin, plugin_named, quality_of
from benchmarks.accuracy.kept import keep, kept, ready
from benchmarks.accuracy.looks import MOST_PIXELS
from benchmarks.accuracy.manifest import Picture
from benchmarks.accuracy.pools import Piece, Pool, Progress, carry_out, processes
from scanner.errors import ArgumentError, LocalError, StorageError

VERSION = 1
"""Raised whenever what a chunk holds, or how it is made, changes."""
CHUNK = 32
BESIDE = 9
"""Other pictures that a chunk's collages are made with."""
ADDRESS = re.compile(r" at 0x[0-9a-f]+", re.ASCII)
"""Of an object in memory: no part of a reason, which is the same in every run."""
SMALLEST_SIDE = 5
"""Under it there is no quality."""


@dataclass(frozen=True)
class Hashing:
    """What is to be hashed.

    Attributes:
        pictures: of a manifest, or some of them.
        manifest: the manifest's digest.
        plugins: names, as of ``hashes.plugin_named``.
        rungs: names of edits, as of ``edits.rung_named``; each picture is hashed unchanged and after each of them.
        seed: what chance is drawn from.
        chunk: pictures that are hashed and kept together.

    Raises:
        ArgumentError: there is no picture or plug-in, one is named twice, or a plug-in is absent.
        UnknownNameError: no plug-in or edit of that name.
    """

    pictures: Sequence[Picture]
    manifest: str
    plugins: tuple[str, ...]
    rungs: tuple[str, ...] = ()
    seed: int = 0
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if not self.pictures or not self.plugins or self.chunk < 1 or self.seed < 0:
            raise ArgumentError("to hash takes a picture, a plug-in, a seed from 0 and a picture a chunk at least")
        for names in (self.plugins, self.rungs):
            if len(set(names)) < len(names):
                raise ArgumentError(f"a name is given twice: {', '.join(names)}")
        for name in self.plugins:
            plugin_named(name)
        for name in self.rungs:
            rung_named(name)

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of what is hashed of each picture, in order."""
        return (UNCHANGED, *self.rungs)

    def made_with(self) -> list[Any]:
        """Everything but the pictures that hashes follow from."""
        plugins = [[name, plugin_named(name).bits, plugin_named(name).version] for name in self.plugins]
        return [VERSION, PIL.__version__, plugins, self.rungs and ladder_digest(), self.rungs, self.seed]

    @property
    def digest(self) -> str:
        """SHA-256 over everything that the hashes follow from, hexadecimal."""
        return digest_of([self.manifest, self.chunk, [picture.sha256 for picture in self.pictures], self.made_with()])


Place = tuple[str, str]
"""A picture for a worker: SHA-256 and path of its file."""


class Chunk(NamedTuple):
    """What a worker is told: texts and numbers."""

    pictures: tuple[Place, ...]
    beside: tuple[Place, ...]
    plugins: tuple[str, ...]
    rungs: tuple[str, ...]
    seed: int
    digest: str
    path: str


def chunks(run: Hashing, root: Path, folder: Path) -> list[Chunk]:
    """Cut a run into chunks, in order.

    Args:
        run: what is to be hashed.
        root: folder that the pictures' paths begin at.
        folder: where the chunks' files are or will be.
    """
    places = [(picture.sha256, str(root / picture.path)) for picture in run.pictures]
    made_with = run.made_with()
    needed = any(rung_named(name).needs_others for name in run.rungs)
    found = []
    for start in range(0, len(places), run.chunk):
        part = tuple(places[start : start + run.chunk])
        seed = int.from_bytes(hashlib.sha256(f"{run.seed}/{part[0][0]}".encode()).digest()[:16])
        drawn = np.random.default_rng(seed).permutation(len(places))[:BESIDE] if needed else ()
        beside = tuple(places[number] for number in drawn)
        digest = digest_of([[sha for sha, _ in part], [sha for sha, _ in beside], made_with])
        found.append(Chunk(part, beside, run.plugins, run.rungs, run.seed, digest, str(folder / f"{digest}.hashes")))
    return found


def hash_all(
    run: Hashing,
    root: Path,
    folder: Path,
    pools: Callable[[], AbstractContextManager[Pool]] = processes,
    progress: Progress | None = None,
) -> Hashed:
    """Hash all pictures and variants; chunks that are in the folder are not hashed again.

    Args:
        run: what is to be hashed.
        root: folder that the pictures' paths begin at.
        folder: of the chunks; made if it is not there.
        pools: opens a pool of workers.
        progress: told of each chunk.

    Raises:
        LocalError: workers die.
        StorageError: a chunk can't be read or written.
    """
    ready(folder)
    work = chunks(run, root, folder)
    pieces = [
        Piece(tuple(chunk), len(chunk.pictures) * len(run.variants))
        for chunk in work
        if kept(Path(chunk.path), chunk.digest) is None
    ]
    if pieces:
        carry_out(hash_chunk, pieces, pools, progress=progress, kept=len(work) - len(pieces))
    return _joined(run, work)


def hash_chunk(*arguments: Any) -> None:
    """Hash one chunk and keep it; what a worker does.

    Args:
        *arguments: of a ``Chunk``.

    Raises:
        StorageError: it can't be written.
    """
    chunk = Chunk(*arguments)
    plugins = [plugin_named(name) for name in chunk.plugins]
    shape = (1 + len(chunk.rungs), len(chunk.pictures))
    hashes = [np.zeros((*shape, -(-plugin.bits // 8)), np.uint8) for plugin in plugins]
    there = [np.zeros(shape, np.bool_) for _ in plugins]
    quality = np.full(shape, NO_QUALITY, np.int16)
    failures: list[Failure] = []
    others = {place[0]: image for place in chunk.beside if isinstance(image := _opened(place), Image.Image)}
    for number, place in enumerate(chunk.pictures):
        picture = _opened(place)
        beside = [image for sha, image in others.items() if sha != place[0]]
        for row, variant in enumerate((UNCHANGED, *chunk.rungs)):
            image = picture
            if isinstance(picture, Image.Image) and variant != UNCHANGED:
                seed = chunk.seed + int(place[0][:12], 16)
                image = _tried(rung_named(variant).apply, picture, seed, beside)
            if not isinstance(image, Image.Image):
                failures.append(Failure(number, variant, NO_PLUGIN, image))
                continue
            if min(image.size) >= SMALLEST_SIDE:
                quality[row, number] = quality_of(image)
            for column, plugin in enumerate(plugins):
                code = _hashed(plugin, image)
                if isinstance(code, bytes):
                    hashes[column][row, number] = np.frombuffer(code, np.uint8)
                    there[column][row, number] = True
                else:
                    failures.append(Failure(number, variant, plugin.name, code))
    arrays: dict[str, NDArray[Any]] = {"quality": quality, "failures": as_text(failures)}
    for column in range(len(plugins)):
        arrays[f"hashes-{column}"], arrays[f"there-{column}"] = hashes[column], there[column]
    keep(Path(chunk.path), arrays, chunk.digest)


def _joined(run: Hashing, work: Sequence[Chunk]) -> Hashed:
    parts = []
    for chunk in work:
        held = kept(Path(chunk.path), chunk.digest)
        if held is None:
            raise StorageError(f"{chunk.path} is missing or damaged; run again, the other chunks are kept")
        parts.append(held)
    failures = tuple(
        Failure(start * run.chunk + number, *rest)
        for start, part in enumerate(parts)
        for number, *rest in json.loads(part["failures"].tobytes())
    )
    columns = dict(enumerate(run.plugins))
    return Hashed(
        run.digest,
        run.variants,
        {name: plugin_named(name).bits for name in run.plugins},
        {name: np.concatenate([part[f"hashes-{at}"] for part in parts], axis=1) for at, name in columns.items()},
        {name: np.concatenate([part[f"there-{at}"] for part in parts], axis=1) for at, name in columns.items()},
        np.concatenate([part["quality"] for part in parts], axis=1),
        failures,
    )


def _opened(place: Place) -> Image.Image | str:
    """An upright RGB picture, or why there is none."""
    found: Image.Image | str = _tried(_open, *place)
    return found


def _open(sha256: str, path: str) -> Image.Image:
    data = Path(path).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise LocalError("the file is not the one that the manifest names")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata, and about sizes that are checked here
        with Image.open(io.BytesIO(data)) as file:
            if file.width * file.height > MOST_PIXELS:
                raise LocalError(f"{file.width} x {file.height} pixels are over {MOST_PIXELS:,}")
            return as_rgb(file)


def _hashed(plugin: HashPlugin, image: Image.Image) -> bytes | str:
    code = _tried(plugin.hash_of, image)
    return "there is no hash of it" if code is None else code


def _tried(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives, or the reason why it gives nothing."""
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - decoders and plug-ins raise anything; the reason is written down
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{type(error).__name__}: {ADDRESS.sub('', text)}"
