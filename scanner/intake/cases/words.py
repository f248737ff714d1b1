"""What a reviewer writes: kept as written, in a form that every database and report can hold."""

from __future__ import annotations

import re
from http import HTTPStatus

from scanner.intake.problems import ProblemError

MOST_CHARACTERS = 4_000

_NEVER = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # not a Char of XML 1.0, section 2.2


def checked(text: str) -> str:
    """The text with newlines of one kind and nothing blank around it.

    Raises:
        ProblemError: 422, it is empty, too long, or has characters that no text has.
    """
    words = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not words:
        raise _refused("Nothing is written there", "Say in a few words why.")
    if len(words) > MOST_CHARACTERS:
        raise _refused("The text is too long", f"It may have {MOST_CHARACTERS:,} characters.")
    if _NEVER.search(words):
        raise _refused("The text has control characters", "Write it again instead of pasting it.")
    return words


def printable(text: str) -> str:
    """The text with a mark in place of each character that XML can't hold."""
    return _NEVER.sub("\ufffd", text)


def _refused(title: str, detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-text", title, detail)
