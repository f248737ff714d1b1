"""What can't be done with windows, exports and openings."""

from __future__ import annotations

from scanner.errors import ArgumentError


class WindowError(ArgumentError):
    """Windows can't be exported or opened so.

    Attributes:
        problem: ``id-taken``, ``not-exported``, ``unknown-export`` or ``expired``.
    """

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem
