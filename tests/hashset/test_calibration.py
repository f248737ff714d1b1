"""A calibration certificate says what was counted, fits one list, and contradicts itself in nothing."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import hashlib
import json
import math
import time
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.account_rates import upper_rate
from scanner.errors import ArgumentError, HashSetError, StorageError
from scanner.hashset import (
    Calibration,
    Check,
    DeltaBuilder,
    Edit,
    Entry,
    HashSet,
    HashSetBuilder,
    Stratum,
    attach_calibration,
    open_layers,
)
from scanner.hashset import calibration as bounds
from scanner.hashset import format as layout
from scanner.hashset.calibration import check_demand
from scanner.hashset.certificate import chance_of_at_most, is_bound
from scanner.index import CROSSOVER
from scanner.profiles import CalibrationDemand
from tests.conftest import pdq_hash
from tests.hashset.test_corruption import refusal, replaced, sealed, taken_apart

TODAY = dt.date(2026, 7, 1)
SMALL_DIGEST = "74d1176759397d2a7e5daea659df41a1bea88dc8b71e8917296fe7eb0e797815"
SMALL_FILE = "b6e1bc171c6c9f5a95554eab2c654cd55a28bcbdd700c7c22942633a2b8065bf"
"""Digest of the small set and SHA-256 of its file, as written by a release that knew no calibrations."""


def calibration_of(digest: bytes, **changes: object) -> Calibration:
    """Two hits of 5,000 query clusters against a PDQ list, or what is changed of it."""
    fields = {
        "hashset_digest": digest,
        "algorithm": "pdq",
        "radius": 31,
        "quality_floor": 50,
        "corpus_digest": bytes(range(32)),
        "date": TODAY,
        "query_clusters": 5000,
        "hits": 2,
        "nearest_distances": (24, 31, 32, 40),
        "versions": {"prescan": "0.1.0", "numpy": "2.3.1"},
        "strata": (Stratum("photograph", 3000, 0), Stratum("drawing", 2000, 2)),
        "ladder": "3",
        "edits": (Edit("jpeg 75", 400, 0), Edit("crop 5 %", 400, 130)),
    }
    return Calibration(**(fields | changes))


@pytest.fixture
def calibration(small_set) -> Calibration:
    """A certificate of the small set."""
    return calibration_of(small_set.digest)


@pytest.fixture
def attached(small_path, calibration, tmp_path) -> Path:
    """The small set with its certificate."""
    attach_calibration(small_path, calibration, tmp_path / "attached.prescan", today=TODAY)
    return tmp_path / "attached.prescan"


def test_rates_and_bounds_follow_from_the_counts(calibration):
    """Hits over trials, and Clopper and Pearson's upper end, one-sided; strata in order of their names."""
    assert (calibration.fpir, calibration.upper) == (2 / 5000, upper_rate(2, 5000))
    assert [(one.name, one.fpir, one.upper) for one in calibration.strata] == [
        ("drawing", 2 / 2000, upper_rate(2, 2000)), ("photograph", 0, upper_rate(0, 3000)),
    ]  # fmt: skip
    assert [(one.fnir, one.upper) for one in calibration.edits] == [
        (0, upper_rate(0, 400)), (130 / 400, upper_rate(130, 400)),
    ]  # fmt: skip


def test_a_certificate_comes_back_from_its_text(calibration):
    """Whether as text or bytes, with other spaces or another order of keys; written again it is the same text."""
    text = calibration.to_json()
    for form in (text, text.encode(), json.dumps(json.loads(text)), json.dumps(json.loads(text), indent=8)):
        again = Calibration.from_json(form)
        assert again == calibration
        assert again.to_json() == text
    bare = dataclasses.replace(calibration, strata=(), ladder=None, edits=())
    assert Calibration.from_json(bare.to_json()) == bare


