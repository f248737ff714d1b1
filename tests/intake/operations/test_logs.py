"""Logs hold what is allowed and nothing else, whoever speaks."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import threading
import warnings
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scanner.intake
from scanner.errors import StorageError
from scanner.intake.operations.logs import (
    FIELDS,
    WITHHELD,
    AccessLog,
    JsonFormatter,
    TextFormatter,
    is_request_id,
    logging_to,
    request_id,
)
from tests.intake.operations.apps import DEVICE, SECRET, Broken
from tests.intake.operations.secrecy import assert_silent, found_in, spellings

OWN = logging.getLogger("scanner.intake.example")
FOREIGN = logging.getLogger("someone.else")
FORMATS = ("json", "text")
REQUEST = {
    "method": "PUT", "route": "/v1/vouchers/{device}/{window}/{slot}", "status": 201, "milliseconds": 1.5,
    "received": 980, "sent": 210, "request_id": "f" * 32,
}  # fmt: skip


class Word(StrEnum):
    GOOD = "good-word"


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_logger_and_event():
    """Numbers, names and our own errors are filled into a message of ours."""
    stream = io.StringIO()
    with logging_to(stream, "json"):
        OWN.error("storage failed: %s; %d of %s, %s", StorageError("the disk is full"), 3, Word.GOOD, None)
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "error",
        "logger": "scanner.intake.example",
        "event": "storage failed: the disk is full; 3 of good-word, None",
    }


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize(
    "arguments",
    [(SECRET,), (SECRET.encode(),), ({"key": SECRET},), (ValueError(SECRET),), ([SECRET],), (Path(SECRET),)],
    ids=["text", "bytes", "dict", "error", "list", "path"],
)
def test_a_value_that_is_no_number_is_not_filled_in(log_format, arguments):
    """Text, bytes and other libraries' errors are withheld, whatever stands for them in the message."""
    stream = io.StringIO()
    with logging_to(stream, log_format):
        OWN.error("failed: %s", *arguments)
        OWN.error("failed: %d", *arguments)
        OWN.error("failed: %(key)s", *arguments)
        OWN.error("failed", extra={"secret": SECRET, "fields": {"device": SECRET, "route": SECRET, "count": SECRET}})
        OWN.error(ValueError(SECRET))
    assert len(stream.getvalue().splitlines()) == 5
    assert_silent(stream.getvalue(), [SECRET])


@pytest.mark.parametrize("log_format", FORMATS)
def test_another_librarys_message_is_withheld_but_not_where_it_spoke(log_format):
    """Who said it and on which line of which module is there to look up."""
    stream = io.StringIO()
    with logging_to(stream, log_format):
        FOREIGN.warning(f"statement failed for {SECRET}")
        FOREIGN.error("statement failed for %s", SECRET)
        FOREIGN.info("chatter")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(SECRET, stacklevel=1)
    text = stream.getvalue()
    assert_silent(text, [SECRET])
    assert text.count(WITHHELD) == len(text.splitlines()) == 3
    assert text.count("someone.else") == 2
    assert text.count("test_logs:") == 2


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("logger", [OWN, FOREIGN], ids=["own", "foreign"])
def test_an_exception_is_its_type_and_where_it_was_raised(log_format, logger):
    """Its text, its cause's text and the source line are not written."""
    stream = io.StringIO()

    def fail() -> None:
        try:
            raise KeyError(SECRET)
        except KeyError:
            raise RuntimeError(f"{SECRET} again") from None

    with logging_to(stream, log_format):
        try:
            fail()
        except RuntimeError:
            logger.exception("it failed")
    text = stream.getvalue()
    assert_silent(text, [SECRET])
    assert "RuntimeError" in text
    assert text.count("tests.intake.operations.test_logs:") == 2


