"""Which windows an export is to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, tuple_

from scanner.intake.store.lifecycle import Step, sources
from scanner.intake.store.tables import CASES, DEVICES, EXPORTED_WINDOWS, VOUCHERS, WINDOWS


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be exported.

    Attributes:
        export_id: 32 hexadecimal digits that whoever asks has chosen at random.
        before: only windows before this one; None: all.
        everything: also windows that have no voucher which was not exported.
        by: the operator who asks; None: at the machine.
    """

    export_id: str
    before: int | None = None
    everything: bool = False
    by: str | None = None


def of_exported(export_id: str) -> ColumnElement[bool]:
    """The vouchers of an export's windows, as a condition on VOUCHERS."""
    windows = (
        select(DEVICES.c.device_id, EXPORTED_WINDOWS.c.window_number)
        .join(EXPORTED_WINDOWS, EXPORTED_WINDOWS.c.account == DEVICES.c.account)
        .where(EXPORTED_WINDOWS.c.export_id == export_id)
    )
    return tuple_(VOUCHERS.c.device_id, VOUCHERS.c.window_number).in_(windows)


def selected(wanted: Wanted, kept_from: int, through: int) -> Select[Any]:
    """The windows to export, in order of account and window, with their number of vouchers below a log position.

    Args:
        wanted: which are asked for.
        kept_from: windows before this one are left out unless they have a case: their grace has passed.
        through: the log position.
    """
    here = and_(CASES.c.account == WINDOWS.c.account, CASES.c.window_number == WINDOWS.c.window_number)
    key = (WINDOWS.c.account, WINDOWS.c.window_number)
    query = (
        select(*key, func.count().label("vouchers"))
        .join(DEVICES, DEVICES.c.account == WINDOWS.c.account)
        .join(
            VOUCHERS,
            and_(VOUCHERS.c.device_id == DEVICES.c.device_id, VOUCHERS.c.window_number == WINDOWS.c.window_number),
        )
        .where(VOUCHERS.c.position < through, or_(WINDOWS.c.window_number >= kept_from, exists().where(here)))
        .group_by(*key)
        .order_by(*key)
    )
    if wanted.before is not None:
        query = query.where(WINDOWS.c.window_number < wanted.before)
    if wanted.everything:
        return query
    given = EXPORTED_WINDOWS.c
    last = (
        select(given.account, given.window_number, func.max(given.vouchers).label("vouchers"))
        .group_by(given.account, given.window_number)
        .subquery()
    )
    new = func.sum(case((VOUCHERS.c.state.in_(sources(Step.EXPORT)), 1), else_=0))
    return (
        query.outerjoin(
            last, and_(last.c.account == WINDOWS.c.account, last.c.window_number == WINDOWS.c.window_number)
        )
        .where(WINDOWS.c.vouchers > func.coalesce(last.c.vouchers, 0))  # spares reading windows with nothing new
        .having(new > 0)
    )
