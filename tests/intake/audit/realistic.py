"""A database on which an intake has done everything it does, by the functions that do it."""

from __future__ import annotations

import asyncio
import hashlib
from types import SimpleNamespace
from typing import Any

import argon2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from scanner.intake.audit.notes import Verifier
from scanner.intake.authority.devices import enrol, register_token, revoke_device
from scanner.intake.authority.enrolment import Applicant
from scanner.intake.authority.operators import Operator, Scope, Verified, add_operator, revoke_operator
from scanner.intake.authority.sessions import log_in, log_out
from scanner.intake.cases.deciding import decide
from scanner.intake.cases.leasing import take_case
from scanner.intake.cases.lifecycle import CaseOutcome
from scanner.intake.cases.noting import add_note
from scanner.intake.cases.reporting import ReportFormat, write_report
from scanner.intake.ed25519 import SigningKey
from scanner.intake.hooks.outbox import Subscribed
from scanner.intake.hooks.registry import Why, disable_hook, set_hook
from scanner.intake.keeper import keep_checkpoint
from scanner.intake.settings import DAY, Settings
from scanner.intake.store.change import Writer
from scanner.intake.store.receiving import Came, Received, receive
from scanner.intake.store.tables import CASES
from scanner.intake.windows import expiring
from scanner.intake.windows.choosing import Wanted
from scanner.intake.windows.counting import count_all
from scanner.intake.windows.exporting import make_export
from scanner.intake.windows.openings import report_opening
from scanner.intake.windows.reports import Match, Opened, Unopened
from scanner.vouchers import device_id_of
from scanner.vouchers.header import WINDOW_SECONDS, day_at
from scanner.vouchers.receipt import Receipt
from tests.intake.conftest import INTAKE, open_writer

ORIGIN = "localhost"
VERIFIER = Verifier(ORIGIN, INTAKE.public_key().public_bytes_raw())
WINDOW = 650
"""The window in which it begins."""
START = WINDOW * WINDOW_SECONDS + 86_400
SETTINGS = Settings(grace=DAY, case_retention=3 * WINDOW_SECONDS)
SIGNING = SigningKey(INTAKE)

(CLOSED, DECIDED_ONCE, BELOW, EXPIRED, ENDED, LATE, PARTLY) = (bytes([number]) * 16 for number in range(1, 8))
"""Accounts, by what comes of their first window."""


def device(account: bytes, number: int = 0) -> tuple[bytes, bytes]:
    """An account's device: its id and public key."""
    seed = hashlib.sha256(account + bytes([number])).digest()
    public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return device_id_of(public_key), public_key


