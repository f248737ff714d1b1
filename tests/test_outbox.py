"""The outbox: its lifecycle table, its slots, and what is left after the worst."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import StorageError
from scanner.outbox import DAY, SCHEMA_VERSION, DayCount, DayTraffic, Kept, Outbox, OutboxSettings, Waiting

NOW = 1_800_000_000.0


def sealed(window: int, slot: int) -> bytes:
    """460 bytes that belong to one place and to no other."""
    return (hashlib.sha512(f"{window}/{slot}".encode()).digest() * 8)[:460]


def consume(calls) -> None:
    """Make calls one after the other until one raises."""
    for _ in calls:
        pass


def rows(path) -> list[sqlite3.Row]:
    """What stands in the file, read past the outbox."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM vouchers ORDER BY window, slot").fetchall()


def queued(path) -> list[bytes]:
    """Payloads that wait, the longest waiting first."""
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT payload FROM queue ORDER BY position")]


def contents(path) -> list[tuple[int, bytes]]:
    """What is noted of contents."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT window, content FROM contents ORDER BY 1, 2").fetchall()


def on_disk(path) -> bytes:
    """Every byte of the outbox's files."""
    return b"".join(each.read_bytes() for each in path.parent.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path):
    with Outbox(path, rng=random.Random(1)) as box:
        yield box


EVENTS = {
    "receipt": lambda box, waiting: box.record_receipt(waiting, b"the receipt"),
    "failure": lambda box, waiting: box.record_failure(waiting, NOW, "no answer"),
    "refusal": lambda box, waiting: box.record_refusal(waiting, "refused"),
    "too old": lambda box, waiting: box.due(NOW + OutboxSettings().max_age + 1),
}

NEXT = {"receipt": "delivered", "failure": "pending", "refusal": "parked", "too old": "dropped"}


@pytest.mark.parametrize(
    ("event", "kept", "receipt", "attempts"),
    [
        ("receipt", False, b"the receipt", 0),
        ("failure", True, None, 1),
        ("refusal", True, None, 1),
        ("too old", False, None, 0),
    ],
)
def test_each_event_leads_to_the_state_of_the_table(outbox, path, event, kept, receipt, attempts):
    """From pending, each event has its state, and keeps or erases the bytes as the table says."""
    slot = outbox.add(7, sealed, NOW)
    (waiting,) = outbox.due(NOW)
    assert waiting == Waiting(7, slot, sealed(7, slot), 0)
    EVENTS[event](outbox, waiting)
    (row,) = rows(path)
    assert row["state"] == NEXT[event]
    assert row["voucher"] == (sealed(7, slot) if kept else None)
    assert (row["receipt"], row["attempts"]) == (receipt, attempts)
    assert outbox.counts() == {NEXT[event]: 1}
    assert outbox.receipts() == ([receipt] if receipt else [])


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("last", ["receipt", "refusal", "too old"])
def test_an_end_state_is_left_by_no_event(outbox, path, last, event):
    """Delivered, parked and dropped are final, whatever comes late."""
    outbox.add(7, sealed, NOW)
    (waiting,) = outbox.due(NOW)
    EVENTS[last](outbox, waiting)
    before = [tuple(row) for row in rows(path)]
    EVENTS[event](outbox, waiting)
    assert [tuple(row) for row in rows(path)] == before
    assert outbox.due(NOW + 1e6) == []
    assert outbox.next_due() is None


def test_an_event_touches_one_voucher_alone(outbox, path):
    """The other vouchers of the window, and the same slot of another window, stay as they are."""
    for window in (7, 7, 8, 8):
        outbox.add(window, sealed, NOW)
    (waiting,) = [each for each in outbox.due(NOW) if (each.window, each.slot) == (7, 1)]
    outbox.record_receipt(waiting, b"r")
    assert [(row["window"], row["slot"], row["state"]) for row in rows(path)] == [
        (7, 0, "pending"), (7, 1, "delivered"), (8, 0, "pending"), (8, 1, "pending"),
    ]  # fmt: skip


def test_an_event_for_no_voucher_changes_nothing(outbox, path):
    """A place that was never taken can't be delivered."""
    for event in ("receipt", "failure", "refusal"):
        EVENTS[event](outbox, Waiting(7, 0, b"", 0))
    assert rows(path) == []


