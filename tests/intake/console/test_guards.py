"""Who gets in, by which cookie and with which forms."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.authority.operators import revoke_operator
from scanner.intake.authority.sessions import LONGEST_SECONDS
from scanner.intake.console.secrecy import form_token, is_form_token
from scanner.intake.settings import Rate
from tests.intake.cases.conftest import logged
from tests.intake.conftest import INTAKE, make_operator
from tests.intake.console.conftest import Page, placed

CASE = "0" * 32
PAGES = ["/console/", "/console/closed", f"/console/cases/{CASE}", "/console/activity"]
FORMS = ["/console/next", *(f"/console/cases/{CASE}/{last}" for last in
         ("take", "give-back", "notes", "decision", "decision/confirmed", "report"))]  # fmt: skip
FIELDS = {"note_id": "1" * 32, "text": "x", "outcome": "report", "seen": "1", "reason": "x", "format": "json"}


def token_of(page: Page) -> str:
    """The token of a page's forms."""
    return page.form("/console/logout").fields["csrf"]


def altered(token: str) -> str:
    """Another token of the same form: a bit of its last byte differs."""
    data = bytearray(base64.urlsafe_b64decode(token))
    data[-1] ^= 1
    return base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize("path", PAGES)
def test_without_a_session_there_is_only_the_login(shared, path):
    """Pages lead to the login, which leads back to them."""
    browser = shared.browser()
    page = browser.open(path)
    assert page.title.startswith("Log in")
    token = shared.token()
    page = browser.send(page, "/console/login", status=404 if CASE in path else 200, token=token)
    assert page.answer.url.path == path