class Intake:
    """What a running intake would do, at times that are set."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.at = START
        free = SimpleNamespace(check=lambda *_, **__: None, give_back=lambda *_: None)
        self.service: Any = SimpleNamespace(
            writer=writer,
            store=writer.store,
            settings=SETTINGS,
            limits=free,
            verified=Verified(),
            clock=lambda: self.at,
        )
        self.exports = self.openings = 0

    async def operator(self, name: str, *scopes: Scope, by: str | None = None) -> tuple[Operator, str]:
        self.at += 1
        return await add_operator(self.writer, name, scopes, self.at, by=by)

    async def enrol(self, account: bytes, by: str, number: int = 0) -> None:
        """One device, with a token but for the first account's second."""
        self.at += 1
        device_id, public_key = device(account, number)
        token = None if number else hashlib.sha256(account).digest()
        if token is not None:
            await register_token(self.writer, token, account, self.at + 3_600, self.at, by=by)
        who = Applicant(device_id, public_key, account, token)
        assert await enrol(self.writer, who, self.at + 1, unsafe_open=token is None)

    async def deliver(self, account: bytes, slots: range, window: int = WINDOW, number: int = 0) -> None:
        self.at += 10
        device_id, _ = device(account, number)
        group = []
        for slot in slots:
            message = b"voucher %d/%d of " % (window, slot) + device_id
            digest = hashlib.sha256(message).digest()
            receipt = Receipt(device_id, window, slot, digest, day_at(self.at)).sign(SIGNING)
            group.append(Received((device_id, window, slot), digest, message, receipt, self.at))
        assert {one.came for one in await receive(self.writer, group)} == {Came.STORED}

    async def count(self) -> None:
        self.at += 1
        await count_all(self.writer, self.at)

    async def export(self, by: str | None = None, *, before: int | None = None, everything: bool = False) -> None:
        self.at += 10
        self.exports += 1
        wanted = Wanted(f"{self.exports:032x}", before, everything, by)
        await make_export(self.writer, SETTINGS, self.at, wanted)

    async def open(self, account: bytes, vouchers: int, contents: range, by: str | None = None) -> None:
        """Report an opening; of no contents, that it stayed below the threshold."""
        self.at += 5
        self.openings += 1
        common: dict[str, Any] = {"account": account.hex(), "window": WINDOW, "vouchers": vouchers}
        matches = [match(content) for content in contents]
        report = Opened(result="opened", matches=matches, **common) if matches else Unopened(
            result="below-threshold", **common
        )  # fmt: skip
        async with self.writer.change(self.at) as change:
            await report_opening(change, f"{self.openings:032x}", report, by)

    async def case_of(self, account: bytes) -> str:
        async with self.writer.store.reading() as db:
            return (await db.execute(select(CASES.c.case_id).where(CASES.c.account == account))).scalar_one()

    async def decide(self, account: bytes, by: Operator, outcome: CaseOutcome, seen: int) -> None:
        self.at += 60
        case_id = await self.case_of(account)
        async with self.writer.change(self.at) as change:
            await take_case(change, case_id, by.operator_id)
            await decide(change, case_id, by.operator_id, outcome, f"{by.name} says {outcome}", seen=seen)

    async def note(self, account: bytes, by: Operator) -> None:
        self.at += 60
        case_id = await self.case_of(account)
        async with self.writer.change(self.at) as change:
            await take_case(change, case_id, by.operator_id)
            note_id = hashlib.sha256(account).hexdigest()[:32]
            await add_note(change, case_id, by.operator_id, note_id, "Zwei Bilder, beide klar.")

    async def expire(self, *, changes: int) -> None:
        """Delete three vouchers a change."""
        for _ in range(changes):
            self.at += 1
            await expiring.expire(self.writer, SETTINGS, self.at)


def match(content: int) -> Match:
    """What a voucher told."""
    return Match(
        content_id=content, leaf_index=10 * content, distance=12, quality=97, algorithm="pdq", hash="5f" * 32,
        day=day_at(START), hashset_digest="ab" * 32, policy_digest="cd" * 32, build="01",
    )  # fmt: skip


async def live(writer: Writer) -> None:
    """Everything an intake does, once at least."""
    intake = Intake(writer)
    admin, _ = await intake.operator("admin", Scope.ADMIN)
    staff, token = await intake.operator("staff", Scope.ENROL, Scope.EXPORT, Scope.READ, by=admin.operator_id)
    alice, her_token = await intake.operator("alice", Scope.REVIEW, by=admin.operator_id)
    bob, _ = await intake.operator("bob", Scope.REVIEW, by=admin.operator_id)
    await _hooks(intake, staff.operator_id)
    await _fill(intake, staff.operator_id)
    for account in (CLOSED, DECIDED_ONCE, BELOW, EXPIRED, ENDED, LATE, PARTLY):
        await intake.enrol(account, staff.operator_id)
    await intake.enrol(CLOSED, staff.operator_id, 1)
    await register_token(writer, bytes(32), LATE, intake.at + 60, intake.at, by=staff.operator_id)
    await keep_checkpoint(intake.service)

    cookie, _ = await log_in(intake.service, her_token, "192.0.2.1")
    await log_in(intake.service, token, "192.0.2.2")
    await intake.deliver(ENDED, range(5))
    await intake.deliver(LATE, range(4))
    await intake.deliver(EXPIRED, range(6))
    await intake.count()
    await intake.export()
    await intake.open(ENDED, 5, range(2))
    await intake.open(LATE, 4, range(2))
    await intake.open(EXPIRED, 6, range(0), staff.operator_id)
    await intake.deliver(LATE, range(4, 6))
    for account in (ENDED, LATE):
        await intake.decide(account, alice, CaseOutcome.DISMISS, 2)
        await intake.note(account, bob)
        await intake.decide(account, bob, CaseOutcome.DISMISS, 2)
    await intake.open(ENDED, 5, range(3))
    for person in (bob, alice):
        await intake.decide(ENDED, person, CaseOutcome.DISMISS, 3)
    await log_out(intake.service, cookie)

    await _expiries(intake)
    await _afterwards(intake, staff, alice, bob)


