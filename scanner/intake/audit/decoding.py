"""Read the log's entries as strictly as an intake writes them, before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable

from scanner.errors import VoucherError
from scanner.intake.audit.entries import Entry


def decoded(body: object) -> Entry:
    """Read an entry whose fields are all of the kinds that an intake writes.

    Raises:
        VoucherError: ``malformed``, or ``unknown-version``.
    """
    if not isinstance(body, bytes):
        raise VoucherError("malformed", "the log's entry is not bytes")
    entry = Entry.from_bytes(body)
    for name, value in entry.fields.items():
        if not _ALLOWED[name](value):
            raise VoucherError("malformed", f"the log's entry has {name} of the wrong kind")
    return entry


def _bytes(value: object) -> bool:
    return type(value) is bytes


def _text(value: object) -> bool:
    return type(value) is str


def _number(value: object) -> bool:
    return type(value) is int and value >= 0


def _or_null(allowed: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or allowed(value)


def _list_of(allowed: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(allowed, value))


_ALLOWED: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("device", "account", "public_key", "digest", "session", "secret", "url", "listed"), _bytes),
    **dict.fromkeys(("window", "slot", "through", "windows", "vouchers", "round", "expires"), _number),
    **dict.fromkeys(("export", "opening", "result", "case", "note", "outcome", "format"), _text),
    **dict.fromkeys(("operator", "name", "scopes", "hook", "why"), _text),
    "token": _or_null(_bytes),
    "before": _or_null(_number),
    "by": _or_null(_text),
    "matches": _list_of(_bytes),
    "events": _list_of(_text),
    "exports": _list_of(_text),
}
"""What each field may be, in every kind that has it."""
