"""When a device that sends cover sends."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.vouchers import window_at
from scanner.vouchers.header import WINDOW_SECONDS
from scanner.vouchers.schedule import SLOT_SECONDS, slots_due
from scanner.vouchers.terms import SLOTS_WITH_COVER

devices = st.binary(min_size=16, max_size=16)
moments = st.floats(0, 1e11)
WINDOW = 735
START = WINDOW * WINDOW_SECONDS


def shift_of(device: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"prescan/v1/slot" + device).digest()[:4]) % SLOT_SECONDS


def test_a_window_is_cut_into_64_slots_without_rest():
    """37,800 seconds each: ten and a half hours."""
    assert SLOT_SECONDS * 64 == SLOTS_WITH_COVER * SLOT_SECONDS == WINDOW_SECONDS
    assert SLOT_SECONDS == 37_800


@given(device=devices, now=moments, later=st.floats(0, 3e6))
def test_slots_only_become_due(device, now, later):
    """Within a window none is taken back; what is due is always the first so many."""
    (window, slots), (after, more) = slots_due(device, now), slots_due(device, now + later)
    assert after >= window
    assert slots == range(len(slots))
    assert len(slots) <= 64
    if after == window:
        assert len(more) >= len(slots)


@given(device=devices, window=st.integers(0, 40_000))
def test_all_64_are_due_by_the_end_of_a_window(device, window):
    """And at its first second none, or the first alone."""
    end = (window + 1) * WINDOW_SECONDS
    assert slots_due(device, end - 1) == (window, range(64))
    following, slots = slots_due(device, end)
    assert following == window + 1
    assert len(slots) == (shift_of(device) == 0)


@given(device=devices, slot=st.integers(0, 63))
def test_each_slot_has_its_second(device, slot):
    """Never before it, always from it on."""
    due = START + shift_of(device) + slot * SLOT_SECONDS
    assert len(slots_due(device, due - 0.001)[1] if due > START else range(slot)) == slot
    assert len(slots_due(device, due - 1)[1] if due > START else range(slot)) == slot
    assert slots_due(device, due) == (WINDOW, range(slot + 1))


@given(device=devices, now=moments)
def test_the_window_is_that_of_the_moment(device, now):
    """No slot of another window is ever named."""
    assert slots_due(device, now)[0] == window_at(now)


@pytest.mark.parametrize("now", [-1, -1e9, 0])
def test_a_clock_before_1970_is_in_the_first_window(now):
    """Nothing is due, unless the device's shift is 0."""
    assert slots_due(bytes(16), now) == (0, range(0))


def test_devices_do_not_send_at_once():
    """Shifts of 2,000 devices are spread over the slot: each tenth has its share."""
    shifts = [shift_of(number.to_bytes(16)) for number in range(2000)]
    tenths = [sum(tenth == 10 * shift // SLOT_SECONDS for shift in shifts) for tenth in range(10)]
    assert min(tenths) > 140
    assert max(tenths) < 260
    assert len(set(shifts)) > 1900
