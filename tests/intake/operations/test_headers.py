"""What every answer tells a browser."""

from __future__ import annotations

import re

import pytest

from scanner.intake.operations.headers import API_POLICY, CONSOLE_POLICY, HEADERS, SecurityHeaders
from tests.intake.operations.apps import ask, make_app


@pytest.mark.parametrize("path", ["/readyz", "/nothing", "/fails/x", "/console/cases/1"])
@pytest.mark.parametrize("encrypted", [True, False])
def test_every_answer_has_every_header_once(path, encrypted):
    """Errors too; HSTS only when TLS is said."""
    answer = ask(SecurityHeaders(make_app(), encrypted=encrypted), "GET", path)
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    assert answer.headers.get_list("Strict-Transport-Security") == (["max-age=31536000"] if encrypted else [])


def test_what_a_route_says_stays():
    """Its own policy and caching, in whatever case it names them, once each."""
    answer = ask(SecurityHeaders(make_app(), encrypted=True), "GET", "/own-headers")
    assert answer.headers.get_list("Content-Security-Policy") == ["default-src 'self'"]
    assert answer.headers.get_list("Cache-Control") == ["max-age=9"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("policy", [API_POLICY, CONSOLE_POLICY])
def test_policies_allow_nothing_from_elsewhere_and_nothing_inline(policy):
    """Every directive is 'none' or 'self', and those that default-src does not cover are there."""
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert set(directives.values()) <= {"'none'", "'self'"}
    assert directives["default-src"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
    assert "form-action" in directives


def test_no_feature_of_a_device_may_be_used():
    """Each of the permissions is given to nobody."""
    assert re.fullmatch(r"[a-z-]+=\(\)(, [a-z-]+=\(\))+", HEADERS["Permissions-Policy"])
    assert {"camera=()", "geolocation=()", "microphone=()"} <= set(HEADERS["Permissions-Policy"].split(", "))
