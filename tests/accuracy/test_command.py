"""The command: from a folder of pictures to a report, with errors in a line and results that can be made anew."""

from __future__ import annotations

import json

import pytest

from benchmarks.accuracy import command
from benchmarks.accuracy.command import main, rungs_named
from benchmarks.accuracy.edits import LADDER
from benchmarks.accuracy.measuring import threads
from scanner import HashSet
from scanner.hashset import Calibration, attach_calibration
from tests.accuracy.drawn import draw_pictures
from tests.accuracy.test_certifying import hash_set

OPTIONS = ["--hashes", "pdq,dhash-64", "--rungs", "jpeg-q50,crop-all-5", "--sources", "12", "--replicates", "100"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus that was listed and measured by the command, with threads instead of processes."""
    base = tmp_path_factory.mktemp("command")
    draw_pictures(base / "pictures", 40)
    (base / "pictures" / "copy.png").write_bytes((base / "pictures" / "0001.png").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.accuracy.building.processes", threads)
        patch.setattr(command, "processes", lambda workers=None: threads())
        assert main(["corpus", "folder", "--root", str(base / "pictures"), "--out", str(base / "corpus")]) == 0
        assert main(["run", "--corpus", str(base / "corpus"), "--out", str(base / "run"), *OPTIONS]) == 0
    return base


def one_error(capsys) -> str:
    """The one line on stderr, and nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_run_leaves_raw_results_figures_and_a_page(place):
    """All of it lies in one folder, and says with which command it was made."""
    document = json.loads((place / "run" / "evaluation.json").read_text())
    assert document["measured"]["command"][:4] == ["python", "-m", "benchmarks.accuracy", "run"]
    assert list(document["hashes"]) == ["pdq", "dhash-64"]
    assert document["corpus"]["left_out"] == {"the same content as another": 1}
    assert document["corpus"]["purge"]["proposed"] >= 0
    assert "<title>How often is an innocent picture flagged?" in (place / "run" / "report.html").read_text()
    assert str(place) not in json.dumps({**document, "measured": None})
    assert (place / "corpus" / "purged.jsonl").exists()


def test_figures_are_made_anew_from_raw_results(place, capsys):
    """Evaluating again gives the same figures, and other settings others."""
    before = json.loads((place / "run" / "evaluation.json").read_text())
    assert main(["evaluate", str(place / "run"), "--replicates", "100"]) == 0
    after = json.loads((place / "run" / "evaluation.json").read_text())
    assert {**after, "at": ""} == {**before, "at": ""}
    assert "pdq" in capsys.readouterr().out
    assert main(["evaluate", str(place / "run"), "--replicates", "100", "--account-pictures", "10"]) == 0
    assert json.loads((place / "run" / "evaluation.json").read_text())["made_with"]["account"]["pictures"] == 10


def test_the_same_command_measures_nothing_again(place, monkeypatch):
    """A second run of the same needs no worker to hash: all chunks are there."""

    def none(workers=None):
        raise AssertionError("a pool was opened")

    monkeypatch.setattr(command, "processes", none)
    assert main(["run", "--corpus", str(place / "corpus"), "--out", str(place / "run"), *OPTIONS]) == 0


def test_compare_and_gate_a_run_with_itself(place, capsys):
    """Nothing moved and the gate is passed; a worse one fails with a line for what got worse."""
    run, worse = place / "run", place / "worse.json"
    assert main(["compare", str(run), str(run)]) == 0
    assert "0 of" in capsys.readouterr().out
    assert main(["gate", str(run), str(run / "evaluation.json")]) == 0
    document = json.loads((run / "evaluation.json").read_text())
    row = document["hashes"]["dhash-64"]["fnir"][0]
    row["missed"] = "f" * len(row["missed"])
    worse.write_text(json.dumps(document))
    capsys.readouterr()
    assert main(["gate", str(run), str(worse)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("regression: dhash-64, FNIR after jpeg-q50")


def test_a_certificate_is_written_and_attached(place, capsys):
    """The certificate of a list of other pictures is taken by that list."""
    from benchmarks.accuracy.raw import Raw

    codes = Raw.read(place / "run").hashed.hashes["pdq"][0]
    known = hash_set(place, ~codes, "pdq")
    out = place / "calibration.json"
    assert main(["certificate", str(place / "run"), "--hashset", str(known), "--out", str(out)]) == 0
    assert "0 false hits" in capsys.readouterr().err
    found = Calibration.from_json(out.read_text())
    assert attach_calibration(known, found, known, today=found.date)
    with HashSet.open(known) as opened:
        assert opened.calibration == found


def test_published_figures_and_costs_are_told(place, capsys):
    """A preset is shown beside the run, and a dry run tells pairs and time of more than could be done."""
    assert main(["published", "mckeown2023", str(place / "run")]) == 0
    out = capsys.readouterr().out
    assert "0.3255" in out
    assert "not measured" in out
    assert main(["dry-run", "--pairs", "1e15", "--workers", "64"]) == 0
    out = capsys.readouterr().out
    assert "(1e+15)" in out
    assert "core hours" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gat"], "invalid choice"),
        (["run"], "--out"),
        (["run", "--out", "x", "--corpus", "none"], "can't read none"),
        (["run", "--out", "x", "--sources", "many"], "invalid int"),
        (["corpus", "folder", "--out", "x"], "--root names the folder"),
        (["corpus", "coco", "--root", "none", "--out", "x"], "none is no folder"),
        (["evaluate", "none"], "no finished measurement"),
        (["compare", "none", "none"], "can't read none"),
        (["gate", "none", "none", "--alpha", "2"], "can't read none"),
        (["certificate", "none", "--hashset", "x", "--out", "y"], "no finished measurement"),
        (["dry-run", "--bits", "0"], "1 to 65,472 bits"),
    ],
)
def test_an_error_is_one_line(words, said, capsys, monkeypatch, tmp_path):
    """What can't be done is said in a line on stderr, with exit code 1 and no traceback."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    assert said in one_error(capsys)


def test_a_run_names_what_is_wrong_with_it(place, capsys):
    """An unknown hash or edit, and too few pictures, are named before anything is measured."""
    start = ["run", "--corpus", str(place / "corpus"), "--out", str(place / "other")]
    for more, said in (
        (["--hashes", "none"], "none"),
        (["--rungs", "none-5"], "none-5"),
        (["--pictures", "3"], "3 pictures are too few"),
        (["--sources", "-1"], "sources"),
        (["--target", "2"], "target"),
        (["--burst", "0"], "burst"),
        (["--wanted", "1"], "wanted"),
    ):
        assert main([*start, *more]) == 1, more
        assert said in one_error(capsys)


def test_an_interrupt_is_a_line_and_its_code(place, capsys, monkeypatch):
    """Ctrl-C ends with 130 and says that the same command goes on."""

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", interrupted)
    assert main(["run", "--corpus", str(place / "corpus"), "--out", str(place / "run"), *OPTIONS]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_list_alone_needs_its_root(place, tmp_path, capsys):
    """A list that was moved away from corpus.json has to be told where its pictures are."""
    (tmp_path / "manifest.jsonl").write_bytes((place / "corpus" / "manifest.jsonl").read_bytes())
    assert main(["run", "--corpus", str(tmp_path / "manifest.jsonl"), "--out", str(tmp_path / "run"), *OPTIONS]) == 1
    assert "--root names the folder" in capsys.readouterr().err


def test_edits_are_named():
    """All, none, one of each family, or names."""
    assert rungs_named("all") == tuple(LADDER)
    assert rungs_named("none") == ()
    assert rungs_named("jpeg-q50,blur-1") == ("jpeg-q50", "blur-1")
    some = [LADDER[name].family for name in rungs_named("some")]
    assert sorted(some) == sorted({rung.family for rung in LADDER.values()})
