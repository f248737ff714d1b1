"""The list of pictures: one way to write it, and a refusal that names the line for anything else."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.manifest import Manifest, ManifestError, Picture, Role, Stratum, is_inside

PARTS = st.builds("x{}".format, st.text("abcé ß-_.0", max_size=8))
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
TEXTS = st.text(min_size=1, max_size=12)
PICTURES = st.builds(
    Picture,
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    path=PATHS,
    width=st.integers(1, 9000),
    height=st.integers(1, 9000),
    mode=st.sampled_from(["RGB", "RGBA", "L", "P"]),
    role=st.sampled_from(Role),
    group=TEXTS,
    stratum=st.sampled_from(Stratum),
    licence=TEXTS,
    source=TEXTS,
)
LISTS = st.lists(PICTURES, max_size=6, unique_by=(lambda picture: picture.path, lambda picture: picture.sha256))


def picture(number: int, **changes: object) -> Picture:
    """A picture, another one for each number."""
    base = Picture(
        f"{number:064x}",
        f"a/{number}.png",
        300,
        200,
        "RGB",
        Role.NEGATIVE,
        f"g{number}",
        Stratum.DRAWING,
        "MIT",
        "made",
    )
    return dataclasses.replace(base, **changes)


@pytest.fixture
def written(tmp_path):
    """A list of three pictures in a file."""
    path = tmp_path / "list.jsonl"
    Manifest.of([picture(1), picture(2), picture(3, stratum=Stratum.PHOTOGRAPH)]).write(path)
    return path


@given(LISTS)
def test_what_is_written_is_read(tmp_path_factory, pictures):
    """A list comes back equal, in order of path, and is written again to the same bytes, whatever order it came in."""
    path = tmp_path_factory.mktemp("lists") / "one.jsonl"
    manifest = Manifest.of(pictures)
    manifest.write(path)
    again = Manifest.read(path)
    assert again == manifest
    assert again.digest == manifest.digest == Manifest.of(reversed(pictures)).digest
    first = path.read_bytes()
    Manifest.of(reversed(pictures)).write(path)
    assert path.read_bytes() == first


@given(PICTURES, st.data())
def test_the_digest_covers_every_field(one, data):
    """A change of any field gives another digest."""
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(Picture)]))
    other = dataclasses.replace(one, **{name: getattr(data.draw(PICTURES), name)})
    same = getattr(one, name) == getattr(other, name)
    assert (Manifest.of([one]).digest == Manifest.of([other]).digest) == same


def test_the_file_names_no_root(written, tmp_path):
    """Nothing in the file tells where the corpus lies."""
    assert str(tmp_path) not in written.read_text()
    header = json.loads(written.read_text().splitlines()[0])
    assert list(header) == ["format", "version", "pictures", "digest_rule", "digest"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"version":1', '"version":2', 1),
        ("prescan-pictures", "other", 1),
        ('"pictures":3', '"pictures":4', 1),
        ("MIT", "GPL", 1),
        ('"width":300', '"width":300.0', 2),
        ('"width":300', '"width":true', 2),
        ('"width":300', '"width":0', 2),
        ('"width":300', '"width": 300', 2),
        ('"width":300', '"width":300,"width":300', 2),
        ('"width":300,', "", 2),
        ('"mode":"RGB"', '"mode":""', 2),
        ('"mode":"RGB"', '"mode":7', 2),
        ("negative", "nothing", 2),
        ("drawing", "sketch", 2),
        ("a/1.png", "/a/1.png", 2),
        ("a/2.png", "../2.png", 3),
        ("a/2.png", "a/./2.png", 3),
        ("a/2.png", "a/\\u00002.png", 3),
        ("a/2.png", "a/9.png", 1),
        ("a/2.png", "a/1.png", 1),
        ("0002", "0001", 1),
        ("0002", "000g", 3),
        ('{"sha256"', '["sha256"', 2),
        ('{"sha256"', '{"sha257"', 2),
    ],
)
def test_a_changed_list_is_refused_by_line(written, old, new, line):
    """Any change is refused with the one error, which names the line: the first for what concerns the whole list."""
    text = written.read_text()
    assert old in text
    written.write_text(text.replace(old, new, 1) if line > 1 or old in text.splitlines()[0] else text.replace(old, new))
    with pytest.raises(ManifestError, match=f"list.jsonl, line {line}: "):
        Manifest.read(written)


@given(st.data())
def test_no_damage_gets_through(tmp_path_factory, data):
    """A list of which bytes were changed, cut or added is refused with the one error."""
    path = tmp_path_factory.mktemp("lists") / "one.jsonl"
    Manifest.of([picture(1), picture(2)]).write(path)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=3))
    length = data.draw(st.integers(0, 3))
    damaged = whole[:at] + piece + whole[at + length :]
    if damaged == whole:
        return
    path.write_bytes(damaged)
    with pytest.raises(ManifestError):
        Manifest.read(path)


def test_a_list_that_is_not_there_is_refused(tmp_path):
    """A file that can't be read is refused with the same error."""
    with pytest.raises(ManifestError, match="can't read"):
        Manifest.read(tmp_path / "none.jsonl")


def test_pictures_are_chosen_and_counted():
    """Roles choose, strata count, and only what is there is counted."""
    manifest = Manifest.of([picture(1), picture(2, role=Role.KNOWN), picture(3, stratum=Stratum.ICON)])
    assert [each.path for each in manifest.with_role(Role.NEGATIVE)] == ["a/1.png", "a/3.png"]
    assert [each.path for each in manifest.with_role(Role.KNOWN, Role.QUERY)] == ["a/2.png"]
    assert manifest.counts() == {"drawing": 2, "icon": 1}


@pytest.mark.parametrize("path", ["", ".", "..", "/a", "a//b", "a/", "a/../b", "./a", "a\nb", "a\\b", "a\ud800"])
def test_a_path_stays_inside(path):
    """Only plain relative paths are inside the root."""
    assert not is_inside(path)
    assert is_inside("a/b.png")
