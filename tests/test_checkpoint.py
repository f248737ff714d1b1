"""The checkpoint: a match is on disk before it is told, counts once a window, and cover hides that there was one."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import io
import itertools
import math
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from scanner.account import Account, AccountStore
from scanner.checkpoint import Checkpoint
from scanner.errors import ArgumentError, StorageError, VoucherError
from scanner.hashing import hash_picture
from scanner.hashset import DeltaBuilder, Entry, HashSet, HashSetBuilder, open_layers
from scanner.outbox import DAY, DayCount, Outbox, OutboxSettings
from scanner.pipeline import Scanner as IsolatedScanner
from scanner.profiles import PROFILES
from scanner.types import Outcome, Verdict
from scanner.vouchers import DeviceSealer, Payload, Policy, Voucher
from scanner.vouchers.header import WINDOW_SECONDS
from scanner.vouchers.policies import COVERED
from scanner.vouchers.schedule import SLOT_SECONDS, slots_due
from tests.policies import ACCOUNT, NOW, OPENER, WINDOW, Secrets, opened, policy_for
from tests.test_pipeline import FLAT, KNOWN, UNKNOWN, picture

DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
START = WINDOW * WINDOW_SECONDS
LISTED = 14
PICTURES = [KNOWN, *(picture(100 + number) for number in range(1, LISTED))]
"""All on the list; clusters 100, 101 and so on."""

Scanner = functools.partial(IsolatedScanner, isolation="in-process")
PATIENT = dataclasses.replace(PROFILES["standard"], time_limit=60.0)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def known_path(tmp_path_factory):
    """Every listed picture, and one entry a bit away from the first, listed before it."""
    builder = HashSetBuilder("listed", "pdq")
    exact = hash_picture(KNOWN, "pdq").hash
    builder.add(Entry(dataclasses.replace(exact, data=bytes([exact.data[0] ^ 1]) + exact.data[1:]), "near", 11))
    for number, data in enumerate(PICTURES):
        builder.add(Entry(hash_picture(data, "pdq").hash, f"picture {number}", 100 + number))
    path = tmp_path_factory.mktemp("known") / "known.prescan"
    builder.write(path)
    return path


@pytest.fixture
def known(known_path):
    with HashSet.open(known_path) as opened_set:
        yield opened_set


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path):
    with Outbox(path) as box:
        yield box


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def checkpoint(known, outbox, clock):
    """Without cover."""
    return checkpoint_of(known, outbox, clock)


@pytest.fixture
def covered(known, outbox, clock):
    """With cover."""
    return checkpoint_of(known, outbox, clock, profile=COVERED)


def checkpoint_of(known, outbox: Outbox, clock, secrets: Secrets | None = None, **changes) -> Checkpoint:
    """A checkpoint under a policy for the list, with some of it changed."""
    sealer = DeviceSealer(DEVICE, policy_for(known, **changes), ACCOUNT)
    return Checkpoint(Scanner(known, PATIENT), sealer, outbox, secrets or Secrets(), clock=clock)


def check(checkpoint: Checkpoint, media: bytes, waiting: str) -> Verdict:
    return checkpoint.check(media) if waiting == "check" else asyncio.run(checkpoint.check_async(media))


def payloads(outbox: Outbox, policy: Policy) -> list[Payload | None]:
    """What the vouchers tell, in order of window and slot; None for a dummy."""
    found: list[Payload | None] = []
    for (voucher,) in outbox._database._db.execute("SELECT voucher FROM vouchers ORDER BY window, slot").fetchall():
        try:
            found.append(opened(voucher, policy))
        except VoucherError:
            found.append(None)
    return found


def clusters(outbox: Outbox, policy: Policy) -> list[int | None]:
    """What they are about."""
    return [payload.content_id if payload else None for payload in payloads(outbox, policy)]


def scans(outbox: Outbox) -> dict[str, int]:
    return {one.outcome: one.number for one in outbox.ledger().scans}


def count_rows(path, table: str = "vouchers") -> int:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


class TestMatchOnly:
    """Without cover a match makes a voucher at once, and nothing else does."""

    @pytest.mark.parametrize("waiting", ["check", "check_async"])
    def test_a_match_leaves_one_voucher_that_tells_it(self, checkpoint, outbox, known, waiting):
        """The nearest match, the policy, the list's edition, the account and the day, signed by the device."""
        verdict = check(checkpoint, KNOWN, waiting)
        assert verdict == Scanner(known).scan(KNOWN)
        (stored,) = outbox.due(NOW)
        voucher = Voucher.parse(stored.voucher)
        voucher.verify(DEVICE.public_key())
        policy = policy_for(known)
        assert (stored.window, stored.slot) == (voucher.header.window, voucher.header.slot) == (WINDOW, 0)
        assert voucher.header.policy_digest == policy.digest
        assert opened(stored.voucher, policy) == Payload(
            content_id=100,
            leaf_index=1,
            policy_digest=policy.digest,
            algorithm="pdq",
            distance=verdict.matches[0].distance,
            quality=verdict.quality,
            hash=verdict.hash.data,
            day=int(NOW) // DAY,
            hashset_digest=known.digest,
            account=ACCOUNT,
        )

    @pytest.mark.parametrize("waiting", ["check", "check_async"])
    @pytest.mark.parametrize("media", [UNKNOWN, FLAT, b"", KNOWN[:40]], ids=["unknown", "flat", "empty", "cut"])
    def test_without_a_match_nothing_is_stored(self, checkpoint, outbox, path, media, waiting):
        """No match, no voucher: not a row, not a content; a tick makes none either."""
        assert not check(checkpoint, media, waiting).matched
        assert checkpoint.tick() == 0
        assert outbox.counts() == {}
        assert [count_rows(path, table) for table in ("vouchers", "contents", "queue")] == [0, 0, 0]

    def test_the_same_picture_fifty_times_is_one_voucher(self, checkpoint, outbox, known):
        """Every time a match, once a voucher; a copy in another format is the same content."""
        file = io.BytesIO()
        Image.open(io.BytesIO(KNOWN)).convert("RGB").save(file, "JPEG", quality=90)
        assert all(checkpoint.check(KNOWN).matched for _ in range(50))
        assert checkpoint.check(file.getvalue()).matched
        assert clusters(outbox, policy_for(known)) == [100]

    def test_two_pictures_are_two_vouchers(self, checkpoint, outbox, known):
        """In slots one after the other."""
        for media in (KNOWN, UNKNOWN, PICTURES[3], KNOWN):
            checkpoint.check(media)
        assert [(each.window, each.slot) for each in outbox.due(NOW)] == [(WINDOW, 0), (WINDOW, 1)]
        assert clusters(outbox, policy_for(known)) == [100, 103]

    def test_a_client_that_starts_again_makes_no_second_voucher(self, known, path, clock):
        """What had its voucher is on disk."""
        secrets = Secrets()
        for expected in ({"pending": 1}, {"pending": 2}):
            with Outbox(path) as outbox:
                checkpoint = checkpoint_of(known, outbox, clock, secrets)
                checkpoint.check(KNOWN)
                if expected == {"pending": 2}:
                    checkpoint.check(PICTURES[1])
                assert outbox.counts() == expected

    def test_eight_threads_share_one_checkpoint(self, checkpoint, outbox, known):
        """Each content leaves its one voucher, each in its own slot."""
        with ThreadPoolExecutor(8) as pool:
            verdicts = list(pool.map(checkpoint.check, [*PICTURES, UNKNOWN] * 3))
        assert [verdict.matched for verdict in verdicts] == ([True] * LISTED + [False]) * 3
        stored = outbox.due(NOW)
        assert [each.slot for each in stored] == list(range(LISTED))
        assert all(Voucher.parse(each.voucher).header.slot == each.slot for each in stored)
        assert sorted(clusters(outbox, policy_for(known))) == list(range(100, 100 + LISTED))
        checkpoint.tick()
        assert scans(outbox) == {"match": 3 * LISTED, "no-match": 3}

    def test_a_full_window_is_an_error_verdict(self, checkpoint, outbox, path):
        """When all slots of a window are used, the verdict says so instead of raising, and the last stays used."""
        outbox.add(WINDOW, lambda *_: b"first", NOW)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE vouchers SET slot = 65535")
        assert checkpoint.check(KNOWN).outcome is Outcome.ERROR
        assert [each.slot for each in outbox.due(NOW)] == [65_535]


