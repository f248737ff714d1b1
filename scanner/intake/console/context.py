"""What every page of the console works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Query, Request
from jinja2 import Environment
from starlette.responses import HTMLResponse

from scanner.intake.console.totals import Totals

HOME = "/console/"

Done = Annotated[str, Query(max_length=20, description="What was done on the page before.")]

DONE = {
    "nothing-left": "There is no case that you could take now.",
    "given-back": "You gave the case back. Others can take it.",
    "noted": "Your note is written.",
    "decided": "Your decision is written.",
}
"""What a page says of the step before it, by its name in the address; other names say nothing."""


@dataclass(frozen=True, slots=True)
class Console:
    """The console of a running intake.

    Attributes:
        templates: the pages.
        encrypted: whether browsers come over TLS, so that cookies may insist on it.
        totals: what the public page counts.
    """

    templates: Environment
    encrypted: bool
    totals: Totals

    def page(
        self, name: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: object
    ) -> HTMLResponse:
        """Make a page of a template."""
        text = self.templates.get_template(f"{name}.html").render(values)
        return HTMLResponse(text, status, headers)


def console_of(request: Request) -> Console:
    """The console that a page is of (a FastAPI dependency)."""
    return cast(Console, request.app.state.console)


Showing = Annotated[Console, Depends(console_of)]
