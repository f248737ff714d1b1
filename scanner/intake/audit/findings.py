"""What a check of the database found to be wrong.

Rules: a finding names a table and a row, never what is in the row; they are counted all, and the first of each table
are kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

MOST_KEPT = 100
MOST_OF_TABLE = 20
"""Findings kept in all and of one table, so that many of one hide nothing of the others."""

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

    Attributes:
        first: the first ``MOST_OF_TABLE`` of each table, and the first ``MOST_KEPT`` of those.
        count: how many there are in all.
    """

    def __init__(self) -> None:
        self._of_table: Counter[str] = Counter()
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
        self._of_table[table] += 1
        if self._of_table[table] <= MOST_OF_TABLE and len(self.first) < MOST_KEPT:
            self.first.append(Finding(table, " ".join(map(written, key)) or "-", what))


def written(value: object) -> str:
    """A part of a key in a few plain characters, whatever someone has put there."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    if _PLAIN.fullmatch(text):
        return text
    quoted = ascii(value)
    return quoted if len(quoted) <= _LONGEST else f"{quoted[:_LONGEST]}..."
