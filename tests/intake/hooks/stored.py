"""Hooks and messages in a database, and a worker whose sending is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select

from scanner.intake.audit.entries import Entry
from scanner.intake.hooks.delivering import Round
from scanner.intake.hooks.outbox import tell
from scanner.intake.hooks.queue import Terms
from scanner.intake.hooks.registry import set_hook
from scanner.intake.hooks.sending import Answer
from scanner.intake.operations.metrics import HookOutcome
from scanner.intake.store.change import Writer
from scanner.intake.store.tables import HOOK_MESSAGES, LOG_ENTRIES

AT = 1_800_000_000
TERMS = Terms((0.0, 5.0, 300.0), 75.0)
BY = "0f" * 16


def hook_id(number: int) -> str:
    """The id of a hook."""
    return f"{number:032x}"


async def add_hooks(writer: Writer, *numbers: int, events: Iterable[str] = ("case.opened",)) -> None:
    """Set hooks, the URL of each telling its number."""
    async with writer.change(AT) as change:
        for number in numbers:
            await set_hook(change, hook_id(number), f"https://{number}.example/", events, BY)


async def tell_times(writer: Writer, times: int = 1, at: float = AT) -> None:
    """Tell of cases."""
    async with writer.change(at) as change:
        for number in range(times):
            await tell(change, "case.opened", {"case": hook_id(number)})


async def messages(writer: Writer) -> list[Row[Any]]:
    """All messages, by time and id."""
    async with writer.store.reading() as db:
        query = select(HOOK_MESSAGES).order_by(HOOK_MESSAGES.c.made_at, HOOK_MESSAGES.c.message_id)
        return list((await db.execute(query)).all())


async def states(writer: Writer) -> list[str]:
    """Their states."""
    return [row.state for row in await messages(writer)]


async def logged(writer: Writer) -> list[tuple[str, dict[str, Any]]]:
    """What the audit log says."""
    async with writer.store.reading() as db:
        bodies = await db.scalars(select(LOG_ENTRIES.c.body).order_by(LOG_ENTRIES.c.position))
        return [(entry.kind, dict(entry.fields)) for entry in map(Entry.from_bytes, bodies)]


@dataclass
class Worker:
    """Delivers; ``answers`` gives the answer to a hook's number, and may wait."""

    writer: Writer
    answers: Callable[[int], Any]
    now: float = AT
    terms: Terms = TERMS
    jitter: float = 0.0
    every: float = 0.02
    last_seconds: float = 0.0
    sent: list[tuple[float, int, str]] = field(default_factory=list)
    outcomes: list[HookOutcome] = field(default_factory=list)

    async def send(self, url: str, message_id: str, body: bytes, at: float) -> Answer:
        """Send a message nowhere."""
        number = int(url.removeprefix("https://").partition(".")[0])
        self.sent.append((at, number, message_id))
        answer = self.answers(number)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer if isinstance(answer, Answer) else Answer(answer)

    async def run(self) -> None:
        """Send until nothing is under way."""
        made = Round(
            self.writer,
            self.terms,
            self.send,
            lambda: self.now,
            self.outcomes.append,
            jitter=lambda: self.jitter,
            every=self.every,
            last_seconds=self.last_seconds,
        )
        async with asyncio.timeout(20):
            await made.run()