def test_one_calibration_is_one_text(calibration):
    """Whatever order its maker gave tools and strata in."""
    other = dataclasses.replace(
        calibration,
        versions=dict(reversed(list(calibration.versions.items()))),
        strata=list(reversed(calibration.strata)),
        nearest_distances=list(calibration.nearest_distances),
    )
    assert other.to_json() == calibration.to_json()


def test_a_calibration_stays_what_it_was_checked_to_be(calibration):
    """Nothing in it can be changed in passing, not even by who gave it its versions."""
    given_versions = {"prescan": "1"}
    made = dataclasses.replace(calibration, versions=given_versions)
    given_versions["prescan"] = ""
    assert dict(made.versions) == {"prescan": "1"}
    with pytest.raises(TypeError):
        made.versions["prescan"] = ""
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.hits = 0


WRONG = [
    {"hashset_digest": "ab" * 32}, {"hashset_digest": bytes(31)}, {"corpus_digest": bytes(33)}, {"algorithm": "md5"},
    {"algorithm": 7}, {"radius": -1}, {"radius": 256}, {"radius": 31.0}, {"radius": True}, {"quality_floor": 101},
    {"date": dt.date(2019, 12, 31)}, {"date": dt.datetime(2026, 7, 1, tzinfo=dt.UTC)}, {"date": "2026-07-01"},
    {"query_clusters": 10**9 + 1, "strata": ()}, {"query_clusters": 5000.0},
    {"query_clusters": 0}, {"hits": -1}, {"hits": 5001}, {"hits": "2"},
    {"hits": np.int64(2)}, {"nearest_distances": ()}, {"nearest_distances": None}, {"nearest_distances": (31, 24, 32)},
    {"nearest_distances": (24, 31, 31)}, {"nearest_distances": (24, 32, 40)}, {"nearest_distances": (24, 31, 257)},
    {"nearest_distances": (-1, 31)}, {"nearest_distances": (24.0, 31)}, {"nearest_distances": (31,) * 2 + (32,) * 999},
    {"strata": None}, {"strata": ("photograph",)}, {"strata": (Stratum("a", 2500, 1), Stratum("a", 2500, 1))},
    {"strata": (Stratum("a", 5000, 1),)}, {"strata": (Stratum("a", 4999, 2),)}, {"edits": ("jpeg 75",)},
    {"strata": tuple(Stratum(f"{n}", 1, 0) for n in range(257))}, {"edits": (Edit("a", 1, 0), Edit("a", 1, 0))},
    {"edits": ()}, {"edits": 7}, {"ladder": None}, {"ladder": ""}, {"ladder": 3},
    {"edits": tuple(Edit(f"{n}", 1, 0) for n in range(513))},
    {"versions": {}}, {"versions": None}, {"versions": {"prescan": ""}}, {"versions": {"": "1"}},
    {"versions": {"prescan": 1}}, {"versions": {"prescan": "1\n2"}}, {"versions": {"x" * 101: "1"}},
    {"versions": {f"{n}": "1" for n in range(65)}},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:50])
def test_a_calibration_that_can_not_be_is_not_made(wrong, calibration):
    """Each value has its range, and all of them agree."""
    with pytest.raises(ArgumentError):
        dataclasses.replace(calibration, **wrong)


@pytest.mark.parametrize("kind", [Stratum, Edit])
@pytest.mark.parametrize(
    "values",
    [("", 1, 0), ("a\nb", 1, 0), ("\ud800", 1, 0), ("a" * 101, 1, 0), (1, 1, 0), ("a", 0, 0), ("a", 1, 2), ("a", 1, -1),
     ("a", True, 0), ("a", 10**9 + 1, 0)],
    ids=repr,
)  # fmt: skip
def test_a_part_that_can_not_be_is_not_made(kind, values):
    """A name is printable text, and no more are counted than there are."""
    with pytest.raises(ArgumentError):
        kind(*values)


def test_fewer_distances_than_hits_are_all_within_the_radius(calibration):
    """The list of the nearest may be cut before the hits end."""
    cut = dataclasses.replace(calibration, nearest_distances=(24,))
    assert Calibration.from_json(cut.to_json()) == cut
    everything = calibration_of(bytes(32), query_clusters=2, nearest_distances=(0, 31), strata=())
    assert (everything.fpir, everything.upper) == (1, 1)
    assert Calibration.from_json(everything.to_json()) == everything


