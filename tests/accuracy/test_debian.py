"""Pictures out of packages and containers: pictures and no more, whatever the packages hold."""

from __future__ import annotations

import struct
import subprocess
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import debs
from benchmarks.accuracy import debian
from benchmarks.accuracy.containers import LARGEST_MEMBER, pictures_in
from benchmarks.accuracy.looks import SUFFIXES
from benchmarks.accuracy.packages import PRESETS, Preset, Source
from benchmarks.accuracy.strata import Kind
from scanner.errors import ArgumentError, StorageError, UnknownNameError
from tests.accuracy.test_corpora import noise, plant
from tests.conftest import encoded


def resource(files: dict[str, bytes], version: int) -> bytes:
    """A Qt resource with these files in one folder, every second one deflated, as Qt's rcc writes it."""
    names, content, tree = b"", b"", b""
    tail = bytes(8) if version > 1 else b""

    def named(name: str) -> int:
        nonlocal names
        at = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        return at

    tree += struct.pack(">IHII", named(""), 2, 1, 1) + tail
    tree += struct.pack(">IHII", named("pictures"), 2, len(files), 2) + tail
    for number, (name, data) in enumerate(files.items()):
        stored = struct.pack(">I", len(data)) + zlib.compress(data) if number % 2 else data
        tree += struct.pack(">IHHHI", named(name), number % 2, 0, 0, len(content)) + tail
        content += struct.pack(">I", len(stored)) + stored
    start = 20
    places = (start, start + len(tree), start + len(tree) + len(content))
    return struct.pack(">4s4I", b"qres", version, *places) + tree + content + names


PICTURES = {"one.png": encoded(noise(1), "PNG"), "two.jpg": encoded(noise(2), "JPEG"), "notes.txt": b"text"}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_pictures_come_out_of_qt_resources(tmp_path, version):
    """Stored and deflated pictures come out whole under their names, other files stay in."""
    path = tmp_path / "some.rcc"
    path.write_bytes(resource(PICTURES, version))
    found = {str(name): data for name, data in pictures_in(path, SUFFIXES)}
    assert found == {f"pictures/{name}": data for name, data in PICTURES.items() if name != "notes.txt"}


@given(st.data())
def test_a_damaged_resource_ends_in_the_one_error(tmp_path_factory, data):
    """Whatever bytes are changed or cut, reading ends, in pictures or in ArgumentError."""
    whole = bytearray(resource(PICTURES, 2))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("resources") / "some.rcc"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        for _, found in pictures_in(path, SUFFIXES):
            assert len(found) <= LARGEST_MEMBER
    except ArgumentError:
        pass


def test_a_package_is_left_with_pictures_and_licence_alone(tmp_path):
    """Pictures, also those in archives, and the copyright file stay; programs, links and names that lead out do not."""
    plant(tmp_path, "usr/share/game/a.png")
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/game").write_text("#!")
    (tmp_path / "usr/share/doc/game").mkdir(parents=True)
    (tmp_path / "usr/share/doc/game/copyright").write_text("Format: x\nLicense: MIT\n")
    (tmp_path / "usr/share/game/link.png").symlink_to("/etc/passwd")
    (tmp_path / "usr/share/game/folder").symlink_to("/etc")
    (tmp_path / "usr/share/game/bad.rcc").write_bytes(b"qres")
    with zipfile.ZipFile(tmp_path / "usr/share/game/maps.pk3", "w") as archive:
        archive.writestr("../../../out.png", PICTURES["one.png"])
        archive.writestr("textures/wall.jpg", PICTURES["two.jpg"])
        archive.writestr("maps/one.bsp", b"map")
    told: list[str] = []
    debian.keep_pictures(tmp_path, told.append)
    assert len(told) == 1
    assert told[0].startswith("left out what else is in bad.rcc: ")
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir())
    assert left == [
        "usr/share/doc/game/copyright",
        "usr/share/game/a.png",
        "usr/share/game/maps.pk3.d/_/_/_/00000-out.png",
        "usr/share/game/maps.pk3.d/textures/00001-wall.jpg",
    ]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert debs.licence_of(tmp_path, "game") == "MIT"


