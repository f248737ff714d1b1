"""The console in Chromium: by keyboard, without JavaScript, for those who can't see it, and against other sites.

One browser for the whole file; every wait is bounded.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from scanner.intake.console.rendering import STATES
from tests.intake.cases.conftest import ACCOUNT, AT, WINDOW, match
from tests.intake.console.conftest import Place, placed
from tests.intake.console.test_casework import HOSTILE, decide

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage"]
LONGEST = 10_000  # milliseconds
SIZES = [(360, 740), (1280, 800)]
EXPECTED = re.compile("status of 40[0-9]")  # our own refusals
SCHEMES = ["light", "dark"]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="needs Chromium; Debian's package is chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser."""
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=30_000)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def here(tmp_path_factory, sqlite_template) -> Iterator[Place]:
    """One intake."""
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("browser") / "intake.db")
    with placed(f"sqlite:///{path}") as found:
        yield found


@contextmanager
def tab(browser: Browser, place: Place, *, quiet: bool = True, **options: Any) -> Iterator[Page]:
    """A tab with cookies of its own; what its policy stops or a script raises fails the test, if it is to be quiet."""
    with_size = {"viewport": {"width": 1280, "height": 800}} | options
    context = browser.new_context(base_url=place.url, **with_size)
    context.set_default_timeout(LONGEST)
    try:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append("dialog"), dialog.dismiss()))
        yield page
        assert [each for each in complaints if quiet and not EXPECTED.search(each)] == []
    finally:
        context.close()


def log_in(page: Page, place: Place, *scopes: str) -> None:
    """Log in as a new operator."""
    page.goto("/console/login")
    page.fill("#token", place.token(*scopes))
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log out").wait_for()


