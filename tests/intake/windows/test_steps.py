"""Any order of steps, against a model that holds places and states in a dictionary."""

from __future__ import annotations

import asyncio
import io
import itertools
import shutil
from collections import Counter
from contextlib import nullcontext

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.exports import ExportedWindow
from scanner.intake.settings import DAY, Settings
from scanner.intake.store.lifecycle import Step
from scanner.intake.store.tables import CASES
from scanner.intake.windows import expiring
from scanner.intake.windows.choosing import Wanted
from scanner.intake.windows.counting import count
from scanner.intake.windows.expiring import expire, first_kept, is_over
from scanner.intake.windows.exporting import make_export, rewrite_export
from scanner.intake.windows.faults import WindowError
from scanner.intake.windows.moving import move
from scanner.intake.windows.openings import report_opening
from tests.intake.conftest import open_writer
from tests.intake.windows.places import (
    ACCOUNTS,
    DEVICE_KEYS,
    IDS,
    NOW,
    WINDOW,
    arrive,
    counts,
    enrol,
    message_at,
    states,
)
from tests.intake.windows.test_openings import below, opened
from tests.policies import ACCOUNT, OTHER_ACCOUNT

SETTINGS = Settings(case_retention=20 * DAY)
NUMBERS = (WINDOW, WINDOW + 1)
Key = tuple[bytes, int]

