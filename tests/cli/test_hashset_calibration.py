"""``scanner hashset attach-calibration``, and what ``scanner hashset info`` says of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import pytest

from scanner import HashSet
from scanner.hashset import Calibration, Edit, Stratum
from scanner.hashset.format import LARGEST_CALIBRATION
from tests.cli.conftest import picture, told


@pytest.fixture
def calibration(known) -> Calibration:
    """A certificate of the three pictures."""
    with HashSet.open(known) as opened:
        return Calibration(
            hashset_digest=opened.digest, algorithm="pdq", radius=31, quality_floor=50, corpus_digest=bytes(range(32)),
            date=dt.date(2026, 1, 2), query_clusters=26_181, hits=1, nearest_distances=(30, *range(70, 90)),
            versions={"prescan": "0.1.0", "numpy": "2.3.1"},
            strata=(Stratum("photograph", 6000, 0), Stratum("drawing", 20_181, 1)),
            ladder="3", edits=(Edit("jpeg 75", 400, 0), Edit("crop 5 %", 400, 130)),
        )  # fmt: skip


@pytest.fixture
def certificate(calibration, tmp_path) -> Path:
    """Its file."""
    path = tmp_path / "calibration.json"
    path.write_text(calibration.to_json(), "utf-8")
    return path


def test_attaching_prints_the_digest_which_is_the_one_before(run, known, certificate, calibration, tmp_path):
    """The digest can be piped; what was measured is for the person; the set itself stays as it is."""
    before = known.read_bytes()
    ran = run("hashset", "attach-calibration", known, certificate, "--out", tmp_path / "new")
    assert (ran.code, ran.out) == (0, f"{calibration.hashset_digest.hex()}\n")
    assert "1 false hits in 26,181 query clusters: FPIR 3.82e-05, at most 0.000181 at 95 %" in ran.err
    assert known.read_bytes() == before
    with HashSet.open(tmp_path / "new") as opened:
        assert opened.calibration == calibration


def test_attaching_again_gives_way_in_place(run, known, certificate, calibration, tmp_path):
    """The set may be its own target, and the last certificate is the one that counts."""
    newer = tmp_path / "newer.json"
    newer.write_text(dataclasses.replace(calibration, date=dt.date(2026, 2, 3)).to_json(), "utf-8")
    for path in (certificate, newer, newer):
        assert run("hashset", "attach-calibration", known, path, "--out", known).code == 0
    with HashSet.open(known) as opened:
        assert opened.calibration.date == dt.date(2026, 2, 3)


def test_info_shows_what_was_measured(run, known, certificate, calibration):
    """Counts, bounds, strata, recall, day, tools and corpus; for programs the certificate itself."""
    run("hashset", "attach-calibration", known, certificate, "--out", known)
    lines = dict(line.strip().split("  ", 1) for line in run("hashset", "info", known).out.splitlines())
    shown = {key: value.strip() for key, value in lines.items()}
    assert shown["calibration"] == "1 false hits in 26,181 query clusters: FPIR 3.82e-05, at most 0.000181 at 95 %"
    assert shown["photograph"] == "0 false hits in 6,000 query clusters: FPIR 0, at most 0.000499 at 95 %"
    assert shown["nearest distances"] == "30, 70, 71, 72, 73, 74, 75, 76, 77, 78, ..."
    assert shown["edits"] == "ladder 3"
    assert shown["jpeg 75"] == "400 of 400 found, recall at least 0.993 at 95 %"
    assert shown["crop 5 %"].startswith("270 of 400 found, recall at least 0.63")
    assert shown["calibrated on"] == "2026-01-02, with numpy 2.3.1, prescan 0.1.0"
    assert shown["corpus digest"] == bytes(range(32)).hex()
    facts = json.loads(run("hashset", "info", known, "--json").out)
    assert facts["calibration"] == json.loads(calibration.to_json())
    assert facts["digest"] == calibration.hashset_digest.hex()


def test_info_says_that_nobody_measured(run, known):
    """A list without evidence is called so."""
    assert "calibration         none: how often the list flags" in run("hashset", "info", known).out
    assert json.loads(run("hashset", "info", known, "--json").out)["calibration"] is None


def test_info_of_few_figures_is_short(run, known, certificate, calibration):
    """What was not measured is not mentioned."""
    bare = dataclasses.replace(calibration, strata=(), ladder=None, edits=(), nearest_distances=(30,))
    certificate.write_text(bare.to_json(), "utf-8")
    run("hashset", "attach-calibration", known, certificate, "--out", known)
    text = run("hashset", "info", known).out
    assert "edits" not in text
    assert "nearest distances   30\n" in text


def test_a_calibrated_set_is_verified_and_scanned_as_any_other(run, known, certificate, pictures):
    """FAISS reads the same codes from it, and it matches what it matched."""
    run("hashset", "attach-calibration", known, certificate, "--out", known)
    assert run("hashset", "verify", known).code == 0
    assert run("scan", "-s", known, pictures / "1.png").code == 10


def test_a_wrong_certificate_is_told_in_one_line_and_nothing_is_written(run, known, certificate, calibration, tmp_path):
    """Another list's, one that contradicts itself, one from the future, one that is none, too large or missing."""
    out = tmp_path / "new"
    wrong = {
        "for the list of digest": dataclasses.replace(calibration, hashset_digest=bytes(32)).to_json(),
        "the list three has 31": dataclasses.replace(calibration, radius=40).to_json(),
        "is not that of its counts": calibration.to_json().replace('"fpir": 3.8', '"fpir": 3.7'),
        "and today is": dataclasses.replace(calibration, date=dt.date.max).to_json(),
        "is not valid": "nonsense",
        "at most 1,048,576 bytes": " " * (LARGEST_CALIBRATION + 1),
    }
    for words, text in wrong.items():
        certificate.write_text(text, "utf-8")
        assert told(run("hashset", "attach-calibration", known, certificate, "--out", out), words)
    assert told(run("hashset", "attach-calibration", known, tmp_path / "none.json", "--out", out), "can't read")
    assert not out.exists()


def test_only_a_hash_set_gets_a_certificate(run, certificate, tmp_path):
    """A picture is none, and the file that is named is named in the message."""
    path = picture(tmp_path / "a.png", 1)
    assert told(run("hashset", "attach-calibration", path, certificate, "--out", tmp_path / "new"), str(path))


def test_a_certificate_is_read_as_any_text(run, known, certificate, tmp_path):
    """The message names its file."""
    certificate.write_bytes(b"\xff\xfe")
    assert told(run("hashset", "attach-calibration", known, certificate, "--out", tmp_path / "new"), str(certificate))
