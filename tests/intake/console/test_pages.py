"""What a browser may do with a page, what it loads, and errors as pages."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest

from scanner.intake.console.app import POLICY
from tests.intake.cases.conftest import match
from tests.intake.console.conftest import Page


def test_every_answer_says_what_a_browser_may_do(place):
    """One strict policy on pages, errors, files and redirects; nothing is stored but files that never change."""
    case_id = place.case()
    alice = place.reviewer()
    alice.http.follow_redirects = False
    paths = ["/console/", "/console/closed", "/console/nowhere", f"/console/cases/{case_id}", "/transparency",
             "/console/static/console.css", "/console/static/x", "/console/activity", "/console/cases/x"]  # fmt: skip
    for path in paths:
        answer = alice.http.get(path)
        assert answer.headers.get_list("Content-Security-Policy") == [POLICY], path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        kept = path.endswith(".css")
        assert answer.headers["Cache-Control"] == ("public, max-age=31536000, immutable" if kept else "no-store"), path
    assert "unsafe" not in POLICY


def test_pages_load_nothing_from_elsewhere_and_need_no_inline_code(place):
    """Every address is ours; no style or handler is in an attribute, no script in the page."""
    case_id = place.case(match(1), match(2))
    alice = place.reviewer()
    pages = [alice.send(alice.open("/console/"), "/console/next"), alice.open("/console/"), alice.open("/transparency")]
    pages += [alice.open("/console/activity"), place.browser().open("/console/login"), alice.open("/console/x", 404)]
    pages.append(alice.send(alice.open(f"/console/cases/{case_id}"), "/decision", outcome="report", reason="x"))
    for page in pages:
        assert {path.partition("?")[0] for path in page.loaded} == {
            f"/console/static/{name}" for name in ("console.css", "console.js", "icon.svg")
        }
        assert all(link.startswith(("/", "#")) for link in page.links)
        assert not re.search(r"\s(style|on\w+)=", page.answer.text)
        assert all("src=" in tag for tag in re.findall("<script[^>]*>", page.answer.text))
        for path in page.loaded:
            assert alice.http.get(path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/console/nowhere", 404),
        ("GET", "/console/static/../app.py", 404),
        ("GET", "/console/static/%2e%2e%2fapp.py", 404),
        ("GET", "/console/cases/x", 422),
        ("DELETE", "/console/", 405),
        ("GET", "/console/next", 405),
        ("GET", "/console/activity?kind=nonsense", 400),
        ("GET", "/console/activity?cursor=zzz", 400),
        ("GET", "/console/activity?cursor=" + "z" * 300, 422),
    ],
)
def test_errors_are_pages(shared, method, path, status):
    """Never JSON, never a trace; they say the number and lead back."""
    answer = shared.reviewer().http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page(answer)
    assert str(status) in page.text
    assert "Traceback" not in answer.text
    assert "/console/" in page.links


def test_a_failing_database_is_a_page(place):
    """503 and when to come again; the public page too."""
    alice = place.reviewer()
    with closing(sqlite3.connect(place.database.removeprefix("sqlite:///"))) as db, db:
        db.execute("ALTER TABLE cases RENAME TO elsewhere")
        db.execute("ALTER TABLE log_entries RENAME TO elsewhere_too")
    for path in ("/console/", "/transparency"):
        page = alice.open(path, 503)
        assert page.answer.headers["Retry-After"] == "5"
        assert "elsewhere" not in page.answer.text
        assert "can't reach its database" in page.text


def test_what_nobody_foresaw_is_a_page_without_a_word_of_it(place, monkeypatch):
    """500, and no trace."""
    alice = place.reviewer()

    def fail(*_):
        raise RuntimeError("secret thing")

    monkeypatch.setattr("scanner.intake.console.queue.pseudonym", fail)
    place.case()
    page = alice.open("/console/", 500)
    assert "The intake failed" in page.text
    assert "secret thing" not in page.answer.text


def test_the_console_is_not_in_the_api(shared):
    """OpenAPI describes what programs use."""
    paths = json.loads(shared.browser().http.get("/openapi.json").text)["paths"]
    assert "/v1/config" in paths
    assert not [path for path in paths if path.startswith(("/console", "/transparency"))]
