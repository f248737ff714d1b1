"""Thumbnails of the nearest false pairs, inside the page: to be judged by eye.

Rules: a picture is shown only if its file is still the one that was measured; one that can't be shown says why; the
pictures are out of the benchmark's own corpus of harmless ones, never a user's.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.accuracy.alterations import as_rgb
from scanner.errors import MediaError

SIDE = 144
"""Of the square that a thumbnail fits in, in pixels."""
QUALITY = 62


def thumbnails(root: Path, pictures: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Make a ``data:`` address of each picture.

    Args:
        root: folder that the paths begin at.
        pictures: with ``sha256`` and ``path``; each content is made once.

    Returns:
        by SHA-256; a text that does not begin with ``data:`` says why there is none.
    """
    found: dict[str, str] = {}
    for picture in pictures:
        if picture["sha256"] not in found:
            found[picture["sha256"]] = _thumbnail(root / picture["path"], picture["sha256"])
    return found


def _thumbnail(path: Path, sha256: str) -> str:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            return "the file was changed since"
        with Image.open(io.BytesIO(data)) as file:
            file.draft("RGB", (2 * SIDE, 2 * SIDE))
            small = as_rgb(file)
    except (OSError, ValueError, SyntaxError, MediaError, Image.DecompressionBombError) as error:
        return f"can't be read: {getattr(error, 'strerror', None) or error}"
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file_out = io.BytesIO()
    small.save(file_out, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file_out.getvalue()).decode()
