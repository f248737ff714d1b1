"""What the intake writes down: a line an event, as JSON for machines or as text for people.

Rules: only the fields of :data:`FIELDS` are written, each only in its form, so that a path, a device's id or a token
has no way in; a message of ours is its constant text, with numbers, names and our own errors filled in; a message of
another library is not written at all, only who spoke and where in its code; of an exception its type and where it was
raised are written, never its text.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from enum import StrEnum
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO

from scanner.errors import ScannerError

WITHHELD = "(withheld)"
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "(other)"
NO_ROUTE = "(none)"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that the running task serves."""

_encoded = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make an encoder a line
_OWN = "scanner"
_FRAMES = 12  # innermost of a trace; enough to see who called what failed
_ROUTE = re.compile(r"(?:/(?:[a-z0-9_.-]{0,24}|\{[a-z_]{1,24}(?::path)?\}))+|\(none\)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}")
_PROBLEM = re.compile(r"[a-z]{1,15}(?:-[a-z]{1,15}){0,4}")
_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def is_request_id(value: object) -> bool:
    """Whether it has the form of a request id: 8 to 64 letters, digits, dots, dashes and underscores."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_method(value: object) -> bool:
    return value in METHODS or value == OTHER_METHOD


def _of_form(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    @lru_cache(maxsize=1024)
    def has_form(value: object) -> bool:
        return isinstance(value, str) and pattern.fullmatch(value) is not None

    return has_form


FIELDS: Mapping[str, Callable[[object], bool]] = {
    "method": _is_method,
    "route": _of_form(_ROUTE),
    "status": _is_number,
    "milliseconds": _is_number,
    "received": _is_number,
    "sent": _is_number,
    "request_id": is_request_id,
    "problem": _of_form(_PROBLEM),
    "error": _of_form(_NAME),
    "count": _is_number,
    "attempt": _is_number,
    "worker": _is_number,
}
"""Every field a line may have, and which values it may take. ``received`` and ``sent`` are bytes of bodies."""


def entry(record: logging.LogRecord) -> dict[str, Any]:
    """Make of a record what may be written: time, level, logger, event, and allowed fields."""
    line: dict[str, Any] = {
        "time": _instant(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
    }
    if record.name == _OWN or record.name.startswith(f"{_OWN}."):
        line["event"] = _message(record)
    else:
        line["event"] = WITHHELD
        line["where"] = f"{record.module}:{record.lineno}"
    for name, value in (getattr(record, "fields", None) or {}).items():
        if name in FIELDS:
            line[name] = value if FIELDS[name](value) else WITHHELD
    if "request_id" not in line and (current := request_id.get()) is not None:
        line["request_id"] = current if is_request_id(current) else WITHHELD
    if record.exc_info and record.exc_info[0] is not None:
        line["error"] = record.exc_info[0].__name__
        line["trace"] = _trace(record.exc_info[2])
    return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return _encoded(entry(record))


class TextFormatter(logging.Formatter):
    """Time, level, event, then the fields by name."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line = entry(record)
        first = f"{line.pop('time')} {line.pop('level'):8} {line.pop('event')}"
        rest = (f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in line.items())
        return _printable(f"{first}  {' '.join(rest)}")


class QuietHandler(logging.StreamHandler[TextIO]):
    """A handler whose own failure shows nothing of the record that it failed on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say that a line was lost, if that can be said."""
        with suppress(OSError, ValueError):  # the stream may be closed
            self.stream.write(f'{{"event":"a line of the log was lost","logger":{_encoded(record.name)}}}\n')


class AccessLog:
    """Writes a line a request: what the formatters would write, at a tenth of their cost.

    Args:
        stream: as for :func:`logging_to`.
        log_format: ``json`` or ``text``.
        clock: gives the time in seconds since 1970.
    """

    def __init__(self, stream: TextIO, log_format: str, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._json = log_format == "json"
        self._clock = clock

    def write(
        self, method: str, route: str, status: int, milliseconds: float, received: int, sent: int, request: str
    ) -> None:
        """Write one line; what does not have its field's form is withheld."""
        if not _is_method(method):
            method = WITHHELD
        if not FIELDS["route"](route):
            route = WITHHELD
        if not is_request_id(request):
            request = WITHHELD
        now = _instant(self._clock())
        if self._json:  # no value left has a sign that JSON would escape
            line = (
                f'{{"time":"{now}","level":"info","logger":"scanner.access","event":"request","method":"{method}",'
                f'"route":"{route}","status":{status:d},"milliseconds":{milliseconds:.3f},"received":{received:d},'
                f'"sent":{sent:d},"request_id":"{request}"}}\n'
            )
        else:
            line = (
                f"{now} info     request  logger=scanner.access method={method} route={route} status={status:d} "
                f"milliseconds={milliseconds:.3f} received={received:d} sent={sent:d} request_id={request}\n"
            )
        with suppress(OSError, ValueError):  # a log that can't be written stops no voucher
            self._stream.write(line)


@contextmanager
def logging_to(stream: TextIO, log_format: str, *, level: int = logging.INFO) -> Iterator[None]:
    """Let every logger of the process write to one stream in one form while the block runs.

    Args:
        stream: such as ``sys.stderr``.
        log_format: ``json`` or ``text``.
        level: least level of ours that is written; of other libraries', warnings and worse are.
    """
    handler = QuietHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root, own = logging.getLogger(), logging.getLogger(_OWN)
    loggers = [root, own, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.handlers[:], each.level, each.propagate, each.disabled) for each in loggers]
    hooks = sys.excepthook, threading.excepthook
    for each in loggers:
        each.handlers[:], each.propagate, each.disabled = [], True, False
        each.setLevel(logging.NOTSET)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    own.setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook = hooks
        logging.captureWarnings(False)
        for each, handlers, least, propagate, disabled in before:
            each.handlers[:], each.propagate, each.disabled = handlers, propagate, disabled
            each.setLevel(least)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, (SystemExit, KeyboardInterrupt)):
        logging.getLogger(__name__).critical("an error nobody caught", exc_info=(kind, error, trace))


def _message(record: logging.LogRecord) -> str:
    template = record.msg if isinstance(record.msg, str) else WITHHELD
    if not record.args:
        return _printable(template)
    values = record.args if isinstance(record.args, tuple) else (record.args,)
    try:
        return _printable(template % tuple(_sayable(value) for value in values))
    except (TypeError, ValueError):  # the text asks for another kind of value than may be said
        return _printable(template)


def _sayable(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, StrEnum, ScannerError)):
        return value
    return type(value).__name__ if isinstance(value, BaseException) else WITHHELD


def _printable(text: str) -> str:
    """The text with what could start a line or steer a terminal replaced."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def _trace(trace: TracebackType | None) -> list[str]:
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-_FRAMES:]


def _instant(now: float) -> str:
    return f"{_second(int(now))}.{int(now % 1 * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
