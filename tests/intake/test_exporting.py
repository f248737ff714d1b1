"""What the opener is given: all vouchers of each account's window, whole or not at all, the same bytes every time."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import pytest
import sqlalchemy as sa

from scanner.errors import StorageError, VoucherError
from scanner.exports import END, HEADER, ExportedWindow, read_export
from scanner.intake.audit.entries import Entry, listed_bytes
from scanner.intake.settings import DAY, Settings
from scanner.intake.store.tables import CASES, EXPORTED_WINDOWS, EXPORTS, LOG_ENTRIES, OPENINGS, VOUCHERS
from scanner.intake.windows import exporting
from scanner.intake.windows.choosing import Wanted
from scanner.intake.windows.contents import LAST, Listed, encoded
from scanner.intake.windows.counting import count, count_all
from scanner.intake.windows.expiring import expire
from scanner.intake.windows.exporting import Export, find_export, is_whole, make_export, rewrite_export
from scanner.intake.windows.faults import WindowError
from scanner.opener import open_export
from tests.intake.conftest import open_writer
from tests.intake.windows.places import (
    ACCOUNTS,
    DEVICE_KEYS,
    IDS,
    NOW,
    WINDOW,
    arrive,
    enrol,
    message_at,
    received,
    rows,
    states,
)
from tests.policies import ACCOUNT, OTHER_ACCOUNT
from tests.vouchers import accounts as real

SETTINGS = Settings()
FIRST, LATER = f"{1:032x}", f"{2:032x}"
NUMBERS = (WINDOW - 1, WINDOW, 2**32 - 1)
PLACES = list(itertools.product(IDS, NUMBERS, (300, 0, 2)))


def expected(places=PLACES, windows=None) -> list[ExportedWindow]:
    """What an export of vouchers in these places holds; of these windows alone, if they are given."""
    found: dict[tuple[bytes, int], ExportedWindow] = {}
    for device, window, slot in sorted(places, key=lambda place: (ACCOUNTS[place[0]], place[1], place[0], place[2])):
        key = (ACCOUNTS[device], window)
        if windows is None or key in windows:
            one = found.setdefault(key, ExportedWindow(*key, {}, []))
            one.devices[device] = DEVICE_KEYS[device]
            one.vouchers.append(message_at((device, window, slot)))
    return list(found.values())


async def exported(writer, wanted: Wanted, path: Path, at: float = NOW) -> tuple[Export, list[ExportedWindow]]:
    """Make an export into a file; its record and what the opener reads."""
    with path.open("wb") as file:
        record, new = await make_export(writer, SETTINGS, at, wanted, file=file)
    assert new
    assert hashlib.sha256(path.read_bytes()).digest() == record.digest
    return record, list(read_export(path))


async def again(writer, export_id: str, settings: Settings = SETTINGS) -> bytes:
    """The bytes of an export's file, made from the database."""
    file = io.BytesIO()
    await rewrite_export(writer.store, settings, export_id, file)
    return file.getvalue()


def entries(log, kind: str) -> list[Entry]:
    return [Entry.from_bytes(row.body) for row in log if row.kind == kind]


