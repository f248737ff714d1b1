"""The console's own style, script and picture; nothing is loaded from elsewhere."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Response

from scanner.intake.problems import ProblemError

router = APIRouter()

_FOLDER = Path(__file__).parent / "static"
_TYPES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


@router.get("/static/{name}")
async def static_file(name: str) -> Response:
    """One of the files. Its address changes with its content, so that browsers may keep it."""
    if name not in _TYPES:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", "There is no such file")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_content(name), headers=headers, media_type=_TYPES[name])


def addresses() -> dict[str, str]:
    """Where each file is found, by its name."""
    return {name: f"/console/static/{name}?v={hashlib.sha256(_content(name)).hexdigest()[:12]}" for name in _TYPES}


@lru_cache(maxsize=len(_TYPES))
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