def test_a_deep_trace_is_cut_at_the_outer_end():
    """The places nearest to the fault stay."""

    def deeper(left: int) -> None:
        if not left:
            raise RuntimeError
        deeper(left - 1)

    stream = io.StringIO()
    with logging_to(stream, "json"):
        try:
            deeper(50)
        except RuntimeError:
            OWN.exception("it failed")
    (line,) = lines(stream)
    assert len(line["trace"]) == 12
    assert line["trace"][-1] == f"{__name__}:{deeper.__code__.co_firstlineno + 2}"


@pytest.mark.parametrize("log_format", FORMATS)
def test_an_error_nobody_caught_is_written_the_same_way(log_format):
    """The interpreter's own report, with the text and the values, is not printed; a thread's neither."""
    stream = io.StringIO()

    def fail() -> None:
        raise RuntimeError(SECRET)

    with logging_to(stream, log_format):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join(10)
        try:
            fail()
        except RuntimeError as error:
            sys.excepthook(type(error), error, error.__traceback__)
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert_silent(stream.getvalue(), [SECRET])
    assert stream.getvalue().count("an error nobody caught") == len(stream.getvalue().splitlines()) == 2


def test_every_logger_speaks_through_the_one_handler_and_gets_its_own_back():
    """Handlers, levels and hooks are as before when the block ends."""
    own_stream, stream = io.StringIO(), io.StringIO()
    chatty = logging.getLogger("someone.chatty")
    handler = logging.StreamHandler(own_stream)
    chatty.addHandler(handler)
    chatty.setLevel(logging.DEBUG)
    chatty.propagate = False
    before = (sys.excepthook, threading.excepthook, logging.getLogger().handlers[:], logging.getLogger().level)
    with logging_to(stream, "json"):
        chatty.warning("%s", SECRET)
        chatty.debug("%s", SECRET)
    assert own_stream.getvalue() == ""
    assert len(lines(stream)) == 1
    assert (chatty.handlers, chatty.level, chatty.propagate) == ([handler], logging.DEBUG, False)
    assert (sys.excepthook, threading.excepthook, logging.getLogger().handlers, logging.getLogger().level) == before
    chatty.removeHandler(handler)


def test_the_request_id_is_in_every_line_of_its_task():
    """Until it is reset; an id of another form is withheld."""
    stream = io.StringIO()
    with logging_to(stream, "json"):
        token = request_id.set("a" * 32)
        OWN.error("one")
        request_id.reset(token)
        OWN.error("two")
        token = request_id.set("not an id\n")
        OWN.error("three")
        request_id.reset(token)
    assert [line.get("request_id") for line in lines(stream)] == ["a" * 32, None, WITHHELD]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("method", "PUT", "put"),
        ("method", "(other)", DEVICE),
        ("route", "/v1/vouchers/{device}/{window}/{slot}", f"/v1/vouchers/{DEVICE}/735/0"),
        ("route", "(none)", "none"),
        ("route", "/files/{name:path}", "/files/{name}\n"),
        ("route", "/", ""),
        ("status", 201, "201"),
        ("status", 0, True),
        ("milliseconds", 0.5, None),
        ("request_id", "abc-DEF_1.2", "short"),
        ("request_id", "a" * 64, "a" * 65),
        ("problem", "bad-signature", DEVICE),
        ("problem", "internal", "Bad signature"),
        ("error", "RuntimeError", "RuntimeError: text"),
        ("count", 3, [3]),
    ],
)
def test_a_field_takes_its_form_only(field, good, bad):
    """What has another form is withheld; the line stays."""
    assert FIELDS[field](good)
    assert not FIELDS[field](bad)
    stream = io.StringIO()
    with logging_to(stream, "json"):
        OWN.warning("event", extra={"fields": {field: good}})
        OWN.warning("event", extra={"fields": {field: bad}})
    assert [line[field] for line in lines(stream)] == [good, WITHHELD]


