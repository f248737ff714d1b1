"""What the soak looks at can be found wrong: each kind of damage to a database is noticed."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing

import httpx
import pytest

from scanner.errors import ScannerError
from scanner.intake.settings import Rate, Settings
from scanner.intake.store import schema
from scanner.intake.store.tables import CHECKPOINTS, LOG_HEAD
from scanner.intake.windows.counting import count
from scanner.vouchers import decode_answers, window_at
from tests.intake.conftest import INTAKE, NOW, open_app, open_writer, serving
from tests.intake.integrity import check
from tests.intake.senders import Sender, post

WINDOW = window_at(NOW)
SENDER = Sender(80)
KEY = INTAKE.public_key()
DAMAGE = {
    "a voucher is gone": "DELETE FROM vouchers WHERE slot = 3",
    "an entry is gone": "DELETE FROM log_entries WHERE position = 5",
    "the last entry is gone": "DELETE FROM log_entries WHERE position = (SELECT max(position) FROM log_entries)",
    "an entry says something else": "UPDATE log_entries SET body = (SELECT body FROM log_entries WHERE position = 7) "
    "WHERE position = 6",
    "a voucher names another's entry": "UPDATE vouchers SET position = position + 1 WHERE slot = 3",
    "a receipt is another's": "UPDATE vouchers SET receipt = (SELECT receipt FROM vouchers WHERE slot = 4) "
    "WHERE slot = 3",
    "a voucher's bytes are others": "UPDATE vouchers SET voucher = x'00' WHERE slot = 3",
    "a state is not counted": "UPDATE vouchers SET state = 'received' WHERE slot = 3",
    "a count is wrong": "UPDATE windows SET vouchers = vouchers + 1",
    "a tile is gone": "DELETE FROM log_tiles WHERE level = 1",
    "a tile is wrong": "UPDATE log_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 0 AND number = 1",
    "the head is behind": "UPDATE log_head SET size = size - 1",
    "the head is of an older log": "UPDATE log_head SET note = (SELECT note FROM checkpoints ORDER BY size LIMIT 1)",
    "the frontier is another": "UPDATE log_head SET frontier = zeroblob(length(frontier))",
    "a checkpoint is of another size": "UPDATE checkpoints SET size = size + 1",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database with more vouchers than a tile holds, counted, with a checkpoint on the way; and their receipts."""
    path = tmp_path_factory.mktemp("whole") / "intake.db"
    url = f"sqlite:///{path}"
    schema.migrate(url)
    given = {}

    async def keep_house() -> None:
        async with open_writer(url) as writer:
            await count(writer, NOW)
            async with writer.change(NOW) as change:
                head = (await change.db.execute(LOG_HEAD.select())).one()
                await change.db.execute(CHECKPOINTS.insert().values(size=head.size, made_at=int(NOW), note=head.note))

    free = Settings(unsafe_open_enrolment=True, device_rate=Rate(10**6, 1.0), account_rate=Rate(10**6, 1.0))
    with serving(open_app(url, settings=free)) as address, httpx.Client(base_url=address, timeout=30) as client:
        assert SENDER.enrol(client).status_code == 201
        for slots in (range(100), range(100, 260)):
            if slots.start:
                asyncio.run(keep_house())
            for begin in range(slots.start, slots.stop, 20):
                vouchers = [SENDER.voucher(WINDOW, slot) for slot in range(begin, begin + 20)]
                receipts = decode_answers(post(client, vouchers).content, 20)
                given |= {(SENDER.id, WINDOW, begin + n): receipt for n, receipt in enumerate(receipts)}
    return path, given


def test_a_whole_database_is_whole(whole):
    """Nothing is found, and every receipt is there."""
    path, given = whole
    found = check(f"sqlite:///{path}", KEY, given)
    assert found.receipts == given
    assert found.entries == 261


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found(whole, tmp_path, what):
    """Whichever table it is in, though all that was receipted may still be there."""
    path, _ = whole
    copy = shutil.copy(path, tmp_path / "copy.db")
    with closing(sqlite3.connect(copy)) as db, db:
        assert db.execute(DAMAGE[what]).rowcount > 0
    with pytest.raises((AssertionError, ScannerError)):
        check(f"sqlite:///{copy}", KEY, {})


def test_a_lost_receipt_is_found(whole):
    """Somebody has a receipt that the database does not know, or knows otherwise."""
    path, given = whole
    place = (SENDER.id, WINDOW, 7)
    for wrong in ({(SENDER.id, WINDOW, 999): given[place]}, {place: given[SENDER.id, WINDOW, 8]}):
        with pytest.raises(AssertionError, match="a receipt was given"):
            check(f"sqlite:///{path}", KEY, given | wrong)