def test_the_largest_certificate_fits_into_a_file():
    """What may be made may be attached."""
    name = "\U00020000" * (bounds.LONGEST_TEXT - 3)
    largest = calibration_of(
        bytes(32),
        query_clusters=10**9,
        hits=0,
        nearest_distances=(256,) * bounds.MOST_DISTANCES,
        versions={f"{name}{n}": name for n in range(bounds.MOST_VERSIONS)},
        strata=(
            Stratum(name, 10**9 - bounds.MOST_STRATA + 1, 0),
            *(Stratum(f"{name}{n}", 1, 0) for n in range(bounds.MOST_STRATA - 1)),
        ),
        edits=tuple(Edit(f"{name}{n}", 987_654, 7) for n in range(bounds.MOST_EDITS)),
    )
    text = largest.to_json()
    assert len(text.encode()) <= layout.LARGEST_CALIBRATION
    started = time.monotonic()
    assert Calibration.from_json(text) == largest
    assert time.monotonic() - started < 2


def refused(fields: object) -> str:
    """Read a certificate of these fields, which must fail with the one error; gives its message."""
    with pytest.raises(HashSetError, match="the calibration certificate is not valid") as raised:
        Calibration.from_json(fields if isinstance(fields, (str, bytes)) else json.dumps(fields))
    return str(raised.value)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value that holds no other, as keys to follow."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() for place in places(inner, (*path, key))]
    if isinstance(value, list):
        return [place for number, inner in enumerate(value) for place in places(inner, (*path, number))]
    return [path]


def put(fields: object, path: tuple, value: object) -> object:
    """A copy with another value in one place."""
    changed = copy.deepcopy(fields)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


FIELDS = json.loads(calibration_of(bytes(32)).to_json())
FREE = [("quality_floor",), *(("nearest_distances", place) for place in range(4))]
"""Numbers that others leave some room; the list's header bears on the floor, and the hits on the distances."""


@pytest.mark.parametrize("path", places(FIELDS), ids=str)
def test_every_field_is_checked_for_its_type(path):
    """A value of any other type makes it no certificate; a whole number is no rate, and True no number."""
    was = put(FIELDS, path, None)
    for other in (None, True, [], {}, [1], "\n", "", 10**400, -1, -0.5, 2.5):
        assert refused(put(was, path, other))


@pytest.mark.parametrize("path", [path for path in places(FIELDS) if path not in FREE], ids=str)
def test_every_changed_number_is_noticed(path):
    """A count, rate or bound changed by itself contradicts the others, however little it was changed."""
    value = FIELDS
    for key in path:
        value = value[key]
    if type(value) is int:
        others = [value + 1, value - 1, 2 * value + 1] if path != ("radius",) else [value + 1, value - 8]
    elif type(value) is float:
        others = [value * 1.0001 + 1e-9, value * 0.9999 - 1e-9, 0.5, 1.0, math.nextafter(1, 2)]
    else:
        return
    for other in others:
        assert refused(put(FIELDS, path, other))


