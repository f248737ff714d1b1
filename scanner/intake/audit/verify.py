"""Prove that the database is what the audit log says, and that the log only grew.

Rules: nothing in the database is believed but what a key from outside has signed; one state of the database is looked
at, whatever is written meanwhile; memory grows with accounts, windows and cases, not with vouchers or the log.

What this can't show: a database and its log put back together to an earlier state are right in themselves. So keep
checkpoints elsewhere, and give them: the log must have grown out of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import ArgumentError, VoucherError
from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.comparing import PIECE, as_stored, compare, pieces_of
from scanner.intake.audit.courses import KINDS, Courses
from scanner.intake.audit.decoding import decoded
from scanner.intake.audit.entries import Entry
from scanner.intake.audit.exported import check_exported, read_named
from scanner.intake.audit.findings import Findings, written
from scanner.intake.audit.holding import Holdings, by_position
from scanner.intake.audit.merkle import leaf_hash
from scanner.intake.audit.notes import KEY_ID_SIZE, Verifier, from_base64
from scanner.intake.audit.regrowing import Regrowth
from scanner.intake.audit.replaying import Replay, ReplayError
from scanner.intake.ed25519 import VerifyKey
from scanner.intake.store.engine import Store
from scanner.intake.store.tables import LOG_ENTRIES, LOG_HEAD, WINDOWS

THREADS = 2
_IMPOSSIBLE = (ValueError, KeyError)  # ReplayError is the first, a step that nothing is there for the second


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it.

    Attributes:
        entries: in the log.
        vouchers: held.
        checkpoints: kept in the database, and good.
        root: of the log's tree.
        findings: what is wrong; the database is what the log says if there are none.
    """

    entries: int
    vouchers: int
    checkpoints: int
    root: bytes
    findings: Findings


async def verify(store: Store, verifiers: Sequence[Verifier], since: Mapping[str, Checkpoint] | None = None) -> Verdict:
    """Check a whole database.

    Args:
        store: the database, of this release's tables.
        verifiers: the log's keys, from outside; receipts are signed by the same.
        since: checkpoints kept elsewhere, which these keys signed, each with a name for findings.

    Raises:
        ArgumentError: another key has signed the log's newest checkpoint.
        StorageError: the database can't be read.
    """
    findings = Findings()
    keys = [VerifyKey(verifier.public_key) for verifier in verifiers]
    async with store.reading() as db:
        await _check_signer(db, verifiers)
        named = await read_named(db)
        courses = await _read_courses(db, Courses(named.windows))
        replay = Replay()
        regrowth = Regrowth(db, verifiers, since or {}, findings)
        with ThreadPoolExecutor(THREADS, "receipts") as threads:
            async with aclosing(by_position(db)) as rows:
                holdings = Holdings(rows, courses, keys, threads, findings)
                await _Reading(replay, holdings, regrowth, findings).read(db)
                windows = await holdings.finish()
        await regrowth.finish()
        check_exported(named, replay.listed, courses, holdings.received, findings)
        await compare(db, WINDOWS, windows, findings)
        for table, expected in replay.rows.items():
            await compare(db, table, dict(expected), findings)
    tree = regrowth.tree
    return Verdict(tree.size, holdings.vouchers, regrowth.checkpoints, tree.root(), findings)


async def verifier_of(store: Store, public_key: bytes) -> Verifier:
    """A key as the log's verifier, under the name that the log gives itself.

    Raises:
        StorageError: the database can't be read.
    """
    async with store.reading() as db:
        note = await _note(db)
    try:
        return Verifier(note.partition("\n")[0], public_key)
    except ArgumentError:  # there is no such log, and verifying will find it
        return Verifier("-", public_key)


class _Reading:
    """Goes through the log once, and tells everyone of it."""

    def __init__(self, replay: Replay, holdings: Holdings, regrowth: Regrowth, findings: Findings) -> None:
        self._replay = replay
        self._holdings = holdings
        self._regrowth = regrowth
        self._findings = findings
        self._next = 0

    async def read(self, db: AsyncConnection) -> None:
        async for rows in pieces_of(db, as_stored(LOG_ENTRIES).order_by(LOG_ENTRIES.c.position), PIECE):
            await self._holdings.read(max((row.position for row in rows if type(row.position) is int), default=-1) + 1)
            for row in rows:
                self._take(row)
            self._holdings.end_piece()
            await self._regrowth.add([leaf_hash(row.body if isinstance(row.body, bytes) else b"") for row in rows])

    def _take(self, row: Any) -> None:
        key = (row.position,)
        position = row.position if type(row.position) is int else self._next
        if row.position != self._next or row.position is not position:
            self._findings.add(LOG_ENTRIES.name, key, "an entry is missing before this one, or it is one too many")
        self._next = position + 1
        try:
            entry = decoded(row.body)
        except VoucherError as error:
            self._findings.add(LOG_ENTRIES.name, key, f"body: {error}")
            return
        if row.kind != entry.kind:
            self._findings.add(LOG_ENTRIES.name, key, "kind is not that of the body")
        if row.at != entry.at:
            self._findings.add(LOG_ENTRIES.name, key, "at is not that of the body")
        try:
            self._follow(position, entry)
        except _IMPOSSIBLE as error:
            why = str(error) if isinstance(error, ReplayError) else "it does not follow on the entries before it"
            self._findings.add(LOG_ENTRIES.name, key, why)

    def _follow(self, position: int, entry: Entry) -> None:
        told = entry.fields
        if entry.kind == "receipt":
            self._holdings.receipt(position, entry)
        elif entry.kind == "expiry":
            place = (told["account"], told["window"])
            is_empty = self._holdings.expire(place, told["vouchers"])
            if is_empty and place not in self._replay.cases:
                self._holdings.settle(place)
                self._replay.forget_openings(place)
        else:
            if entry.kind == "case-expiry":
                self._holdings.settle(self._replay.place_of(told["case"]))
            self._replay.follow(entry)


async def _read_courses(db: AsyncConnection, courses: Courses) -> Courses:
    """Read ahead what decides on vouchers' states; what is wrong with an entry is found when all are read."""
    query = as_stored(LOG_ENTRIES).where(LOG_ENTRIES.c.kind.in_(KINDS)).order_by(LOG_ENTRIES.c.position)
    async for rows in pieces_of(db, query):
        for row in rows:
            with suppress(VoucherError, *_IMPOSSIBLE):
                courses.follow(row.position if type(row.position) is int else 0, decoded(row.body))
    return courses


async def _check_signer(db: AsyncConnection, verifiers: Sequence[Verifier]) -> None:
    """Tell a wrong key from a forged checkpoint: the signatures name the keys that they are said to be by."""
    note = await _note(db)
    known = {(verifier.name, verifier.key_id) for verifier in verifiers}
    signers = set(_signers(note))
    if signers and not signers & known:
        name = note.partition("\n")[0]
        raise ArgumentError(
            f"the audit log {written(name)} is signed by another key; give its own, or ask who signed in its place"
        )


def _signers(note: str) -> Iterator[tuple[str, bytes]]:
    for line in note.split("\n\n")[-1].splitlines():
        name, _, signature = line.removeprefix("— ").partition(" ")
        with suppress(VoucherError):
            if len(data := from_base64(signature)) == KEY_ID_SIZE + 64:
                yield name, data[:KEY_ID_SIZE]


async def _note(db: AsyncConnection) -> str:
    note = (await db.execute(as_stored(LOG_HEAD).with_only_columns(LOG_HEAD.c.note))).scalars().first()
    return note if isinstance(note, str) else ""