class TestClock:
    """A window ends while a client runs, and clocks are set."""

    @pytest.mark.parametrize("now", [0.0, -1.0, 1e9, 4e9])
    def test_the_clock_gives_window_and_day(self, checkpoint, outbox, known, clock, now):
        """Whatever it says, voucher and payload agree on it."""
        clock.now = now
        assert checkpoint.check(KNOWN).matched
        (stored,) = outbox.due(now)
        assert opened(stored.voucher, policy_for(known)).day // 28 == stored.window

    @pytest.mark.parametrize("waiting", ["check", "check_async"])
    @pytest.mark.parametrize("now", [math.inf, math.nan, 2.0**32 * WINDOW_SECONDS])
    def test_an_impossible_clock_is_an_error_verdict_for_a_match_alone(self, checkpoint, outbox, clock, waiting, now):
        """Not even a broken clock raises in the middle of sending, nor does it hold what needs no voucher."""
        clock.now = now
        assert check(checkpoint, KNOWN, waiting).outcome is Outcome.ERROR
        assert check(checkpoint, UNKNOWN, waiting).outcome is Outcome.NO_MATCH
        assert outbox.counts() == {}

    def test_a_clock_that_raises_raises_nothing(self, known, outbox):
        """As above."""

        def clock() -> float:
            raise OSError("no clock here")

        checkpoint = checkpoint_of(known, outbox, clock)
        assert [checkpoint.check(media).outcome for media in (KNOWN, UNKNOWN)] == [Outcome.ERROR, Outcome.NO_MATCH]

    def test_a_window_ends_between_two_checks(self, checkpoint, outbox, path, known, clock):
        """The same content has a voucher in each, under each window's key; what was noted of the first is erased."""
        clock.now = START - 1
        assert checkpoint.check(KNOWN).matched
        before = checkpoint._shares
        clock.now = START
        for _ in range(2):
            assert checkpoint.check(KNOWN).matched
        places = [(each.window, each.slot) for each in outbox.due(NOW)]
        assert places == [(WINDOW - 1, 0), (WINDOW, 0)]
        assert [opened(each.voucher, policy_for(known)).day for each in outbox.due(NOW)] == [
            START // DAY - 1, START // DAY,
        ]  # fmt: skip
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT DISTINCT window FROM contents").fetchall() == [(WINDOW,)]
        with pytest.raises(ArgumentError, match="erased"):
            before.share(100)

    def test_a_client_that_starts_in_a_later_window_erases_what_was_noted(self, known, path, clock):
        """It need not have been running when the window ended."""
        secrets = Secrets()
        for window in (WINDOW, WINDOW + 1):
            clock.now = window * WINDOW_SECONDS + 5
            with Outbox(path) as outbox:
                checkpoint_of(known, outbox, clock, secrets).check(KNOWN)
            with closing(sqlite3.connect(path)) as db:
                assert db.execute("SELECT DISTINCT window FROM contents").fetchall() == [(window,)]

    @pytest.mark.parametrize("cover", ["match-only", COVERED])
    def test_a_tick_leaves_nothing_of_a_past_window(self, known, path, clock, cover):
        """Though nothing matches any more: the account's secret is stepped on, and what was noted is erased."""
        secrets = Secrets()
        with Outbox(path) as outbox:
            checkpoint = checkpoint_of(known, outbox, clock, secrets, profile=cover)
            checkpoint.check(KNOWN)
            checkpoint.tick()
            assert count_rows(path, "contents") == 1
            clock.now += WINDOW_SECONDS
            checkpoint.tick()
            assert count_rows(path, "contents") == 0
        assert secrets.secret(0.0)[0] == WINDOW + 1

    def test_a_clock_set_back_stays_in_the_window_it_was(self, checkpoint, outbox, known, clock):
        """No secret is turned back: the voucher is of the later window, and a content does not count again."""
        clock.now = START
        checkpoint.check(KNOWN)
        clock.now = START - WINDOW_SECONDS
        for media in (KNOWN, PICTURES[1]):
            assert checkpoint.check(media).matched
        assert [(kept.window, kept.slot) for kept in outbox.ledger().vouchers] == [(WINDOW, 0), (WINDOW, 1)]

    def test_windows_that_end_under_many_threads_lose_no_match(self, known, path):
        """A match is sealed with the shares of one window, however many others end meanwhile."""
        windows = itertools.count(WINDOW)
        with Outbox(path, OutboxSettings(max_age=math.inf)) as outbox:
            checkpoint = checkpoint_of(known, outbox, lambda: float(next(windows) * WINDOW_SECONDS))
            with ThreadPoolExecutor(8) as pool:
                verdicts = list(pool.map(checkpoint.check, [KNOWN] * 64))
            assert {verdict.outcome for verdict in verdicts} == {Outcome.MATCH}
            assert set(clusters(outbox, policy_for(known))) == {100}


