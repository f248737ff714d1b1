"""What the intake hands to the opener: a file of accounts' windows, as a CBOR sequence (RFC 8742).

Layout: first ``{"format": "prescan export", "version": 1}``, then for each account and window, in order of both, one
item ``[account, window, {device id: public key}, [voucher, …]]``, then ``"end"``. Nothing in it is to be believed: the
opener checks every signature.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2

from scanner.errors import StorageError, VoucherError

HEADER = {"format": "prescan export", "version": 1}
END = "end"
"""Last item; without it the file was cut."""


@dataclass(frozen=True, slots=True)
class ExportedWindow:
    """What the opener is given of one account and window.

    Attributes:
        account: the account's id, 16 bytes.
        window: number of the window.
        devices: public keys by device id.
        vouchers: as they came.
    """

    account: bytes
    window: int
    devices: dict[bytes, bytes]
    vouchers: list[bytes]

    def to_bytes(self) -> bytes:
        """Write as one item."""
        return cbor2.dumps([self.account, self.window, self.devices, self.vouchers], canonical=True)


def read_export(path: str | os.PathLike[str]) -> Iterator[ExportedWindow]:
    """Read an export item by item.

    Raises:
        StorageError: the file can't be read.
        VoucherError: ``malformed``, if it is no export or was cut.
    """
    try:
        with Path(path).open("rb") as file:
            decoder = cbor2.CBORDecoder(file)
            if decoder.decode() != HEADER:
                raise VoucherError(
                    "malformed", f"{path} is no export of this version; make one with: scanner intake export"
                )
            while (item := decoder.decode()) != END:
                yield _window(item, path)
            if not _at_end(decoder):
                raise VoucherError("malformed", f"{path} goes on after its end; open exports one at a time")
    except OSError as error:
        raise StorageError(f"can't read the export {path}: {error.strerror or error}") from error
    except VoucherError:
        raise
    except Exception as error:
        raise VoucherError("malformed", f"{path} is no export, or it was cut ({type(error).__name__})") from error


def _at_end(decoder: cbor2.CBORDecoder) -> bool:
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return True
    return False


def _window(item: Any, path: str | os.PathLike[str]) -> ExportedWindow:
    match item:
        case [bytes(account), int(window), dict(devices), list(vouchers)] if len(account) == 16 and all(
            isinstance(one, bytes) for one in (*devices, *devices.values(), *vouchers)
        ):
            return ExportedWindow(account, window, devices, vouchers)
    raise VoucherError("malformed", f"{path} holds something that is no account's window")
