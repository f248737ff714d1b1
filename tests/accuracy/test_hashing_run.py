"""Hashing a corpus: every hash is the plug-in's own, every gap has its reason, every run gives the same bytes."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy import hashing_run
from benchmarks.accuracy.edits import LADDER, rung_named
from benchmarks.accuracy.hashed import NO_PLUGIN, UNCHANGED, Failure, Hashed
from benchmarks.accuracy.hashes import plugin_named, quality_of
from benchmarks.accuracy.hashing_run import Hashing, chunks, hash_all
from benchmarks.accuracy.manifest import Picture, Role, Stratum
from benchmarks.accuracy.pools import Pool, processes
from scanner.errors import ArgumentError, StorageError, UnknownNameError
from tests.conftest import encoded, smooth

PLUGINS = ("pdq", "phash-64", "colorhash-42")
RUNGS = ("jpeg-q50", "noise-8", "collage-2x2")
OURS = f"{__name__}:no_square"


def no_square(image: Image.Image) -> bytes | None:
    """A hash of somebody's own: none of narrow pictures, and an error for flat ones."""
    if image.width == image.height:
        return bytes(8)
    if image.height < image.width:
        raise ZeroDivisionError(f"no way for {object()}")
    return None


@contextmanager
def one_thread():
    """A pool without processes."""
    with ThreadPoolExecutor(1) as executor:
        yield Pool(executor, 2)


