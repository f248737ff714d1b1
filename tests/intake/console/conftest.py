"""The console as a browser without JavaScript meets it: pages, forms, cookies."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from scanner.intake.app import create_app
from scanner.intake.operations.draining import Drain
from scanner.intake.operations.metrics import Metrics
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.stack import Operations
from scanner.intake.settings import Settings
from tests.intake.cases.conftest import add_case, match
from tests.intake.conftest import INTAKE, NOW, make_operator, open_writer, serving

NAMES = ("alice", "bob", "carol")
INLINE = {"a", "bdi", "code", "span", "strong", "time"}


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Form:
    """A form of a page, with what its fields hold."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """What a test wants to know of a page."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.answer = answer
        self.status = answer.status_code
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.title = ""
        self._inside: list[str] = []
        self.feed(answer.text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.text += "" if tag in INLINE else " "
        if tag not in {"meta", "link", "input", "img"}:
            self._inside.append(tag)
        if tag == "form":
            self.forms.append(Form(values["action"], values.get("method", "get")))
        elif tag == "input" and self.forms and values.get("type") == "hidden":
            self.forms[-1].fields[values["name"]] = values["value"]
        elif tag == "a":
            self.links.append(values["href"])
        self.loaded += [values[name] for name in ("src",) if name in values]
        if tag == "link":
            self.loaded.append(values["href"])

    def handle_endtag(self, tag: str) -> None:
        self.text += "" if tag in INLINE else " "
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "title" in self._inside:
            self.title += data
        if "main" in self._inside:
            self.text += data

    def form(self, action: str) -> Form:
        """The form that is sent to an address ending so."""
        return next(form for form in self.forms if form.action.endswith(action))

    def has_form(self, action: str) -> bool:
        """Whether there is one."""
        return any(form.action.endswith(action) for form in self.forms)


class Browser:
    """Keeps cookies, follows redirects, and fills in forms as they stand on the page."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, follow_redirects=True)

    def open(self, path: str, status: int = 200) -> Page:
        """Get a page."""
        page = Page(self.http.get(path))
        assert page.status == status, page.text
        return page

    def send(self, page: Page, action: str, status: int = 200, **fields: str) -> Page:
        """Fill in a form of the page and send it."""
        form = page.form(action)
        sent = Page(self.http.post(form.action, data=form.fields | fields))
        assert sent.status == status, sent.text
        return sent

    def log_in(self, token: str) -> Page:
        """Log in; gives the page after."""
        return self.send(self.open("/console/login"), "/console/login", token=token)


def aside(work: Callable[[], Any]) -> Any:
    """Do it in another thread: Playwright keeps an event loop running in the test's own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(30)


@dataclass
class Place:
    """A running intake, with its database and clock."""

    url: str
    database: str
    clock: Clock
    browsers: list[Browser] = field(default_factory=list)
    names: Iterator[str] = field(
        default_factory=lambda: (f"{name}{number or ''}" for number in range(99) for name in NAMES)
    )

    def browser(self) -> Browser:
        """A browser in which nobody is logged in."""
        self.browsers.append(Browser(self.url))
        return self.browsers[-1]

    def reviewer(self, *scopes: str) -> Browser:
        """A browser in which a new operator is logged in, a reviewer if not said otherwise."""
        browser = self.browser()
        browser.log_in(self.token(*scopes))
        return browser

    def token(self, *scopes: str) -> str:
        """The token of a new operator, a reviewer if not said otherwise."""
        return aside(lambda: make_operator(self.database, *(scopes or ("review",)), name=next(self.names)))

    def case(self, *matches: dict[str, Any], **options: Any) -> str:
        """Open a case."""

        async def add() -> str:
            async with open_writer(self.database) as writer:
                return await add_case(writer, matches or (match(),), **options)

        return aside(lambda: asyncio.run(add()))

    def run(self, work: Callable[..., Any]) -> Any:
        """Do something with a writer on the database."""

        async def run() -> Any:
            async with open_writer(self.database) as writer:
                return await work(writer)

        return aside(lambda: asyncio.run(run()))


@contextmanager
def placed(database: str, *, encrypted: bool = False, **settings: Any) -> Iterator[Place]:
    """Run an intake on a migrated database."""
    clock = Clock()
    operations = Operations(Metrics(), TrustedPeers(()), Drain(), encrypted=encrypted)
    app = create_app(
        database, INTAKE, settings=Settings(**settings), operations=operations,
        clock=clock,
    )  # fmt: skip
    with serving(app) as url:
        place = Place(url, database, clock)
        try:
            yield place
        finally:
            for browser in place.browsers:
                browser.http.close()


@pytest.fixture
def place(sqlite_url) -> Iterator[Place]:
    """A running intake on SQLite; what differs between databases is tested below the console."""
    with placed(sqlite_url) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory, sqlite_template) -> Iterator[Place]:
    """A running intake for tests that leave nothing another would stumble over."""
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("shared") / "intake.db")
    with placed(f"sqlite:///{path}") as found:
        yield found
