"""Published figures: written as they were published, and set beside the measured ones that they mean."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.presets import PRESETS, beside, preset_named
from scanner.errors import UnknownNameError
from tests.accuracy.drawn import evaluated

RUNGS = ("crop-all-5", "gamma-2", "resize-0.5", "pad-black-above-below")


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """An evaluation of hashes by chance, with the edits that are published."""
    base = tmp_path_factory.mktemp("bits")
    return evaluated(base, hashes={"pdq": 256, "phash-64": 64}, rungs=RUNGS, sources=20)


def test_figures_are_those_that_were_published():
    """Spot checks against the tables: PDQ's mean and crop, Thorn's PDQ after a crop, UKBench's precision."""
    mckeown, thorn, ukbench = (PRESETS[name] for name in ("mckeown2023", "thorn", "imagededup-ukbench"))
    assert [one.value for one in mckeown.figures] == [0.4904, 0.0649, 0.5, 0.0321, 0.3255]
    crop = next(one for one in thorn.figures if one.what.startswith("pdq, crop0.05"))
    assert crop.value == 30.606
    phash = next(one for one in ukbench.figures if one.what.startswith("phash"))
    false = phash.value * (5100 * 5099 / 2 - 2550)
    assert 2550 / (2550 + false) == pytest.approx(0.98)


def test_each_preset_says_where_it_is_from():
    """Source, corpus and how the figures were read are never empty."""
    for preset in PRESETS.values():
        assert all((preset.source, preset.corpus, preset.how, preset.figures))


def test_means_and_deviations_are_those_of_all_pairs(document):
    """Beside a published mean stands that of every picture, the ones of low quality too."""
    rows = {row.what: row for row in beside(PRESETS["mckeown2023"], document)}
    held = document["hashes"]["pdq"]["populations"]["every"]
    assert rows["PDQ, 256 bits: mean distance of unrelated pictures"].measured == held["mean"]
    assert rows["PDQ, 256 bits: its standard deviation"].measured == held["sd"]
    crop = next(row for row in document["hashes"]["pdq"]["fnir"] if row["edit"] == "crop-all-5")
    assert rows["PDQ: mean distance after a crop by 5 %"].measured == crop["mean"]


def test_recall_is_counted_at_the_published_threshold(document):
    """Distances to the threshold, inclusive, in per cent of the pictures."""
    row = next(row for row in beside(PRESETS["thorn"], document) if row.what.startswith("pdq, crop0.05"))
    held = next(row for row in document["hashes"]["pdq"]["fnir"] if row["edit"] == "crop-all-5")
    away = np.repeat(*np.array(held["distances"]).T)
    assert row.measured == pytest.approx(100 * np.mean(away <= 78))


def test_false_matches_are_counted_at_ten_bits(document):
    """Beside UKBench's rate stands the FMR of all pairs at 10 of 64 bits."""
    row = next(row for row in beside(PRESETS["imagededup-ukbench"], document) if row.what.startswith("phash"))
    held = document["hashes"]["phash-64"]["populations"]["every"]
    assert row.measured == sum(held["histogram"][:11]) / held["pairs"]


def test_what_was_not_measured_has_no_figure(document):
    """A hash or an edit that the run has not leaves a gap."""
    rows = beside(PRESETS["imagededup-ukbench"], document)
    assert next(row for row in rows if row.what.startswith("ahash")).measured is None
    rows = beside(PRESETS["thorn"], {"hashes": {}})
    assert all(row.measured is None for row in rows)


def test_an_unknown_preset_is_named():
    """The error tells which there are."""
    with pytest.raises(UnknownNameError, match="mckeown2023"):
        preset_named("none")
