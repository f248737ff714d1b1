"""``scanner hashset``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from scanner import HashSet
from tests.cli.conftest import picture


def test_build_prints_the_digest_and_counts_on_standard_error(run, pictures, tmp_path):
    """The digest can be piped; the counts are for the person."""
    out = tmp_path / "known.prescan"
    ran = run("hashset", "build", out, pictures)
    assert ran.code == 0
    with HashSet.open(out) as known:
        assert ran.out == f"{known.digest.hex()}\n"
        assert (len(known), known.header.name) == (3, "known")
    assert "3 entries" in ran.err


def test_build_counts_what_it_refuses(run, pictures, tmp_path):
    """Flat pictures and files that are no pictures are told with their reasons."""
    Image.new("RGB", (64, 64), "grey").save(pictures / "flat.png")
    (pictures / "notes.txt").write_text("not a picture")
    ran = run("hashset", "build", tmp_path / "known.prescan", pictures)
    assert "refused 2 (not-a-picture 1, quality below 50 1)" in ran.err


def test_build_merges_folders_lists_and_sets(run, pictures, known, tmp_path):
    """Sources add up, and a repeated entry counts once."""
    listed = tmp_path / "more.csv"
    listed.write_text("hash,label\n" + "0f" * 32 + ",from a list\n")
    out = tmp_path / "all.prescan"
    ran = run("hashset", "build", out, known, listed, pictures)
    assert ran.code == 0
    with HashSet.open(out) as merged:
        assert [merged.label_at(i) for i in range(len(merged))] == ["0.png", "1.png", "2.png", "from a list"]
    assert "repeated 3" in ran.err


def test_build_takes_settings(run, pictures, tmp_path):
    """What is asked for stands in the header."""
    out = tmp_path / "s.prescan"
    run("hashset", "build", out, pictures, "-n", "n", "--epoch", 7, "--radius", 20, "--quality-floor", 60)
    with HashSet.open(out) as known:
        header = known.header
    assert (header.name, header.epoch, header.radius, header.quality_floor) == ("n", 7, 20, 60)


def test_an_empty_folder_writes_nothing(run, tmp_path):
    """A list of nothing is a mistake, and an old file stays."""
    (tmp_path / "empty").mkdir()
    out = tmp_path / "known.prescan"
    out.write_bytes(b"old")
    ran = run("hashset", "build", out, tmp_path / "empty")
    assert ran.code == 2
    assert "nothing to list" in ran.err
    assert out.read_bytes() == b"old"


def test_a_bad_line_is_named(run, tmp_path):
    """File and line, so that it can be mended."""
    listed = tmp_path / "bad.csv"
    listed.write_text("hash\n" + "0f" * 32 + "\nnonsense\n")
    ran = run("hashset", "build", tmp_path / "out.prescan", listed)
    assert ran.code == 2
    assert f"{listed}, line 3" in ran.err
    assert ran.err.count("\n") == 1


def test_info_says_what_the_header_says(run, known):
    """The same facts for people and for programs."""
    facts = json.loads(run("hashset", "info", known, "--json").out)
    assert (facts["name"], facts["entries"], facts["algorithm"], facts["radius"]) == ("three", 3, "pdq", 31)
    text = run("hashset", "info", known).out
    assert facts["digest"] in text
    assert "three" in text


def test_verify_finds_every_kind_of_damage(run, known):
    """Good is good; a flipped byte and a cut are errors of one line."""
    whole = known.read_bytes()
    assert run("hashset", "verify", known).code == 0
    for damaged in (whole[:-1], whole[:40], b"", whole[:50] + bytes([whole[50] ^ 1]) + whole[51:]):
        known.write_bytes(damaged)
        ran = run("hashset", "verify", known)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert str(known) in ran.err


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_picture_is_no_hash_set(run, tmp_path, command):
    """The wrong file is told apart from a damaged one."""
    ran = run("hashset", command, picture(tmp_path / "a.png", 1))
    assert ran.code == 2
    assert "not a hash set" in ran.err


def test_info_explains_the_engine(run, known, tmp_path):
    """Small sets are looked through; large ones carry tables."""
    assert "flat: every entry is looked at" in run("hashset", "info", known).out
    listed = tmp_path / "large.txt"
    listed.write_text("".join(f"{n:064x}\n" for n in range(3000)))
    run("hashset", "build", tmp_path / "large.prescan", listed)
    assert "multi: tables of" in run("hashset", "info", tmp_path / "large.prescan").out


@pytest.fixture
def edition(run, known, pictures, tmp_path) -> Path:
    """A delta to the three pictures: one withdrawn, one from a list added."""
    withdrawn, added = tmp_path / "withdrawn.csv", tmp_path / "added.csv"
    withdrawn.write_text("hash\n" + run("hash", pictures / "1.png").out.split()[0] + "\n")
    added.write_text("hash,label\n" + "0f" * 32 + ",new\n")
    ran = run("hashset", "delta", tmp_path / "2.delta", known, "--epoch", 2, "--add", added, "--remove", withdrawn)
    assert (ran.code, "1 entries added, 1 removed" in ran.err) == (0, True)
    return tmp_path / "2.delta"


def test_a_delta_changes_what_a_scan_finds(run, known, edition, pictures):
    """What was withdrawn no longer matches; the rest does."""
    assert run("scan", "-s", known, pictures / "1.png").code == 10
    assert run("scan", "-s", known, "--delta", edition, pictures / "1.png").code == 0
    assert run("scan", "-s", known, "--delta", edition, pictures / "2.png").code == 10


def test_a_merge_is_the_set_and_its_delta(run, known, edition, tmp_path):
    """The merged file has what counts, in order."""
    out = tmp_path / "merged.prescan"
    assert run("hashset", "merge", out, known, edition).code == 0
    with HashSet.open(out) as merged:
        assert [merged.label_at(i) for i in range(len(merged))] == ["0.png", "2.png", "new"]
        assert merged.header.epoch == 2


def test_a_delta_is_described_and_verified_but_not_scanned_alone(run, edition, pictures):
    """It names its base, and by itself it is no list."""
    assert json.loads(run("hashset", "info", edition, "--json").out)["removed"] == 1
    assert run("hashset", "verify", edition).code == 0
    ran = run("scan", "-s", edition, pictures)
    assert ran.code == 2
    assert "no list by itself" in ran.err


def test_a_delta_fits_its_base_alone(run, known, edition, pictures, tmp_path):
    """On top of another list it is refused."""
    other = tmp_path / "other.prescan"
    run("hashset", "build", other, pictures / "..", "--name", "other")
    ran = run("scan", "-s", other, "--delta", edition, pictures)
    assert ran.code == 2
    assert "belongs to another base" in ran.err
