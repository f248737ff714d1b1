"""``scanner policy threshold`` as a person sees it."""

from __future__ import annotations

import json

import pytest
import typer

from scanner.cli import app as application
from scanner.cli import policy

GIVEN = ("--fmr", "1e-6", "--pictures", "1000")


@pytest.fixture
def threshold(run, monkeypatch):
    """Run ``scanner policy threshold`` with arguments."""
    alone = typer.Typer(pretty_exceptions_enable=False)
    alone.add_typer(policy.app, name="policy")
    monkeypatch.setattr(application, "app", alone)
    return lambda *arguments: run("policy", "threshold", *arguments)


def test_table_and_advice(threshold):
    """Six rows, what to take, and that independence is optimistic."""
    done = threshold(*GIVEN)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    rows = {line[:42].strip(): line[42:].split() for line in lines if line.startswith(("indep", "accounts", "bursts"))}
    assert [row[0] for row in rows.values()] == ["4", "4", "21", "176", "21", "176"]
    assert rows["independent pictures (Poisson; optimistic)"] == ["4", "4.2e-14", "4.2e-05", "5.0e-849", "5.0e-840"]
    assert "Take t = 176, the strictest (accounts differ, bursts of 10 on average)." in lines
    assert "Independent pictures is the optimistic figure (t = 4)" in done.out
    assert "no burst has more than 10 distinct entries is t = 30 enough" in done.out
    assert "assumptions until measured" in done.out
    assert "1e+09 expected to be opened falsely in one window" in done.out
    assert max(map(len, lines)) <= 100


def test_json(threshold):
    """The same as one object, with logarithms where a float holds nothing."""
    done = threshold(*GIVEN, "--json")
    facts = json.loads(done.out)
    assert facts["take"] == {"threshold": 176, "law": "both_vary"}
    assert facts["mean"] == pytest.approx(1e-3)
    independent = facts["laws"][0]
    assert (independent["law"], independent["threshold"]) == ("independent", 4)
    near, far = independent["at"]
    assert near["opened"] == pytest.approx(1e9 * near["rate"])
    assert (far["rate"], round(far["log10_rate"])) == (0.0, -848)
    assert far["log10_opened"] == pytest.approx(far["log10_rate"] + 9)


def test_rates_of_a_given_threshold(threshold):
    """The inverse, at the measured mean of 5.77."""
    done = threshold("--fmr", "0.1", "--pictures", "57.7", "--threshold", "30", "--accounts", "1e6")
    assert "t = 30 keeps to 1e-12 under 1 of the 6 assumptions." in done.out
    for rate in ("9.9e-13", "3.3e-07", "2.1e-02"):
        assert rate in done.out
    assert "20,900" in done.out
    facts = json.loads(threshold("--fmr", "0.1", "--pictures", "57.7", "-t", "30", "--json").out)
    assert [cell["threshold"] for law in facts["laws"] for cell in law["at"]] == [30] * 6


def test_nothing_observed_is_not_nothing(threshold):
    """0 of 1e9 counts as the rule of three's 3e-9, and the bound's weakness is told."""
    done = threshold("--observed", "0/1e9", "--pictures", "1000")
    assert (
        "FMR of a picture: 3e-09 (0 of 1,000,000,000 pictures: Clopper-Pearson 95 % upper bound, the rule of three)"
        in (done.out)
    )
    assert "it takes pictures to be independent" in done.out
    facts = json.loads(threshold("--observed", "0/1e9", "--pictures", "1000", "--json").out)
    assert (facts["fmr"], facts["fmr_upper"]) == (0, pytest.approx(2.9957e-9, rel=1e-4))