def test_an_export_holds_everything_in_order_and_is_logged(store_url, tmp_path):
    """By account, window, device and slot; vouchers that nobody had counted too; the log has the file's digest."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES[::-2] + PLACES[-2::-2])
            record, windows = await exported(writer, Wanted(FIRST, by="a" * 32), tmp_path / "out")
            assert windows == expected()
            assert record == Export(FIRST, "a" * 32, NOW, None, 6, 27, 27, record.digest)
            assert set((await states(writer.store)).values()) == {"exported"}
            (entry,) = entries(await rows(writer.store, LOG_ENTRIES), "export")
            listed = hashlib.sha256(
                b"".join(listed_bytes(one.account, one.window, len(one.vouchers)) for one in expected())
            ).digest()
            assert entry == Entry(
                "export",
                NOW,
                {"export": FIRST, "by": "a" * 32, "before": None, "through": 27, "windows": 6, "vouchers": 27,
                 "digest": record.digest, "listed": listed},
            )  # fmt: skip
            there = await rows(writer.store, EXPORTED_WINDOWS)
            assert {(row.account, row.window_number): row.vouchers for row in there} == {
                (one.account, one.window): len(one.vouchers) for one in expected()
            }

    asyncio.run(run())


def test_the_next_export_has_windows_with_something_new_and_those_whole(store_url, tmp_path):
    """The opener needs the old vouchers beside the new ones; a window without new ones is left out, or asked for."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await exported(writer, Wanted(FIRST), tmp_path / "first")
            assert (await exported(writer, Wanted(f"{5:032x}"), tmp_path / "nothing"))[1] == []
            late = (IDS[0], WINDOW, 7)
            await arrive(writer, [late])
            record, windows = await exported(writer, Wanted(LATER), tmp_path / "later")
            assert windows == expected([*PLACES, late], {(OTHER_ACCOUNT, WINDOW)})
            assert (record.windows, record.vouchers) == (1, 7)
            _, windows = await exported(writer, Wanted(f"{3:032x}", everything=True), tmp_path / "all")
            assert windows == expected([*PLACES, late])
            for name, export_id in (("first", FIRST), ("later", LATER), ("all", f"{3:032x}"), ("nothing", f"{5:032x}")):
                assert await again(writer, export_id) == (tmp_path / name).read_bytes()

    asyncio.run(run())


@pytest.mark.parametrize(("before", "number"), [(0, 0), (NUMBERS[0], 0), (WINDOW, 2), (WINDOW + 1, 4), (2**32, 6)])
def test_only_windows_before_one_are_given(store_url, tmp_path, before, number):
    """The window itself is not; what is left out comes in the next."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            early = {(account, window) for account in (ACCOUNT, OTHER_ACCOUNT) for window in NUMBERS if window < before}
            _, windows = await exported(writer, Wanted(FIRST, before), tmp_path / "out")
            assert len(windows) == number
            assert windows == expected(windows=early)
            _, rest = await exported(writer, Wanted(LATER), tmp_path / "rest")
            assert sorted(windows + rest, key=lambda one: (one.account, one.window)) == expected()

    asyncio.run(run())


def test_the_same_id_again_is_the_same_export(store_url):
    """Whatever came meanwhile; of other windows it is refused; nothing more is logged."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            first, new = await make_export(writer, SETTINGS, NOW, Wanted(FIRST, 2**32))
            assert new
            await arrive(writer, [(IDS[0], WINDOW, 7)])
            file = io.BytesIO()
            assert await make_export(writer, SETTINGS, NOW + 1, Wanted(FIRST, 2**32), file=file) == (first, False)
            assert file.getvalue() == b""
            with pytest.raises(WindowError, match="of other windows") as refused:
                await make_export(writer, SETTINGS, NOW, Wanted(FIRST))
            assert refused.value.problem == "id-taken"
            assert len(entries(await rows(writer.store, LOG_ENTRIES), "export")) == 1

    asyncio.run(run())


def test_exports_made_at_once_by_two_workers(store_url):
    """Of one id there is one; of two ids the second has what the first left, while vouchers arrive and are counted."""

    async def run() -> None:
        async with open_writer(store_url) as one, open_writer(store_url) as two:
            await enrol(one)
            await arrive(one, PLACES[:20])
            made = await asyncio.gather(
                make_export(one, SETTINGS, NOW, Wanted(FIRST)),
                make_export(two, SETTINGS, NOW, Wanted(FIRST)),
                make_export(two, SETTINGS, NOW, Wanted(LATER)),
                arrive(one, PLACES[20:]),
                count_all(two, NOW),
            )
            assert made[0][0] == made[1][0]
            assert sorted(new for _, new in made[:2]) == [False, True]
            await make_export(one, SETTINGS, NOW, Wanted(f"{3:032x}"))
            assert set((await states(one.store)).values()) == {"exported"}
            for export_id in (FIRST, LATER, f"{3:032x}"):
                await again(two, export_id)

    asyncio.run(run())


