"""Cases on both databases, made as the opener's report makes them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from scanner.intake.audit.entries import Entry
from scanner.intake.cases.deciding import decide
from scanner.intake.cases.leasing import take_case
from scanner.intake.cases.lifecycle import CaseOutcome
from scanner.intake.cases.opening import open_case
from scanner.intake.store.change import Writer
from scanner.intake.store.tables import DEVICES, HOOK_MESSAGES, HOOKS, LOG_ENTRIES, OPENINGS, OPERATORS, VOUCHERS
from tests.intake.conftest import NOW, open_writer

AT = int(NOW)
ACCOUNT = bytes(range(16))
WINDOW = 744
ALICE, BOB, CAROL = ("a" * 32, "b" * 32, "c" * 32)


def match(content: int = 1, **other: Any) -> dict[str, Any]:
    """What a voucher told, in the fields of the opener's report."""
    return {
        "content_id": content,
        "leaf_index": 10 * content,
        "distance": 12,
        "quality": 97,
        "algorithm": "pdq",
        "hash": "5f" * 32,
        "day": AT // 86_400,
        "hashset_digest": "ab" * 32,
        "policy_digest": "cd" * 32,
        "build": "",
    } | other


async def add_people(writer: Writer) -> None:
    """Three reviewers of fixed ids, past the commands that make operators."""
    people = [(ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")]
    async with writer.store.writing() as db:
        rows = [
            {"operator_id": one, "name": name, "secret_hash": "", "scopes": "review", "made_at": AT}
            for one, name in people
        ]
        await db.execute(insert(OPERATORS), rows)


async def add_case(
    writer: Writer,
    matches: Sequence[Mapping[str, Any]] = (match(),),
    *,
    account: bytes = ACCOUNT,
    window: int = WINDOW,
    at: int = AT,
) -> str:
    """Report an opening and open its case, in one change."""
    opening_id = secrets.token_hex(16)
    async with writer.change(at) as change:
        row = {"opening_id": opening_id, "account": account, "window_number": window, "operator_id": ALICE}
        await change.db.execute(
            insert(OPENINGS).values(**row, reported_at=at, result="opened", vouchers=3, report=b"{}")
        )
        return await open_case(change, account=account, window=window, opening_id=opening_id, matches=matches)


async def add_vouchers(writer: Writer, state: str, slots: Sequence[int], device: bytes = bytes(16)) -> None:
    """Put vouchers of the account's window there, in a state."""
    async with writer.store.writing() as db:
        there = (await db.execute(select(DEVICES.c.device_id).where(DEVICES.c.device_id == device))).one_or_none()
        if there is None:
            row = {"device_id": device, "public_key": bytes(32), "account": ACCOUNT, "enrolled_at": AT}
            await db.execute(insert(DEVICES).values(**row))
        for slot in slots:
            row = {"device_id": device, "window_number": WINDOW, "slot": slot, "digest": bytes(32)}
            more = {"voucher": b"v", "receipt": b"r", "position": slot, "state": state}
            await db.execute(insert(VOUCHERS).values(**row, **more))


async def voucher_states(writer: Writer) -> list[str]:
    """The states of all vouchers, by slot."""
    async with writer.store.reading() as db:
        return list((await db.execute(select(VOUCHERS.c.state).order_by(VOUCHERS.c.slot))).scalars())


async def add_hook(writer: Writer, *events: str) -> None:
    """Somebody wants to be told."""
    async with writer.store.writing() as db:
        row = {"hook_id": "d" * 32, "url": "https://hooks.example/", "events": " ".join(sorted(events))}
        await db.execute(insert(HOOKS).values(**row, made_by=ALICE, made_at=AT))


async def told(writer: Writer) -> list[bytes]:
    """The bodies of all messages, in no order."""
    async with writer.store.reading() as db:
        return list((await db.execute(select(HOOK_MESSAGES.c.body))).scalars())


async def logged(writer: Writer, *kinds: str) -> list[Entry]:
    """The log's entries of some kinds, in order."""
    async with writer.store.reading() as db:
        query = select(LOG_ENTRIES.c.body).where(LOG_ENTRIES.c.kind.in_(kinds)).order_by(LOG_ENTRIES.c.position)
        return [Entry.from_bytes(body) for body in (await db.execute(query)).scalars()]


def on(url: str, work: Callable[[Writer], Awaitable[Any]]) -> Any:
    """Run async work with a writer on a database with reviewers."""

    async def run() -> Any:
        async with open_writer(url) as writer:
            await add_people(writer)
            return await work(writer)

    return asyncio.run(run())


async def close(
    writer: Writer, case_id: str, outcome: CaseOutcome = CaseOutcome.DISMISS, seen: int = 1, reason: str = "looked"
) -> None:
    """Two people decide the same."""
    for person in (ALICE, BOB):
        async with writer.change(AT) as change:
            await take_case(change, case_id, person)
            await decide(change, case_id, person, outcome, reason, seen=seen)