def found_by_axe(page: Page) -> list[str]:
    """What axe finds wrong with a page, of any weight: rule and element."""
    if page.evaluate("window.axe === undefined"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{each['id']}: {node['target']}" for each in found["violations"] for node in each["nodes"]]


def test_a_case_is_decided_by_keyboard_alone(browser, here):
    """From the queue to the decision without a mouse: shortcuts, tab and space."""
    case_id = here.case(match(1), window=100, at=AT - 1_000)  # the oldest
    with tab(browser, here) as page:
        log_in(page, here)
        page.keyboard.press("n")
        page.wait_for_url(f"**/console/cases/{case_id}")
        page.keyboard.press("e")
        page.keyboard.type("qcatn? are letters here")  # none of them is a shortcut while one writes
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**done=noted*")
        assert page.locator("article.note .words").inner_text() == "qcatn? are letters here"
        page.keyboard.press("r")
        page.keyboard.press("d")
        assert page.locator("input[name=outcome]:checked").input_value() == "dismiss"
        page.keyboard.press("Tab")
        page.keyboard.type("Too far away.")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.wait_for_url("**/decision")
        assert "Nothing is decided yet" in page.inner_text("main")
        page.get_by_role("button", name="Dismiss this case").press("Enter")
        page.wait_for_url("**done=decided*")
        page.keyboard.press("q")
        page.wait_for_url("**/console/")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.className") == "item"
    decide(here.reviewer(), case_id, "dismiss")


def test_shortcuts_are_listed_and_can_be_turned_off(browser, here):
    """The question mark opens the list; turned off, they stay off on the next page, and nothing else changes."""
    with tab(browser, here) as page:
        log_in(page, here)
        page.keyboard.press("?")
        assert page.get_by_text("Take the next case").last.is_visible()
        page.get_by_label("Use these shortcuts in this browser").uncheck()
        page.keyboard.press("c")
        page.goto("/console/activity")
        page.keyboard.press("q")
        page.keyboard.press("Control+a")
        assert page.url.endswith("/console/activity")
        page.locator("#shortcuts summary").click()
        page.get_by_label("Use these shortcuts in this browser").check()
        page.locator("h1").click()
        page.keyboard.press("c")
        page.wait_for_url("**/console/closed")


def test_everything_works_without_javascript(browser, here):
    """A case from taking to the report, with scripts off; and the page says that shortcuts need them."""
    case_id = here.case(match(1), window=101)
    decide(here.reviewer(), case_id, "report")
    with tab(browser, here, java_script_enabled=False) as page:
        log_in(page, here)
        assert page.locator("#shortcuts summary").count() == 1
        page.goto(f"/console/cases/{case_id}")
        page.get_by_role("button", name="Take this case").click()
        page.get_by_label("New note").fill("Without scripts.")
        page.get_by_role("button", name="Write the note").click()
        page.get_by_label("Report").check()
        page.get_by_label("Why").fill("As listed.")
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Report this case").click()
        with page.expect_download(timeout=LONGEST) as download:
            page.get_by_role("button", name="Download as JSON").click()
        assert download.value.suggested_filename == f"case-{case_id[:8]}.json"
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/console/login")


def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(browser, here):
    """Every page, in both schemes, on a telephone and a desk: no violation of any weight."""
    one, two = here.reviewer(), here.reviewer()
    closed, disputed = here.case(match(1), window=102), here.case(match(1), match(2, distance=30), window=103)
    decide(one, closed, "report"), decide(two, closed, "report")
    decide(one, disputed, "report"), decide(two, disputed, "dismiss")
    held = here.case(*(match(number, hash="a" * 512) for number in range(4)), window=104)
    with tab(browser, here) as page:

        def check(name: str) -> None:
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colour on its way
                for width, height in SIZES:
                    page.set_viewport_size({"width": width, "height": height})
                    assert found_by_axe(page) == [], (name, scheme, width)
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
                    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
                    assert levels[0] == 1
                    assert levels.count(1) == 1
                    assert all(after - before <= 1 for before, after in pairwise(levels))

        page.goto("/transparency")
        check("transparency")
        page.goto("/console/login")
        page.fill("#token", "x")
        page.click("main button")
        check("login, refused")
        log_in(page, here)
        page.goto(f"/console/cases/{disputed}")
        check("a free case")
        page.goto(f"/console/cases/{held}")
        page.get_by_role("button", name="Take this case").click()
        page.fill("#text", "x" * 300)
        page.get_by_role("button", name="Write the note").click()
        page.locator("td summary").first.click()
        page.check("input[value=report]")
        check("a held case")
        page.fill("#reason", "y" * 300)
        page.get_by_role("button", name="Go on").click()
        check("confirm")
        page.goto("/console/")
        assert page.get_by_text(STATES["disputed"]).count() > 0
        page.locator("#shortcuts summary").click()
        check("queue")
        for path in (f"/console/cases/{closed}", "/console/closed", "/console/activity", "/console/nowhere"):
            page.goto(path)
            check(path)
        page.goto(f"/console/cases/{held}")
        page.get_by_role("button", name="Give it back").click()
        check("queue, with a message")


def test_the_keyboard_always_shows_where_it_is(browser, here):
    """The first tab stop skips to the content; every stop after has a visible outline."""
    with tab(browser, here) as page:
        log_in(page, here)
        page.goto("/console/activity")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.locator(".skip").bounding_box()["y"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        for _ in range(3):
            page.keyboard.press("Tab")
            assert page.evaluate(outline) == "solid"
        for landmark in ("banner", "navigation", "main", "contentinfo"):
            assert page.get_by_role(landmark).first.is_visible()


def test_hostile_words_run_nothing(browser, here):
    """Markup in notes, reasons and matches is read, not obeyed; nothing is loaded from anywhere else."""
    case_id = here.case(match(1, algorithm=HOSTILE, build=HOSTILE, day=HOSTILE), window=105)
    decide(here.reviewer(), case_id, "report", HOSTILE)
    with tab(browser, here) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        log_in(page, here)
        page.goto(f"/console/cases/{case_id}")
        page.get_by_role("button", name="Take this case").click()
        page.fill("#text", HOSTILE)
        page.get_by_role("button", name="Write the note").click()
        assert page.locator("article.note .words").inner_text() == HOSTILE
        assert page.locator("main script, main img").count() == 0
        assert all(url.startswith(here.url) for url in asked)
        page.get_by_role("button", name="Give it back").click()
    decide(here.reviewer(), case_id, "report")


def test_the_policy_stops_scripts_that_are_not_ours(browser, here):
    """Even if markup got in: inline scripts, handlers, styles and other origins do nothing."""
    with tab(browser, here, quiet=False) as page:
        page.goto("/transparency")
        stopped = page.evaluate(
            """() => new Promise((done) => {
                const stopped = [];
                document.addEventListener("securitypolicyviolation", (event) => {
                    stopped.push(event.effectiveDirective);
                    if (stopped.length === 5) done(stopped.sort());
                });
                setTimeout(() => done(stopped), 5000);
                const script = document.createElement("script");
                script.textContent = "document.title = 'run'";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend",
                    `<p style="color: red" onclick="1">x</p><img src="http://other.example/x.png">`);
                document.querySelector("p[onclick]").click();
                fetch("/transparency").catch(() => undefined);
            })"""
        )
        assert stopped == ["connect-src", "img-src", "script-src-attr", "script-src-elem", "style-src-attr"]
        assert page.title().startswith("Transparency")


def test_other_sites_can_neither_send_forms_nor_frame_pages(browser, here):
    """A form that another site sends comes without the session; a frame of ours stays empty."""
    case_id = here.case(match(1), window=106)
    elsewhere, target = here.url.replace("127.0.0.1", "localhost"), f"/console/cases/{case_id}/take"
    with tab(browser, here) as page:
        log_in(page, here)
        names = {cookie["name"]: cookie for cookie in page.context.cookies()}
        assert (names["prescan-session"]["httpOnly"], names["prescan-session"]["sameSite"]) == (True, "Strict")
        assert page.evaluate("document.cookie") == ""
        page.route(
            "**/attack",
            lambda route: route.fulfill(
                content_type="text/html",
                body=f'<form method="post" action="{here.url}{target}"><button>Win</button></form>',
            ),
        )
        page.goto(f"{elsewhere}/attack")
        page.get_by_role("button", name="Win").click()
        page.wait_for_url("**/take")
        assert "no longer logged in" in page.inner_text("main")
        page.goto(f"/console/cases/{case_id}")
        assert "Nobody works on this case" in page.inner_text("main")
    assert ACCOUNT.hex() not in names["prescan-session"]["value"]


def test_time_that_runs_out_is_said(browser, here):
    """How long a case is held counts down, and its end is told to who can't see it."""
    here.case(match(1), window=WINDOW)
    with tab(browser, here) as page:
        page.clock.install()
        log_in(page, here)
        page.keyboard.press("n")
        page.wait_for_url("**/console/cases/*")
        assert page.locator(".left").inner_text() == ", 15 min left"
        page.clock.fast_forward(13 * 60_000 + 5_000)
        page.get_by_role("status").get_by_text("nearly over").wait_for()
        assert page.locator(".left").inner_text() == ", 2 min left"
        page.clock.fast_forward(2 * 60_000)
        page.get_by_text("Your time with this case is over").wait_for()
        page.keyboard.press("w")
        page.wait_for_load_state()
        page.get_by_text("min left").wait_for()
        page.get_by_role("button", name="Give it back").click()