@pytest.mark.parametrize("holder", [(), ("strata", 0), ("ladder",), ("ladder", "edits", 1)], ids=str)
def test_a_field_missing_or_more_is_refused(holder):
    """Nothing has a default, and nothing unknown is passed over."""
    inner = FIELDS
    for key in holder:
        inner = inner[key]
    for key in inner:
        changed = copy.deepcopy(FIELDS)
        place = changed
        for step in holder:
            place = place[step]
        del place[key]
        assert refused(changed)
    assert refused(put(FIELDS, (*holder, "more"), 1))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "prescan-policy"), (("version",), 2), (("version",), 1.0), (("date",), "2026-02-30"),
        (("date",), "20260701"), (("date",), "2026-W27-3"), (("date",), "2019-12-31"), (("date",), "9999999-01-01"),
        (("date",), "2026-07-01T00:00:00"), (("date",), "1.7.2026"), (("hashset_digest",), "00" * 31),
        (("hashset_digest",), "AB" * 32), (("hashset_digest",), "00 " * 32), (("corpus_digest",), "zz" * 32),
        (("algorithm",), "PDQ"), (("strata",), ""), (("strata",), {}), (("strata",), [""]), (("ladder",), False),
        (("ladder",), ""), (("ladder", "edits"), ""), (("ladder", "edits"), {}), (("ladder", "edits"), []),
        (("versions",), []), (("versions",), {}), (("nearest_distances",), ""), (("nearest_distances",), {}),
        (("hits",), 3), (("strata", 0, "hits"), 1), (("fpir",), 0), (("upper",), 1),
    ],
    ids=str,
)  # fmt: skip
def test_values_that_are_almost_right_are_refused(path, value):
    """Other spellings of a date or digest, other empty things, whole numbers for rates."""
    assert refused(put(FIELDS, path, value))


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b"1", b'"x"', b"{", b"{}", b"\xff\xfe{", b"NaN", b"[" * 200_000, b'{"a":' * 100_000,
     b'{"version":' + b"9" * 5000 + b"}", b'{"format": "prescan-calibration"}'],
    ids=lambda text: f"{text[:12]!r}x{len(text)}",
)  # fmt: skip
def test_what_is_no_certificate_raises_the_one_error(text):
    """Deep nesting, huge numbers, other encodings and other JSON."""
    assert refused(text)


def test_a_field_that_is_there_twice_is_refused():
    """Readers that take the first and readers that take the last would see different certificates."""
    text = json.dumps(FIELDS)
    assert "twice" in refused(text.replace('"hits": 2', '"hits": 0, "hits": 2', 1))
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        assert refused(text.replace(f'"fpir": {FIELDS["fpir"]}', f'"fpir": {number}', 1))