@given(
    steps=st.lists(st.tuples(st.sampled_from(["add", "receipt", "failure", "refusal"]), st.integers(0, 5)), max_size=25)
)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_any_history_agrees_with_the_table(tmp_path_factory, steps):
    """After any sequence of events, each voucher is where a plain reading of the table puts it."""
    path = tmp_path_factory.mktemp("history") / "outbox.db"
    expected: list[str] = []
    with Outbox(path) as box:
        for step, slot in steps:
            if step == "add":
                expected.append("pending")
                assert box.add(1, sealed, NOW) == len(expected) - 1
            else:
                EVENTS[step](box, Waiting(1, slot, b"", 0))
                if slot < len(expected) and expected[slot] == "pending":
                    expected[slot] = NEXT[step]
        assert [row["state"] for row in rows(path)] == expected
        assert box.counts() == {state: expected.count(state) for state in sorted(set(expected))}
        assert all((row["voucher"] is None) == (row["state"] == "delivered") for row in rows(path))


def test_slots_count_from_zero_in_each_window(outbox):
    """Windows have their own slots, whatever the order they come in."""
    assert [outbox.add(window, sealed, NOW) for window in (5, 5, 6, 5, 6, 4)] == [0, 1, 0, 2, 1, 0]


@pytest.mark.parametrize("last", ["receipt", "refusal", "too old"])
def test_a_slot_is_used_once(outbox, last):
    """The slot of a voucher that was delivered, parked or dropped is never given again."""
    outbox.add(7, sealed, NOW)
    EVENTS[last](outbox, outbox.due(NOW)[0])
    assert outbox.add(7, sealed, NOW) == 1


def test_a_failed_seal_takes_no_slot(outbox, path):
    """If the voucher can't be made, the error comes through and nothing was stored."""

    def fails(window: int, slot: int) -> bytes:
        raise RuntimeError("no key")

    with pytest.raises(RuntimeError, match="no key"):
        outbox.add(7, fails, NOW)
    assert rows(path) == []
    assert outbox.add(7, sealed, NOW) == 0


def test_eight_threads_share_one_outbox(outbox, path):
    """Slots are unique and consecutive, and each holds the voucher made for it."""
    with ThreadPoolExecutor(8) as pool:
        slots = list(pool.map(lambda _: outbox.add(7, sealed, NOW), range(160)))
    assert sorted(slots) == list(range(160))
    assert [row["voucher"] for row in rows(path)] == [sealed(7, slot) for slot in range(160)]


ADDING = """
import hashlib, sys
from scanner.outbox import Outbox

def sealed(window, slot):
    return (hashlib.sha512(f"{window}/{slot}".encode()).digest() * 8)[:460]

path, count = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
with Outbox(path) as box:
    for _ in range(count):
        print(box.add(7, sealed, 1.8e9), flush=True)
"""


