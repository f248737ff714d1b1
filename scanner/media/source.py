"""Bytes, a path or an open file to bytes, bounded. Media is read once: what is scanned is what was read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from scanner.errors import MediaError, MediaFault

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""Media as the caller has it: the bytes, a path to them, or a binary file open for reading."""


def read_source(source: Source, max_bytes: int) -> bytes:
    """Read media whole.

    Args:
        source: bytes, a path (``str`` is always a path), or a binary file, read from where it stands.
        max_bytes: refuse more than this many bytes; never reads more than one byte beyond.

    Raises:
        MediaError: ``TOO_LARGE``, or ``UNREADABLE`` if the path or file can't be read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    else:
        try:
            if isinstance(source, (str, os.PathLike)):
                with Path(source).open("rb") as file:
                    data = file.read(max_bytes + 1)
            else:
                data = source.read(max_bytes + 1)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            name = f" {os.fspath(source)}" if isinstance(source, (str, os.PathLike)) else ""
            raise MediaError(MediaFault.UNREADABLE, f"can't read{name}: {why}") from error
        if not isinstance(data, bytes):
            raise MediaError(MediaFault.UNREADABLE, "the file gives text; open it in binary mode ('rb')")
    if len(data) > max_bytes:
        raise MediaError(MediaFault.TOO_LARGE, f"the file is larger than the limit of {max_bytes:,} bytes")
    return data