@given(st.text())
@settings(derandomize=True)
def test_no_text_breaks_out_of_its_line(text):
    """A line stays one line and, as JSON, one object; nothing steers a terminal."""
    record = logging.LogRecord("scanner.x", logging.ERROR, "", 0, "%s", (StorageError(text),), None)
    json.loads(JsonFormatter().format(record))
    for formatter in (JsonFormatter(), TextFormatter()):
        assert formatter.format(record).isprintable()


@pytest.mark.parametrize("log_format", FORMATS)
def test_an_access_line_is_what_the_formatter_would_write(log_format):
    """The quick way and the general way write the same."""
    stream, general = io.StringIO(), io.StringIO()
    AccessLog(stream, log_format, lambda: 1_800_000_000.25).write(*REQUEST.values())
    record = logging.LogRecord("scanner.access", logging.INFO, "", 0, "request", (), None)
    record.created, record.fields = 1_800_000_000.25, REQUEST
    general.write((JsonFormatter() if log_format == "json" else TextFormatter()).format(record) + "\n")
    assert stream.getvalue().replace("1.500", "1.5") == general.getvalue()
    assert "2027-01-15T08:00:00.250Z" in stream.getvalue()


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("field", ["method", "route", "request_id"])
def test_an_access_line_withholds_what_has_another_form(log_format, field):
    """A path, a method of a client's making and a strange id don't get in."""
    stream = io.StringIO()
    AccessLog(stream, log_format).write(*(REQUEST | {field: f'/"{SECRET}\n'}).values())
    assert_silent(stream.getvalue(), [SECRET])
    assert stream.getvalue().count("\n") == stream.getvalue().count(WITHHELD) == 1


def test_a_stream_that_fails_stops_nothing_and_shows_nothing(capsys):
    """Neither an access line nor a message that can't be written raises, nor prints what it would have said."""
    AccessLog(Broken(), "json").write(*REQUEST.values())
    with logging_to(Broken(), "json"):
        OWN.error("%s", SECRET)
    closed = io.StringIO()
    closed.close()
    AccessLog(closed, "json").write(*REQUEST.values())
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_a_lost_line_is_told_without_its_content(monkeypatch):
    """When a record can't be formatted, the log says so."""
    stream = io.StringIO()
    with logging_to(stream, "json"):
        monkeypatch.setattr(JsonFormatter, "format", lambda *_: 1 / 0)
        OWN.error("%s", SECRET)
    assert lines(stream) == [{"event": "a line of the log was lost", "logger": OWN.name}]


@pytest.mark.parametrize(
    ("value", "well_formed"),
    [("a" * 8, True), ("a" * 7, False), ("a" * 64, True), ("a" * 65, False), ("a b" * 8, False), (b"a" * 8, False)],
)
def test_what_a_request_id_is(value, well_formed):
    """8 to 64 signs that need no escape anywhere."""
    assert is_request_id(value) is well_formed


PLACES = sorted(Path(scanner.intake.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", PLACES, ids=lambda path: path.name)
def test_messages_of_the_intake_are_constant(path):
    """No f-string and no sum is given to a logger: the text of a message holds no value."""
    levels = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in levels
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in {"_log", "log", "logger", "logging"}
        ):
            message = node.args[1 if node.func.attr == "log" else 0]
            assert isinstance(message, ast.Constant), f"{path}:{node.lineno}"


@pytest.mark.parametrize("secret", [SECRET, bytes(range(16)), DEVICE])
def test_the_search_finds_a_secret_in_every_spelling(secret):
    """The helper the other tests rely on can fail."""
    assert len(spellings(secret)) >= 6
    for spelling in spellings(secret):
        assert found_in(f"before {spelling} after", [secret]) == [secret]
        with pytest.raises(AssertionError, match="the log holds"):
            assert_silent(f"before {spelling} after", [secret])
    for text, secrets in (("", [secret]), ("text", [])):
        with pytest.raises(AssertionError, match="nothing was"):
            assert_silent(text, secrets)