@pytest.mark.parametrize(
    ("rate", "estimate"),
    [(("--fmr", "1e-6", "--fmr-upper", "1e-5"), "1e-06"), (("--observed", "1/1e6"), "1e-06")],
)
def test_an_uncertain_rate_is_taken_at_its_bound(threshold, rate, estimate):
    """The estimate's threshold is named as what would only seem enough."""
    done = threshold(*rate, "--pictures", "1000")
    assert f"At the estimated FMR, {estimate}, t = 176 seems enough: take the bound's" in done.out
    facts = json.loads(threshold(*rate, "--pictures", "1000", "--json").out)
    assert all(law["threshold"] >= law["threshold_at_estimate"] for law in facts["laws"])


def test_exact_pictures(threshold):
    """Ten pictures can't have eleven false matches."""
    done = threshold("--fmr", "1", "--pictures", "10", "--exact", "--wanted", "1e-6")
    row = next(line for line in done.out.splitlines() if line.startswith("independent"))
    assert "binomial" in row
    assert row.split()[4:7] == ["11", "0", "0"]


@pytest.mark.parametrize("given", [("--fmr", "0", "--pictures", "10"), ("--fmr", "1e-6", "--pictures", "0")])
def test_without_false_matches(threshold, given):
    """Nothing to reckon with: every rate is 0; a claimed FMR of 0 is questioned and nothing is advised from it."""
    done = threshold(*given)
    rows = [line for line in done.out.splitlines() if line.startswith(("indep", "accounts", "bursts"))]
    assert all(row.split()[-3:] == ["1", "0", "0"] for row in rows)
    if "0" in given[1]:
        assert ("nothing measures an FMR of 0" in done.out) == ("Take t" not in done.out)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--pictures", "1"), "give either --fmr, or --observed"),
        (("--fmr", "0.1", "--observed", "0/9", "--pictures", "1"), "give either --fmr, or --observed"),
        (("--observed", "0/9", "--fmr-upper", "0.1", "--pictures", "1"), "leave --fmr-upper out"),
        (("--observed", "none", "--pictures", "1"), "--observed 'none' is not HITS/N"),
        (("--observed", "0/1/2", "--pictures", "1"), "is not HITS/N"),
        (("--observed", "0.5/9", "--pictures", "1"), "is not of whole numbers"),
        (("--observed", "0/inf", "--pictures", "1"), "is not of whole numbers"),
        (("--observed", "0/0", "--pictures", "1"), "0 false matches of 0 pictures can't be"),
        (("--observed", "9/3", "--pictures", "1"), "9 false matches of 3 pictures can't be"),
        (("--fmr", "1.1", "--pictures", "1"), "--fmr 1.1 is not 0 to 1"),
        (("--fmr", "nan", "--pictures", "1"), "--fmr nan is not 0 to 1"),
        (("--fmr", "0.1", "--fmr-upper", "0.01", "--pictures", "1"), "--fmr-upper 0.01 is not --fmr 0.1 to 1"),
        (("--fmr", "0.1", "--pictures", "-1"), "--pictures -1 is not 0 or more"),
        (("--fmr", "0.1", "--pictures", "inf"), "--pictures inf is not 0 or more"),
        (("--fmr", "0.1", "--pictures", "1e12"), "a mean of 1e+11 false matches"),
        (("--fmr", "0.1", "--pictures", "1.5", "--exact"), "--exact goes with a whole number"),
        ((*GIVEN, "--wanted", "0"), "a wanted false rate of 0 is not over 0 and under 1"),
        ((*GIVEN, "--wanted", "1"), "a wanted false rate of 1 is not over 0 and under 1"),
        ((*GIVEN, "--accounts", "0"), "--accounts 0 is not over 0"),
        ((*GIVEN, "--shape", "0"), "a shape of 0 is not 0.001"),
        ((*GIVEN, "--burst", "0"), "a burst of 0 is not 1"),
        ((*GIVEN, "--threshold", "0"), "--threshold 0 is not 1 to 1,000,000"),
    ],
)
def test_wrong_use_is_one_line(threshold, given, words):
    """Exit code 2, nothing on standard output, one line that says what was wrong."""
    done = threshold(*given)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.startswith("scanner: ")
    assert done.err.count("\n") == 1
