"""How far the vouchers of each account's window have come, by the audit log.

A step takes all of a window's vouchers that were received before some entry, so a voucher's state follows from its
position in the log alone::

    position   0 ........ closed ........ opened ........ exported .....................
    state        closed     |    opened     |   exported     |   counted, then received

Rules: vouchers are deleted in the order they were received in; which windows an export had is known from what names
them still and from what the log says names them no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from scanner.intake.audit.entries import Entry
from scanner.intake.audit.replaying import Place
from scanner.intake.store.lifecycle import Step, VoucherState, target
from scanner.vouchers import Result

KINDS = ("enrolment", "export", "opening", "case", "closing", "expiry", "case-expiry")
"""Entries that say something of it."""

UNCOUNTED = frozenset({VoucherState.RECEIVED.value, VoucherState.COUNTED.value})


class Expiry(NamedTuple):
    """What one entry says was deleted of a window: how many, their digests' digest, and where it stands."""

    vouchers: int
    digest: bytes
    position: int


class Given(NamedTuple):
    """An export that names or named a window: its id, its end, and how many vouchers were deleted before it."""

    export_id: str
    through: int
    deleted: int


@dataclass(slots=True)
class Course:
    """Of one account's window.

    Attributes:
        closed, opened, exported: log positions; vouchers below them are so.
        deleted: how many were deleted in all.
        expiries: what is said of them, in order.
        given: exports that name it, or named it.
    """

    closed: int = 0
    opened: int = 0
    exported: int = 0
    deleted: int = 0
    expiries: deque[Expiry] = field(default_factory=deque)
    given: list[Given] = field(default_factory=list)
    _case_is_closed: bool = False
    _closed_before: int = 0

    def states(self, position: int) -> frozenset[str]:
        """The states that the voucher whose receipt stands there may have."""
        if position < self.closed:
            return _CLOSED
        if position < self.opened:
            return _OPENED
        return _EXPORTED if position < self.exported else UNCOUNTED

    def open(self) -> None:
        """The opener opened it: all that was exported is opened, and closed at once if the case stays closed."""
        self.opened, self._closed_before = self.exported, self.closed
        if self._case_is_closed:
            self.closed = self.opened

    def begin_case(self) -> None:
        """A case is made, or made anew by what the last opening told."""
        if self._case_is_closed:
            self.closed = self._closed_before
        self._case_is_closed = False

    def close(self) -> None:
        """The case is decided."""
        self.closed, self._case_is_closed = self.opened, True

    def end_case(self) -> None:
        """The case is deleted."""
        self._case_is_closed = False

    def delete(self, expiry: Expiry) -> None:
        """Vouchers are deleted."""
        self.expiries.append(expiry)
        self.deleted += expiry.vouchers


_CLOSED = frozenset({target(Step.CLOSE)})
_OPENED = frozenset({target(Step.OPEN)})
_EXPORTED = frozenset({target(Step.EXPORT)})


class Courses:
    """Of all windows. To be told of the entries of :data:`KINDS`, in order.

    Args:
        named: gives the windows of an export's id.

    Attributes:
        accounts: of each device.
        of: by account and window.
    """

    def __init__(self, named: Callable[[str], Iterable[Place]]) -> None:
        self._named = named
        self._places: dict[str, Place] = {}  # of each case
        self.accounts: dict[bytes, bytes] = {}
        self.of: dict[Place, Course] = {}

    def course(self, place: Place) -> Course:
        """That of a window, begun now if it isn't."""
        found = self.of.get(place)
        if found is None:
            found = self.of[place] = Course()
        return found

    def follow(self, position: int, entry: Entry) -> None:
        """Take what an entry says.

        Raises:
            KeyError: it is about a case that there is not.
        """
        told = entry.fields
        match entry.kind:
            case "enrolment":
                self.accounts[told["device"]] = told["account"]
            case "export":
                self._export(told["export"], told["through"])
            case "opening" if told["result"] == Result.OPENED:
                self.course((told["account"], told["window"])).open()
            case "case":
                place = self._places[told["case"]] = (told["account"], told["window"])
                self.course(place).begin_case()
            case "closing":
                self.course(self._places[told["case"]]).close()
            case "case-expiry":
                self.course(self._places.pop(told["case"])).end_case()
            case "expiry":
                place = (told["account"], told["window"])
                expiry = Expiry(told["vouchers"], told["digest"], position)
                self.course(place).delete(expiry)

    def _export(self, export_id: str, through: int) -> None:
        for place in self._named(export_id):
            course = self.course(place)
            course.exported = max(course.exported, through)
            course.given.append(Given(export_id, through, course.deleted))