async def _hooks(intake: Intake, by: str) -> None:
    for number, events in enumerate(({"case.opened", "device.enrolled"}, {"export.made"}, {"window.expired"})):
        await _set_hook(intake, number, events, by)
    async with intake.writer.change(intake.at) as change:
        await disable_hook(change, f"{1:032x}", Why.DELETED, by)
        await disable_hook(change, f"{2:032x}", Why.GONE)
    intake.at += 5
    await _set_hook(intake, 0, {"case.opened"}, by)
    await _set_hook(intake, 1, {"export.made", "case.closed"}, by)


async def _fill(intake: Intake, by: str) -> None:
    """More than a full tile of the log, of entries that cost nothing to check."""
    wanted: tuple[set[Subscribed], ...] = ({"case.opened"}, {"case.closed"})
    async with intake.writer.change(intake.at) as change:
        for number in range(260):
            await set_hook(change, f"{0:032x}", "https://hooks.example/0", wanted[number % 2], by)


async def _set_hook(intake: Intake, number: int, events: set[Subscribed], by: str) -> None:
    async with intake.writer.change(intake.at) as change:
        await set_hook(change, f"{number:032x}", f"https://hooks.example/{number}", events, by)


async def _expiries(intake: Intake) -> None:
    """A window goes whole, then two with a case; late vouchers of one stay."""
    intake.at = (WINDOW + 2) * WINDOW_SECONDS
    await intake.expire(changes=2)  # the second is full, and there is no more
    intake.at += int(SETTINGS.case_retention)
    await intake.deliver(LATE, range(6, 8))  # nobody asks here whether it is too late
    await intake.count()
    await intake.export()
    await intake.expire(changes=4)


async def _afterwards(intake: Intake, staff: Operator, alice: Operator, bob: Operator) -> None:
    """What is under way at the end."""
    by = staff.operator_id
    intake.at = START + 100  # the rest begins anew, in windows whose grace has not passed
    await intake.deliver(CLOSED, range(5))
    await intake.deliver(CLOSED, range(5), number=1)
    await intake.deliver(DECIDED_ONCE, range(6))
    await intake.deliver(BELOW, range(3))
    await intake.count()
    await keep_checkpoint(intake.service)
    await intake.export(by)
    await intake.open(CLOSED, 10, range(3), by)
    await intake.open(DECIDED_ONCE, 6, range(2), by)
    await intake.open(BELOW, 3, range(0), by)
    await intake.decide(CLOSED, alice, CaseOutcome.REPORT, 3)
    await intake.decide(CLOSED, bob, CaseOutcome.REPORT, 3)
    async with intake.writer.change(intake.at) as change:
        await write_report(change, await intake.case_of(CLOSED), bob.operator_id, ReportFormat.JSON)
    await intake.deliver(CLOSED, range(5, 9), number=1)
    await intake.deliver(DECIDED_ONCE, range(6, 8))
    await intake.count()
    await intake.export(by, before=WINDOW + 1)
    await intake.open(CLOSED, 14, range(3))  # nothing new: what was opened is closed at once
    await intake.open(DECIDED_ONCE, 8, range(4), by)
    await intake.note(DECIDED_ONCE, alice)
    await intake.decide(DECIDED_ONCE, alice, CaseOutcome.DISMISS, 4)
    await intake.deliver(BELOW, range(3, 5))
    await intake.deliver(BELOW, range(4), WINDOW + 1)
    await intake.count()
    await revoke_device(intake.writer, device(CLOSED, 1)[0], intake.at, by=by)
    async with intake.writer.change(intake.at) as change:
        await take_case(change, await intake.case_of(DECIDED_ONCE), bob.operator_id)
    await revoke_operator(intake.writer, bob.operator_id, intake.at)
    await keep_checkpoint(intake.service)
    await intake.deliver(PARTLY, range(7), WINDOW - 1)
    await intake.count()
    await intake.expire(changes=1)
    await intake.deliver(BELOW, range(5, 7))


def build(url: str) -> None:
    """Fill a migrated database."""

    async def run() -> None:
        async with open_writer(url) as writer:
            await live(writer)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("scanner.intake.authority.operators.HASHER", argon2.PasswordHasher(1, 8, 1))
        patched.setattr(expiring, "PIECE", 3)
        patched.setattr(expiring, "ROUNDS", 1)
        asyncio.run(run())
