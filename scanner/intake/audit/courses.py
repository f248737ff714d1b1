"""How far the vouchers of each account's window have come, by the audit log.

A step takes all of a window's vouchers that were received before some entry, so a voucher's state follows from its
position in the log alone::

    position   0 ........ closed ........ opened ........ exported .....................
    state        closed     |    opened     |   exported     |   counted, then received

Rules: vouchers are deleted in the order they were received in; what an export held of a window is forgotten when
deleting that window begins, and nothing is said of those vouchers' states from then on but that they were counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scanner.intake.audit.entries import Entry
from scanner.intake.audit.replaying import Place
from scanner.intake.store.lifecycle import Step, VoucherState, target
from scanner.vouchers import Result

KINDS = ("enrolment", "export", "opening", "case", "closing", "expiry", "case-expiry")
"""Entries that say something of it."""

UNCOUNTED = frozenset({VoucherState.RECEIVED.value, VoucherState.COUNTED.value})
COUNTED = frozenset(VoucherState) - {VoucherState.RECEIVED.value}
UNOPENED = frozenset({VoucherState.COUNTED.value, VoucherState.EXPORTED.value})


class Expiry(NamedTuple):
    """What one entry says was deleted of a window: how many, their digests' digest, and where it stands."""

    vouchers: int
    digest: bytes
    position: int


class Given(NamedTuple):
    """An export that names a window: its id, the vouchers it says, its end, and how many were deleted before."""

    export_id: str
    vouchers: Any
    through: int
    deleted: int


@dataclass(slots=True)
class Course:
    """Of one account's window.

    Attributes:
        closed, opened, exported: log positions; vouchers below them are so.
        unsure: vouchers below this may have been exported, for deleting began later.
        deleted: how many were deleted in all.
        expiries: what is said of them, in order.
        given: exports that name it still.
        first: position of its first receipt, told by who reads them; -1 before.
    """

    closed: int = 0
    opened: int = 0
    exported: int = 0
    unsure: int = 0
    deleted: int = 0
    expiries: deque[Expiry] = field(default_factory=deque)
    given: list[Given] = field(default_factory=list)
    first: int = -1
    has_case: bool = False
    _case_is_closed: bool = False
    _closed_before: int = 0

    def states(self, position: int) -> frozenset[str]:
        """The states that the voucher whose receipt stands there may have."""
        if position < self.unsure:
            return COUNTED if self.has_case else UNOPENED
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
        self.has_case, self._case_is_closed = True, False

    def close(self) -> None:
        """The case is decided."""
        self.closed, self._case_is_closed = self.opened, True

    def end_case(self) -> None:
        """The case is deleted."""
        self.has_case = self._case_is_closed = False

    def delete(self, expiry: Expiry, through: int) -> None:
        """Vouchers are deleted, and exports up to a position name the window no more."""
        self.expiries.append(expiry)
        self.deleted += expiry.vouchers
        self.unsure = through


_CLOSED = frozenset({target(Step.CLOSE)})
_OPENED = frozenset({target(Step.OPEN)})
_EXPORTED = frozenset({target(Step.EXPORT)})


class Courses:
    """Of all windows. To be told of the entries of :data:`KINDS`, in order.

    Args:
        named: of each export's id, the windows that the database has of it, and the vouchers it says for each.

    Attributes:
        accounts: of each device.
        of: by account and window.
        last_expiries: of each window that something was deleted of, the position of the last entry that says so.
        made: of each export's id, the position of its entry.
    """

    def __init__(self, named: Mapping[str, Sequence[tuple[Place, Any]]]) -> None:
        self._named = named
        self._through = 0
        self._places: dict[str, Place] = {}  # of each case
        self.accounts: dict[bytes, bytes] = {}
        self.of: dict[Place, Course] = {}
        self.last_expiries: dict[Place, int] = {}
        self.made: dict[str, int] = {}

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
                self._export(position, told["export"], told["through"])
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
                self.course(place).delete(expiry, self._through)
                self.last_expiries[place] = position

    def _export(self, position: int, export_id: str, through: int) -> None:
        self.made[export_id] = position
        self._through = max(self._through, through)
        for place, vouchers in self._named.get(export_id, ()):
            course = self.course(place)
            course.exported = max(course.exported, through)
            course.given.append(Given(export_id, vouchers, through, course.deleted))
