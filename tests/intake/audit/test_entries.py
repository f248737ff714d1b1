"""Entries of the audit log in their one encoding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.audit.entries import Entry, receipt_bytes

ids, digests = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)


@given(st.integers(0, 2**40), ids, st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), digests)
def test_receipts_written_by_hand_are_entries_as_any(at, device, window, slot, digest):
    """The encoder writes the same bytes, and they are read as what they say."""
    entry = Entry("receipt", at, {"device": device, "window": window, "slot": slot, "digest": digest})
    body = receipt_bytes(at, device, window, slot, digest)
    assert body == entry.to_bytes()
    assert Entry.from_bytes(body) == entry
