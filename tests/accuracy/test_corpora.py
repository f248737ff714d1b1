"""Corpora: known layouts give known roles, only whole pictures are listed, and packages yield pictures and no more."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import zipfile
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import debs
from benchmarks.accuracy import corpora, debian
from benchmarks.accuracy.containers import LARGEST_MEMBER, pictures_in
from benchmarks.accuracy.corpora import RECIPES, Find, build, folder_corpus, recipe_corpus
from benchmarks.accuracy.looks import SUFFIXES, look_at
from benchmarks.accuracy.manifest import ManifestError, Role, Stratum
from benchmarks.accuracy.packages import PRESETS, Preset, Source
from benchmarks.accuracy.strata import Kind, stratum_of
from scanner.errors import ArgumentError, StorageError, UnknownNameError
from tests.conftest import encoded, smooth


def noise(seed: int, height: int = 24, width: int = 32) -> Image.Image:
    """A picture of many colours and no flat part."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def plant(root: Path, *paths: str) -> None:
    """Put a different picture at each path, in the format of its suffix."""
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        noise(zlib.crc32(path.encode())).save(target, "PNG" if path.endswith(".png") else "JPEG")


TREES = {
    "coco": (
        ("val2017/000000000139.jpg", "images/train2017/000000000009.jpg", "elsewhere/1.jpg"),
        {"val2017/000000000139.jpg": Role.NEGATIVE, "images/train2017/000000000009.jpg": Role.NEGATIVE},
    ),
    "mirflickr": (
        ("mirflickr/im1.jpg", "mirflickr/im25000.jpg", "images/0/10.jpg", "doc/icon.jpg", "mirflickr/image.jpg"),
        {"mirflickr/im1.jpg": Role.NEGATIVE, "mirflickr/im25000.jpg": Role.NEGATIVE, "images/0/10.jpg": Role.NEGATIVE},
    ),
    "imagenet": (
        (
            "ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_18.JPEG",
            "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG",
            "val/n01440764/ILSVRC2012_val_00000293.JPEG",
            "ILSVRC/Data/DET/x.JPEG",
        ),
        {
            "ILSVRC/Data/CLS-LOC/train/n01440764/n01440764_18.JPEG": Role.NEGATIVE,
            "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG": Role.NEGATIVE,
            "val/n01440764/ILSVRC2012_val_00000293.JPEG": Role.NEGATIVE,
        },
    ),
    "disc21": (
        ("references/R000007.jpg", "train/T000001.jpg", "dev_queries/Q00000.jpg", "dev_queries/Q00001.jpg", "x/R1.jpg"),
        {
            "references/R000007.jpg": Role.KNOWN,
            "train/T000001.jpg": Role.NEGATIVE,
            "dev_queries/Q00000.jpg": Role.DERIVED,
            "dev_queries/Q00001.jpg": Role.QUERY,
        },
    ),
    "copydays": (
        ("original/200000.jpg", "crops/10/200000.jpg", "jpegqual/3/200000.jpg", "strong/200001.jpg", "readme/1.jpg"),
        {
            "original/200000.jpg": Role.KNOWN,
            "crops/10/200000.jpg": Role.DERIVED,
            "jpegqual/3/200000.jpg": Role.DERIVED,
            "strong/200001.jpg": Role.DERIVED,
        },
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_knows_its_layout(tmp_path, name):
    """Pictures of a published layout get their roles, a licence and the photographs' stratum; others are not taken."""
    planted, expected = TREES[name]
    plant(tmp_path, *planted)
    (tmp_path / "dev_ground_truth.csv").write_text("query_id,reference_id\nQ00000,R000007\nQ00001,\n")
    manifest = recipe_corpus(name, tmp_path).manifest
    assert {picture.path: picture.role for picture in manifest.pictures} == expected
    assert {picture.stratum for picture in manifest.pictures} == {Stratum.PHOTOGRAPH}
    assert all(picture.licence != "unknown" for picture in manifest.pictures)


def test_derived_pictures_are_in_their_originals_group(tmp_path):
    """Copydays' and DISC21's queries share the group of what they were made from, and of nothing else."""
    plant(tmp_path, *TREES["copydays"][0], "original/200100.jpg")
    groups = {picture.path: picture.group for picture in recipe_corpus("copydays", tmp_path).manifest.pictures}
    assert {path for path, group in groups.items() if group == groups["original/200000.jpg"]} == set(
        TREES["copydays"][1]
    )
    plant(tmp_path, *TREES["disc21"][0])
    (tmp_path / "public_ground_truth.csv").write_text("Q00000,R000007\n")
    groups = {picture.path: picture.group for picture in recipe_corpus("disc21", tmp_path).manifest.pictures}
    assert groups["dev_queries/Q00000.jpg"] == groups["references/R000007.jpg"]
    assert len(set(groups.values())) == len(groups) - 1


def test_coco_names_each_pictures_own_licence(tmp_path):
    """The annotations' licence stands where they name the picture; a file that is none is refused by name."""
    plant(tmp_path, "val2017/000000000139.jpg", "val2017/000000000285.jpg")
    annotations = tmp_path / "annotations/instances_val2017.json"
    annotations.parent.mkdir()
    annotations.write_text(
        json.dumps(
            {
                "licenses": [{"id": 4, "name": "Attribution License"}],
                "images": [{"file_name": "000000000139.jpg", "license": 4}],
            }
        )
    )
    licences = [picture.licence for picture in recipe_corpus("coco", tmp_path).manifest.pictures]
    assert licences == ["Attribution License", corpora.COCO_LICENCE]
    annotations.write_text("{")
    with pytest.raises(ManifestError, match=r"instances_val2017\.json is no annotation file"):
        recipe_corpus("coco", tmp_path)


def test_a_folder_of_another_layout_is_refused(tmp_path):
    """What was expected is said."""
    plant(tmp_path, "a.jpg")
    with pytest.raises(ManifestError, match=r"not laid out as Copydays: expected original/200000\.jpg"):
        recipe_corpus("copydays", tmp_path)
    with pytest.raises(UnknownNameError, match="known: coco, mirflickr"):
        recipe_corpus("other", tmp_path)


def test_only_whole_distinct_pictures_are_listed(tmp_path):
    """Copies, damaged, small and linked files are counted by reason; workers change nothing."""
    plant(tmp_path, "a/1.png", "a/2.jpg", "b/3.png")
    (tmp_path / "b/again.png").write_bytes((tmp_path / "a/1.png").read_bytes())
    (tmp_path / "b/cut.png").write_bytes((tmp_path / "a/1.png").read_bytes()[:-40])
    (tmp_path / "b/text.jpg").write_text("no picture")
    (tmp_path / "b/notes.txt").write_text("no picture")
    (tmp_path / "b/link.png").symlink_to(tmp_path / "a/1.png")
    noise(1, 5, 50).save(tmp_path / "b/low.png")
    with ThreadPoolExecutor(3) as executor:
        shared = folder_corpus(tmp_path, smallest_side=10, executor=executor)
    corpus = folder_corpus(tmp_path, smallest_side=10)
    assert corpus == shared
    assert corpus.manifest.paths == ["a/1.png", "a/2.jpg", "b/3.png"]
    assert corpus.left_out == {
        "no picture, or damaged": 2,
        "the same content as another": 1,
        "a side under 10 pixels": 1,
        "a link, or a name that can't be written down": 1,
    }
    one = corpus.manifest.pictures[0]
    assert (one.width, one.height, one.mode, one.group, one.role) == (32, 24, "RGB", one.sha256, Role.NEGATIVE)


def test_an_empty_folder_is_refused(tmp_path):
    """A corpus without a picture is none."""
    with pytest.raises(ManifestError, match="no picture that can be listed"):
        folder_corpus(tmp_path)


def test_a_path_out_of_the_root_is_never_opened(tmp_path):
    """A find that leads out of the root is left out unread."""
    plant(tmp_path, "in/1.png", "out.png")
    corpus = build(tmp_path / "in", [Find(path, Role.QUERY, "MIT", "made") for path in ("1.png", "../out.png")])
    assert corpus.manifest.paths == ["1.png"]
    assert sum(corpus.left_out.values()) == 1


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    """Write a picture; gives its path."""
    image.save(path, **options)
    return path


def test_strata_follow_the_look_and_the_source(tmp_path, astronaut):
    """A photograph, a page, a texture, a sprite and an icon each fall in their stratum by the stated table."""
    photograph = look_at(astronaut)
    page = Image.new("RGB", (300, 300), "white")
    page.paste((0, 0, 0), (20, 20, 200, 24))
    page_look = look_at(saved(tmp_path / "page.png", page))
    sprite = noise(3, 300, 300).convert("RGBA")
    sprite.putalpha(Image.new("L", (300, 300), 0))
    sprite_look = look_at(saved(tmp_path / "sprite.png", sprite))
    icon_look = look_at(saved(tmp_path / "icon.png", sprite.resize((64, 64))))
    exif = Image.Exif()
    exif[0x0110] = "A camera"
    signed = look_at(saved(tmp_path / "signed.jpg", noise(4, 300, 300), exif=exif))
    found = {kind: stratum_of(photograph, kind) for kind in Kind}
    assert found == {
        Kind.PHOTOGRAPHS: Stratum.PHOTOGRAPH,
        Kind.MIXED: Stratum.PHOTOGRAPH,
        Kind.PAGES: Stratum.DRAWING,
        Kind.TEXTURES: Stratum.TEXTURE,
        Kind.ART: Stratum.DRAWING,
        Kind.ICONS: Stratum.ICON,
    }
    assert stratum_of(page_look, Kind.PAGES) == stratum_of(page_look, Kind.MIXED) == Stratum.DOCUMENT
    assert stratum_of(page_look, Kind.PHOTOGRAPHS) == Stratum.DRAWING
    assert stratum_of(sprite_look, Kind.TEXTURES) == stratum_of(sprite_look, Kind.PHOTOGRAPHS) == Stratum.DRAWING
    assert stratum_of(icon_look, Kind.ART) == Stratum.ICON
    assert stratum_of(signed, Kind.ART) == Stratum.PHOTOGRAPH


def test_most_bundled_photographs_look_like_some(photographs, tmp_path):
    """The look alone tells at least eight in ten known photographs, and no smooth or plain picture."""
    known = [stratum_of(look_at(path), Kind.PHOTOGRAPHS) for path in photographs]
    assert known.count(Stratum.PHOTOGRAPH) >= 0.8 * len(known)
    plain = look_at(saved(tmp_path / "plain.png", Image.fromarray(smooth(300, 300))))
    assert stratum_of(plain, Kind.PHOTOGRAPHS) == Stratum.DRAWING


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


def test_a_picture_that_costs_too_much_is_left_out(tmp_path):
    """A file that claims more pixels than are read is refused before it is decoded."""
    file = io.BytesIO()
    Image.new("1", (20_000, 5_000)).save(file, "PNG")
    (tmp_path / "large.png").write_bytes(file.getvalue())
    with pytest.raises(ArgumentError, match="over 80 million pixels"):
        look_at(tmp_path / "large.png")
