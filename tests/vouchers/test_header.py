"""The header's fields and the calendar of windows."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import VoucherError
from scanner.vouchers import VoucherHeader, cose, day_at, device_id_of, window_at
from scanner.vouchers.header import SLOTS, WINDOW_SECONDS, WINDOWS

DAY = 86_400
FIELDS = {1: -8, **VoucherHeader(bytes(16), 735, 3, bytes(32)).to_cose()}


@pytest.mark.parametrize(
    ("now", "window"),
    [
        (0, 0),
        (28 * DAY - 1, 0),
        (28 * DAY - 0.001, 0),
        (28 * DAY, 1),
        (56 * DAY - 1, 1),
        (56 * DAY, 2),
        (735 * 28 * DAY, 735),
        (-1, 0),
        (-1e12, 0),
    ],
)
def test_windows_are_28_days_from_1970(now, window):
    """A window begins at its first second and ends before the next one's; a clock before 1970 is in the first."""
    assert window_at(now) == window


@pytest.mark.parametrize(
    ("now", "day"), [(0, 0), (DAY - 1, 0), (DAY - 0.001, 0), (DAY, 1), (20_600 * DAY, 20_600), (-5, 0)]
)
def test_days_are_counted_from_1970(now, day):
    """A day begins at midnight UTC."""
    assert day_at(now) == day


@given(now=st.floats(0, 1e11))
@settings(derandomize=True, deadline=None)
def test_every_moment_is_in_its_window_and_day(now):
    """Windows and days cover time without gap or overlap."""
    assert window_at(now) * WINDOW_SECONDS <= now < (window_at(now) + 1) * WINDOW_SECONDS
    assert day_at(now) * DAY <= now < (day_at(now) + 1) * DAY
    assert day_at(now) // 28 == window_at(now)


@given(
    device=st.binary(min_size=16, max_size=16),
    window=st.integers(0, WINDOWS - 1),
    slot=st.integers(0, SLOTS - 1),
    policy=st.binary(min_size=32, max_size=32),
)
@settings(derandomize=True, deadline=None)
def test_what_was_written_is_what_is_read(device, window, slot, policy):
    """Every header comes back from its COSE fields."""
    header = VoucherHeader(device, window, slot, policy)
    assert VoucherHeader.from_cose({1: -8, **header.to_cose()}) == header


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {key: FIELDS[key] for key in (1, 4)},
        {**FIELDS, 5: b"more"},
        {**FIELDS, 4: bytes(15)},
        {**FIELDS, 4: bytes(17)},
        {**FIELDS, 4: "text"},
        {**FIELDS, -70001: bytes(38)},
        {**FIELDS, -70001: bytes(40)},
        {**FIELDS, -70001: [1, 735, 3, bytes(32)]},
    ],
    ids=repr,
)
def test_other_fields_are_malformed(fields):
    """Missing, added or mistyped fields are refused by name."""
    with pytest.raises(VoucherError) as refused:
        VoucherHeader.from_cose(fields)
    assert refused.value.problem == "malformed"


@pytest.mark.parametrize("version", [0, 2, 255])
def test_only_version_1_is_read(version):
    """Version 0 held a plain payload; nobody is to be talked back into it."""
    fields = {**FIELDS, -70001: bytes([version]) + FIELDS[-70001][1:]}
    with pytest.raises(VoucherError) as refused:
        VoucherHeader.from_cose(fields)
    assert refused.value.problem == "unknown-version"


def test_a_devices_id_is_the_beginning_of_its_keys_sha256():
    """16 bytes, so that nobody finds a second key with the same id."""
    assert device_id_of(b"k" * 32) == hashlib.sha256(b"k" * 32).digest()[:16]


def read_by_decoder(header: bytes) -> VoucherHeader | str:
    """What the decoder, and the checks of each field, make of protected bytes."""
    try:
        return VoucherHeader.from_cose(cose.fields_of(header, "voucher"))
    except VoucherError as error:
        return error.problem


def read(header: bytes) -> VoucherHeader | str:
    """The same, by the door that vouchers go through."""
    try:
        return VoucherHeader.from_bytes(header)
    except VoucherError as error:
        return error.problem


headers = st.builds(
    VoucherHeader,
    st.binary(min_size=16, max_size=16),
    st.integers(0, WINDOWS - 1),
    st.integers(0, SLOTS - 1),
    st.binary(min_size=32, max_size=32),
)


@given(headers, st.integers(0, 66), st.integers(0, 255), st.binary(max_size=3))
def test_bytes_are_read_as_by_a_decoder(header, place, other, more):
    """A header comes back; with one byte changed, or cut, or longer, it is what the decoder says it is."""
    good = cose.header_of(header.to_cose())
    assert read(good) == header
    for bad in (good[:place] + bytes([other]) + good[place + 1 :], good[:place] + more, good + more):
        assert read(bad) == read_by_decoder(bad)