@given(data=st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_is_a_certificate_or_the_one_error(data):
    """No other error comes out."""
    refused(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(path=st.sampled_from([path[:n] for path in places(FIELDS) for n in range(1, len(path) + 1)]), value=json_values)
def test_any_value_in_any_place_reads_well_or_raises_the_one_error(path, value):
    """What reads is a certificate: written again it says what was read."""
    changed = put(FIELDS, path, value)
    try:
        read = Calibration.from_json(json.dumps(changed))
    except HashSetError:
        return
    assert json.loads(read.to_json()).keys() == changed.keys()
    assert Calibration.from_json(read.to_json()) == read


counts = st.integers(1, 10**9).flatmap(lambda trials: st.tuples(st.integers(0, min(trials, 20_000)), st.just(trials)))


@given(counts=counts)
def test_the_bound_that_is_found_is_the_bound_that_is_checked(counts):
    """At every size, also after nine digits; and a thousandth more or less is another bound."""
    hits, trials = counts
    upper = upper_rate(hits, trials)
    for written in (upper, float(f"{upper:.9g}")):
        assert is_bound(written, hits, trials)
    if hits < trials and (upper * trials - hits) / max(hits, 1) > 2e-3:
        assert not is_bound(upper * 1.001, hits, trials) or upper * 1.001 > 1
        assert not is_bound(upper * 0.999, hits, trials)


@pytest.mark.parametrize(
    ("hits", "trials"),
    [(0, 1), (1, 1), (1, 2), (999, 1000), (10**6 - 1, 10**6), (10**5, 10**9), (3, 10**9), (500, 999)],
)
def test_bounds_at_the_ends_are_checked_too(hits, trials):
    """Nearly all, nearly none, very many."""
    upper = upper_rate(hits, trials)
    assert is_bound(float(f"{upper:.9g}"), hits, trials)
    for other in (0.0, -1.0, hits / trials * 0.9, 1.1, math.nan, math.inf):
        assert not is_bound(other, hits, trials)


@pytest.mark.parametrize(("hits", "trials"), [(10**9 - 1, 10**9), (5 * 10**8, 10**9), (10**8, 10**9)])
def test_checking_a_bound_is_quick_whatever_is_claimed(hits, trials):
    """A hostile file can't keep a reader busy."""
    started = time.monotonic()
    for upper in (hits / trials, math.nextafter(hits / trials, 1), hits / trials * (1 + 2e-5), 0.99999, 1.0):
        is_bound(upper, hits, trials)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("hits", "trials", "rate"), [(0, 5, 0.3), (2, 5, 0.5), (7, 20, 0.6), (19, 20, 0.99)])
def test_the_chance_of_at_most_is_the_sum_of_the_binomial_law(hits, trials, rate):
    """Against the definition."""
    exact = sum(math.comb(trials, n) * rate**n * (1 - rate) ** (trials - n) for n in range(hits + 1))
    assert chance_of_at_most(hits, trials, rate) == pytest.approx(exact, rel=1e-9)


def test_attaching_changes_neither_the_list_nor_its_digest(small_path, attached, calibration):
    """What was before the header is what it was; policies and deltas that name the digest hold on."""
    before, after = small_path.read_bytes(), attached.read_bytes()
    with HashSet.open(small_path) as plain, HashSet.open(attached) as known:
        assert (plain.calibration, known.calibration) == (None, calibration)
        assert known.digest == plain.digest
        assert list(known.entries()) == list(plain.entries())
        assert before.startswith(plain.list_bytes().tobytes())
        assert after.startswith(plain.list_bytes().tobytes() + calibration.to_json().encode())
        assert known.header.without_calibration() == plain.header
    assert faiss.read_index_binary(str(attached)).ntotal == 3


def test_a_set_without_a_calibration_is_the_file_it_was_before_there_were_any(small_path):
    """Its digest is the SHA-256 of its header, and its bytes are those of earlier releases."""
    _, _, digest = layout.locate_header(memoryview(small_path.read_bytes()))
    with HashSet.open(small_path) as known:
        assert known.digest == known.header.digest == digest
        assert known.digest.hex() == SMALL_DIGEST
    assert hashlib.sha256(small_path.read_bytes()).hexdigest() == SMALL_FILE


def test_attaching_twice_gives_the_same_file_and_another_gives_way(small_path, attached, calibration, tmp_path):
    """Nothing is left of the one before, and the file may be its own source."""
    once = attached.read_bytes()
    digest = attach_calibration(attached, calibration, attached, today=TODAY)
    assert attached.read_bytes() == once
    other = dataclasses.replace(calibration, date=TODAY - dt.timedelta(days=1), ladder=None, edits=())
    assert attach_calibration(attached, other, attached, today=TODAY) == digest
    attach_calibration(small_path, other, tmp_path / "direct", today=TODAY)
    assert attached.read_bytes() == (tmp_path / "direct").read_bytes() != once
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attached.prescan", "direct", "small.prescan"]


def test_a_set_built_again_has_no_calibration(attached, tmp_path):
    """It was measured of another file, which may have had other entries."""
    with HashSet.open(attached) as known:
        builder = HashSetBuilder("small", epoch=7)
        builder.add_all(known.entries())
    builder.write(tmp_path / "again")
    with HashSet.open(tmp_path / "again") as again:
        assert again.calibration is None


MISFITS = [
    ({"hashset_digest": bytes(32)}, "for the list of digest 0000"),
    ({"algorithm": "pdq-512"}, "for algorithm pdq-512, and the list small has pdq"),
    ({"radius": 30, "nearest_distances": (24, 30)}, "for radius 30, and the list small has 31"),
    ({"quality_floor": 49}, "for quality floor 49, and the list small has 50"),
]


@pytest.mark.parametrize(("changes", "words"), MISFITS, ids=lambda value: str(value)[:30])
def test_a_certificate_of_another_list_is_not_attached(changes, words, small_path, calibration, tmp_path):
    """Digest, algorithm, radius and floor are the list's, or nothing is written."""
    with pytest.raises(HashSetError, match=words):
        attach_calibration(small_path, dataclasses.replace(calibration, **changes), tmp_path / "out", today=TODAY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("check", Check)
@pytest.mark.parametrize(("changes", "words"), MISFITS, ids=lambda value: str(value)[:30])
def test_a_file_with_the_certificate_of_another_list_is_refused(changes, words, check, attached, calibration):
    """Also when its digests fit, and however little is checked."""
    sections, header = taken_apart(attached.read_bytes())
    wrong = dataclasses.replace(calibration, **changes).to_json().encode()
    attached.write_bytes(with_certificate(sections, header, wrong))
    with pytest.raises(HashSetError, match=words):
        HashSet.open(attached, check=check)


def with_certificate(sections: bytes, header: dict, certificate: bytes) -> bytes:
    """A file with other bytes as its certificate, all digests valid."""
    part = header["sections"]["calibration"]
    end = part["offset"]
    part["length"] = len(certificate)
    return replaced(sections[:end] + certificate + layout.padding(len(certificate)), header, "calibration", certificate)


def test_a_file_whose_certificate_is_none_is_refused(attached):
    """The reader of the file is as strict as that of the certificate."""
    data = attached.read_bytes()
    for wrong in (b"", b"{}", b"\xff", b"x" * 100, json.dumps(FIELDS | {"hits": 1}).encode()):
        assert "certificate is not valid" in refusal(attached, with_certificate(*taken_apart(data), wrong))
    large = with_certificate(*taken_apart(data), b" " * (layout.LARGEST_CALIBRATION + 1))
    assert "calibration is over 1,048,576 bytes" in refusal(attached, large)


def test_every_changed_or_missing_byte_is_noticed(attached, calibration):
    """A byte of the certificate, its padding, the header and the footer as well as of the list."""
    short = dataclasses.replace(calibration, strata=(), ladder=None, edits=())
    attach_calibration(attached, short, attached, today=TODAY)
    data = attached.read_bytes()
    with HashSet.open(attached) as known:
        start = len(known.list_bytes())
    for place in range(start, len(data), 3):
        changed = bytearray(data)
        changed[place] ^= 1
        refusal(attached, bytes(changed))
    for length in range(start, len(data), 7):
        refusal(attached, data[:length])


@pytest.mark.parametrize("check", [Check.DEFERRED, Check.TRUSTED])
def test_a_changed_certificate_is_noticed_however_little_is_checked(check, attached):
    """Evidence is looked at before the list is, so it is always verified."""
    data = bytearray(attached.read_bytes())
    data[data.index(b'"fpir"') + 9] ^= 1
    attached.write_bytes(data)
    with pytest.raises(HashSetError, match="section calibration does not match"):
        HashSet.open(attached, check=check)


def test_a_calibration_stands_after_all_else(attached):
    """Elsewhere it would move what the digest names."""
    sections, header = taken_apart(attached.read_bytes())
    parts = header["sections"]
    parts["calibration"], parts["labels"] = parts["labels"], parts["calibration"]
    refusal(attached, sealed(sections, header))


@pytest.mark.parametrize("days", [2, 3, 400, 3_000_000])
def test_a_certificate_from_the_future_is_not_attached(days, small_path, calibration, tmp_path):
    """Some clock is wrong; a day is left to time zones."""
    with pytest.raises(HashSetError, match="dated 2026-07-01, and today is"):
        attach_calibration(
            small_path, calibration, tmp_path / "out", today=dt.date.fromordinal(max(1, TODAY.toordinal() - days))
        )
    attach_calibration(small_path, calibration, tmp_path / "out", today=TODAY - dt.timedelta(days=1))


def test_only_a_sound_set_gets_a_certificate(small_path, calibration, tmp_path):
    """A corrupt file does not become a sound one by being written again; what was at the target stays."""
    (tmp_path / "out").write_bytes(b"old")
    data = bytearray(small_path.read_bytes())
    data[40] ^= 1
    small_path.write_bytes(data)
    with pytest.raises(HashSetError, match="section codes does not match"):
        attach_calibration(small_path, calibration, tmp_path / "out", today=TODAY)
    with pytest.raises(StorageError):
        attach_calibration(tmp_path / "missing", calibration, tmp_path / "out", today=TODAY)
    assert (tmp_path / "out").read_bytes() == b"old"


def test_the_calibration_of_layers_is_the_deltas(small_path, attached, calibration, tmp_path):
    """What was measured of the base alone says nothing of the whole; the delta's digest names the whole."""
    with HashSet.open(small_path) as base:
        delta = DeltaBuilder(base, epoch=8)
        delta.remove(pdq_hash(1))
        delta.add(Entry(pdq_hash(9), "nine"))
        digest = delta.write(tmp_path / "delta")
    whole = dataclasses.replace(calibration, hashset_digest=digest)
    assert attach_calibration(tmp_path / "delta", whole, tmp_path / "measured", today=TODAY) == digest
    with open_layers(attached, [tmp_path / "delta"]) as known:
        assert known.calibration is None
    with open_layers(small_path, [tmp_path / "measured"]) as known:
        assert (known.calibration, known.digest) == (whole, digest)
        assert len(known) == 3
    with pytest.raises(HashSetError, match="for the list of digest"):
        attach_calibration(tmp_path / "delta", calibration, tmp_path / "out", today=TODAY)


def test_large_sets_keep_their_tables_and_videos(tmp_path, monkeypatch):
    """Every kind of section stays where it is, over many pieces."""
    monkeypatch.setattr("scanner.hashset.attaching._CHUNK", 1000)
    codes = np.random.default_rng(5).integers(0, 256, (CROSSOVER, 32), np.uint8)
    builder = HashSetBuilder("large")
    builder.add(Entry(pdq_hash(1), "clip", 2**63, video=True))
    builder.add_codes(codes, np.arange(CROSSOVER, dtype=np.uint64))
    digest = builder.write(tmp_path / "set")
    attach_calibration(tmp_path / "set", calibration_of(digest), tmp_path / "out", today=TODAY)
    with HashSet.open(tmp_path / "set") as plain, HashSet.open(tmp_path / "out") as known:
        assert {"videos", "tables", "calibration"} <= set(known.header.sections)
        assert np.array_equal(known.list_bytes(), plain.list_bytes())
        assert known.open_index().search(codes[7].tobytes(), 0).indices.tolist() == [8]


DEMANDS = [
    (CalibrationDemand(0.00126, TODAY), None),
    (CalibrationDemand(1, TODAY), None),
    (CalibrationDemand(0.001, TODAY, "photograph"), None),
    (CalibrationDemand(0.00125, TODAY), "2 false hits in 5,000 query clusters: an FPIR of at most 0.00126 at 95%"),
    (CalibrationDemand(0.00099, TODAY, "photograph"), "0 false hits in 3,000 query clusters of photograph"),
    (
        CalibrationDemand(0.5, TODAY + dt.timedelta(days=1)),
        "was calibrated on 2026-07-01, and the profile asks for 2026",
    ),
    (CalibrationDemand(0.5, TODAY, "screenshot"), "was not calibrated on screenshot"),
]


@pytest.mark.parametrize(("demand", "words"), DEMANDS, ids=str)
def test_a_demand_is_met_or_the_reason_is_told(demand, words):
    """The bound counts, not the rate; the day itself is not too old; a stratum can be asked for."""
    calibration = calibration_of(bytes(32))
    if words is None:
        check_demand(calibration, demand, "small")
        return
    with pytest.raises(HashSetError, match=words):
        check_demand(calibration, demand, "small")


def test_a_list_without_evidence_meets_no_demand():
    """Not even the weakest."""
    with pytest.raises(HashSetError, match="the list small has no calibration certificate"):
        check_demand(None, CalibrationDemand(1, dt.date.min), "small")
