"""Arrays kept on disk between runs, in files that are believed only if their digest is right.

Rules: a file is written whole or not at all; it is bound to the digest of what its content follows from, so a file that
was renamed, cut or changed counts as absent and is made again.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanner.errors import StorageError
from scanner.files import replace_file

HEADING = b"prescan kept\n"
START = len(HEADING) + 32
LEFT_BEHIND = 3600.0
"""Seconds after which a file that was never given its name belongs to a process that died."""

Arrays = Mapping[str, NDArray[Any]]


def sealed(arrays: Arrays, digest: str) -> list[bytes]:
    """Make a file: a heading, a SHA-256 over the digest and the rest, and an ``.npz``.

    Args:
        arrays: by name, none of objects.
        digest: of what they follow from.
    """
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    data = file.getvalue()
    return [HEADING, _mark(digest, data), data]


def keep(path: Path, arrays: Arrays, digest: str) -> None:
    """Write a file, whole or not at all; the same arrays make the same bytes.

    Raises:
        StorageError: it can't be written.
    """
    replace_file(path, sealed(arrays, digest))


def kept(path: Path, digest: str) -> dict[str, NDArray[Any]] | None:
    """Read a file; None if there is none, or it is damaged, or follows from something else.

    Raises:
        StorageError: it is there but can't be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"can't read {path}: {error.strerror}") from error
    if not data.startswith(HEADING) or data[len(HEADING) : START] != _mark(digest, data[START:]):
        return None
    with np.load(io.BytesIO(data[START:]), allow_pickle=False) as held:
        return dict(held)


def ready(folder: Path, now: Callable[[], float] = time.time) -> None:
    """Make a folder, or remove from it what processes that died were writing.

    Args:
        folder: of files that are kept.
        now: seconds since 1970.

    Raises:
        StorageError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make {folder}: {error.strerror}") from error
    for path in folder.glob(".prescan-*"):
        with suppress(OSError):  # another run may be removing it too
            if now() - path.stat().st_mtime > LEFT_BEHIND:
                path.unlink()


def _mark(digest: str, data: bytes) -> bytes:
    return hashlib.sha256(digest.encode() + data).digest()
