"""Read media for the gate, once, whole or not at all, without holding up other threads.

Asking a file for more bytes than it has makes Python set aside, and give back, room for all of them while no other
thread can run: a hundred milliseconds for the largest media there may be. So a file is asked for what it has.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from scanner.errors import MediaError, MediaFault
from scanner.media import Source, read_source

_PIECE = 1 << 20


def read(source: Source, max_bytes: int) -> bytes | MediaError:
    """Media whole, or why not; then a file stands where it stood.

    Args:
        source: bytes, a path to a regular file, or a binary file that can seek, read from where it stands.
        max_bytes: more is refused.
    """
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            return read_source(source, max_bytes)
        if isinstance(source, (str, os.PathLike)):
            if not stat.S_ISREG(Path(source).stat().st_mode):  # opening a pipe could wait for ever
                return MediaError(MediaFault.UNREADABLE, "it is no regular file")
            with Path(source).open("rb") as file:
                return _all_of(file, max_bytes)
        at = source.tell()
        try:
            return _all_of(source, max_bytes)
        except MediaError:
            source.seek(at)
            raise
    except MediaError as error:
        return error
    except (OSError, ValueError) as error:
        return MediaError(MediaFault.UNREADABLE, f"can't read it: {error}")


def _all_of(file: BinaryIO, max_bytes: int) -> bytes:
    at = file.tell()
    expected = max(0, file.seek(0, os.SEEK_END) - at)
    file.seek(at)
    wanted, length = expected + 1, 0
    pieces: list[bytes] = []
    while length <= max_bytes and expected <= max_bytes:
        piece = file.read(wanted)
        if not isinstance(piece, bytes):
            raise MediaError(MediaFault.UNREADABLE, "the file gives text; open it in binary mode ('rb')")
        if not piece:
            return b"".join(pieces)  # one piece, unless it grew meanwhile: then it is not copied
        pieces.append(piece)
        length += len(piece)
        wanted = _PIECE
    raise MediaError(MediaFault.TOO_LARGE, f"the file is larger than the limit of {max_bytes:,} bytes")
