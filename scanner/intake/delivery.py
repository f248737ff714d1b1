"""Take vouchers: check them, store them, and give the receipts. No HTTP in here.

Rules: what is not signed by the device it names is not stored; a receipt is given only for what is on disk; the same
bytes get the same receipt however often they come.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

from sqlalchemy import select

from scanner.errors import VoucherError
from scanner.intake.api.context import Known, Service
from scanner.intake.ed25519 import VerifyKey
from scanner.intake.problems import ProblemError
from scanner.intake.store.commits import BusyError
from scanner.intake.store.receiving import Came, Outcome, Received
from scanner.intake.store.tables import DEVICES
from scanner.intake.windows.expiring import is_over
from scanner.vouchers import Receipt, Voucher, VoucherHeader, day_at, window_at

_KNOWN_DEVICES = 100_000
_AT_ONCE = 8
"""Vouchers of a batch that are checked before other requests get their turn. No thread checks them: each signature
would give the interpreter away and wait to have it back, and what uses more processors is more workers.
"""
_BUSY = "The intake has more vouchers waiting than it can store soon; send again later"

_REFUSED = {
    Came.SLOT_TAKEN: (HTTPStatus.CONFLICT, "slot-taken", "The slot holds another voucher"),
    Came.NOT_ENROLLED: (HTTPStatus.FORBIDDEN, "not-enrolled", "The device is not enrolled; enrol it first"),
    Came.REVOKED: (HTTPStatus.FORBIDDEN, "revoked", "The device was revoked"),
}


async def deliver(service: Service, place: tuple[str, int, int], message: bytes) -> Outcome:
    """Store one voucher; gives its receipt, new or old.

    Args:
        service: the intake.
        place: device id in hexadecimal, window and slot, as the sender named them beside the voucher.
        message: the voucher's bytes.

    Raises:
        ProblemError: it isn't stored, and why. VoucherError: it is none. StorageError: it can't be stored now.
    """
    try:
        outcome = await _delivered(service, place, message)
    except ProblemError as error:
        service.metrics.count_refused(error.name)
        raise
    except VoucherError as error:
        service.metrics.count_refused(error.problem)
        raise
    if outcome.came is Came.STORED:
        service.metrics.count_received()
    else:
        service.metrics.count_duplicate()
    return outcome


async def _delivered(service: Service, place: tuple[str, int, int], message: bytes) -> Outcome:
    voucher = Voucher.parse(message)
    header = voucher.header
    if (header.device_id.hex(), header.window, header.slot) != place:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "wrong-place", "The voucher names another device, window or slot than the path"
        )
    await _look_up(service, {header.device_id})
    received = _verified(service, voucher, _key(service, header), message)
    _charge(service, header)
    (outcome,) = await _committed(service, [received])
    if outcome.came in _REFUSED:
        raise ProblemError(*_REFUSED[outcome.came])
    return outcome


async def deliver_batch(service: Service, messages: Sequence[bytes]) -> list[bytes | str]:
    """Store many vouchers; gives for each its receipt or its problem's name, in order.

    Raises:
        ProblemError: nothing was stored: too many wait. StorageError: nothing could be stored now.
    """
    answers: list[bytes | str] = [""] * len(messages)
    vouchers: dict[int, Voucher] = {}

    def refuse(number: int, error: ProblemError | VoucherError) -> None:
        answers[number] = error.name if isinstance(error, ProblemError) else error.problem

    for number, message in enumerate(messages):
        try:
            vouchers[number] = Voucher.parse(message)
        except VoucherError as error:
            refuse(number, error)
    await _look_up(service, {one.header.device_id for one in vouchers.values()})
    received: dict[int, Received] = {}
    for count, (number, voucher) in enumerate(vouchers.items(), 1):
        try:
            one = _verified(service, voucher, _key(service, voucher.header), messages[number])
            _charge(service, voucher.header)
            received[number] = one
        except (ProblemError, VoucherError) as error:
            refuse(number, error)
        if count % _AT_ONCE == 0:
            await asyncio.sleep(0)
    outcomes = await _committed(service, list(received.values())) if received else []
    for number, outcome in zip(received, outcomes, strict=True):
        answers[number] = _REFUSED[outcome.came][1] if outcome.came in _REFUSED else outcome.receipt
    _count(service, outcomes, answers)
    return answers


def _count(service: Service, outcomes: Sequence[Outcome], answers: Sequence[bytes | str]) -> None:
    service.metrics.count_received(sum(one.came is Came.STORED for one in outcomes))
    service.metrics.count_duplicate(sum(one.came is Came.WAS_THERE for one in outcomes))
    for problem, number in Counter(one for one in answers if isinstance(one, str)).items():
        service.metrics.count_refused(problem, number)


def _key(service: Service, header: VoucherHeader) -> VerifyKey:
    """The key of a device that may send a voucher for this window now."""
    known = service.keys.get(header.device_id)
    if known is None:
        raise ProblemError(*_REFUSED[Came.NOT_ENROLLED])
    _check_window(service, header, service.clock())
    return known.key


def _charge(service: Service, header: VoucherHeader) -> None:
    """Count a request of the device and the account that signed it: what others forge uses up nobody's rate."""
    service.limits.check("device", header.device_id)
    if (known := service.keys.get(header.device_id)) is not None:
        service.limits.check("account", known.account)


def _verified(service: Service, voucher: Voucher, key: VerifyKey, message: bytes) -> Received:
    """A voucher whose signature holds, with its receipt signed."""
    voucher.verify(key)
    header, now = voucher.header, service.clock()
    receipt = Receipt(header.device_id, header.window, header.slot, voucher.digest, day_at(now))
    place = (header.device_id, header.window, header.slot)
    return Received(place, voucher.digest, message, receipt.sign(service.signing_key), int(now))


def _check_window(service: Service, header: VoucherHeader, now: float) -> None:
    if header.window > window_at(now) + 1:  # clocks of devices go a little wrong, not by a window
        raise ProblemError(HTTPStatus.CONFLICT, "too-early", "The voucher's window has not begun; set the clock")
    if is_over(header.window, service.settings, now):
        raise ProblemError(HTTPStatus.GONE, "window-over", "The voucher's window is over and its vouchers are deleted")


async def _committed(service: Service, received: Sequence[Received]) -> list[Outcome]:
    try:
        return await service.commits.put(received)
    except BusyError:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "busy", _BUSY, retry_after=1) from None


async def _look_up(service: Service, device_ids: set[bytes]) -> None:
    """Fetch the keys of devices that aren't known, and keep them: an id is of one key for ever."""
    unknown = [one for one in device_ids if one not in service.keys]
    if not unknown:
        return
    columns = (DEVICES.c.device_id, DEVICES.c.public_key, DEVICES.c.account)
    async with service.store.reading() as db:
        rows = (await db.execute(select(*columns).where(DEVICES.c.device_id.in_(unknown)))).all()
    while len(service.keys) + len(rows) > _KNOWN_DEVICES:
        del service.keys[next(iter(service.keys))]
    for row in rows:
        service.keys[row.device_id] = Known(VerifyKey(row.public_key), row.account)
