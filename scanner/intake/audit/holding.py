"""Compare the vouchers that are held with the receipts that the log says were given, and with what was counted.

Rules: a voucher's row is known by the position of its receipt in the log, and the log says all of it but its state; of
each window the vouchers deleted are the first ones, and their digests are those that the log says; vouchers and
receipts are streamed side by side, so that memory grows with windows alone.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.audit.comparing import Between, Digest, Key, Row, as_stored, differing, pieces_of
from scanner.intake.audit.courses import Course, Courses
from scanner.intake.audit.entries import Entry
from scanner.intake.audit.findings import Findings
from scanner.intake.audit.replaying import Place, ReplayError
from scanner.intake.audit.signatures import Signed, forged
from scanner.intake.ed25519 import VerifyKey
from scanner.intake.store.lifecycle import VoucherState
from scanner.intake.store.tables import VOUCHERS
from scanner.vouchers.header import day_at
from scanner.vouchers.receipt import Receipt

_TOLD = ("device_id", "window_number", "slot", "digest", "voucher")
_PIECE = 1_024  # rows of a few kB
_CHECKED_AT_ONCE = 256  # receipts
_MOST_WAITING = 16  # times that many


def by_position(db: AsyncConnection) -> AsyncGenerator[list[Any], None]:
    """Stream the rows of vouchers in the order of their receipts."""
    order = (VOUCHERS.c.position, *VOUCHERS.primary_key.columns)
    return pieces_of(db, as_stored(VOUCHERS).order_by(*order), _PIECE)


class _Held:
    """What was seen of one window."""

    __slots__ = ("counted", "deleting", "digests", "expired", "received", "settled", "throughs")

    def __init__(self, course: Course) -> None:
        self.received = 0  # receipts in the log
        self.expired = 0  # vouchers deleted, by the entries that were read
        self.settled = 0  # of them, those that the window's count has left out
        self.counted = 0  # rows in any state but received
        self.deleting = 0  # of the expiry under way, vouchers whose digests are in:
        self.digests = hashlib.sha256()
        self.throughs = deque(sorted({given.through for given in course.given}))  # ends not reached yet


class Holdings:
    """To be told of receipts and expiries in the log's order, a piece of the log at a time.

    Args:
        rows: from :func:`by_position`.
        courses: how far each window has come by the whole log.
        keys: the intake's, which sign receipts.
        threads: check signatures.
        findings: told what differs.

    Attributes:
        vouchers: rows seen.
        received: by window and an export's end, the receipts given below that end; after :meth:`finish`.
    """

    def __init__(
        self,
        rows: AsyncIterator[list[Any]],
        courses: Courses,
        keys: Sequence[VerifyKey],
        threads: Executor,
        findings: Findings,
    ) -> None:
        self._rows = rows
        self._courses = courses
        self._keys = keys
        self._threads = threads
        self._findings = findings
        self._ahead: deque[Any] = deque()
        self._here: dict[int, Any] = {}
        self._of: dict[Place, _Held] = {}
        self._signed: list[Signed] = []
        self._checks: deque[Future[list[Key]]] = deque()
        self._first_received: tuple[int, Key] | None = None
        self._last_counted: tuple[int, Key] | None = None
        self.vouchers = 0
        self.received: dict[tuple[Place, int], int] = {}

    async def read(self, end: int | None) -> None:
        """Read the rows of the next piece of the log, to be followed by what the log says of them.

        Args:
            end: the position after the piece; None reads all that is left.
        """
        while self._ahead or await self._more():
            row = self._ahead[0]
            if type(row.position) is int and end is not None and row.position >= end:
                return
            self._ahead.popleft()
            self.vouchers += 1
            if type(row.position) is not int or self._here.setdefault(row.position, row) is not row:
                self._findings.add(VOUCHERS.name, key_of(row), "position is not that of its receipt")

    def receipt(self, position: int, entry: Entry) -> None:
        """Compare what a receipt's entry says with the row.

        Raises:
            ReplayError: the device was never enrolled.
        """
        device, window, slot, digest = (entry.fields[name] for name in ("device", "window", "slot", "digest"))
        row = self._here.pop(position, None)
        place = (self._courses.accounts.get(device, b""), window)
        course, held = self._courses.course(place), self._held(place)
        while held.throughs and held.throughs[0] <= position:
            self.received[place, held.throughs.popleft()] = held.received
        held.received += 1
        if held.received <= course.deleted:
            self._count_deleted(course, held, digest)
            if row is not None:
                self._findings.add(VOUCHERS.name, key_of(row), "the log says that it was deleted")
        elif row is None:
            self._findings.add(VOUCHERS.name, (device, window, slot), "the row is missing")
        else:
            says = Receipt(device, window, slot, digest, day_at(entry.at))
            self._compare(row, says, course.states(position), held)
        if device not in self._courses.accounts:
            raise ReplayError("it is of a device that was not enrolled")

    def expire(self, place: Place, vouchers: int) -> bool:
        """Take it that the log says here that vouchers were deleted; gives whether the window has none any more.

        Raises:
            ReplayError: it never had so many.
        """
        held = self._held(place)
        held.expired += vouchers
        if held.expired > held.received:
            raise ReplayError("it says that more was deleted than was received")
        return held.expired == held.received

    def settle(self, place: Place) -> None:
        """Take it that the window's count was made anew, or deleted, after what was deleted until here."""
        held = self._held(place)
        held.settled = held.expired

    def end_piece(self) -> None:
        """All that the log says of the rows read so far has been told: what is left of them has no receipt."""
        for row in self._here.values():
            self._findings.add(VOUCHERS.name, key_of(row), "position is not that of its receipt")
        self._here.clear()

    async def finish(self) -> dict[Key, Row]:
        """End with the last entry; gives what the rows of windows must be, for :func:`comparing.compare`."""
        await self.read(None)
        self.end_piece()
        self._check(self._signed)
        while self._checks:
            self._wait()
        self._check_order()
        windows: dict[Key, Row] = {}
        for place, held in self._of.items():
            for through in held.throughs:
                self.received[place, through] = held.received
            unsettled = held.expired - held.settled
            if held.counted or unsettled:
                windows[place] = {"vouchers": Between(held.counted, held.counted + unsettled)}
        return windows

    async def _more(self) -> bool:
        async for rows in self._rows:
            self._ahead.extend(rows)
            break
        return bool(self._ahead)

    def _held(self, place: Place) -> _Held:
        found = self._of.get(place)
        if found is None:
            found = self._of[place] = _Held(self._courses.course(place))
        return found

    def _count_deleted(self, course: Course, held: _Held, digest: bytes) -> None:
        held.deleting += 1
        held.digests.update(digest)
        if course.expiries and held.deleting >= course.expiries[0].vouchers:
            expiry = course.expiries.popleft()
            if held.digests.digest() != expiry.digest:
                self._findings.add("log_entries", (expiry.position,), "other vouchers were deleted than were received")
            held.deleting, held.digests = 0, hashlib.sha256()

    def _compare(self, row: Any, says: Receipt, states: frozenset[str], held: _Held) -> None:
        key = key_of(row)
        if (*key, row.digest, _digest_of(row.voucher)) != _wanted(says):
            wanted = dict(zip(_TOLD, _wanted(says), strict=True)) | {"voucher": Digest(says.voucher_digest)}
            for name in differing(wanted, row._mapping):  # noqa: SLF001 -- SQLAlchemy's public name for it
                self._findings.add(VOUCHERS.name, key, f"{name} is not what the log says")
        if row.state not in states:
            self._findings.add(VOUCHERS.name, key, "state is not what follows from the log")
        if row.state == VoucherState.RECEIVED:
            self._first_received = self._first_received or (row.position, key)
        else:
            held.counted += 1
            self._last_counted = (row.position, key)
        self._signed.append(Signed(key, row.receipt, says))
        if len(self._signed) >= _CHECKED_AT_ONCE:
            self._check(self._signed)
            self._signed = []

    def _check(self, signed: list[Signed]) -> None:
        while len(self._checks) >= _MOST_WAITING:
            self._wait()
        self._checks.append(self._threads.submit(forged, signed, self._keys))

    def _wait(self) -> None:
        for key in self._checks.popleft().result():
            self._findings.add(VOUCHERS.name, key, "receipt is not the intake's signed word on what the log says")

    def _check_order(self) -> None:
        """Vouchers are counted in the order they were received in."""
        first, last = self._first_received, self._last_counted
        if first is not None and last is not None and first[0] < last[0]:
            self._findings.add(VOUCHERS.name, first[1], "state: it is not counted, and a later voucher is")
            self._findings.add(VOUCHERS.name, last[1], "state: it is counted, and an earlier voucher is not")


def _digest_of(voucher: object) -> bytes | None:
    return hashlib.sha256(voucher).digest() if isinstance(voucher, bytes) else None


def _wanted(says: Receipt) -> tuple[object, ...]:
    return (says.device_id, says.window, says.slot, says.voucher_digest, says.voucher_digest)


def key_of(row: Any) -> Key:
    """The primary key of a row of vouchers."""
    return (row.device_id, row.window_number, row.slot)