class Apt:
    """Stands for apt-get and dpkg: packages with two pictures each, one of which is in every package."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.ran: Counter[str] = Counter()

    def __call__(self, command: list[str], *, cwd: Path, **_: object) -> subprocess.CompletedProcess[str]:
        name = command[-1] if command[0] == "apt-get" else command[2].partition("_")[0]
        if name in self.broken:
            raise subprocess.CalledProcessError(100, command, stderr="W: slow\nE: Unable to locate package\n")
        out = ""
        if "--print-uris" in command:
            out = f"'http://mirror/{name}.deb' {name}_1.0_all.deb 1000 SHA256:00\n"
        elif command[:2] == ["apt-get", "download"]:
            self.ran[name] += 1
            Path(cwd, f"{name}_1.0_all.deb").write_bytes(name.encode())
        elif command[:2] == ["dpkg", "-x"]:
            plant(Path(cwd), f"usr/share/{name}/own.png")
            Path(cwd, f"usr/share/{name}/shared.png").write_bytes(PICTURES["one.png"])
            doc = Path(cwd, "usr/share/doc", name)
            doc.mkdir(parents=True)
            Path(doc, "copyright").write_text("Format: x\nLicense: GPL-2+\n text\nLicense: CC0-1.0\n")
            if name == "linked":
                Path(doc, "copyright").unlink()
                doc.rmdir()
                doc.symlink_to("home")
        else:
            out = "1:1.0\n"
        return subprocess.CompletedProcess(command, 0, out, "")


@pytest.fixture
def preset(monkeypatch):
    """A preset of three packages, of which the second is broken."""
    sources = {"first": Source(Kind.ART), "broken": Source(Kind.ART), "linked": Source(Kind.TEXTURES)}
    chosen = Preset(sources, largest_download=10_000, smallest_side=10)
    monkeypatch.setattr(debian, "PRESETS", {"tiny": chosen})
    monkeypatch.setattr(debs, "require_apt", lambda: None)
    return chosen


@pytest.mark.usefixtures("preset")
def test_a_broken_package_is_told_and_left_out(monkeypatch, tmp_path):
    """The others make a corpus with versions and licences, and are not fetched again; a licence may lie elsewhere."""
    apt, told = Apt("broken"), []
    monkeypatch.setattr(debs.subprocess, "run", apt)
    corpus = debian.debian_corpus("tiny", tmp_path / "cache", told.append)
    assert [picture.path.rpartition("/")[2] for picture in corpus.manifest.pictures] == [
        "own.png",
        "shared.png",
        "own.png",
    ]
    assert {picture.source for picture in corpus.manifest.pictures} == {"first=1:1.0", "linked=1:1.0"}
    assert {picture.licence for picture in corpus.manifest.pictures} == {"CC0-1.0; GPL-2+"}
    (failure,) = (line for line in told if line.startswith("left out"))
    assert failure.startswith("left out broken: broken can't be fetched (E: Unable to locate package); run 'apt-get up")
    assert debian.debian_corpus("tiny", tmp_path / "cache", told.append) == corpus
    assert apt.ran == {"first": 1, "linked": 1, "home": 1}
    assert not list((tmp_path / "cache").glob(".*"))


def test_a_download_is_bounded(monkeypatch, tmp_path, preset):
    """A package that would go beyond the bound is told and left out; without any there is no corpus."""
    monkeypatch.setattr(debs.subprocess, "run", Apt())
    told = []
    found = debian.fetch_preset(Preset(preset.sources, 1500), tmp_path, told.append)
    assert [deb.name for deb in found] == ["first"]
    assert sum(line.startswith("left out") for line in told) == 2
    monkeypatch.setattr(debs.subprocess, "run", Apt("first", "broken", "linked"))
    with pytest.raises(StorageError, match="no package of the preset can be had; the last failed so: linked"):
        debian.fetch_preset(preset, tmp_path / "other", told.append)


def test_what_is_no_debian_says_so(monkeypatch):
    """Without apt-get there is one line that says so; without lists, one that says what to run."""
    monkeypatch.setattr(debs.shutil, "which", lambda tool: None)
    with pytest.raises(StorageError, match="needs Debian's apt-get and dpkg"):
        debs.require_apt()
    monkeypatch.setattr(debs.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, "", ""))
    with pytest.raises(StorageError, match="is in no package list here; run 'apt-get update' as root"):
        debs.archive_size("none")


def test_a_damaged_cache_is_told(tmp_path):
    """A folder that holds no whole package is refused with what to do."""
    (tmp_path / "first").mkdir()
    with pytest.raises(StorageError, match="remove it and fetch again"):
        debs.fetch("first", tmp_path)


def test_the_small_preset_is_part_of_the_full():
    """Every package of the small preset is in the full one, of one kind, and both are bounded."""
    small, full = PRESETS["small"], PRESETS["full"]
    assert set(small.sources.items()) <= {(name, source) for name, source in full.sources.items()}
    assert small.largest_download <= 150 * 10**6
    assert full.largest_download <= 6 * 10**9
    with pytest.raises(UnknownNameError, match="known: small, full"):
        debian.preset_named("medium")


def test_the_cache_is_where_the_user_keeps_such(monkeypatch, tmp_path):
    """XDG_CACHE_HOME counts if it is absolute, else the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert debian.default_cache() == tmp_path / "prescan/packages"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert debian.default_cache() == tmp_path / ".cache/prescan/packages"
