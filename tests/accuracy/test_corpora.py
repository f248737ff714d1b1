"""Corpora by path: known layouts give known roles, only whole pictures are listed, strata follow the stated table."""

from __future__ import annotations

import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy import recipes
from benchmarks.accuracy.corpora import build, folder_corpus, recipe_corpus
from benchmarks.accuracy.looks import look_at
from benchmarks.accuracy.manifest import ManifestError, Role, Stratum
from benchmarks.accuracy.recipes import RECIPES, Find
from benchmarks.accuracy.strata import Kind, stratum_of
from scanner.errors import ArgumentError, UnknownNameError
from tests.conftest import smooth


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
    assert licences == ["Attribution License", recipes.COCO_LICENCE]
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


def test_a_picture_that_costs_too_much_is_left_out(tmp_path):
    """A file that claims more pixels than are read is refused before it is decoded."""
    file = io.BytesIO()
    Image.new("1", (20_000, 5_000)).save(file, "PNG")
    (tmp_path / "large.png").write_bytes(file.getvalue())
    with pytest.raises(ArgumentError, match="over 80 million pixels"):
        look_at(tmp_path / "large.png")
