"""The file between intake and opener."""

from __future__ import annotations

import contextlib
import tracemalloc

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import StorageError, VoucherError
from scanner.exports import END, HEADER, ExportedWindow, read_export

ids = st.binary(min_size=16, max_size=16)
windows = st.lists(
    st.builds(
        ExportedWindow,
        account=ids,
        window=st.integers(0, 2**32 - 1),
        devices=st.dictionaries(ids, st.binary(min_size=32, max_size=32), max_size=3),
        vouchers=st.lists(st.binary(max_size=60), max_size=4),
    ),
    max_size=4,
)
WINDOW = ExportedWindow(bytes(16), 735, {bytes(16): bytes(32)}, [b"one", b"two"])
START = cbor2.dumps(HEADER, canonical=True)


def export_of(*items: ExportedWindow) -> bytes:
    return b"".join([START, *(item.to_bytes() for item in items), cbor2.dumps(END)])


def read(folder, data: bytes) -> list[ExportedWindow]:
    (folder / "export").write_bytes(data)
    return list(read_export(folder / "export"))


def refuse(folder, data: bytes) -> str:
    with pytest.raises(VoucherError) as refused:
        read(folder, data)
    assert refused.value.problem == "malformed"
    assert str(folder) in str(refused.value)
    return str(refused.value)


@given(items=windows)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_is_what_is_read(tmp_path, items):
    """Every account's window comes back, in order."""
    assert read(tmp_path, export_of(*items)) == items


def test_an_export_cut_anywhere_is_told(tmp_path):
    """Nobody takes half of the vouchers for all of them."""
    data = export_of(WINDOW, WINDOW)
    for length in range(len(data)):
        refuse(tmp_path, data[:length])


def test_what_stands_before_a_cut_is_given_first(tmp_path):
    """It is read item by item."""
    (tmp_path / "export").write_bytes(export_of(WINDOW, WINDOW)[:-10])
    items = read_export(tmp_path / "export")
    assert next(items) == WINDOW
    with pytest.raises(VoucherError):
        list(items)


@pytest.mark.parametrize("more", [b"\0", b"end", export_of(WINDOW), WINDOW.to_bytes(), bytes(10_000)])
def test_bytes_after_the_end_are_told(tmp_path, more):
    """Of two exports in one file the second would be passed over."""
    assert "after its end" in refuse(tmp_path, export_of(WINDOW) + more)


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n", b"{}", b"end", cbor2.dumps(END), cbor2.dumps([]), cbor2.dumps({**HEADER, "version": 2})],
    ids=repr,
)
def test_other_files_are_told(tmp_path, data):
    """A picture, a text, an export of another version."""
    refuse(tmp_path, data)


@pytest.mark.parametrize(
    "item",
    [
        None,
        "endless",
        [],
        [bytes(16), 735, {}],
        [bytes(15), 735, {}, []],
        [bytes(16), "735", {}, []],
        [bytes(16), 735.0, {}, []],
        [bytes(16), 735, [], []],
        [bytes(16), 735, {}, {}],
        [bytes(16), 735, {"text": bytes(32)}, []],
        [bytes(16), 735, {bytes(16): "text"}, []],
        [bytes(16), 735, {bytes(16): None}, []],
        [bytes(16), 735, {}, ["text"]],
        [bytes(16), 735, {}, [[b"bytes"]]],
        [bytes(16), 735, {}, [], 0],
        cbor2.CBORTag(4000, [bytes(16), 735, {}, []]),
    ],
    ids=repr,
)
def test_an_item_of_another_kind_is_told(tmp_path, item):
    """Each account's window has four parts, each of its kind."""
    refuse(tmp_path, START + cbor2.dumps(item) + cbor2.dumps(END))


HUGE = {
    "bytes": b"\x5b" + (1 << 40).to_bytes(8),
    "bytes of 32-bit length": b"\x5a\x7f\xff\xff\xff",
    "text": b"\x7b" + (1 << 40).to_bytes(8),
    "list": b"\x9b" + (1 << 40).to_bytes(8),
    "list of 32-bit length": b"\x9a\x0f\xff\xff\xff",
    "longest list": b"\x9b" + b"\xff" * 8,
    "map": b"\xbb" + (1 << 40).to_bytes(8),
    "vouchers": b"\x84\x50" + bytes(16) + b"\x00\xa0\x9b" + (1 << 33).to_bytes(8),
    "voucher": b"\x84\x50" + bytes(16) + b"\x00\xa0\x81\x5b" + (1 << 33).to_bytes(8),
    "depth": b"\x81" * 100_000,
    "decimal": b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_lengths_that_are_only_claimed_take_no_memory(tmp_path, data):
    """An export that says it holds a terabyte is told, in a few megabytes."""
    tracemalloc.start()
    try:
        refuse(tmp_path, START + data + b"\0" * 100)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@given(data=st.binary(max_size=200), inside=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_windows_or_malformed(tmp_path, data, inside):
    """Reading raises VoucherError and nothing else."""
    refuse(tmp_path, START + data if inside else data)


@given(position=st.integers(0, 200), mask=st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_told_or_read_as_something_else(tmp_path, position, mask):
    """A damaged export never ends in another error; what it holds is checked by its signatures."""
    data = bytearray(export_of(WINDOW, WINDOW))
    data[position % len(data)] ^= mask
    with contextlib.suppress(VoucherError):
        assert all(isinstance(item, ExportedWindow) for item in read(tmp_path, bytes(data)))


def test_a_file_that_is_not_there_is_a_matter_of_storage(tmp_path):
    """So is a folder."""
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(StorageError, match="can't read the export"):
            list(read_export(path))
