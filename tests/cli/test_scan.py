"""``scanner scan``."""

from __future__ import annotations

import json

from PIL import Image

from tests.cli.conftest import picture


def test_a_match_exits_10_and_names_the_entry(run, known, pictures):
    """The entry's label and the distance stand in the line."""
    ran = run("scan", "--hashset", known, pictures / "1.png")
    assert ran.code == 10
    assert ran.out.startswith("match")
    assert "(1.png)" in ran.out
    assert "0 of 256 bits" in ran.out


def test_no_match_exits_0(run, known, tmp_path):
    """A picture that is not on the list is sent."""
    ran = run("scan", "-s", known, picture(tmp_path / "other.png", 9))
    assert (ran.code, ran.out.split()[:2]) == (0, ["no-match", "send"])


def test_an_undecodable_file_exits_2(run, known, tmp_path):
    """It could not be checked, which is not the same as no match."""
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff")
    assert run("scan", "-s", known, tmp_path / "x.jpg").code == 2


def test_a_match_outweighs_an_undecodable_file(run, known, pictures):
    """The exit code of a folder tells of a match first."""
    (pictures / "x.jpg").write_bytes(b"nonsense")
    assert run("scan", "-s", known, pictures).code == 10


def test_the_profile_decides_the_action(run, known, tmp_path):
    """strict holds what standard sends."""
    (tmp_path / "x.jpg").write_bytes(b"nonsense")
    actions = [
        run("scan", "-s", known, "-p", name, tmp_path / "x.jpg").out.split()[1] for name in ("standard", "strict")
    ]
    assert actions == ["send", "hold"]


def test_json_has_every_field(run, known, pictures, tmp_path):
    """A flat picture and a match, as objects."""
    Image.new("RGB", (64, 64)).save(tmp_path / "flat.png")
    ran = run("scan", "-s", known, "--json", pictures / "0.png", tmp_path / "flat.png")
    match, flat = (json.loads(line) for line in ran.out.splitlines())
    assert (match["outcome"], match["matches"][0]["label"], match["matches"][0]["distance"]) == ("match", "0.png", 0)
    assert (flat["outcome"], flat["matches"], flat["quality"]) == ("low-quality", [], 0)


def test_an_empty_folder_is_an_error(run, known, tmp_path):
    """Nothing was checked, so nothing is said to be clean."""
    (tmp_path / "empty").mkdir()
    ran = run("scan", "-s", known, tmp_path / "empty")
    assert ran.code == 2
    assert "no files" in ran.err


def test_a_corrupt_list_stops_before_any_picture(run, known, pictures):
    """No verdict comes from a list that can't be trusted."""
    known.write_bytes(known.read_bytes()[:-9])
    ran = run("scan", "-s", known, pictures)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