def test_a_file_read_while_the_world_changes_is_read_anew(store_url, tmp_path, monkeypatch):
    """Another export in between, each time: at last it is read while nobody else writes."""

    async def run() -> None:
        async with open_writer(store_url) as writer, open_writer(store_url) as other:
            await enrol(writer)
            await arrive(writer, PLACES[:20])
            survey, calls = exporting._survey, itertools.count()

            async def disturbed(db, wanted, *rest):
                found = await survey(db, wanted, *rest)
                if wanted.export_id != FIRST or (number := next(calls)) > exporting.ATTEMPTS:
                    return found  # the last survey has the lock
                await arrive(other, [PLACES[20 + number]])
                if number < exporting.ATTEMPTS:
                    await make_export(other, SETTINGS, NOW, Wanted(f"{99 + number:032x}"))
                else:
                    async with other.change(NOW) as change:
                        change.log("case", case="c", account=ACCOUNT, window=1, opening="o", matches=[])
                return found

            monkeypatch.setattr(exporting, "_survey", disturbed)
            _, windows = await exported(writer, Wanted(FIRST, everything=True), tmp_path / "out")
            assert next(calls) == exporting.ATTEMPTS + 2
            assert windows == expected(PLACES[: 20 + exporting.ATTEMPTS])  # the last one was not yet counted
            assert await again(writer, FIRST) == (tmp_path / "out").read_bytes()

    asyncio.run(run())


@pytest.mark.parametrize("where", ["selected", "of_exported", "tell"])
def test_a_failure_midway_changes_nothing(store_url, monkeypatch, where):
    """No record, no step of a voucher, no entry; the next try makes the export."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await count_all(writer, NOW)
            before = await rows(writer.store, LOG_ENTRIES)
            real_one, calls = getattr(exporting, where), itertools.count()

            def broken(*arguments, **named):
                if where == "selected" and next(calls) == 0:
                    return real_one(*arguments, **named)
                raise ZeroDivisionError

            with monkeypatch.context() as patched:
                patched.setattr(exporting, where, broken)
                with pytest.raises(ZeroDivisionError):
                    await make_export(writer, SETTINGS, NOW, Wanted(FIRST))
            assert await rows(writer.store, EXPORTS) == await rows(writer.store, EXPORTED_WINDOWS) == []
            assert set((await states(writer.store)).values()) == {"counted"}
            assert await rows(writer.store, LOG_ENTRIES) == before
            assert (await make_export(writer, SETTINGS, NOW, Wanted(FIRST)))[0].vouchers == len(PLACES)

    asyncio.run(run())


def test_a_file_that_cannot_be_written_makes_no_export(store_url):
    """The vouchers stay for the next."""

    class Full(io.BytesIO):
        def write(self, data) -> int:
            if self.tell() > 500:
                raise OSError(28, "No space left on device")
            return super().write(data)

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            with pytest.raises(OSError, match="No space"):
                await make_export(writer, SETTINGS, NOW, Wanted(FIRST), file=Full())
            assert await rows(writer.store, EXPORTS) == []
            assert "exported" not in (await states(writer.store)).values()

    asyncio.run(run())


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 9, 10, 1000])
def test_whatever_the_piece_the_bytes_are_the_same(store_url, piece):
    """A window that is larger than a piece is written as one that is not; pages of a list are of any size."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await make_export(writer, SETTINGS, NOW, Wanted(FIRST))

            async def listed():
                for one in expected():
                    yield Listed(one.account, one.window, len(one.vouchers))

            parts = [part async for part in encoded(writer.store.reading, listed(), 27, piece=piece)]
            whole = b"".join(parts) + LAST
            assert whole == await again(writer, FIRST, Settings(export_size=piece))
            async with writer.store.reading() as db:
                one_connection = [part async for part in encoded(lambda: nullcontext(db), listed(), 27, piece=piece)]
            assert one_connection == parts

    asyncio.run(run())