def adding(path, count: int) -> subprocess.Popen[str]:
    """Another process that adds vouchers once it is told to, and prints each slot when ``add`` has returned."""
    command = [sys.executable, "-c", ADDING, str(path), str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_share_one_file(path):
    """Slots are unique and consecutive over processes, and each holds the voucher made for it."""
    Outbox(path).close()
    processes = [adding(path, 60), adding(path, 60)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(map(int, printed[0] + printed[1])) == list(range(120))
    assert [row["voucher"] for row in rows(path)] == [sealed(7, slot) for slot in range(120)]


def test_a_killed_process_loses_nothing_it_was_told_is_stored(tmp_path):
    """After SIGKILL at any moment: every slot that add returned is there whole, and the file opens cleanly."""
    rng = random.Random(20)
    for round_number in range(20):
        path = tmp_path / f"{round_number}.db"
        with adding(path, 100_000) as process:
            try:
                process.stdin.write("go\n")
                process.stdin.flush()
                printed = [process.stdout.readline() for _ in range(rng.randrange(25))]
                os.sched_yield()
            finally:
                process.kill()
            printed += process.stdout.readlines()
            assert process.wait(30) == -signal.SIGKILL
        confirmed = [int(line) for line in printed if line.endswith("\n")]
        assert confirmed == list(range(len(confirmed)))
        with Outbox(path) as box:
            stored = box.due(NOW, limit=10**6)
            assert box.add(7, sealed, NOW) == len(stored)
        assert len(confirmed) <= len(stored) <= len(confirmed) + 1
        assert [each.slot for each in stored] == list(range(len(stored)))
        assert all(each.voucher == sealed(7, each.slot) for each in stored)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("seed", range(5))
def test_waits_are_full_jitter(path, seed):
    """The n-th wait is drawn evenly from 0 to first_delay * 2**n, and never exceeds longest_delay."""
    bounds = OutboxSettings(first_delay=2, longest_delay=100)
    draws = random.Random(seed)
    with Outbox(path, bounds, rng=random.Random(seed)) as box:
        box.add(7, sealed, NOW)
        for attempt in range(80):
            (waiting,) = box.due(NOW + 1e6)
            assert waiting.attempts == attempt
            box.record_failure(waiting, NOW, "no answer")
            longest = min(100, 2 * 2**attempt)
            assert NOW <= box.next_due() <= NOW + longest
            assert box.next_due() == NOW + draws.uniform(0, longest)


def test_jitter_uses_the_whole_range(path):
    """Waits come near both ends of the range: devices that failed together do not come back together."""
    waits = []
    with Outbox(path, OutboxSettings(first_delay=10), rng=random.Random(3)) as box:
        for slot in range(100):
            box.add(7, sealed, NOW)
            box.record_failure(Waiting(7, slot, b"", 0), NOW, "no answer")
        waits = [row["due"] - NOW for row in rows(path)]
    assert min(waits) < 1
    assert max(waits) > 9


@given(retry_after=st.floats(0, 1e5), attempts=st.integers(0, 100))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_the_intakes_wish_to_be_left_alone_is_kept(tmp_path_factory, retry_after, attempts):
    """A wait is at least Retry-After, however many attempts there were."""
    with Outbox(tmp_path_factory.mktemp("retry") / "outbox.db", rng=random.Random(attempts)) as box:
        box.add(7, sealed, NOW)
        box.record_failure(Waiting(7, 0, b"", attempts), NOW, "busy", retry_after=retry_after)
        assert NOW + retry_after <= box.next_due() <= NOW + max(retry_after, OutboxSettings().longest_delay)


def test_what_is_not_due_is_not_listed(outbox):
    """A voucher is listed from the moment it is due, not before."""
    outbox.add(7, sealed, NOW)
    assert outbox.due(NOW - 0.001) == []
    outbox.record_failure(outbox.due(NOW)[0], NOW, "busy", retry_after=50)
    due = outbox.next_due()
    assert due >= NOW + 50
    assert outbox.due(due - 0.001) == []
    assert [each.slot for each in outbox.due(due)] == [0]


def test_the_longest_waiting_comes_first_and_the_limit_holds(outbox):
    """Order is by due time, then window, then slot; at most ``limit`` are given."""
    for window, moment in ((9, 3), (8, 1), (7, 1), (9, 2), (7, 1)):
        outbox.add(window, sealed, NOW + moment)
    order = [(7, 0), (7, 1), (8, 0), (9, 1), (9, 0)]
    assert [(each.window, each.slot) for each in outbox.due(NOW + 9)] == order
    assert [(each.window, each.slot) for each in outbox.due(NOW + 9, limit=2)] == order[:2]
    assert outbox.due(NOW + 9, limit=0) == []
    assert outbox.next_due() == NOW + 1


def test_an_empty_outbox_waits_for_nothing(outbox):
    """Nothing due, nothing to count, no receipt."""
    assert (outbox.due(NOW), outbox.next_due(), outbox.counts(), outbox.receipts()) == ([], None, {}, [])


def test_receipts_are_in_order_of_window_and_slot(outbox):
    """Whatever order they came in."""
    for window in (8, 7, 7):
        outbox.add(window, sealed, NOW)
    for each in reversed(outbox.due(NOW)):
        outbox.record_receipt(each, f"{each.window}/{each.slot}".encode())
    assert outbox.receipts() == [b"7/0", b"7/1", b"8/0"]


@pytest.mark.parametrize("notice", ["add", "due"])
def test_what_is_older_than_max_age_is_dropped_and_counted(path, notice):
    """At max_age a voucher is still sent; after it its bytes are erased, whether one adds or delivers."""
    with Outbox(path, OutboxSettings(max_age=100)) as box:
        box.add(7, sealed, NOW)
        box.add(7, sealed, NOW + 50)
        assert len(box.due(NOW + 100)) == 2
        if notice == "add":
            box.add(8, sealed, NOW + 101)
        else:
            box.due(NOW + 101)
        assert [(row["state"], row["voucher"] is None, row["problem"]) for row in rows(path)][:2] == [
            ("dropped", True, "too old"), ("pending", False, None),
        ]  # fmt: skip
        assert box.counts()["dropped"] == 1


def test_the_oldest_beyond_max_bytes_are_dropped_and_counted(path):
    """The newest vouchers that fit stay; at the limit itself nothing is dropped."""
    with Outbox(path, OutboxSettings(max_bytes=3 * 460)) as box:
        for moment in range(3):
            box.add(7, sealed, NOW + moment)
        assert box.counts() == {"pending": 3}
        for moment in range(3, 5):
            box.add(7, sealed, NOW + moment)
        assert box.counts() == {"dropped": 2, "pending": 3}
        assert [each.slot for each in box.due(NOW + 9)] == [2, 3, 4]
        assert [row["problem"] for row in rows(path)] == ["outbox full"] * 2 + [None] * 3


def test_what_is_delivered_or_parked_takes_no_room(path):
    """Only pending vouchers count against max_bytes."""
    with Outbox(path, OutboxSettings(max_bytes=2 * 460)) as box:
        for event in ("receipt", "refusal"):
            box.add(7, sealed, NOW)
            EVENTS[event](box, box.due(NOW)[0])
        box.add(7, sealed, NOW)
        box.add(7, sealed, NOW)
        assert box.counts() == {"delivered": 1, "parked": 1, "pending": 2}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_files_are_for_their_owner_alone(path, umask):
    """Mode 600 whatever the umask, for the log beside the file too."""
    before = os.umask(umask)
    try:
        with Outbox(path) as box:
            box.add(7, sealed, NOW)
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.name in modes
    assert f"{path.name}-wal" in modes
    assert set(modes.values()) == {0o600}


def test_reopening_keeps_everything(path):
    """Slots, states, attempts, due times and receipts survive closing."""
    with Outbox(path) as box:
        for _ in range(3):
            box.add(7, sealed, NOW)
        first, second, _ = box.due(NOW)
        box.record_receipt(first, b"receipt")
        box.record_failure(second, NOW, "busy", retry_after=1e4)
        before, due = [tuple(row) for row in rows(path)], box.next_due()
    with Outbox(path) as box:
        assert [tuple(row) for row in rows(path)] == before
        assert (box.next_due(), box.receipts(), box.counts()) == (due, [b"receipt"], {"delivered": 1, "pending": 2})
        assert box.add(7, sealed, NOW) == 3


def test_one_file_may_be_open_twice(path):
    """What one sees the other sees."""
    with Outbox(path) as one, Outbox(path) as two:
        assert [one.add(7, sealed, NOW), two.add(7, sealed, NOW), one.add(7, sealed, NOW)] == [0, 1, 2]
        two.record_receipt(one.due(NOW)[0], b"r")
        assert one.counts() == {"delivered": 1, "pending": 2}


@pytest.mark.parametrize("last", ["receipt", "too old"])
def test_erased_vouchers_are_gone_from_the_files(path, last):
    """After a checkpoint no trace of a delivered or dropped voucher is in the file or its log, nor after closing."""
    with Outbox(path) as box:
        box.add(7, sealed, NOW)
        box.add(7, sealed, NOW + 10)
        waiting = box.due(NOW)[0]
        on_disk = b"".join(each.read_bytes() for each in path.parent.iterdir())
        assert sealed(7, 0)[:64] in on_disk
        if last == "receipt":
            box.record_receipt(waiting, b"r")
        else:
            box.due(NOW + OutboxSettings().max_age + 5)
        with closing(sqlite3.connect(path)) as db:
            (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
        on_disk = b"".join(each.read_bytes() for each in path.parent.iterdir())
        assert sealed(7, 0)[:64] not in on_disk
        assert sealed(7, 1)[:64] in on_disk
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert sealed(7, 0)[:64] not in path.read_bytes()


@pytest.mark.parametrize("version", [1, SCHEMA_VERSION + 1, 99, -1])
def test_another_version_is_refused(path, version):
    """The file is left as it was, and the message names both versions."""
    Outbox(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    with pytest.raises(StorageError, match=rf"version {version}; this release reads {SCHEMA_VERSION}"):
        Outbox(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (version,)
        assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (tables,)


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION])
def test_a_database_of_something_else_is_refused(path, version):
    """Another program's file is not written to, whatever version it counts."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE notes (text)")
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="something else, not an outbox"):
        Outbox(path)
    assert path.read_bytes() == before


def test_four_processes_may_make_one_outbox(path):
    """Whoever comes first makes the file; nobody is turned away."""
    code = "import sys; from scanner.outbox import Outbox; sys.stdin.read(1); Outbox(sys.argv[1]).close()"
    command = [sys.executable, "-c", code, str(path)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for process in started:
        process.stdin.write(b"x")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in started] == [b""] * 4


def test_the_newest_voucher_is_never_dropped_for_room(path):
    """A voucher that was just stored is there, however small the outbox."""
    with Outbox(path, OutboxSettings(max_bytes=100)) as outbox:
        for slot in range(3):
            assert outbox.add(7, sealed, 0.0) == slot
            assert [waiting.slot for waiting in outbox.due(0.0)] == [slot]


@pytest.mark.parametrize("data", [b"this is no database, it is a text" * 40, bytes(range(256)) * 20])
def test_a_file_that_is_no_database_is_refused(path, data):
    """The file is left as it was."""
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"can't open the outbox .*not a database"):
        Outbox(path)
    assert path.read_bytes() == data


def test_a_missing_folder_is_named(tmp_path):
    """The message says which file could not be opened."""
    with pytest.raises(StorageError, match=r"can't open the outbox .*nowhere"):
        Outbox(tmp_path / "nowhere" / "outbox.db")
    with pytest.raises(StorageError, match="can't open the outbox"):
        Outbox(tmp_path)


def test_a_closed_outbox_raises_the_named_error(path):
    """Every call on a closed outbox is a StorageError."""
    box = Outbox(path)
    box.close()
    waiting = Waiting(7, 0, b"", 0)
    for call in (
        lambda: box.add(7, sealed, NOW),
        lambda: box.due(NOW),
        lambda: box.next_due(),
        lambda: box.counts(),
        lambda: box.receipts(),
        lambda: box.record_receipt(waiting, b""),
        lambda: box.record_failure(waiting, NOW, ""),
        lambda: box.record_refusal(waiting, ""),
        lambda: box.add(7, sealed, NOW, b"content"),
        lambda: box.enqueue(b"content", b"payload", NOW),
        lambda: fill(box, 7, [0]),
        lambda: box.waiting_matches(),
        lambda: box.forget_before(8),
        lambda: box.count_scans({"match": 1}, NOW),
        lambda: box.count_request(1, NOW),
        lambda: box.ledger(),
    ):
        with pytest.raises(StorageError, match="outbox"):
            call()


def test_a_full_disk_stores_nothing_and_says_so(path):
    """When the file can't grow, add raises StorageError and what was stored stays whole."""
    with Outbox(path) as box:
        box.add(7, sealed, NOW)
        box._database._db.execute(
            f"PRAGMA max_page_count = {box._database._db.execute('PRAGMA page_count').fetchone()[0]}"
        )
        with pytest.raises(StorageError, match="can't store a voucher in the outbox"):
            consume(box.add(7, sealed, NOW) for _ in range(50))
        stored = box.due(NOW)
        assert [each.slot for each in stored] == list(range(len(stored)))
        assert all(each.voucher == sealed(7, each.slot) for each in stored)


VERSION_1 = """
CREATE TABLE vouchers (
    window INTEGER NOT NULL, slot INTEGER NOT NULL, state TEXT NOT NULL, voucher BLOB, receipt BLOB,
    added REAL NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, problem TEXT,
    PRIMARY KEY (window, slot)
) STRICT;
INSERT INTO vouchers VALUES (7, 0, 'pending', x'00', NULL, 0, 0, 0, NULL);
PRAGMA user_version = 1;
PRAGMA application_id = 1349674355;
"""


def test_a_file_of_the_release_before_is_told_and_left_alone(path):
    """Its vouchers are of a version that no intake takes any more; nothing is changed and the message says why."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="is an outbox of version 1; this release reads 2"):
        Outbox(path)
    assert path.read_bytes() == before


class TestContents:
    """A content gets one voucher a window."""

    def test_given_twice_it_makes_one_voucher(self, outbox, path):
        """The second time nothing is sealed and no slot is taken."""
        assert outbox.add(7, sealed, NOW, b"one") == 0
        assert outbox.add(7, pytest.fail, NOW, b"one") is None
        assert outbox.add(7, sealed, NOW, b"two") == 1
        assert [row["slot"] for row in rows(path)] == [0, 1]

    def test_in_the_next_window_it_makes_another(self, outbox):
        """Windows know nothing of each other, in either order."""
        assert [outbox.add(window, sealed, NOW, b"one") for window in (7, 8, 6, 7, 8, 6)] == [0, 0, 0, None, None, None]

    @pytest.mark.parametrize("last", ["receipt", "refusal", "too old"])
    def test_whatever_became_of_its_voucher(self, outbox, last):
        """Delivered, parked or dropped: there is no second."""
        outbox.add(7, sealed, NOW, b"one")
        EVENTS[last](outbox, outbox.due(NOW)[0])
        assert outbox.add(7, sealed, NOW, b"one") is None

    def test_reopening_remembers(self, path):
        """A client that starts again makes no second voucher."""
        for expected in (0, None):
            with Outbox(path) as box:
                assert box.add(7, sealed, NOW, b"one") == expected

    def test_without_a_content_each_call_makes_one(self, outbox):
        """As before."""
        assert [outbox.add(7, sealed, NOW) for _ in range(3)] == [0, 1, 2]

    def test_a_failed_seal_notes_nothing(self, outbox, path):
        """The content may be tried again."""

        def fails(window: int, slot: int) -> bytes:
            raise RuntimeError("no key")

        with pytest.raises(RuntimeError):
            outbox.add(7, fails, NOW, b"one")
        assert contents(path) == []
        assert outbox.add(7, sealed, NOW, b"one") == 0

    def test_eight_threads_with_one_content_make_one_voucher(self, outbox):
        """Whoever comes first."""
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: outbox.add(7, sealed, NOW, b"one"), range(80)))
        assert sorted(made, key=str) == [0] + [None] * 79

    def test_forgetting_erases_those_before_and_no_others(self, outbox, path):
        """The window itself stays; forgetting again changes nothing."""
        for window in (5, 6, 7):
            outbox.add(window, sealed, NOW, bytes([window]) * 8)
        for _ in range(2):
            outbox.forget_before(6)
            assert contents(path) == [(6, bytes([6]) * 8), (7, bytes([7]) * 8)]
        assert outbox.counts() == {"pending": 3}

    def test_what_is_forgotten_is_gone_from_the_files(self, outbox, path):
        """From the file and from its log, though it stays open."""
        marks = [hashlib.sha256(bytes([number])).digest() for number in range(40)]
        for mark in marks:
            outbox.add(7, sealed, NOW, mark)
        assert all(mark in on_disk(path) for mark in marks)
        outbox.forget_before(8)
        assert not any(mark in on_disk(path) for mark in marks)
        outbox.close()
        assert not any(mark in on_disk(path) for mark in marks)


def content_of(payload: bytes) -> bytes:
    """What a payload of these tests is about: what stands before the stroke."""
    return payload.split(b"/")[0]


def of_match(payload: bytes, slot: int) -> bytes:
    return b"match " + payload + f" in {slot}".encode()


def of_nothing(slot: int) -> bytes:
    return f"dummy in {slot}".encode()


def fill(box: Outbox, window: int, slots, now: float = NOW) -> int:
    """Fill slots with vouchers that tell what they were made of."""
    return box.fill(window, slots, content_of, of_match, of_nothing, now)


def vouchers(path) -> list[tuple[int, int, bytes]]:
    return [(row["window"], row["slot"], row["voucher"]) for row in rows(path)]


class TestCover:
    """Matches wait in a queue until their slot comes; a slot without one gets a dummy."""

    def test_the_longest_waiting_comes_first_and_then_dummies(self, outbox, path):
        """Whatever the matches are named."""
        for name in (b"z", b"a", b"m"):
            assert outbox.enqueue(name, name, NOW)
        assert outbox.waiting_matches() == 3
        assert fill(outbox, 7, range(2)) == 2
        assert queued(path) == [b"m"]
        assert fill(outbox, 7, range(5)) == 3
        assert [voucher for _, _, voucher in vouchers(path)] == [
            b"match z in 0", b"match a in 1", b"match m in 2", b"dummy in 3", b"dummy in 4",
        ]  # fmt: skip
        assert outbox.waiting_matches() == 0

    def test_nothing_leaves_before_its_slot(self, outbox):
        """A match that waits is no voucher."""
        outbox.enqueue(b"a", b"a", NOW)
        assert (outbox.due(NOW + 1e6), outbox.counts(), outbox.ledger().vouchers) == ([], {}, ())

    @pytest.mark.parametrize("slots", [[], range(0), [0, 0, 0], [2, 1, 2, 0, 1], range(64)], ids=str)
    def test_each_slot_is_filled_once(self, outbox, path, slots):
        """However often its time is told, in one call or in many."""
        outbox.enqueue(b"a", b"a", NOW)
        assert fill(outbox, 7, slots) == len(set(slots))
        before = vouchers(path)
        assert {slot for _, slot, _ in before} == set(slots)
        assert fill(outbox, 7, slots) == 0
        assert vouchers(path) == before
        assert fill(outbox, 8, slots) == len(set(slots))

    @pytest.mark.parametrize("last", ["receipt", "refusal", "too old"])
    def test_a_slot_stays_used(self, outbox, last):
        """Whatever became of its voucher."""
        fill(outbox, 7, [0])
        EVENTS[last](outbox, outbox.due(NOW)[0])
        assert fill(outbox, 7, [0]) == 0

    def test_one_that_waits_already_is_not_kept_twice(self, outbox, path):
        """The first stays, with its place in the row."""
        assert [outbox.enqueue(b"a", payload, NOW) for payload in (b"a/1", b"a/2", b"a/3")] == [True, False, False]
        assert queued(path) == [b"a/1"]

    def test_a_content_that_has_its_voucher_is_skipped(self, outbox, path):
        """It is taken off the queue without a voucher; the next takes the slot, else a dummy does."""
        outbox.enqueue(b"a", b"a/1", NOW)
        fill(outbox, 7, [0])
        assert outbox.enqueue(b"a", b"a/2", NOW)
        outbox.enqueue(b"b", b"b/1", NOW)
        assert fill(outbox, 7, [1]) == 1
        outbox.enqueue(b"b", b"b/2", NOW)
        assert fill(outbox, 7, [2]) == 1
        assert [voucher for _, _, voucher in vouchers(path)] == [b"match a/1 in 0", b"match b/1 in 1", b"dummy in 2"]
        assert outbox.waiting_matches() == 0

    def test_it_has_a_voucher_again_in_the_next_window(self, outbox, path):
        """As without cover."""
        for window in (7, 8):
            outbox.enqueue(b"a", b"a", NOW)
            fill(outbox, window, [0])
        assert vouchers(path) == [(7, 0, b"match a in 0"), (8, 0, b"match a in 0")]

    @pytest.mark.parametrize("at", range(4))
    @pytest.mark.parametrize("fault", ["seal", "dummy", "content"])
    def test_a_failure_inside_leaves_all_as_it_was(self, outbox, path, at, fault):
        """No slot is filled, no match is lost, and the next call does it all."""
        for name in (b"a", b"b"):
            outbox.enqueue(name, name, NOW)
        calls = iter(range(100))

        def failing(made):
            def make(*arguments):
                if next(calls) == at:
                    raise RuntimeError("no key")
                return made(*arguments)

            return make

        makers = {"content": content_of, "seal": of_match, "dummy": of_nothing}
        makers[fault] = failing(makers[fault])
        if at < {"content": 2, "seal": 2, "dummy": 4}[fault]:
            with pytest.raises(RuntimeError, match="no key"):
                outbox.fill(7, range(6), makers["content"], makers["seal"], makers["dummy"], NOW)
            assert (rows(path), contents(path), queued(path)) == ([], [], [b"a", b"b"])
        assert fill(outbox, 7, range(6)) == 6
        assert queued(path) == []

    def test_a_full_disk_keeps_the_queue(self, outbox, path):
        """StorageError, and everything is as it was."""
        outbox.enqueue(b"a", b"a", NOW)
        outbox._database._db.execute(
            f"PRAGMA max_page_count = {outbox._database._db.execute('PRAGMA page_count').fetchone()[0]}"
        )
        with pytest.raises(StorageError, match="can't store vouchers in the outbox"):
            outbox.fill(7, range(64), content_of, lambda *_: bytes(900), lambda _: bytes(900), NOW)
        assert (rows(path), contents(path), queued(path)) == ([], [], [b"a"])

    def test_what_left_the_queue_is_gone_from_the_files(self, outbox, path):
        """A payload is unsealed while it waits; once its voucher is made no trace of it is on disk."""
        marks = [hashlib.sha256(bytes([number])).hexdigest().encode() * 4 for number in range(5)]
        for mark in marks:
            outbox.enqueue(mark[:8], mark, NOW)
        assert all(mark in on_disk(path) for mark in marks)
        outbox.fill(7, range(5), lambda payload: hashlib.sha256(payload).digest(), lambda *_: b"s", of_nothing, NOW)
        assert not any(mark[:16] in on_disk(path) for mark in marks)

    def test_two_outboxes_on_one_file_fill_each_slot_once(self, path):
        """Threads of two clients of one device."""
        with Outbox(path) as one, Outbox(path) as two:
            for number in range(10):
                one.enqueue(bytes([65 + number]), bytes([65 + number]), NOW)
            with ThreadPoolExecutor(8) as pool:
                filled = list(pool.map(lambda number: fill((one, two)[number % 2], 7, range(number)), range(33)))
        assert sum(filled) == 32
        told = [voucher for _, _, voucher in vouchers(path)]
        assert [voucher[:7] for voucher in told[:10]] == [b"match " + bytes([65 + number]) for number in range(10)]
        assert all(voucher.startswith(b"dummy") for voucher in told[10:])


FILLING = """
import sys, time
from scanner.outbox import Outbox

def of_match(payload, slot):
    time.sleep(0.001)
    return payload

with Outbox(sys.argv[1]) as box:
    print("ready", flush=True)
    for slot in range(60):
        print(box.fill(7, range(slot + 1), lambda payload: payload, of_match, lambda slot: b"dummy", 1.8e9), flush=True)
"""


def test_a_process_killed_while_it_fills_loses_no_match_and_sends_none_twice(tmp_path):
    """After SIGKILL at any moment each match is in the queue or in a voucher, in order, and never in both."""
    rng = random.Random(21)
    names = [f"match {number:02}".encode() for number in range(40)]
    for round_number in range(10):
        path = tmp_path / f"{round_number}.db"
        with Outbox(path) as box:
            for name in names:
                box.enqueue(name, name, NOW)
        with subprocess.Popen([sys.executable, "-c", FILLING, str(path)], stdout=subprocess.PIPE, text=True) as process:
            try:
                printed = [process.stdout.readline() for _ in range(rng.randrange(1, 50))]
            finally:
                process.kill()
            printed += process.stdout.readlines()
            assert process.wait(30) in {-signal.SIGKILL, 0}
        confirmed = [line for line in printed[1:] if line.endswith("\n")]
        with Outbox(path) as box:
            box.count_scans({"match": 1}, NOW)  # it can be written to
        told = [voucher for _, _, voucher in vouchers(path)]
        assert len(confirmed) <= len(told) <= len(confirmed) + 1
        assert [voucher for voucher in told if voucher != b"dummy"] + queued(path) == names
        assert [content for _, content in contents(path)] == names[: min(len(told), len(names))]


class TestLedger:
    """What the user can see of what was done."""

    def test_scans_are_counted_by_day_and_outcome(self, outbox):
        """Numbers add up within a day, which begins at midnight UTC."""
        midnight = 20_000 * DAY
        for outcome, number, now in (
            ("no-match", 32, midnight), ("match", 1, midnight), ("no-match", 3, midnight + DAY - 0.5),
            ("no-match", 5, midnight + DAY), ("timeout", 1, midnight - 1),
        ):  # fmt: skip
            outbox.count_scans({outcome: number}, now)
        assert outbox.ledger().scans == (
            DayCount(19_999, "timeout", 1), DayCount(20_000, "match", 1), DayCount(20_000, "no-match", 35),
            DayCount(20_001, "no-match", 5),
        )  # fmt: skip

    def test_requests_are_counted_by_day(self, outbox):
        """Their number and the bytes of their bodies."""
        for size, now in ((600, NOW), (600, NOW), (70, NOW + DAY)):
            outbox.count_request(size, now)
        day = int(NOW) // DAY
        assert outbox.ledger().traffic == (DayTraffic(day, 2, 1200), DayTraffic(day + 1, 1, 70))

    @pytest.mark.parametrize("event", EVENTS)
    def test_a_vouchers_digest_and_size_outlive_its_bytes(self, outbox, path, event):
        """Whatever became of it, the user can say which bytes it had."""
        outbox.add(7, sealed, NOW)
        voucher = sealed(7, 0)
        expected = Kept(7, 0, "pending", hashlib.sha256(voucher).digest(), len(voucher), None, None)
        assert outbox.ledger().vouchers == (expected,)
        EVENTS[event](outbox, outbox.due(NOW)[0])
        (kept,) = outbox.ledger().vouchers
        assert kept[:2] + kept[3:5] == expected[:2] + expected[3:5]
        assert kept.state == NEXT[event]
        assert kept.receipt == (b"the receipt" if event == "receipt" else None)
        assert (rows(path)[0]["voucher"] is None) == (kept.state in {"delivered", "dropped"})

    def test_reopening_keeps_it(self, path):
        """It is for the user, not for the process."""
        with Outbox(path) as box:
            box.count_scans({"match": 2}, NOW)
            box.count_request(9, NOW)
            box.add(7, sealed, NOW)
            before = box.ledger()
        with Outbox(path) as box:
            assert box.ledger() == before

    def test_an_empty_one_is_empty(self, outbox):
        """Nothing was done."""
        assert outbox.ledger() == ((), (), ())

    def test_eight_threads_count_together(self, outbox):
        """No scan and no byte is lost."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: (outbox.count_scans({"match": 2}, NOW), outbox.count_request(5, NOW)), range(80)))
        ledger = outbox.ledger()
        assert ([one.number for one in ledger.scans], ledger.traffic[0][1:]) == ([160], (80, 400))
