"""What a check of the database found to be wrong.

Rules: a finding names a table and a row, never what is in the row; they are counted all, and the first are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MOST_KEPT = 100
_PLAIN = re.compile(r"[0-9A-Za-z._-]{1,64}")
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        table: where.
        key: of the row: its primary key, a space between the parts; ``-`` if it is of no one row.
        what: in a few words.
    """

    table: str
    key: str
    what: str

    def __str__(self) -> str:
        """In one line."""
        return f"{self.table} {self.key}: {self.what}"


class Findings:
    """Collects findings.

    Args:
        most: how many to keep.

    Attributes:
        first: the first of them.
        count: how many there are in all.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self.first: list[Finding] = []
        self.count = 0

    def add(self, table: str, key: Iterable[object], what: str) -> None:
        """Add one.

        Args:
            table: where.
            key: the row's primary key, in the table's order; whatever values are there.
            what: in a few words, without anything of the row.
        """
        self.count += 1
        if len(self.first) < self._most:
            self.first.append(Finding(table, " ".join(map(written, key)) or "-", what))


def written(value: object) -> str:
    """A part of a key in a few plain characters, whatever someone has put there."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    quoted = ascii(value)
    return quoted if len(quoted) <= _LONGEST else f"{quoted[:_LONGEST]}..."