@pytest.mark.parametrize("path", FORMS)
def test_nothing_is_done_without_the_forms_own_token(shared, path):
    """No token, an altered one, another session's, one for logging in: 403; no session: 401. Nothing is written."""
    alice, bob, nobody = shared.reviewer(), shared.reviewer(), shared.browser()
    stranger = nobody.open("/console/login").form("/console/login").fields["csrf"]
    own, others = token_of(alice.open("/console/")), token_of(bob.open("/console/"))
    before = shared.run(lambda writer: logged(writer, "login", "logout", "note", "decision", "report"))
    for wrong in ("", "x", "=" * 88, altered(own), others, stranger, own[:44], own + "AAAA"):
        refused = Page(alice.http.post(path, data=FIELDS | {"csrf": wrong}))
        assert refused.status == 403
        assert "not of a page that you have open" in refused.text
    refused = alice.http.post(path, data=FIELDS | {"csrf": own}, headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403
    assert nobody.http.post(path, data=FIELDS | {"csrf": stranger}).status_code == 401
    assert shared.run(lambda writer: logged(writer, "login", "logout", "note", "decision", "report")) == before
    allowed = alice.http.post(path, data=FIELDS | {"csrf": own}, headers={"Sec-Fetch-Site": "same-origin"})
    assert allowed.status_code == (404 if CASE in path and "give-back" not in path else 200)


def test_words_of_another_site_are_not_put_on_a_page(shared):
    """Only what came by a form of our own is shown again."""
    alice = shared.reviewer()
    refused = alice.http.post(FORMS[3], data=FIELDS | {"text": "planted words", "csrf": "x"})
    assert "planted words" not in refused.text
    shown = alice.http.post(FORMS[3], data=FIELDS | {"text": "own words", "csrf": token_of(alice.open("/console/"))})
    assert (shown.status_code, "own words" in shown.text) == (404, True)


def test_each_page_has_another_token_and_all_of_them_are_good(shared):
    """So that a compressing proxy tells nothing of it; an older page's form still works."""
    alice = shared.reviewer()
    first, second = token_of(alice.open("/console/")), token_of(alice.open("/console/"))
    assert first != second
    for token in (second, first):
        assert alice.http.post("/console/next", data={"csrf": token}).status_code == 200


def test_nobody_can_log_another_in(shared):
    """A login without the browser's own login cookie and its token is refused, and no session begins."""
    token = shared.token()
    before = shared.run(lambda writer: logged(writer, "login"))
    browser, other = shared.browser(), shared.browser()
    page, others = browser.open("/console/login"), other.open("/console/login")
    theirs = others.form("/console/login").fields["csrf"]
    for csrf in ("", theirs):
        answer = browser.http.post("/console/login", data={"token": token, "csrf": csrf})
        assert answer.status_code == 403
    good = page.form("/console/login").fields
    bare = httpx.post(f"{shared.url}/console/login", data=good | {"token": token})
    assert bare.status_code == 403
    crossing = browser.http.post(
        "/console/login", data=good | {"token": token}, headers={"Sec-Fetch-Site": "same-site"}
    )
    assert crossing.status_code == 403
    assert shared.run(lambda writer: logged(writer, "login")) == before
    assert browser.send(page, "/console/login", token=token).title.startswith("Queue")


def test_two_login_pages_in_one_browser_both_work(shared):
    """The second keeps the cookie of the first."""
    token = shared.token()
    browser = shared.browser()
    first = browser.open("/console/login")
    browser.open("/console/login")
    assert browser.send(first, "/console/login", token=f"  {token}\n").title.startswith("Queue")
    assert browser.open("/console/login").title.startswith("Queue")


def test_a_wrong_token_gets_the_form_again(place):
    """401 with the form and what is wrong, without the token in it."""
    browser = place.browser()
    wrong = "prescan_" + "0" * 32 + "_" + "A" * 43
    for token in ("", "x", wrong):
        page = browser.send(browser.open("/console/login"), "/console/login", status=401, token=token)
        assert "nobody’s token" in page.text
        assert wrong not in page.answer.text
        assert page.has_form("/console/login")


def test_wrong_tokens_are_counted(sqlite_url):
    """After so many, 429 as a page with the time to wait."""
    with placed(sqlite_url, login_rate=Rate(2, 60.0)) as place:
        browser = place.browser()
        for status in (401, 401, 429):
            page = browser.send(browser.open("/console/login"), "/console/login", status=status, token="x")
        assert int(page.answer.headers["Retry-After"]) > 0
        assert page.title.startswith("Too many")


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/v1/config", "/console/login", "x" * 100])
def test_a_login_leads_to_our_own_pages_alone(shared, back):
    """Whatever the address says."""
    token = shared.token()
    browser = shared.browser()
    page = browser.open(f"/console/login?next={back}")
    browser.http.follow_redirects = False
    answer = browser.http.post("/console/login", data=page.form("/console/login").fields | {"token": token})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/")


@pytest.mark.parametrize("encrypted", [True, False])
def test_cookies_are_for_this_site_and_no_script(sqlite_url, encrypted):
    """HttpOnly, SameSite=Strict, the whole path; over TLS Secure and by the prefix that no other site can set."""
    with placed(sqlite_url, encrypted=encrypted) as place:
        token = make_operator(place.database, "review")
        answer = httpx.get(f"{place.url}/console/login")
        cookies = [answer.headers["Set-Cookie"]]
        form = Page(answer).form("/console/login").fields
        kept = {"Cookie": cookies[0].split(";")[0]}
        answer = httpx.post(f"{place.url}/console/login", data=form | {"token": token}, headers=kept)
        cookies += answer.headers.get_list("Set-Cookie")
        assert len(cookies) == 3
        for cookie in cookies:
            name, _, rest = cookie.partition("=")
            attributes = set(rest.split("; ")[1:])
            assert {"HttpOnly", "Path=/", "SameSite=strict"} <= attributes
            assert ("Secure" in attributes, name.startswith("__Host-")) == (encrypted, encrypted)
            assert not any(each.startswith("Domain") for each in attributes)
        assert "Max-Age" not in cookies[1]
        session = {"Cookie": cookies[1].split(";")[0]}
        assert httpx.get(f"{place.url}/console/", headers=session).status_code == 200


def test_a_session_has_a_new_secret_and_ends_the_one_before(place):
    """A cookie that was there before the login is worth nothing after it."""
    token = make_operator(place.database, "review")
    browser = place.browser()
    browser.log_in(token)
    first = browser.http.cookies["prescan-session"]
    browser.http.cookies.clear()
    page = browser.open("/console/login")
    kept = {"Cookie": f"prescan-session={first}; prescan-login={browser.http.cookies['prescan-login']}"}
    browser.http.post("/console/login", data=page.form("/console/login").fields | {"token": token}, headers=kept)
    assert browser.http.cookies["prescan-session"] != first
    old = place.browser()
    old.http.cookies.set("prescan-session", first)
    assert old.open("/console/").title.startswith("Log in")


def test_logging_out_ends_the_session_itself(place):
    """Not only the cookie: a copy of it is worth nothing; again is no error."""
    alice = place.reviewer()
    cookie = alice.http.cookies["prescan-session"]
    page = alice.open("/console/")
    assert alice.http.post("/console/logout", data={"csrf": "x"}).status_code == 403
    assert alice.send(page, "/console/logout").title.startswith("Log in")
    assert alice.send(page, "/console/logout").title.startswith("Log in")
    copy = place.browser()
    copy.http.cookies.set("prescan-session", cookie)
    assert copy.open("/console/").title.startswith("Log in")
    assert len(place.run(lambda writer: logged(writer, "logout"))) == 1


def test_a_session_that_ended_gives_the_words_back(place):
    """After too long a pause nothing is done; what was written is on the page, if it came by our own form."""
    place.case()
    alice = place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    place.clock.now += LONGEST_SECONDS
    gone = alice.send(page, "/notes", status=401, text="my long words")
    assert "no longer logged in" in gone.text
    assert "my long words" in gone.text
    assert "/console/login" in gone.links


def test_who_is_revoked_is_out_at_once(place):
    """The next page is the login."""
    alice = place.reviewer()
    (login,) = place.run(lambda writer: logged(writer, "login"))
    place.run(lambda writer: revoke_operator(writer, login.fields["operator"], place.clock.now))
    assert alice.open("/console/").title.startswith("Log in")


@pytest.mark.parametrize("scope", ["read", "admin"])
def test_auditors_see_what_was_done_and_no_case(place, scope):
    """The activity page and nothing of a case."""
    place.case()
    auditor = place.reviewer(scope)
    page = auditor.open("/console/")
    assert page.answer.url.path == "/console/activity"
    assert "/console/closed" not in page.links
    for path in ("/console/closed", f"/console/cases/{CASE}"):
        assert "needs an operator with the scope review" in auditor.open(path, 403).text
    assert auditor.http.post("/console/next", data={"csrf": token_of(page)}).status_code == 403


@pytest.mark.parametrize("scope", ["enrol", "export"])
def test_a_token_for_machines_does_not_log_in(place, scope):
    """It has nothing to do in the console, and leaves no session."""
    token = make_operator(place.database, scope)
    browser = place.browser()
    page = browser.send(browser.open("/console/login"), "/console/login", status=403, token=token)
    assert "not for people" in page.text
    assert "prescan-session" not in browser.http.cookies
    assert len(place.run(lambda writer: logged(writer, "logout"))) == 1


@given(token=st.text(max_size=300), cookie=st.text(max_size=60))
def test_no_token_makes_the_check_fail_otherwise_than_by_no(token, cookie):
    """Any text is a wrong token, never an error."""
    service = SimpleNamespace(writer=SimpleNamespace(signing_key=INTAKE))
    assert not is_form_token(service, "cookie", token)
    assert not is_form_token(service, "cookie", form_token(service, "other" + cookie))
    assert is_form_token(service, cookie, form_token(service, cookie))
