"""The page: self-contained, accessible, honest about what is missing, and safe whatever names pictures have."""

from __future__ import annotations

import base64
import copy
import io
import math
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from benchmarks.accuracy import charts, gallery, report
from benchmarks.accuracy.plots import Axis, Series, chart, legend, log_axis, named_axis, span, written
from tests.accuracy.drawn import draw_pictures, evaluated, manifest_of

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements of a page in order, with their attributes; every one that is opened has to be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """An evaluation of hashes by chance, of both lineages."""
    base = tmp_path_factory.mktemp("bits")
    return evaluated(base, hashes={"pdq": 256, "pdq-512": 256, "phash-64": 64})


@pytest.fixture(scope="module")
def page(document):
    """Its page, without pictures."""
    return report.render(document, None)


def test_nothing_is_loaded_and_nothing_runs(page):
    """No script, no event handler, no address but anchors and data, and a policy that forbids all else."""
    read = Page(page)
    assert not read.named("script")
    assert "http" not in re.sub(r"github\.com|http-equiv", "", page)
    for _, attributes in read.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))
    assert "url(" not in page
    assert "@import" not in page
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in read.named("meta"))


def test_tables_and_charts_can_be_read_aloud(page):
    """Each table has a caption, headed columns and a labelled region to scroll; each chart a label; links lead on."""
    read = Page(page)
    assert len(read.named("table")) == len(read.named("caption")) > 10
    assert all(head.get("scope") in ("col", "row") for head in read.named("th"))
    regions = [one for one in read.named("div") if one.get("role") == "region"]
    assert len(regions) == len(read.named("table"))
    assert all(one["aria-label"] and one["tabindex"] == "0" for one in regions)
    drawn = [one for one in read.named("svg") if one.get("class") == "chart"]
    assert len(drawn) >= 8
    assert all(len(one["aria-label"]) > 20 for one in drawn)
    places = {one.get("id") for _, one in read.elements}
    assert all(link["href"].removeprefix("#") in places for link in read.named("a"))
    assert read.named("html")[0]["lang"] == "en"


def test_every_hash_and_the_limits_are_there(document, page):
    """What was measured, how, and what it does not say, stand on the page."""
    text = Page(page).text
    for part in (*document["hashes"], "What these figures do not say", "a drawn one", document["corpus"]["digest"]):
        assert part in text
    assert "python -m benchmarks.accuracy run" in text
    assert "4 pairs were judged" in text
    assert "both_vary" not in text
    assert "accounts differ, bursts vary" in text


def test_names_of_pictures_can_not_become_markup(document):
    """A hostile path, source, licence or version is shown as text."""
    hostile = copy.deepcopy(document)
    bad = "<script>alert(1)</script>\"'&"
    one = hostile["hashes"]["pdq"]
    one["version"] = one["note"] = bad
    for pair in one["nearest_pairs"]:
        for picture in pair["pictures"]:
            picture["path"] = picture["source"] = f"a/{bad}"
    hostile["corpus"]["sources"] = hostile["corpus"]["licences"] = {bad: 1}
    hostile["hashes"][bad] = hostile["hashes"].pop("phash-64")
    page = report.render(hostile, None)
    assert not Page(page).named("script")
    assert "<script" not in page


def test_a_run_with_little_in_it_makes_a_page_too(tmp_path, document):
    """Without edits, purge, command or figures of a hash the page says so and stands."""
    small = evaluated(tmp_path, rungs=(), sources=0, hashes={"phash-64": 64})
    small["corpus"]["purge"] = None
    small["hashes"]["pdq"] = {**document["hashes"]["pdq"], "refused": "too few pictures"}
    del small["measured"]["command"]
    text = Page(report.render(small, None)).text
    for part in (
        "Near copies were not taken out",
        "pdq has no figures: too few pictures",
        "No curve can be drawn",
        "not known",
    ):
        assert part in text


def test_a_rate_that_is_missing_is_a_dash(document):
    """A kind of picture whose pairs are not kept as far as the radius has no FMR, and the page is made all the same."""
    less = copy.deepcopy(document)
    less["hashes"]["phash-64"]["populations"]["photograph"]["fmr"] = []
    assert Page(report.render(less, None)).text.count("–") == Page(report.render(document, None)).text.count("–") + 1


