"""The page for everyone: what the intake has done in all, and its signed word on it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from scanner.intake.api.context import Serving
from scanner.intake.audit.notes import Verifier
from scanner.intake.authority.addresses import address_of
from scanner.intake.cases.lifecycle import CaseOutcome
from scanner.intake.console.context import Showing

router = APIRouter()


@router.get("/transparency")
async def transparency(request: Request, service: Serving, console: Showing) -> Response:
    """Counts and the newest checkpoint; nothing of any person, and nobody has to log in."""
    service.limits.check("address", address_of(request))
    total = await console.totals.now(service.store, service.clock())
    kinds, outcomes = total.kinds, total.outcomes
    rows = [
        ("Devices enrolled", kinds["enrolment"], "Each by a key of its own."),
        (
            "Vouchers received",
            kinds["receipt"],
            "Sealed, from devices; cover is among them and can't be told apart.",
        ),
        (
            "Windows deleted",
            kinds["expiry"],
            "An account's vouchers of 28 days, whose time was over.",
        ),
        ("Exports to the opener", kinds["export"], "Sealed vouchers, handed to who holds the opening key."),
        (
            "Windows reported by the opener",
            kinds["opening"],
            "Opened, or found to have too few matches.",
        ),
        ("Cases", outcomes.total(), "Windows that were opened and are looked at by people."),
        ("Cases open now", outcomes[None], "Two people have not agreed yet."),
        ("Cases dismissed", outcomes[CaseOutcome.DISMISS], "By two people."),
        ("Cases to be reported", outcomes[CaseOutcome.REPORT], "By two people."),
        ("Reports handed out", kinds["report"], "Each time a reviewer got one."),
        ("Cases deleted", kinds["case-expiry"], "Their time was over."),
    ]
    key = Verifier(service.writer.origin, service.public_key)
    return console.page("transparency", rows=rows, size=total.size, note=total.note, key=str(key), here="transparency")