def test_the_bytes_are_those_of_the_format(store_url):
    """A header, each window as the format writes it, an end."""
    import cbor2

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await make_export(writer, SETTINGS, NOW, Wanted(FIRST))
            items = b"".join(one.to_bytes() for one in expected())
            assert await again(writer, FIRST) == cbor2.dumps(HEADER, canonical=True) + items + cbor2.dumps(END)

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["changed", "missing", "added", "key"])
@pytest.mark.parametrize("piece", [2, 1000])
def test_a_database_that_was_tampered_with_gives_no_whole_file(store_url, monkeypatch, fault, piece):
    """The file has no end, so that the opener refuses it, and the failure is told."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await make_export(writer, SETTINGS, NOW, Wanted(FIRST))
            device, window, slot = PLACES[4]
            here = (VOUCHERS.c.device_id == device) & (VOUCHERS.c.window_number == window) & (VOUCHERS.c.slot == slot)
            statement = {
                "changed": sa.update(VOUCHERS).where(here).values(voucher=b"another"),
                "missing": sa.delete(VOUCHERS).where(here),
                "added": sa.insert(VOUCHERS).values(
                    device_id=device, window_number=window, slot=9, digest=b"", voucher=b"x", receipt=b"", position=3,
                    state="exported",
                ),
                "key": sa.update(exporting.EXPORTS).values(digest=bytes(32)),
            }[fault]  # fmt: skip
            async with writer.store.writing() as db:
                await db.execute(statement)
            small = lambda *rest: encoded(*rest, piece=piece)  # noqa: E731
            monkeypatch.setattr(exporting, "encoded", small)
            file = io.BytesIO()
            with pytest.raises(StorageError, match="vouchers"):
                await rewrite_export(writer.store, SETTINGS, FIRST, file)
            assert not file.getvalue().endswith(LAST)

    asyncio.run(run())


def test_an_export_is_gone_once_one_of_its_windows_is(store_url):
    """Its record stays; who asks is told."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            record, _ = await make_export(writer, SETTINGS, NOW, Wanted(FIRST))
            over = WINDOW * 28 * DAY + SETTINGS.grace
            assert await expire(writer, SETTINGS, over) == 9
            async with writer.store.reading() as db:
                assert await find_export(db, FIRST) == record
                assert not await is_whole(db, record)
            for export_id, problem in ((FIRST, "expired"), (LATER, "unknown-export")):
                with pytest.raises(WindowError) as refused:
                    await again(writer, export_id)
                assert refused.value.problem == problem

    asyncio.run(run())


