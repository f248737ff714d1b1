"""Pages by cursor: a cursor names the last row of a page, so that rows which come or go meanwhile move nothing.

A cursor is opaque to clients: base64url of a CBOR list of the row's key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

import cbor2
from fastapi import Query
from pydantic import BaseModel, Field

from scanner.intake.problems import ProblemError

Item = TypeVar("Item")
Row = TypeVar("Row")

Cursor = Annotated[
    str | None,
    Query(max_length=256, description="Where the page begins: `next` of the page before; left out, the first."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Entries on the page, at most.")]
DEFAULT_LIMIT = 100


class Page(BaseModel, Generic[Item]):
    """Some of many, in a fixed order."""

    items: list[Item]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


def write_cursor(*key: Any) -> str:
    """The cursor after a row of this key."""
    return base64.urlsafe_b64encode(cbor2.dumps(list(key))).rstrip(b"=").decode()


def read_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The key in a cursor.

    Args:
        cursor: as a client gave it.
        kinds: the types of the key's parts.

    Raises:
        ProblemError: it is no cursor of this list.
    """
    try:
        key = cbor2.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, cbor2.CBORDecodeError):
        key = None
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds) or not all(map(_can_be_stored, key)):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "bad-cursor", "The cursor is not one of this list's; leave it out")
    return tuple(key)


def _can_be_stored(part: Any) -> bool:
    """Whether both databases have such a value: an integer of 63 bits, text without NUL."""
    if isinstance(part, int):
        return 0 <= part < 2**63
    return not isinstance(part, str) or "\0" not in part


def cut(rows: Sequence[Row], limit: int, *key: str) -> tuple[Sequence[Row], str | None]:
    """Make a page of ``limit`` of rows that were asked for with ``limit + 1``.

    Args:
        rows: as they came.
        limit: of the page.
        key: attributes of a row that the order goes by.

    Returns:
        the page's rows; the cursor of the next, or None.
    """
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], write_cursor(*(getattr(last, name) for name in key))
