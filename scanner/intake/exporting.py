"""Write the store's vouchers into a file for the opener."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import cbor2

from scanner.exports import END, HEADER
from scanner.files import new_file
from scanner.intake.store import check_database, open_store


def export_to(path: Path, database_url: str, before: int | None = None) -> tuple[int, int]:
    """Write a new file of mode 600 with every account's vouchers, before a window if one is given.

    Returns:
        accounts' windows and vouchers written.

    Raises:
        StorageError: the database or the file fails, or the file is there already.
    """
    check_database(database_url, existing=True)
    return asyncio.run(_export_to(path, database_url, before))


async def _export_to(path: Path, database_url: str, before: int | None) -> tuple[int, int]:
    windows = vouchers = 0
    with new_file(path, "exports") as file:
        file.write(cbor2.dumps(HEADER, canonical=True))
        async with open_store(database_url) as store, aclosing(store.windows(before)) as exports:
            async for exported in exports:
                file.write(exported.to_bytes())
                windows += 1
                vouchers += len(exported.vouchers)
        file.write(cbor2.dumps(END))
    return windows, vouchers