def test_windows_past_their_grace_are_left_out_but_for_those_with_a_case(store_url, tmp_path):
    """They are about to be deleted; of a case the opener may be asked again."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            over = WINDOW * 28 * DAY + SETTINGS.grace
            async with writer.change(NOW) as change:
                opening = {"opening_id": "o", "account": ACCOUNT, "window_number": WINDOW - 1}
                more = {"reported_at": 0, "result": "opened", "vouchers": 1, "report": b""}
                await change.db.execute(sa.insert(OPENINGS).values(**opening, **more))
                case = {"case_id": "c", **opening, "state": "waiting", "opened_at": 0}
                await change.db.execute(sa.insert(CASES).values(case))
            kept = {(account, window) for account in (ACCOUNT, OTHER_ACCOUNT) for window in NUMBERS[1:]}
            _, windows = await exported(writer, Wanted(FIRST, everything=True), tmp_path / "out", over)
            assert windows == expected(windows=kept | {(ACCOUNT, WINDOW - 1)})
            left = {place for place, state in (await states(writer.store)).items() if state == "counted"}
            assert {(ACCOUNTS[device], window) for device, window, _ in left} == {(OTHER_ACCOUNT, WINDOW - 1)}

    asyncio.run(run())


def test_real_vouchers_open_at_the_opener(store_url, tmp_path):
    """Through the file: an account at the threshold opens, one below it tells nothing."""
    devices = [
        real.Device(real.MATCH_ONLY),
        real.Device(real.MATCH_ONLY, 2),
        real.Device(real.COVERED, 3, real.OTHER_ACCOUNT, bytes([8]) * 32),
    ]
    sent = [devices[0].reals(range(6)), devices[1].reals(range(4, real.T)), devices[2].reals(range(real.T - 1))]

    async def run() -> None:
        async with open_writer(store_url) as writer:
            ids = [device.sealer.device_id for device in devices]
            keys = {each: device.public.public_bytes_raw() for each, device in zip(ids, devices, strict=True)}
            await enrol(writer, keys, {each: device.account for each, device in zip(ids, devices, strict=True)})
            for each, messages in zip(ids, sent, strict=True):
                await arrive(writer, [received((each, real.WINDOW, n), one) for n, one in enumerate(messages)])
            _, windows = await exported(writer, Wanted(FIRST), tmp_path / "out", real.WINDOW * 28 * DAY)
            policies = {policy.digest: policy for policy in real.BOTH}
            opened, below = open_export(windows, real.OPENER, policies)
            assert (opened.account, opened.result, opened.malformed) == (real.ACCOUNT, "opened", {})
            assert sorted(one.content_id for one in opened.opened) == list(range(real.T))
            assert (below.account, below.result, below.opened) == (real.OTHER_ACCOUNT, "below-threshold", ())

    asyncio.run(run())


def test_memory_is_bounded_by_the_piece(sqlite_url, tmp_path):
    """Of 48 MB of vouchers in one window and many, a fraction is held at any time, made new or made again."""
    size, number = 24_000, 2_000
    with (tmp_path / "out").open("wb") as file:

        async def run() -> None:
            async with open_writer(sqlite_url) as writer:
                await enrol(writer)
                message = bytes(size)
                large = [received((IDS[0], WINDOW, slot), message) for slot in range(number // 2)]
                small = [received((IDS[1], WINDOW + slot, 0), message) for slot in range(number // 2)]
                await arrive(writer, large + small)
                await count_all(writer, NOW)
                small_pieces = lambda *rest: encoded(*rest, piece=50)  # noqa: E731
                with pytest.MonkeyPatch.context() as patched:
                    patched.setattr(exporting, "encoded", small_pieces)
                    tracemalloc.start()
                    try:
                        record, _ = await make_export(writer, SETTINGS, NOW, Wanted(FIRST), file=file)
                        await rewrite_export(writer.store, Settings(export_size=50), FIRST, file)
                        peak = tracemalloc.get_traced_memory()[1]
                    finally:
                        tracemalloc.stop()
                assert record.vouchers == number
                assert file.tell() > 2 * size * number
                assert peak < size * number / 4

        asyncio.run(run())


def test_every_cut_export_is_refused(store_url, tmp_path):
    """Wherever the copy broke off."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES[:9])
            await exported(writer, Wanted(FIRST), tmp_path / "out")

    asyncio.run(run())
    data = (tmp_path / "out").read_bytes()
    for end in (*range(40), *range(40, len(data) - 8, 37), *range(len(data) - 8, len(data))):
        (tmp_path / "cut").write_bytes(data[:end])
        with pytest.raises(VoucherError) as refused:
            list(read_export(tmp_path / "cut"))
        assert refused.value.problem == "malformed"


def test_vouchers_that_come_while_it_is_made_wait_for_the_next(store_url, tmp_path, monkeypatch):
    """Below its log position there is every voucher, above it none."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES[:20])
            survey = exporting._survey

            async def while_more_come(db, *rest):
                found = await survey(db, *rest)
                await arrive(writer, PLACES[20:25])
                await count(writer, NOW)
                await arrive(writer, PLACES[25:])
                return found

            with monkeypatch.context() as patched:
                patched.setattr(exporting, "_survey", while_more_come)
                record, windows = await exported(writer, Wanted(FIRST), tmp_path / "out")
            assert record.through == 20
            assert windows == expected(PLACES[:20])
            there = await states(writer.store)
            assert {there[place] for place in PLACES[:20]} == {"exported"}
            assert {there[place] for place in PLACES[20:25]} == {"counted"}
            assert {there[place] for place in PLACES[25:]} == {"received"}

    asyncio.run(run())
