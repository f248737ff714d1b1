"""The frozen values: text form, distance, verdicts."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import HashFormatError, HashShapeError
from scanner.types import Action, Match, Outcome, PerceptualHash, Verdict
from tests import oracle
from tests.strategies import codes, flipped, pdq_hashes

HEX = "0123456789abcdef" * 4


@given(known=pdq_hashes)
def test_text_form_round_trips(known):
    """A hash read from its own text form is the same hash."""
    assert PerceptualHash.from_hex(known.hex) == known
    assert str(known) == known.hex
    assert known.hex == f"{int.from_bytes(known.data):064x}"


@given(data=codes(8))
def test_text_form_round_trips_for_64_bits(data):
    """The same holds for the shorter hashes."""
    known = PerceptualHash("phash", data)
    assert PerceptualHash.from_hex(known.hex, "phash", bits=64) == known
    assert known.bits == 64


@given(known=pdq_hashes, before=st.sampled_from(["", " ", "\t", "\r\n"]), after=st.sampled_from(["", " ", "\n"]))
def test_upper_case_and_surrounding_white_space_are_accepted(known, before, after):
    """What spreadsheets and C# tools write is read as it is meant."""
    assert PerceptualHash.from_hex(before + known.hex.upper() + after) == known


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        HEX[:-1],
        HEX + "0",
        HEX[:-2],
        "0x" + HEX,
        "0x" + HEX[2:],
        HEX[:10] + "_" + HEX[11:],
        HEX[:10] + " " + HEX[11:],
        HEX[:32] + "\n" + HEX[33:],
        HEX[:-1] + "g",
        "-" + HEX[1:],
        "+" + HEX[1:],
        HEX[:-1] + "١",  # a decimal digit that is not ASCII
        HEX[:-1] + "Ａ",  # a full-width letter
    ],
)
def test_what_is_not_a_hash_is_refused(text):
    """Wrong length, other characters, underscores, prefixes and inner white space are no hash."""
    with pytest.raises(HashFormatError, match="a pdq hash"):
        PerceptualHash.from_hex(text)


@given(text=st.text(max_size=70))
def test_any_text_is_a_hash_or_a_format_error(text):
    """Reading a hash decodes, or raises the one named error."""
    try:
        known = PerceptualHash.from_hex(text)
    except HashFormatError:
        return
    assert known.hex == text.strip().lower()


@given(known=pdq_hashes, positions=st.sets(st.integers(0, 255)))
def test_distance_counts_the_flipped_bits(known, positions):
    """k turned bits are distance k, in both directions."""
    other = PerceptualHash("pdq", flipped(known.data, positions))
    assert known.distance(other) == other.distance(known) == len(positions)


@given(one=codes(32), other=codes(32))
def test_distance_equals_the_oracle(one, other):
    """Distance is the number of differing bits."""
    assert PerceptualHash("pdq", one).distance(PerceptualHash("pdq", other)) == oracle.hamming(one, other)


@pytest.mark.parametrize(
    "other", [PerceptualHash("pdq-512", bytes(32)), PerceptualHash("pdq", bytes(8)), PerceptualHash("phash", bytes(8))]
)
def test_hashes_of_another_lineage_or_length_have_no_distance(other):
    """Bits compare within one algorithm only."""
    with pytest.raises(HashShapeError, match="has no distance"):
        PerceptualHash("pdq", bytes(32)).distance(other)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (PerceptualHash("pdq", bytes(32)), "data"),
        (Match(0, 0, 0, ""), "label"),
        (Verdict(Outcome.NO_MATCH, Action.SEND, ""), "action"),
    ],
)
def test_values_are_frozen_and_hashable(value, field):
    """No stage can change what another one holds."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
    assert hash(value) == hash(dataclasses.replace(value))
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_match_counts_as_matched(outcome):
    """No fault and no low quality is taken for a match."""
    assert Verdict(outcome, Action.SEND, "").matched == (outcome is Outcome.MATCH)
