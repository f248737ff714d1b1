"""Bring the opener's files back: the cases it wrote, and what it told of each account's window.

Rules: every line is read before the first is imported; a line imported before is passed over, so that an import which
failed may be repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from scanner.errors import ArgumentError, StorageError
from scanner.intake.store.change import Writer
from scanner.intake.windows.openings import exported_vouchers, is_reported, report_opening
from scanner.intake.windows.reports import MOST_MATCHES, Account, Match, Number, Opened, Strict, Unopened, WindowNumber

Line = TypeVar("Line", bound=BaseModel)
Key = tuple[str, int]


class Case(Strict):
    """A line of the file of cases."""

    account: Account
    window: WindowNumber
    matches: list[Match] = Field(min_length=1, max_length=MOST_MATCHES)


class Told(Strict):
    """A line of ``--accounts``."""

    account: Account
    window: WindowNumber
    result: Literal["opened", "below-threshold", "ambiguous"]
    vouchers: Annotated[int, Field(ge=0, lt=2**48)]
    opened: Number
    malformed: dict[Annotated[str, Field(max_length=64)], Number]


@dataclass(frozen=True, slots=True)
class Said:
    """What the opener said of one account's window.

    Attributes:
        where: file and line, for messages.
        account, window: which.
        result: opened, below the threshold, or ambiguous.
        vouchers: how many there were; None if the opener's output was not kept.
        matches: of opened vouchers.
    """

    where: str
    account: str
    window: int
    result: Literal["opened", "below-threshold", "ambiguous"]
    vouchers: int | None
    matches: list[Match]

    @property
    def opening_id(self) -> str:
        """The same for the same words, whenever they are imported."""
        matches = [match.model_dump() for match in self.matches]
        said = [self.account, self.window, self.result, self.vouchers, matches]
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"prescan/v1/opening" + text.encode()).hexdigest()[:32]


async def import_files(writer: Writer, at: float, cases: Path, accounts: Path | None = None) -> tuple[int, int]:
    """Import what the opener wrote, each account's window in a change of its own.

    Args:
        writer: makes the changes.
        at: the time, in seconds since 1970.
        cases: the file of cases.
        accounts: what ``--accounts`` printed; without it, windows that did not open are not recorded.

    Returns:
        windows imported now, and those that had been before.

    Raises:
        ArgumentError: a line is not what the opener writes, and nothing was imported; or a window was never exported,
            and the lines before it were imported.
        StorageError: a file can't be read, or the database fails; the lines before were imported.
    """
    for _ in said_in(cases, accounts):
        pass
    new = known = 0
    for said in said_in(cases, accounts):
        if await _import(writer, at, said):
            new += 1
        else:
            known += 1
    return new, known


def said_in(cases: Path, accounts: Path | None) -> Iterator[Said]:
    """Read both files; those of ``accounts`` that opened are of the case's line.

    Raises:
        ArgumentError: a line is not what the opener writes, or the files don't belong together.
        StorageError: a file can't be read.
    """
    told: dict[Key, Told] = {}
    for where, line in _lines(accounts, Told) if accounts else ():
        if told.setdefault((line.account, line.window), line) is not line:
            raise ArgumentError(f"{where} tells of an account's window again")
        if line.result != "opened":
            yield Said(where, line.account, line.window, line.result, line.vouchers, [])
    opened = {key for key, line in told.items() if line.result == "opened"}
    seen: set[Key] = set()
    for where, case in _lines(cases, Case):
        key = (case.account, case.window)
        if key in seen:
            raise ArgumentError(f"{where} is of an account's window that an earlier line is of")
        seen.add(key)
        if accounts and (key not in opened or told[key].opened != len(case.matches)):
            raise ArgumentError(f"{where} is not what {accounts} tells of that account's window; give files of one run")
        yield Said(where, *key, "opened", told[key].vouchers if accounts else None, case.matches)
    if missing := len(opened - seen):
        raise ArgumentError(f"{accounts} tells of {missing} opened windows that are not in {cases}")


async def _import(writer: Writer, at: float, said: Said) -> bool:
    account = bytes.fromhex(said.account)
    async with writer.change(at) as change:
        if await is_reported(change.db, said.opening_id):
            return False
        vouchers = said.vouchers
        if vouchers is None:
            vouchers = await exported_vouchers(change.db, account, said.window)
        common: dict[str, Any] = {"account": said.account, "window": said.window, "vouchers": vouchers}
        if not vouchers:
            raise ArgumentError(f"{said.where} is of an account's window that was never exported, or was deleted since")
        report = (
            Opened(result="opened", matches=said.matches, **common)
            if said.result == "opened"
            else Unopened(result=said.result, **common)
        )
        try:
            await report_opening(change, said.opening_id, report)
        except ArgumentError as error:
            raise ArgumentError(f"{said.where}: {error}") from error
    return True


def _lines(path: Path, kind: type[Line]) -> Iterator[tuple[str, Line]]:
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                where = f"line {number} of {path}"
                try:
                    yield where, kind.model_validate_json(text)
                except ValidationError as error:
                    first = error.errors(include_input=False, include_url=False)[0]
                    field = ".".join(str(part) for part in first["loc"])
                    why = f"{field}: {first['msg']}" if field else first["msg"]
                    raise ArgumentError(f"{where} is not what scanner opener open writes ({why})") from None
    except OSError as error:
        raise StorageError(f"can't read {path}: {error.strerror or error}") from error