def test_thumbnails_are_small_and_of_the_picture_that_was_measured(tmp_path):
    """A thumbnail fits its square; a file that was changed, is missing or no picture says so instead."""
    draw_pictures(tmp_path, 3, size=400)
    listed = [{"sha256": one.sha256, "path": one.path} for one in manifest_of(tmp_path).pictures]
    (tmp_path / listed[1]["path"]).write_bytes(b"other")
    (tmp_path / listed[2]["path"]).unlink()
    found = gallery.thumbnails(tmp_path, [*listed, listed[0]])
    data = found[listed[0]["sha256"]]
    assert data.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as small:
        assert max(small.size) == gallery.SIDE
    assert found[listed[1]["sha256"]] == "the file was changed since"
    assert found[listed[2]["sha256"]].startswith("can't be read")
    empty = tmp_path / "none.png"
    empty.write_bytes(b"")
    sha = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert gallery.thumbnails(tmp_path, [{"sha256": sha, "path": "none.png"}])[sha].startswith("can't be read")


def test_det_curves_show_every_radius_with_both_errors(document):
    """Each point's place is that of its rates; those without a false hit have none on a log axis and are counted."""
    (first, *_) = charts.det_curves(document)
    one = document["hashes"]["pdq"]
    shown = [
        row for row in one["det"]["ladder"] if one["fpir_by_radius"][row["radius"]]["estimate"] * row["estimate"] > 0
    ]
    (group,) = re.findall(r"<g><title>pdq</title>.*?</g>", first.svg)
    assert len(re.findall('class="mark', group)) == len(shown)
    assert "have no place on a log axis" in first.svg


def test_recall_is_drawn_for_families_of_several_edits(document):
    """A family of one edit has no ladder; the others have each edit once."""
    drawn = copy.deepcopy(document)
    rows = drawn["hashes"]["pdq"]["fnir"]
    rows.append({**rows[0], "edit": "jpeg-q15"})
    assert [one.heading for one in charts.recall_ladders(drawn)] == ["jpeg"]


@pytest.mark.parametrize("values", [[3e-7, 0.02], [0.4, 0.6], [1.0], [], [0.0], [7, 9000]])
def test_log_axes_hold_all_values_and_round_ends(values):
    """Ends are 1, 2 or 5 of a decade, at least a decade apart, and hold every value over 0; ticks lie inside."""
    axis = log_axis("", values)
    some = [value for value in values if value > 0]
    assert all(axis.low <= value * (1 + 1e-9) and value <= axis.high * (1 + 1e-9) for value in some)
    assert axis.high >= 9.9 * axis.low
    for end in (axis.low, axis.high):
        assert min(abs(end / 10 ** math.floor(math.log10(end) + 1e-9) - first) for first in (1, 2, 5, 10)) < 1e-6
    ticks = axis.ticks(300, 40)
    assert len(ticks) >= 2
    assert all(axis.low * 0.999 <= tick <= axis.high * 1.001 for tick in ticks)


def test_places_keep_inside_the_chart():
    """Values beyond the ends lie on them, and named places one step apart."""
    axis = Axis("", 10, 20)
    assert [axis.place(value, 100) for value in (0, 10, 15, 20, 99)] == [0, 0, 50, 100, 100]
    assert Axis("", 1, 100, log=True).place(10, 100) == pytest.approx(50)
    names = named_axis("", ["a", "b", "c"])
    assert [names.place(value, 90) for value in names.ticks(90, 40)] == [15, 45, 75]
    assert span("", []).high == 1


def test_a_chart_without_points_is_still_one():
    """An empty series draws a frame, and names are escaped."""
    axis = span("<x>", [0, 1])
    drawn = chart([Series("<b>", [], 13, [(0.5, 0.1, 0.2)])], axis, axis, 'a "title"', "told")
    Page(drawn)
    assert "<b>" not in drawn
    assert "<x>" not in drawn
    assert Page(legend([("<i>", 25)])).text == "<i>"


def test_numbers_are_written_short():
    """Rates, thousands, powers and what is missing."""
    assert [report.rate(value) for value in (None, 0, 0.25, 9.1e-7, 1e-12, 12345.6)] == [
        "–",
        "0",
        "0.25",
        "9.1e-7",
        "1e-12",
        "12,346",
    ]
    assert [report.digits(value) for value in (None, 0.4904, 4e-6)] == ["not measured", "0.4904", "4e-6"]
    assert [written(value) for value in (0, 0.01, 0.005, 1600, 250_000)] == ["0", "0.01", "5e-3", "1,600", "2.5e5"]