def a_picture(root: Path, name: str, data: bytes) -> Picture:
    """Put a file in a corpus."""
    (root / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return Picture(sha256, name, 9, 9, "RGB", Role.NEGATIVE, name, Stratum.PHOTOGRAPH, "CC0", "a test")


def some_pictures(root: Path, count: int = 7) -> list[Picture]:
    """Small pictures, each another one."""
    root.mkdir(exist_ok=True)
    rng = np.random.default_rng(5)
    return [
        a_picture(
            root,
            f"{number}.png",
            encoded(Image.fromarray(smooth(60 + number, 80) ^ rng.integers(0, 32, 3, np.uint8)), "PNG"),
        )
        for number in range(count)
    ]


def a_run(pictures, **changes) -> Hashing:
    """A run of three plug-ins and edits, three pictures a chunk."""
    return replace(Hashing(pictures, "a manifest", PLUGINS, RUNGS, chunk=3), **changes)


def file_bytes(found: Hashed, path: Path) -> bytes:
    """The result's file."""
    found.write(path)
    return path.read_bytes()


def test_every_hash_is_that_of_the_plug_in(tmp_path):
    """Each variant of each picture has the hash that its plug-in gives of the edit, and PDQ's quality."""
    pictures = some_pictures(tmp_path / "root")
    run = a_run(pictures)
    found = hash_all(run, tmp_path / "root", tmp_path / "chunks", one_thread)
    opened = {picture.sha256: Image.open(tmp_path / "root" / picture.path).convert("RGB") for picture in pictures}
    work = chunks(run, tmp_path / "root", tmp_path / "chunks")
    assert [len(chunk.pictures) for chunk in work] == [3, 3, 1]
    assert (found.failures, found.variants) == ((), (UNCHANGED, *RUNGS))
    for number, picture in enumerate(pictures):
        beside = [opened[sha] for sha, _ in work[number // 3].beside if sha != picture.sha256]
        for row, variant in enumerate(found.variants):
            image = opened[picture.sha256]
            if variant != UNCHANGED:
                image = rung_named(variant).apply(image, int(picture.sha256[:12], 16), beside)
            assert found.quality[row, number] == quality_of(image)
            for name in PLUGINS:
                assert found.hashes[name][row, number].tobytes() == plugin_named(name).hash_of(image)
                assert found.there[name][row, number]
    assert {name: codes.shape for name, codes in found.hashes.items()} == {
        "pdq": (4, 7, 32),
        "phash-64": (4, 7, 8),
        "colorhash-42": (4, 7, 6),
    }


def test_what_fails_is_written_down(tmp_path):
    """Files that are missing, changed, damaged or huge, tiny pictures and failing plug-ins leave a gap and a reason."""
    root = tmp_path / "root"
    root.mkdir()
    good = encoded(Image.fromarray(smooth(40, 40)), "PNG")
    pictures = [
        a_picture(root, "good.png", good),
        a_picture(root, "missing.png", b"missing"),
        a_picture(root, "changed.png", b"before"),
        a_picture(root, "text.png", b"no picture"),
        a_picture(root, "cut.png", encoded(Image.fromarray(smooth(90, 90)), "PNG")[:400]),
        a_picture(root, "huge.png", encoded(Image.new("1", (10_000, 9_000)), "PNG")),
        a_picture(root, "tiny.png", encoded(Image.fromarray(smooth(3, 2)), "PNG")),
        a_picture(root, "wide.png", encoded(Image.fromarray(smooth(20, 30)), "PNG")),
    ]
    (root / "missing.png").unlink()
    (root / "changed.png").write_bytes(good)
    run = Hashing(pictures, "a manifest", ("pdq", OURS), ("jpeg-q50",), chunk=5)
    found = hash_all(run, root, tmp_path / "chunks", one_thread)
    reasons = {
        1: "FileNotFoundError: No such file or directory",
        2: "LocalError: the file is not the one that the manifest names",
        3: "UnidentifiedImageError: cannot identify image file <_io.BytesIO object>",
        4: None,
        5: "LocalError: 10000 x 9000 pixels are over 80,000,000",
    }
    told = {failure[:3]: failure.reason for failure in found.failures}
    assert len(told) == len(found.failures)
    for number, reason in reasons.items():
        for variant in (UNCHANGED, "jpeg-q50"):
            said = told.pop((number, variant, NO_PLUGIN))
            assert said == reason if reason else said.startswith("OSError: ")
    for variant in (UNCHANGED, "jpeg-q50"):
        assert told.pop((6, variant, "pdq")) == "there is no hash of it"
        assert told.pop((6, variant, OURS)) == "there is no hash of it"
        assert told.pop((7, variant, OURS)) == "ZeroDivisionError: no way for <object object>"
    assert not told
    assert found.there["pdq"].tolist() == [[True, *[False] * 6, True]] * 2
    assert found.there[OURS].tolist() == [[True, *[False] * 7]] * 2
    assert (found.quality >= 0).tolist() == [[True, *[False] * 6, True]] * 2


def test_processes_give_the_same_bytes(tmp_path):
    """A pool of processes, and a corpus that lies elsewhere, give the file that one thread gives."""
    pictures = some_pictures(tmp_path / "root", 4)
    run = a_run(pictures, plugins=("pdq",))
    here = hash_all(run, tmp_path / "root", tmp_path / "here", one_thread)
    shutil.move(tmp_path / "root", tmp_path / "moved")
    there = hash_all(run, tmp_path / "moved", tmp_path / "there", partial(processes, 1))
    assert file_bytes(here, tmp_path / "a") == file_bytes(there, tmp_path / "b")


def test_a_run_goes_on_where_it_was(tmp_path):
    """Chunks that are there are not hashed again, damaged ones are, and the result is the same."""
    pictures = some_pictures(tmp_path / "root")
    go = partial(hash_all, a_run(pictures), tmp_path / "root", tmp_path / "chunks", one_thread)
    first = file_bytes(go(), tmp_path / "first")
    work = chunks(a_run(pictures), tmp_path / "root", tmp_path / "chunks")
    paths = [Path(chunk.path) for chunk in work]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-9])
    stamp = paths[2].stat().st_mtime_ns
    assert file_bytes(go(), tmp_path / "second") == first
    assert paths[2].stat().st_mtime_ns == stamp


def test_a_chunk_that_vanishes_is_told(tmp_path, monkeypatch):
    """A chunk that can't be read after all were hashed ends the run: nothing is put together without it."""
    monkeypatch.setattr(hashing_run, "carry_out", lambda *_, **__: None)
    with pytest.raises(StorageError, match="missing or damaged"):
        hash_all(a_run(some_pictures(tmp_path / "root")), tmp_path / "root", tmp_path / "chunks")


def test_a_chunk_is_named_by_all_that_makes_it(tmp_path, monkeypatch):
    """Other pictures, plug-ins, versions, edits, ladders or seeds make other chunks; the place makes none."""
    pictures = some_pictures(tmp_path / "root")

    def names(run: Hashing, root: str = "root") -> tuple[str, str]:
        return chunks(run, Path(root), tmp_path)[0].digest, run.digest

    run = a_run(pictures)
    seen = [names(run)]
    assert names(run, "elsewhere") == seen[0]
    seen += [
        names(a_run(pictures[1:])),
        names(a_run(pictures, plugins=PLUGINS[:2])),
        names(a_run(pictures, plugins=PLUGINS[::-1])),
        names(a_run(pictures, rungs=RUNGS[:1])),
        names(a_run(pictures, seed=1)),
        names(a_run(pictures, chunk=4)),
    ]
    for place, value in (
        ("ladder_digest", lambda: "another"),
        ("plugin_named", lambda name: replace(plugin_named(name), version="another")),
        ("PIL.__version__", "another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"benchmarks.accuracy.hashing_run.{place}", value)
            seen.append(names(run))
    assert len({chunk for chunk, _ in seen}) == len({whole for _, whole in seen}) == len(seen)
    assert a_run(pictures, manifest="another").digest != run.digest


def test_a_result_is_read_as_written(tmp_path):
    """What is written is read back equal, and under no other digest."""
    root = tmp_path / "root"
    pictures = [*some_pictures(root, 2), a_picture(root, "text.png", b"no picture")]
    found = hash_all(a_run(pictures), root, tmp_path / "chunks", one_thread)
    found.write(tmp_path / "hashed")
    again = Hashed.read(tmp_path / "hashed", found.digest)
    assert file_bytes(again, tmp_path / "again") == file_bytes(found, tmp_path / "hashed")
    assert again.failures[0] == Failure(2, UNCHANGED, NO_PLUGIN, again.failures[0].reason)
    assert again.bits == {"pdq": 256, "phash-64": 64, "colorhash-42": 42}
    with pytest.raises(StorageError, match="another run"):
        Hashed.read(tmp_path / "hashed", "another")


def test_the_whole_ladder_can_be_hashed(tmp_path):
    """Each rung has a hash of a picture among others."""
    run = Hashing(some_pictures(tmp_path / "root", 2), "a manifest", ("ahash-64",), tuple(LADDER), chunk=1)
    found = hash_all(run, tmp_path / "root", tmp_path / "chunks", one_thread)
    assert found.failures == ()
    assert found.there["ahash-64"].shape == (1 + len(LADDER), 2)


def test_what_can_not_be_run_is_refused(tmp_path):
    """No pictures, no or unknown names, and names given twice are refused before anything is hashed."""
    pictures = some_pictures(tmp_path / "root", 1)
    for wrong in ({"pictures": []}, {"plugins": ()}, {"chunk": 0}, {"seed": -1}, {"plugins": ("pdq", "pdq")}):
        with pytest.raises(ArgumentError):
            a_run(**{"pictures": pictures, **wrong})
    for unknown in ({"plugins": ("nothing",)}, {"rungs": ("nothing",)}):
        with pytest.raises(UnknownNameError):
            a_run(pictures, **unknown)
