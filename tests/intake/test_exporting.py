"""What the opener is given: every account's vouchers in one order, whole or not at all, from either database."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.errors import StorageError, VoucherError
from scanner.exports import ExportedWindow, read_export
from scanner.intake.exporting import export_to
from scanner.intake.store import StoredVoucher, open_store
from scanner.vouchers import device_id_of
from tests.policies import ACCOUNT, OTHER_ACCOUNT

KEYS = [
    Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key().public_bytes_raw() for number in (1, 2, 3)
]
DEVICES = {device_id_of(key): key for key in KEYS}
ACCOUNTS = {KEYS[0]: OTHER_ACCOUNT, KEYS[1]: ACCOUNT, KEYS[2]: OTHER_ACCOUNT}


def voucher(device: bytes, window: int, slot: int) -> bytes:
    return b"voucher of %s in %d/%d" % (device.hex().encode(), window, slot)


def stored(device: bytes, window: int, slot: int) -> StoredVoucher:
    message = voucher(device, window, slot)
    return StoredVoucher(device, window, slot, hashlib.sha256(message).digest(), message, b"receipt")


PLACES = list(itertools.product(DEVICES, (3, 2**32 - 1, 20), (300, 0, 2)))


@pytest.fixture
def filled(store_url) -> str:
    """A database with three devices of two accounts, three windows and three slots each, put in no order."""

    async def fill() -> None:
        async with open_store(store_url) as store:
            for key in KEYS:
                await store.enrol(device_id_of(key), key, ACCOUNTS[key], 20_000)
            for place in PLACES[::-2] + PLACES[-2::-2]:
                await store.put(stored(*place))

    asyncio.run(fill())
    return store_url


def expected(before: int = 2**40) -> list[ExportedWindow]:
    windows = []
    for account, window in itertools.product(sorted({ACCOUNT, OTHER_ACCOUNT}), (3, 20, 2**32 - 1)):
        if window < before:
            devices = {device: key for device, key in DEVICES.items() if ACCOUNTS[key] == account}
            vouchers = [voucher(device, window, slot) for device in sorted(devices) for slot in (0, 2, 300)]
            windows.append(ExportedWindow(account, window, devices, vouchers))
    return windows


def test_an_export_holds_everything_in_order(filled, tmp_path):
    """By account, window, device and slot; the file is its owner's alone."""
    path = tmp_path / "out"
    assert export_to(path, filled) == (6, 27)
    assert list(read_export(path)) == expected()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_exports_are_the_same_bytes(filled, tmp_path):
    """Nothing in them depends on when or where they were made."""
    for name in ("one", "two"):
        export_to(tmp_path / name, filled)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(("before", "count"), [(0, 0), (3, 0), (4, 2), (20, 2), (21, 4), (2**32 - 1, 4), (2**32, 6)])
def test_only_windows_before_one_are_given(filled, tmp_path, before, count):
    """The window itself is not."""
    path = tmp_path / "out"
    assert export_to(path, filled, before)[0] == count
    assert list(read_export(path)) == expected(before)


def test_a_device_without_vouchers_is_not_told(filled, tmp_path):
    """Nor is an account that has none."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32).public_key().public_bytes_raw()

    async def enrol() -> None:
        async with open_store(filled) as store:
            await store.enrol(device_id_of(key), key, bytes(16), 20_000)

    asyncio.run(enrol())
    export_to(tmp_path / "out", filled)
    assert key not in (tmp_path / "out").read_bytes()
    assert list(read_export(tmp_path / "out")) == expected()


def test_an_empty_intake_exports_nothing(store_url, tmp_path):
    """A whole file without accounts."""

    async def make() -> None:
        async with open_store(store_url):
            pass

    asyncio.run(make())
    assert export_to(tmp_path / "out", store_url) == (0, 0)
    assert list(read_export(tmp_path / "out")) == []


def test_a_file_that_is_there_is_not_touched(filled, tmp_path):
    """Not even an empty one."""
    for data in (b"", b"something"):
        (tmp_path / "out").write_bytes(data)
        with pytest.raises(StorageError, match="exists already; exports are never overwritten"):
            export_to(tmp_path / "out", filled)
        assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("sqlite:///{folder}/absent.db", "there is no database .*absent.db"),
        ("sqlite:///{folder}", "there is no database"),
        ("sqlite://", "there is no database"),
        ("sqlite:///{folder}/text", "not a database"),
        ("sqlite:///{folder}/empty", "no intake has used this database"),
        ("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=5", "database failed"),
        ("nonsense", "not valid"),
        ("mysql://localhost/x", "mysql"),
    ],
)
def test_a_database_that_is_none_makes_no_file_and_no_database(tmp_path, database, words):
    """A name with a typing mistake is not an intake without vouchers."""
    (tmp_path / "text").write_bytes(b"this is a text and no database " * 100)
    (tmp_path / "empty").touch()
    with pytest.raises(StorageError, match=words):
        export_to(tmp_path / "out", database.format(folder=tmp_path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty", "text"]


def test_a_postgresql_database_no_intake_has_used_is_told(postgresql, tmp_path):
    """As for SQLite."""
    with pytest.raises(StorageError, match="no intake has used this database"):
        export_to(tmp_path / "out", postgresql.fresh_database())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), StorageError("No space left on device")])
def test_a_failure_midway_leaves_no_file(filled, tmp_path, monkeypatch, error):
    """Half an export would look like all there is; the next try finds the name free."""
    written = iter(range(100))
    whole = ExportedWindow.to_bytes

    def to_bytes(window: ExportedWindow) -> bytes:
        if next(written) == 2:
            raise error
        return whole(window)

    with monkeypatch.context() as broken:
        broken.setattr(ExportedWindow, "to_bytes", to_bytes)
        with pytest.raises(StorageError, match="No space left"):
            export_to(tmp_path / "out", filled)
    assert not (tmp_path / "out").exists()
    assert export_to(tmp_path / "out", filled) == (6, 27)


def test_a_folder_that_is_none_is_told(filled, tmp_path):
    """With its name."""
    with pytest.raises(StorageError, match=r"can't write .*nowhere.*No such file"):
        export_to(tmp_path / "nowhere" / "out", filled)


def test_every_cut_export_is_refused(filled, tmp_path):
    """Wherever the copy broke off."""
    path = tmp_path / "out"
    export_to(path, filled, 21)
    data = path.read_bytes()
    for end in (*range(40), *range(40, len(data) - 8, 37), *range(len(data) - 8, len(data))):
        (tmp_path / "cut").write_bytes(data[:end])
        with pytest.raises(VoucherError) as refused:
            list(read_export(tmp_path / "cut"))
        assert refused.value.problem == "malformed"