places = st.tuples(st.sampled_from(IDS[:2]), st.sampled_from(NUMBERS), st.integers(0, 3))
keys = st.tuples(st.sampled_from((ACCOUNT, OTHER_ACCOUNT)), st.sampled_from(NUMBERS))
steps = st.one_of(
    st.tuples(st.just("arrive"), st.lists(places, min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("count"), st.none()),
    st.tuples(st.just("export"), st.booleans()),
    st.tuples(st.just("report"), st.tuples(keys, st.booleans())),
    st.tuples(st.just("close"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from((1, 20, 30))),
    st.tuples(st.just("expire"), st.none()),
)


class Model:
    """What ought to be there."""

    def __init__(self) -> None:
        self.now = NOW
        self.state: dict[tuple[bytes, int, int], str] = {}
        self.counted: set[Key] = set()
        self.given: dict[str, dict[Key, list[tuple[bytes, int, int]]]] = {}
        self.whole: set[str] = set()
        self.cases: dict[Key, int | None] = {}

    def of(self, key: Key, *wanted: str) -> list[tuple[bytes, int, int]]:
        return sorted(
            place for place, state in self.state.items()
            if (ACCOUNTS[place[0]], place[1]) == key and (not wanted or state in wanted)
        )  # fmt: skip

    def step(self, source: str, target: str, key: Key | None = None) -> None:
        for place, state in self.state.items():
            if state == source and key in (None, (ACCOUNTS[place[0]], place[1])):
                self.state[place] = target

    def count(self) -> None:
        self.counted |= {(ACCOUNTS[place[0]], place[1]) for place, state in self.state.items() if state == "received"}
        self.step("received", "counted")

    def export(self, export_id: str, everything: bool) -> None:
        self.count()
        kept_from = first_kept(SETTINGS, self.now)
        chosen = {
            key: self.of(key) for key in sorted(self.counted)
            if (key[1] >= kept_from or key in self.cases) and (everything or self.of(key, "counted"))
        }  # fmt: skip
        for key in chosen:
            self.step("counted", "exported", key)
        self.given[export_id] = chosen
        self.whole.add(export_id)

    def newest(self, key: Key) -> int:
        return max((len(given[key]) for given in self.given.values() if key in given), default=0)

    def report(self, key: Key) -> None:
        self.step("exported", "opened", key)
        if self.cases.setdefault(key, None) is not None:
            self.step("opened", "closed", key)

    def delete(self, key: Key, *those: str) -> None:
        gone = self.of(key, *those)
        for place in gone:
            del self.state[place]
        if gone:
            self.whole -= {export_id for export_id, given in self.given.items() if key in given}
            for given in self.given.values():
                given.pop(key, None)
        if not self.of(key, "counted", "exported", "opened", "closed"):
            self.counted.discard(key)

    def expire(self) -> None:
        for key, closed_at in list(self.cases.items()):
            if closed_at is not None and closed_at + SETTINGS.case_retention <= self.now:
                self.delete(key, "closed")
                del self.cases[key]
        for key in sorted(self.counted):
            if is_over(key[1], SETTINGS, self.now) and key not in self.cases:
                self.delete(key, "received", "counted", "exported")
                self.counted.discard(key)


async def taken(writer, model: Model, number: int, step: str, what) -> None:
    """Take a step in both."""
    if step == "arrive":
        new = [one for one in what if one not in model.state and not is_over(one[1], SETTINGS, model.now)]
        if new:
            await arrive(writer, new)
        model.state |= dict.fromkeys(new, "received")
    elif step == "count":
        model.count()
        while await count(writer, model.now):
            pass
    elif step == "export":
        export_id = f"{number:032x}"
        model.export(export_id, what)
        record, _ = await make_export(writer, SETTINGS, model.now, Wanted(export_id, everything=what))
        given = model.given[export_id]
        assert (record.windows, record.vouchers) == (len(given), sum(map(len, given.values())))
    elif step == "report":
        key, did_open = what
        vouchers = model.newest(key)
        made = (opened if did_open else below)(key[0], max(vouchers, 1), *([1] if did_open else []))
        made = made.model_copy(update={"window": key[1]})
        refused = nullcontext() if vouchers else pytest.raises(WindowError, match="never exported")
        with refused:
            async with writer.change(model.now) as change:
                await report_opening(change, f"{number:032x}", made)
        if vouchers and did_open:
            model.report(key)
    elif step == "close":
        async with writer.change(model.now) as change:
            for key in [key for key, closed_at in model.cases.items() if closed_at is None]:
                await move(change, Step.CLOSE, *key)
                here = (CASES.c.account == key[0]) & (CASES.c.window_number == key[1])
                closed = sa.update(CASES).where(here).values(state="closed", outcome="dismiss", closed_at=model.now)
                await change.db.execute(closed)
                model.step("opened", "closed", key)
                model.cases[key] = model.now
    elif step == "wait":
        model.now += what * 86_400
    else:
        model.expire()
        await expire(writer, SETTINGS, model.now)


async def compared(writer, model: Model) -> None:
    """Every voucher's state, every count, and the bytes of every export."""
    assert await states(writer.store) == model.state
    numbers = Counter((ACCOUNTS[place[0]], place[1]) for place, state in model.state.items() if state != "received")
    assert await counts(writer.store) == {key: numbers[key] for key in model.counted}
    for export_id, held in model.given.items():
        file = io.BytesIO()
        if export_id not in model.whole:
            with pytest.raises(WindowError, match="was deleted since"):
                await rewrite_export(writer.store, SETTINGS, export_id, file)
            continue
        await rewrite_export(writer.store, SETTINGS, export_id, file)
        for (account, window), those in held.items():
            devices = {place[0]: DEVICE_KEYS[place[0]] for place in those}
            item = ExportedWindow(account, window, devices, [message_at(place) for place in those])
            assert item.to_bytes() in file.getvalue()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taking=st.lists(steps, max_size=14))
def test_any_order_of_steps_does_what_the_model_does(sqlite_template, tmp_path, monkeypatch, taking):
    """Whatever arrives, is counted, exported, opened, closed or expires, and whenever."""
    monkeypatch.setattr(expiring, "PIECE", 3)
    path = shutil.copy(sqlite_template, tmp_path / "model.db")
    for rest in ("-wal", "-shm"):
        (tmp_path / f"model.db{rest}").unlink(missing_ok=True)
    asyncio.run(_run(f"sqlite:///{path}", taking))


def test_a_long_life_does_what_the_model_does(store_url):
    """All steps in turn on each database, some of them with late vouchers and cases that are over early."""
    everyone = list(itertools.product(IDS[:2], NUMBERS, range(2)))
    late = [[(IDS[1], WINDOW + 1, slot)] for slot in (2, 3)]
    mine, other = (ACCOUNT, WINDOW + 1), (OTHER_ACCOUNT, WINDOW)
    taking = [
        ("report", (mine, True)), ("arrive", everyone[:5]), ("export", False), ("arrive", everyone[5:]),
        ("count", None), ("export", False), ("report", (mine, True)), ("report", (other, False)),
        ("close", None), ("arrive", late[0]),
        ("export", False), ("report", (mine, True)), ("wait", 20), ("arrive", late[1]), ("expire", None),
        ("export", True), ("wait", 30), ("report", (mine, True)), ("expire", None), ("wait", 30), ("expire", None),
        ("close", None), ("wait", 20), ("expire", None), ("export", True), ("wait", 30), ("expire", None),
    ]  # fmt: skip
    asyncio.run(_run(store_url, taking))


async def _run(url: str, taking) -> None:
    async with open_writer(url) as writer:
        await enrol(writer)
        model = Model()
        for number, (step, what) in enumerate(taking):
            await taken(writer, model, number, step, what)
            await compared(writer, model)