class TestCovered:
    """With cover a match waits for its slot, and what leaves does not tell that it did."""

    def test_nothing_leaves_at_a_match(self, covered, outbox):
        """It waits, once, and no request is due."""
        for _ in range(3):
            assert covered.check(KNOWN).matched
        assert (outbox.counts(), outbox.waiting_matches()) == ({}, 1)

    def test_a_tick_fills_the_slots_whose_time_has_come(self, covered, outbox, known, clock):
        """Matches in their order, then dummies; the next tick only what came due since."""
        policy = policy_for(known, profile=COVERED)
        for number in (2, 0, 1):
            covered.check(PICTURES[number])
        device = DeviceSealer(DEVICE, policy, ACCOUNT).device_id
        _, due = slots_due(device, NOW)
        assert covered.tick() == len(due) >= 2
        assert covered.tick() == 0
        clock.now = NOW + 3 * SLOT_SECONDS
        assert covered.tick() == 3
        assert clusters(outbox, policy) == [102, 100, 101] + [None] * len(due)
        assert [one.slot for one in outbox.ledger().vouchers] == list(range(len(due) + 3))

    def test_what_leaves_does_not_depend_on_what_was_scanned(self, known, tmp_path):
        """Two devices with one clock, one with matches and one without: the same slots, sizes and times throughout."""
        clock = Clock(START + 10)
        moments = [START + 10 + step * WINDOW_SECONDS // 40 for step in range(60)]
        with Outbox(tmp_path / "busy.db") as busy, Outbox(tmp_path / "idle.db") as idle:
            one, two = (checkpoint_of(known, box, clock, profile=COVERED) for box in (busy, idle))
            for step, clock.now in enumerate(moments):
                one.check(PICTURES[step % LISTED])
                if step % 7 == 3:
                    one.check(KNOWN)
                two.check(UNKNOWN)
                assert one.tick() == two.tick()
                assert seen(tmp_path / "busy.db") == seen(tmp_path / "idle.db")
            assert busy.next_due() == idle.next_due()
            told = [one.size for one in busy.ledger().vouchers]
            assert len(told) > 64 + 20
            assert len(set(told)) == 1
            policy = policy_for(known, profile=COVERED)
            assert set(clusters(idle, policy)) == {None}
            real = Counter(cluster for cluster in clusters(busy, policy) if cluster is not None)
            assert set(real) == set(range(100, 100 + LISTED))
            assert max(real.values()) == 2  # once in each of two windows

    def test_slots_missed_are_made_up_for_in_their_window_alone(self, covered, outbox, clock):
        """A device that was off fills them at once; those of a window that ended stay empty."""
        clock.now = START + WINDOW_SECONDS // 2
        first = covered.tick()
        assert 30 <= first <= 33
        clock.now = START + WINDOW_SECONDS + SLOT_SECONDS * 2
        assert 1 <= covered.tick() <= 3
        assert Counter(one.window for one in outbox.ledger().vouchers)[WINDOW] == first

    def test_a_window_has_sixty_four_slots(self, covered, outbox, clock):
        """All of them by its end, and no more."""
        clock.now = START + WINDOW_SECONDS - 1
        assert covered.tick() == 64
        assert [one.slot for one in outbox.ledger().vouchers] == list(range(64))

    def test_a_content_sent_in_this_window_waits_in_vain(self, covered, outbox, known, clock):
        """It takes no second slot before the next window."""
        policy = policy_for(known, profile=COVERED)
        clock.now = START + WINDOW_SECONDS // 2
        covered.check(KNOWN)
        covered.tick()
        covered.check(KNOWN)
        clock.now += SLOT_SECONDS
        covered.tick()
        assert Counter(clusters(outbox, policy))[100] == 1
        covered.check(KNOWN)
        clock.now = START + WINDOW_SECONDS + SLOT_SECONDS
        covered.tick()
        assert Counter(clusters(outbox, policy))[100] == 2

    def test_a_clock_set_back_fills_nothing(self, covered, outbox, clock):
        """The later window's slots have their time again, each once."""
        clock.now = START + 5 * SLOT_SECONDS
        filled = covered.tick()
        for clock.now in (START + SLOT_SECONDS, START - SLOT_SECONDS, START - 40 * SLOT_SECONDS):
            covered.check(KNOWN)
            assert covered.tick() == 0
        assert outbox.waiting_matches() == 1
        clock.now = START + 6 * SLOT_SECONDS
        assert covered.tick() == 1
        assert {one.window for one in outbox.ledger().vouchers} == {WINDOW}
        assert len(outbox.ledger().vouchers) == filled + 1

    def test_a_tick_that_fails_stores_nothing_and_loses_nothing(self, covered, outbox, path):
        """StorageError; the next one makes up for it, and for what was counted."""
        covered.check(KNOWN)
        covered.check(UNKNOWN)
        outbox._database._db.execute("PRAGMA query_only = ON")
        with pytest.raises(StorageError, match="outbox"):
            covered.tick()
        outbox._database._db.execute("PRAGMA query_only = OFF")
        assert (count_rows(path), outbox.waiting_matches()) == (0, 1)
        assert covered.tick() > 0
        assert outbox.waiting_matches() == 0
        assert scans(outbox) == {"match": 1, "no-match": 1}

    def test_a_match_that_waits_through_a_change_of_policy_leaves_under_the_new_one(self, known, path, clock):
        """A voucher that named one policy outside and another inside would be refused by the opener."""
        with Outbox(path) as outbox:
            checkpoint_of(known, outbox, clock, profile=COVERED).check(KNOWN)
            checkpoint_of(known, outbox, clock, profile=COVERED, serial=2, threshold=11).tick()
            policy = policy_for(known, profile=COVERED, serial=2, threshold=11)
            (payload,) = filter(None, payloads(outbox, policy))
        assert payload.policy_digest == policy.digest
        assert payload.content_id == 100

    def test_a_client_that_starts_again_goes_on(self, known, path, clock):
        """What waits is on disk, and a slot filled stays filled."""
        secrets, policy = Secrets(), policy_for(known, profile=COVERED)
        with Outbox(path) as outbox:
            first = checkpoint_of(known, outbox, clock, secrets, profile=COVERED)
            filled = first.tick()
            first.check(KNOWN)
        with Outbox(path) as outbox:
            second = checkpoint_of(known, outbox, clock, secrets, profile=COVERED)
            assert second.tick() == 0
            clock.now += SLOT_SECONDS
            assert second.tick() == 1
            assert clusters(outbox, policy) == [None] * filled + [100]


def seen(path) -> list[tuple]:
    """What the intake and the network can see of an outbox: places, sizes and times."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(
            "SELECT window, slot, state, length(voucher), size, added, due, attempts FROM vouchers ORDER BY 1, 2"
        ).fetchall()


class TestFaults:
    """Nothing raises in the middle of sending."""

    @pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
    @pytest.mark.parametrize("fault", ["closed", "read-only"])
    @pytest.mark.parametrize("cover", ["match-only", COVERED])
    def test_a_match_that_can_not_be_stored_is_an_error_verdict(self, known, path, profile, fault, cover):
        """The profile says what to do; a picture that matches nothing keeps its verdict."""
        with Outbox(path) as outbox:
            sealer = DeviceSealer(DEVICE, policy_for(known, profile=cover), ACCOUNT)
            checkpoint = Checkpoint(Scanner(known, profile), sealer, outbox, Secrets(), clock=lambda: NOW)
            if fault == "closed":
                outbox.close()
            else:
                outbox._database._db.execute("PRAGMA query_only = ON")
            verdict = checkpoint.check(KNOWN)
            others = [checkpoint.check(UNKNOWN) for _ in range(40)]
        assert (verdict.outcome, verdict.action, verdict.matches) == (Outcome.ERROR, profile.on_error, ())
        assert {other.outcome for other in others} == {Outcome.NO_MATCH}
        assert (count_rows(path), count_rows(path, "queue")) == (0, 0)

    @pytest.mark.parametrize("cover", ["match-only", COVERED])
    def test_when_only_counting_fails_the_verdict_stays(self, known, path, clock, cover, monkeypatch):
        """The voucher is stored; the user's count is made up for as soon as it can be."""

        def fails(*_: object) -> None:
            raise StorageError("no room for the ledger")

        with Outbox(path) as outbox:
            checkpoint = checkpoint_of(known, outbox, clock, profile=cover)
            with monkeypatch.context() as broken:
                broken.setattr(outbox, "count_scans", fails)
                assert checkpoint.check(KNOWN).outcome is Outcome.MATCH
                assert {checkpoint.check(UNKNOWN).outcome for _ in range(40)} == {Outcome.NO_MATCH}
                with pytest.raises(StorageError):
                    checkpoint.tick()
            assert (count_rows(path), outbox.waiting_matches()) == ((1, 0) if cover == "match-only" else (0, 1))
            checkpoint.tick()
            assert scans(outbox) == {"match": 1, "no-match": 40}

    @pytest.mark.parametrize("waiting", ["check", "check_async"])
    def test_without_the_accounts_secret_a_match_is_an_error_verdict(self, known, outbox, waiting):
        """A store of secrets that is locked or lost holds what matches, by the profile, and nothing else."""

        class Locked:
            def secret(self, now: float) -> tuple[int, bytes]:
                raise StorageError("the account's store is locked")

        checkpoint = checkpoint_of(known, outbox, Clock(), Locked())
        assert check(checkpoint, KNOWN, waiting).outcome is Outcome.ERROR
        assert check(checkpoint, UNKNOWN, waiting).outcome is Outcome.NO_MATCH
        assert outbox.counts() == {}
        with pytest.raises(StorageError, match="locked"):
            checkpoint.tick()
        assert scans(outbox) == {"error": 1, "no-match": 1}


class TestCounts:
    """Every scan is counted; how soon it is written depends on nothing but their number, a match and the tick."""

    def test_thirty_two_scans_are_written_together(self, checkpoint, outbox):
        """Not before, and each batch again."""
        for number in range(1, 65):
            checkpoint.check(FLAT if number % 4 == 0 else b"")
            written = number // 32
            expected = {"low-quality": 8 * written, "unscannable": 24 * written} if written else {}
            assert scans(outbox) == expected

    def test_a_match_is_written_at_once_with_all_before(self, checkpoint, outbox):
        """The user's record is never behind a voucher."""
        checkpoint.check(UNKNOWN)
        assert outbox.ledger().scans == ()
        checkpoint.check(KNOWN)
        day = int(NOW) // DAY
        assert outbox.ledger().scans == (DayCount(day, "match", 1), DayCount(day, "no-match", 1))

    @pytest.mark.parametrize("profile", ["match-only", COVERED])
    def test_a_tick_writes_what_was_counted(self, known, outbox, clock, profile):
        """With cover and without."""
        checkpoint = checkpoint_of(known, outbox, clock, profile=profile)
        checkpoint.check(UNKNOWN)
        checkpoint.tick()
        assert scans(outbox) == {"no-match": 1}
        checkpoint.tick()
        assert scans(outbox) == {"no-match": 1}


class TestAccountStore:
    """The secrets that a client really uses."""

    def test_two_devices_of_one_account_make_the_same_shares(self, known, tmp_path, clock):
        """So the same picture sent from both counts once, and one sent from either counts."""
        policy = policy_for(known)
        one = AccountStore(tmp_path / "one" / "account", keyring=None)
        two = AccountStore(tmp_path / "two" / "account", keyring=None)
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
        account = one.create(NOW)
        two.adopt(Account.from_text(one.export_for_device(NOW)))
        told = {}
        for number, store in enumerate((one, two)):
            sealer = DeviceSealer(Ed25519PrivateKey.generate(), policy, store.account_id)
            with Outbox(tmp_path / f"{number}.db") as outbox:
                checkpoint = Checkpoint(Scanner(known, PATIENT), sealer, outbox, store, clock=clock)
                for media in (KNOWN, PICTURES[1 + number]):
                    assert checkpoint.check(media).matched
                told[number] = [
                    Voucher.parse(each.voucher).unseal(OPENER, sealer.terms).share.to_bytes()
                    for each in outbox.due(NOW)
                ]
        assert told[0][0] == told[1][0]
        assert len({*told[0], *told[1]}) == 3
        assert two.read() == account

    def test_a_tick_steps_the_stored_secret(self, known, outbox, tmp_path, clock):
        """Past windows can't be read from the device any more."""
        store = AccountStore(tmp_path / "account", keyring=None)
        before = store.create(NOW)
        sealer = DeviceSealer(DEVICE, policy_for(known), store.account_id)
        checkpoint = Checkpoint(Scanner(known, PATIENT), sealer, outbox, store, clock=clock)
        clock.now += WINDOW_SECONDS
        checkpoint.tick()
        after = store.read()
        assert (after.window, after.account_id) == (before.window + 1, before.account_id)
        assert after.secret != before.secret

    def test_an_account_that_is_gone_is_an_error_verdict(self, known, outbox, tmp_path, clock):
        """For a match alone."""
        store = AccountStore(tmp_path / "account", keyring=None)
        sealer = DeviceSealer(DEVICE, policy_for(known), ACCOUNT)
        checkpoint = Checkpoint(Scanner(known, PATIENT), sealer, outbox, store, clock=clock)
        assert [checkpoint.check(media).outcome for media in (KNOWN, UNKNOWN)] == [Outcome.ERROR, Outcome.NO_MATCH]
        assert outbox.counts() == {}


class TestPolicy:
    """The device acts under a policy for its list, or not at all."""

    def test_one_for_another_edition_of_the_list_is_refused(self, known, outbox):
        """By the list's digest."""
        with pytest.raises(ArgumentError, match="another edition of the list than listed epoch 1"):
            checkpoint_of(known, outbox, Clock(), hashset_digest=bytes(32))

    @pytest.mark.parametrize("changes", [{"radius": 30}, {"radius": 0}, {"quality_floor": 51}, {"quality_floor": 100}])
    def test_a_list_that_matches_more_than_the_policy_allows_is_refused(self, known, outbox, changes):
        """A larger radius, or flatter pictures."""
        with pytest.raises(ArgumentError, match="matches more than the policy allows"):
            checkpoint_of(known, outbox, Clock(), **changes)

    @pytest.mark.parametrize("changes", [{"radius": 32}, {"quality_floor": 49}, {"quality_floor": 0}])
    def test_a_list_that_matches_less_is_accepted(self, known, outbox, changes):
        """What the policy allows need not be used."""
        assert checkpoint_of(known, outbox, Clock(), **changes).check(KNOWN).matched

    def test_a_list_with_a_delta_has_a_policy_of_its_own(self, known, known_path, outbox, tmp_path):
        """The delta's digest names the whole."""
        delta = DeltaBuilder(known, epoch=2)
        delta.add(Entry(hash_picture(UNKNOWN, "pdq").hash, "added", 500))
        delta.write(tmp_path / "delta")
        with open_layers(known_path, [tmp_path / "delta"]) as layered:
            with pytest.raises(ArgumentError, match="another edition"):
                checkpoint_of(layered, outbox, Clock(), hashset_digest=known.digest)
            assert checkpoint_of(layered, outbox, Clock()).check(UNKNOWN).matched
            assert clusters(outbox, policy_for(layered)) == [500]
