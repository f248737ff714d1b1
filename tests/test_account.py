"""The account's secret: stepped forward, never back, never lost, and nothing left of the windows before."""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.account import Account, AccountStore, platform_keyring
from scanner.account import account as module
from scanner.errors import ArgumentError, KeyFileError, StorageError
from scanner.vouchers.header import WINDOW_SECONDS, WINDOWS
from scanner.vouchers.sharing import MOST_STEPS, next_secret, secret_for

keyring = pytest.importorskip("keyring")
from keyring.backends import chainer, fail, null  # noqa: E402

ID = bytes(range(16))
SECRET = bytes(range(100, 132))
WINDOW = 700
NOW = WINDOW * WINDOW_SECONDS + 1000.0
FIRST = Account(ID, WINDOW, SECRET)


def at(window: int) -> float:
    return float(window * WINDOW_SECONDS)


class Memory(keyring.backend.KeyringBackend):
    """A keyring of a platform."""

    priority = 5

    def __init__(self):
        self.entries: dict[tuple[str, str], str] = {}
        self.log: list[str] = []
        self.failing: str | None = None

    def _call(self, name: str) -> None:
        self.log.append(name)
        if name == self.failing:
            raise keyring.errors.KeyringLocked("locked")

    def get_password(self, service, username):
        self._call("get")
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self._call("set")
        self.entries[service, username] = password

    def delete_password(self, service, username):
        self._call("delete")
        if (service, username) not in self.entries:
            raise keyring.errors.PasswordDeleteError("no such entry")
        del self.entries[service, username]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "account"


@pytest.fixture(params=["file", "keyring"])
def backend(request):
    """No keyring, and one."""
    return None if request.param == "file" else Memory()


@pytest.fixture
def store(path, backend):
    found = AccountStore(path, keyring=backend)
    found.adopt(FIRST)
    return found


@pytest.fixture
def platform():
    """Sets what the package takes for the platform's keyring, and puts back what it was."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def kept(path, backend=None) -> list[bytes]:
    """Everything that is stored: each file of the folder, each entry of the keyring."""
    found = [each.read_bytes() for each in path.parent.iterdir()]
    return found + [text.encode() for text in (backend.entries.values() if backend else ())]


def holds(stored: list[bytes], account: Account) -> bool:
    """Whether the secret is in there: raw, in hexadecimal, or as the groups of base32 that depend on it alone."""
    secret = account.secret[:8]
    traces = (secret, secret.hex().encode(), account.to_text().encode()[48:80])
    return any(trace in data for data in stored for trace in traces)


class TestStepping:
    """From window to window, in a file and in a keyring."""

    def test_in_its_window_the_secret_stays(self, store):
        """The first and the last moment of a window are in it."""
        for now in (at(WINDOW), NOW, at(WINDOW + 1) - 0.001):
            assert store.secret(now) == (WINDOW, SECRET)

    def test_the_boundary_steps_once(self, store):
        """At the first second of the next window there is the next secret, and it is stored."""
        assert store.secret(at(WINDOW + 1)) == (WINDOW + 1, next_secret(SECRET))
        assert store.read() == Account(ID, WINDOW + 1, next_secret(SECRET))

    @pytest.mark.parametrize("steps", [2, 13, MOST_STEPS])
    def test_many_windows_at_once_are_many_single_steps(self, store, steps):
        """A device that was off gets where those that were on are."""
        expected = SECRET
        for _ in range(steps):
            expected = next_secret(expected)
        assert store.secret(at(WINDOW + steps)) == (WINDOW + steps, expected)

    @pytest.mark.parametrize("now", [at(WINDOW), at(WINDOW - 5), 0.0, -1e12])
    def test_a_clock_set_back_changes_nothing(self, store, path, backend, now):
        """The later window is given again, and not a byte is written."""
        later = store.secret(at(WINDOW + 2))
        before = kept(path, backend)
        assert store.secret(now) == later == (WINDOW + 2, secret_for(SECRET, WINDOW, WINDOW + 2))
        assert kept(path, backend) == before

    @pytest.mark.parametrize("now", [at(WINDOW + MOST_STEPS + 1), 1e18, 1e300])
    def test_a_clock_far_ahead_is_refused(self, store, path, backend, now):
        """Nothing is lost by it: with the clock set right all goes on."""
        before = kept(path, backend)
        for attempt in (store.secret, store.export_for_device):
            with pytest.raises(ArgumentError, match="the clock says window"):
                attempt(now)
        assert kept(path, backend) == before
        assert store.secret(NOW) == (WINDOW, SECRET)

    @pytest.mark.parametrize("now", [float("nan"), float("inf"), float("-inf")])
    def test_what_is_no_moment_is_refused(self, store, tmp_path, now):
        """Neither a step nor a new account."""
        for attempt in (store.secret, AccountStore(tmp_path / "other").create):
            with pytest.raises(ArgumentError, match="a number of seconds"):
                attempt(now)
        assert not (tmp_path / "other").exists()

    def test_nothing_of_an_old_secret_is_left(self, store, path, backend):
        """Neither in the folder, the keyring nor the object."""
        for window in range(WINDOW, WINDOW + 4):
            now = Account(ID, window, secret_for(SECRET, WINDOW, window))
            assert store.secret(at(window)) == (window, now.secret)
            assert holds(kept(path, backend), now)
            assert set(vars(store)) == {"_file", "_choice"}
            assert set(vars(store._file)) == {"path"}
            for past in range(WINDOW, window):
                assert not holds(kept(path, backend), Account(ID, past, secret_for(SECRET, WINDOW, past)))
        assert {each.name for each in path.parent.iterdir()} == {"account", ".account.lock"}
        assert backend is None or len(backend.entries) == 1

    @pytest.mark.parametrize("links", [True, False])
    def test_the_bytes_of_the_file_that_goes_are_overwritten(self, path, monkeypatch, links):
        """Who holds the old file open, as its disk blocks do, finds zeros; with or without hard links."""
        if not links:
            monkeypatch.setattr(os, "link", full)
        store = AccountStore(path)
        store.adopt(FIRST)
        with path.open("rb", buffering=0) as old:
            store.secret(at(WINDOW + 1))
            assert old.read() == bytes(104)

    def test_threads_agree(self, store):
        """Sixteen threads, windows in any order: each gets its window or a later one, and always the right secret."""
        expected = {window: secret_for(SECRET, WINDOW, window) for window in range(WINDOW, WINDOW + 20)}
        rng = random.Random(3)
        windows = [rng.randrange(WINDOW, WINDOW + 20) for _ in range(100)]
        with ThreadPoolExecutor(16) as pool:
            for asked, (window, secret) in zip(windows, pool.map(lambda w: store.secret(at(w)), windows), strict=True):
                assert window >= asked
                assert secret == expected[window]
        assert store.read().window == max(windows)


class TestFile:
    """Only its owner reads it, and damage is told."""

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_its_files_are_for_their_owner_alone(self, path, umask):
        """Mode 600 whatever the umask, from the first and after each step."""
        before = os.umask(umask)
        try:
            store = AccountStore(path)
            for step in (store.create, lambda now: store.secret(now + WINDOW_SECONDS)):
                step(NOW)
                assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
        finally:
            os.umask(before)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
    def test_a_file_others_can_reach_is_refused(self, store, path, mode):
        """The message gives the command that mends it."""
        path.chmod(mode)
        for attempt in (store.read, lambda: store.secret(NOW), lambda: store.account_id):
            with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
                attempt()

    def test_damage_of_any_byte_is_found(self, store, path):
        """Each byte, and the file stays as it is: nothing is made in its place."""
        whole = path.read_bytes()
        for position in range(len(whole)):
            for bit in (0x01, 0x20, 0x80):
                damaged = bytearray(whole)
                damaged[position] ^= bit
                path.write_bytes(damaged)
                with pytest.raises(StorageError, match=f"{path}.* from another device") as found:
                    store.secret(at(WINDOW + 1))
                assert "\n" not in str(found.value)
                assert path.read_bytes() == damaged
        path.write_bytes(whole)
        assert store.secret(NOW) == (WINDOW, SECRET)

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: b"",
            lambda data: data[:-1],
            lambda data: data + b"A",
            lambda data: data + b"\n",
            lambda data: data * 100,
            lambda data: bytes(len(data)),
            lambda data: data.lower(),
        ],
    )
    def test_a_file_of_another_form_is_damaged(self, store, path, change):
        """Cut, longer, zeros, or written by hand."""
        path.write_bytes(change(path.read_bytes()))
        with pytest.raises(StorageError, match="from another device"):
            store.read()

    def test_another_version_is_told(self, path):
        """Not as damage."""
        path.write_text(module.to_text("PRESCAN:", module._ACCOUNT_BODY.pack(2, ID, WINDOW, SECRET)))
        path.chmod(0o600)
        with pytest.raises(StorageError, match="is of version 2; this release reads 1"):
            AccountStore(path).read()

    def test_a_link_is_followed(self, path, tmp_path):
        """What the link points to is replaced and overwritten, and the link stays."""
        link = tmp_path / "link"
        link.symlink_to(path)
        AccountStore(link).adopt(FIRST)
        assert AccountStore(link).secret(at(WINDOW + 1)) == AccountStore(path).secret(NOW)
        assert link.is_symlink()
        assert not path.is_symlink()

    def test_a_leftover_that_is_a_link_is_not_followed(self, path, tmp_path):
        """Nobody has a file of theirs overwritten through it."""
        store = AccountStore(path)
        store.adopt(FIRST)
        (tmp_path / "precious").write_bytes(b"precious")
        (tmp_path / ".account.old").symlink_to(tmp_path / "precious")
        with pytest.raises(StorageError, match="can't erase"):
            store.secret(NOW)
        assert (tmp_path / "precious").read_bytes() == b"precious"


class TestMaking:
    """An account is made or adopted once."""

    def test_a_new_account_is_random_and_of_now(self, tmp_path):
        """Id and secret differ from one to the next."""
        made = [AccountStore(tmp_path / name).create(NOW) for name in "ab"]
        assert {account.window for account in made} == {WINDOW}
        assert len({account.account_id for account in made} | {account.secret[:16] for account in made}) == 4
        assert AccountStore(tmp_path / "a").read() == made[0]
        assert AccountStore(tmp_path / "a").account_id == made[0].account_id

    def test_none_is_ever_overwritten(self, store, path, backend):
        """Not even a damaged one."""
        for data in (path.read_bytes(), b"damaged"):
            path.write_bytes(data)
            before = kept(path, backend)
            for attempt in (lambda: store.create(NOW), lambda: store.adopt(FIRST)):
                with pytest.raises(KeyFileError, match="exists already"):
                    attempt()
            assert kept(path, backend) == before

    def test_many_at_once_make_one(self, path, backend):
        """One thread makes it, the others are refused."""
        barrier = threading.Barrier(8)

        def make(_: int) -> Account | None:
            barrier.wait()
            try:
                return AccountStore(path, keyring=backend).create(NOW)
            except KeyFileError:
                return None

        with ThreadPoolExecutor(8) as pool:
            made = [account for account in pool.map(make, range(8)) if account]
        assert made == [AccountStore(path, keyring=backend).read()]
        assert backend is None or len(backend.entries) == 1

    def test_where_there_is_none_it_says_so(self, path):
        """A missing account is told with what to do."""
        store = AccountStore(path)
        assert not store.exists()
        for attempt in (store.read, lambda: store.secret(NOW), lambda: store.export_for_device(NOW)):
            with pytest.raises(StorageError, match=r"no account in .*make one"):
                attempt()
        store.create(NOW)
        assert store.exists()

    @pytest.mark.parametrize("attempt", [lambda s: s.read(), lambda s: s.secret(NOW), lambda s: s.create(NOW)])
    def test_a_missing_folder_is_named(self, tmp_path, attempt):
        """One line, with the reason."""
        with pytest.raises(StorageError, match=r"nowhere.*No such file"):
            attempt(AccountStore(tmp_path / "nowhere" / "account"))

    def test_a_folder_in_its_place_is_told(self, tmp_path):
        """It is neither read nor replaced."""
        (tmp_path / "folder").mkdir()
        with pytest.raises(StorageError, match="folder: Is a directory"):
            AccountStore(tmp_path / "folder").secret(NOW)
        with pytest.raises(KeyFileError, match="exists already"):
            AccountStore(tmp_path / "folder").create(NOW)

    @pytest.mark.parametrize("values", [(ID[:15], 1, SECRET), (ID, -1, SECRET), (ID, WINDOWS, SECRET), (ID, 1, b"")])
    def test_values_of_another_length_are_no_account(self, values):
        """Refused where they are made."""
        with pytest.raises(ArgumentError):
            Account(*values)


class TestFullDisk:
    """The old secret stays, and what was begun goes."""

    @pytest.mark.parametrize("call", ["open", "fsync", "link and replace"])
    def test_a_failed_write_loses_nothing(self, store, path, backend, monkeypatch, call):
        """Whichever call fails; nothing is given, and afterwards stepping works as if nothing had been."""

        def full_open(file, flags, *rest, real=os.open):
            return full() if flags & os.O_EXCL else real(file, flags, *rest)

        with monkeypatch.context() as patched:
            if call == "open":
                patched.setattr(os, "open", full_open)
            elif call == "fsync":
                patched.setattr(os, "fsync", full)
            else:
                patched.setattr(os, "link", full)
                patched.setattr("pathlib.Path.replace", full)
            with pytest.raises(StorageError, match="No space left on device"):
                store.secret(at(WINDOW + 1))
        assert call == "fsync" or not (path.parent / ".account.new").exists()
        assert store.read() == FIRST
        assert {each.name for each in path.parent.iterdir()} == {"account", ".account.lock"}
        assert store.secret(at(WINDOW + 3)) == (WINDOW + 3, secret_for(SECRET, WINDOW, WINDOW + 3))
        assert not holds(kept(path, backend), FIRST)
        assert not holds(kept(path, backend), FIRST.at(at(WINDOW + 1)))

    def test_a_failed_first_write_leaves_none(self, path, monkeypatch):
        """Then it can be made again."""
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(StorageError, match="No space left"):
                AccountStore(path).create(NOW)
        assert not path.exists()
        AccountStore(path).create(NOW)


class TestKeyring:
    """What a keyring does and fails to do."""

    def test_the_secret_is_in_the_keyring_alone(self, path):
        """The file only names the entry; the one of the window before is deleted."""
        memory = Memory()
        store = AccountStore(path, keyring=memory)
        store.adopt(FIRST)
        assert not holds(kept(path), FIRST)
        for window in range(WINDOW, WINDOW + 3):
            store.secret(at(window))
            (((service, _), text),) = memory.entries.items()
            assert service == "prescan"
            assert Account.from_text(text) == store.read()

    def test_two_stores_on_one_machine_are_two_entries(self, tmp_path):
        """Even if both are of the same account."""
        memory = Memory()
        stores = [AccountStore(tmp_path / name, keyring=memory) for name in "ab"]
        for store in stores:
            store.adopt(FIRST)
        stores[0].secret(at(WINDOW + 1))
        assert [store.read().window for store in stores] == [WINDOW + 1, WINDOW]

    @pytest.mark.parametrize("call", ["get", "set", "delete"])
    def test_a_locked_keyring_loses_nothing(self, path, call):
        """The error says what to do, nothing is given, and later all goes on."""
        memory = Memory()
        store = AccountStore(path, keyring=memory)
        store.adopt(FIRST)
        memory.failing = call
        with pytest.raises(StorageError, match=r"KeyringLocked.*unlock it"):
            store.secret(at(WINDOW + 1))
        memory.failing = None
        assert store.secret(at(WINDOW + 2)) == (WINDOW + 2, secret_for(SECRET, WINDOW, WINDOW + 2))
        assert len(memory.entries) == 1
        assert not holds(kept(path, memory), FIRST)

    def test_a_keyring_that_forgets_is_found_out_at_once(self, path):
        """What keeps nothing gets no account."""
        with pytest.raises(StorageError, match="did not keep"):
            AccountStore(path, keyring=null.Keyring()).create(NOW)
        assert not path.exists()

    @pytest.mark.parametrize("change", [lambda text: None, lambda text: text[:-1] + "7", lambda text: ""])
    def test_a_lost_or_damaged_entry_is_told(self, path, change):
        """The message names the entry and says where to get the account again."""
        memory = Memory()
        store = AccountStore(path, keyring=memory)
        store.adopt(FIRST)
        memory.entries = {key: change(text) for key, text in memory.entries.items()}
        with pytest.raises(StorageError, match=r"entry prescan/.*from another device"):
            store.secret(NOW)

    @pytest.mark.parametrize("choice", [None, "auto"])
    def test_without_the_keyring_no_second_account_is_made(self, path, platform, choice):
        """Where the keyring can't be reached, the account is neither taken for missing nor replaced."""
        AccountStore(path, keyring=Memory()).adopt(FIRST)
        platform(fail.Keyring())
        store = AccountStore(path, keyring=choice)
        with pytest.raises(StorageError, match="in a keyring and there is none here"):
            store.secret(NOW)
        with pytest.raises(KeyFileError, match="exists already"):
            store.create(NOW)

    def test_auto_takes_the_platforms(self, path, platform):
        """An account goes where a real keyring is."""
        memory = Memory()
        platform(memory)
        store = AccountStore(path, keyring="auto")
        store.adopt(FIRST)
        assert len(memory.entries) == 1
        assert store.secret(NOW) == (WINDOW, SECRET)

    def test_auto_leaves_an_account_in_its_file(self, path, platform):
        """A keyring that comes later does not hide it."""
        AccountStore(path).adopt(FIRST)
        memory = Memory()
        platform(memory)
        assert AccountStore(path, keyring="auto").secret(at(WINDOW + 1))[0] == WINDOW + 1
        assert memory.log == []

    @pytest.mark.parametrize("priority", [-1, 0, 0.5, 0.99])
    def test_auto_takes_none_that_is_not_recommended(self, path, platform, priority):
        """Text files and worse: then ours is better."""
        memory = Memory()
        memory.priority = priority
        for weak in (memory, fail.Keyring(), null.Keyring()):
            platform(weak)
            assert platform_keyring() is None
        AccountStore(path, keyring="auto").adopt(FIRST)
        assert holds(kept(path), FIRST)

    def test_of_a_chain_the_first_is_taken(self, platform, monkeypatch):
        """A chain reads from all and deletes in one, so that an old secret could stay."""
        memory = Memory()
        platform(chainer.ChainerBackend())
        monkeypatch.setattr(chainer.ChainerBackend, "backends", [memory, Memory()])
        assert platform_keyring() is memory
        monkeypatch.setattr(chainer.ChainerBackend, "backends", [])
        assert platform_keyring() is None

    def test_without_the_package_the_file_is_used(self, path, monkeypatch):
        """It is an extra."""
        monkeypatch.setitem(sys.modules, "keyring", None)
        AccountStore(path, keyring="auto").adopt(FIRST)
        assert holds(kept(path), FIRST)

    def test_errors_do_not_repeat_what_the_keyring_says(self, path):
        """A backend's message may hold the secret; ours does not."""

        class Chatty(Memory):
            def set_password(self, service, username, password):
                raise RuntimeError(password)

        with pytest.raises(StorageError, match="RuntimeError") as found:
            AccountStore(path, keyring=Chatty()).adopt(FIRST)
        assert FIRST.to_text() not in str(found.value)
        assert found.value.__suppress_context__


class TestDevices:
    """Several devices of one account."""

    def test_two_devices_have_the_same_secrets(self, tmp_path):
        """From the window of the export on, however long either was off."""
        one, two = AccountStore(tmp_path / "one"), AccountStore(tmp_path / "two", keyring=Memory())
        one.adopt(FIRST)
        two.adopt(Account.from_text(one.export_for_device(at(WINDOW + 2))))
        assert one.account_id == two.account_id == ID
        for window in (WINDOW + 2, WINDOW + 3, WINDOW + 9):
            assert one.secret(at(window)) == two.secret(at(window))

    def test_an_export_tells_nothing_of_past_windows(self, store, path, backend):
        """It is of the window of now, and the store is stepped with it."""
        account = Account.from_text(store.export_for_device(at(WINDOW + 1)))
        assert account == Account(ID, WINDOW + 1, next_secret(SECRET)) == store.read()
        assert not holds(kept(path, backend), FIRST)

    def test_the_text_is_as_it_always_was(self):
        """Version 1, id, window and secret, then 7 bytes of SHA-256; letters of a QR code's alphanumeric mode."""
        # python3 -c 'import base64, hashlib
        # body = bytes([1, *range(16)]) + (700).to_bytes(4) + bytes(range(100, 132))
        # print(base64.b32encode(body + hashlib.sha256(b"PRESCAN:" + body).digest()[:7]))'
        assert FIRST.to_text() == (
            "PRESCAN:AEAACAQDAQCQMBYIBEFAWDANBYHQAAACXRSGKZTHNBUWU23MNVXG64DROJZXI5LWO54HS6T3PR6X474AQGBIHAQSTFRYCPFO"
        )

    @given(
        account=st.builds(
            Account,
            st.binary(min_size=16, max_size=16),
            st.integers(0, WINDOWS - 1),
            st.binary(min_size=32, max_size=32),
        ),
        width=st.integers(1, 30),
    )
    @settings(derandomize=True, deadline=None)
    def test_typed_by_hand_it_reads_back(self, account, width):
        """In small letters and with breaks."""
        text = account.to_text()
        assert len(text) == 104
        lines = "\n ".join(text[start : start + width] for start in range(0, len(text), width))
        assert Account.from_text(text) == Account.from_text(f" {lines.lower()}\t") == account

    @given(text=st.one_of(st.text(), st.text("ABCDEFGHabcdefgh234567= :ſß").map("PRESCAN:".__add__)))
    @settings(derandomize=True, deadline=None, max_examples=300)
    def test_rubbish_is_refused(self, text):
        """The one named error, in one line that repeats nothing of it."""
        with pytest.raises(ArgumentError, match=r"^(this is not )?an account's text[^\n]*$"):
            Account.from_text(text)

    def test_one_wrong_letter_is_found(self):
        """Wherever it is; so is one that is missing."""
        text = FIRST.to_text()
        for position in range(len(text)):
            other = "B" if text[position] == "A" else "A"
            for wrong in (text[:position] + other + text[position + 1 :], text[:position] + text[position + 1 :]):
                with pytest.raises(ArgumentError, match="an account's text"):
                    Account.from_text(wrong)

    @pytest.mark.parametrize("body", [b"", b"\x01", b"\x01" * 52, b"\x01" * 54])
    def test_another_length_with_a_right_checksum_is_damaged(self, body):
        """A checksum alone makes no account."""
        with pytest.raises(ArgumentError, match="damaged"):
            Account.from_text(module.to_text("PRESCAN:", body))

    def test_logs_do_not_show_the_secret(self):
        """An account can be logged."""
        assert repr(FIRST) == f"Account(account_id={ID!r}, window={WINDOW})"


FOLDER_KEYRING = """
import os, sys
from pathlib import Path
from scanner.account import Account, AccountStore

class Folder:
    '''A keyring that survives its process, and replaces an entry by deleting it first, as some do.'''
    def __init__(self, folder):
        self.folder = Path(folder)
    def get_password(self, service, username):
        path = self.folder / username
        return path.read_text() if path.exists() else None
    def set_password(self, service, username, password):
        path = self.folder / username
        path.unlink(missing_ok=True)
        path.with_suffix(".part").write_text(password)
        path.with_suffix(".part").rename(path)
    def delete_password(self, service, username):
        (self.folder / username).unlink()

def store_in(folder, kind):
    return AccountStore(Path(folder) / "account", keyring=Folder(folder) if kind == "keyring" else None)
"""

STEPPING = (
    FOLDER_KEYRING
    + """
from scanner.vouchers.header import WINDOW_SECONDS
store = store_in(sys.argv[1], sys.argv[2])
first, last = int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
for window in range(first, last):
    found, secret = store.secret(window * WINDOW_SECONDS)
    print(found, secret.hex(), flush=True)
"""
)

CRASHING = (
    FOLDER_KEYRING
    + """
import shutil, signal
from scanner.vouchers.header import WINDOW_SECONDS
from scanner.vouchers.sharing import secret_for

os.fsync = os.fstat  # a kill, unlike a power cut, loses nothing that was written
ID, SECRET, WINDOW = bytes(range(16)), bytes(range(100, 132)), 700
secrets = {window: secret_for(SECRET, WINDOW, window) for window in range(WINDOW, WINDOW + 4)}
here, kind = Path(sys.argv[1]), sys.argv[2]

def dies_at(number):
    calls = 0
    def profile(frame, event, argument):
        nonlocal calls
        if event == "c_call":
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
    return profile

number, seen = 0, set()
while True:
    number += 1
    folder = here / str(number)
    folder.mkdir()
    store = store_in(folder, kind)
    store.adopt(Account(ID, WINDOW, SECRET))
    old = (folder / "account").open("rb", buffering=0)
    child = os.fork()
    if not child:
        sys.setprofile(dies_at(number))
        store.secret((WINDOW + 1) * WINDOW_SECONDS)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert (folder / "account").exists(), number
    stored = store.read()
    seen.add(stored.window)
    assert old.read() == (folder / "account").read_bytes() or not old.seek(0) and not old.read().strip(bytes(1)), number
    for file in folder.iterdir():
        for other in {WINDOW, WINDOW + 1} - {stored.window}:
            assert file.suffix == ".part" or Account(ID, other, secrets[other]).to_text() != file.read_text(), number
    assert stored.account_id == ID and stored.secret == secrets[stored.window], number
    assert store.secret((WINDOW + 3) * WINDOW_SECONDS) == (WINDOW + 3, secrets[WINDOW + 3]), number
    files = [file for file in folder.iterdir() if file.suffix != ".part"]
    assert len(files) == (3 if kind == "keyring" else 2), (number, files)
    for file in files:
        for past in range(WINDOW, WINDOW + 3):
            assert Account(ID, past, secrets[past]).to_text()[48:80] not in file.read_text(), (number, file)
    shutil.rmtree(folder)
    if not status:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
assert seen == {WINDOW, WINDOW + 1}
print(number)
"""
)


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stepping(folder, kind: str, first: int, last: int) -> subprocess.Popen[str]:
    """Another process that steps from window to window once it is told to, and prints what it was given."""
    command = [sys.executable, "-c", STEPPING, str(folder), kind, str(first), str(last)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def start(process: subprocess.Popen[str]) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.parametrize("kind", ["file", "keyring"])
def test_a_crash_at_any_call_leaves_the_old_or_the_new(tmp_path, kind):
    """Killed before each call out of Python there is: one of the two is whole, and the next step cleans up."""
    assert int(run(CRASHING, tmp_path, kind)) > 50


def test_a_process_killed_while_it_steps_leaves_the_old_or_the_new(tmp_path):
    """After SIGKILL at any moment the stored window is the last one given, or the next, with the right secret."""
    rng = random.Random(22)
    for round_number in range(10):
        folder = tmp_path / str(round_number)
        folder.mkdir()
        AccountStore(folder / "account").adopt(FIRST)
        with stepping(folder, "file", WINDOW + 1, WINDOW + 100_000) as process:
            try:
                start(process)
                printed = [process.stdout.readline() for _ in range(rng.randrange(1, 30))]
            finally:
                process.kill()
            printed += process.stdout.readlines()
            assert process.wait(30) == -signal.SIGKILL
        last_given = int([line for line in printed if line.endswith("\n")][-1].split()[0])
        stored = AccountStore(folder / "account").read()
        assert last_given <= stored.window <= last_given + 1
        assert stored.secret == secret_for(SECRET, WINDOW, stored.window)
        assert {each.name for each in folder.iterdir()} == {"account", ".account.lock"}


@pytest.mark.parametrize("kind", ["file", "keyring"])
def test_two_processes_step_at_once(tmp_path, kind):
    """Each is given its window or a later one, never an earlier, with the secret of that window."""
    run(
        FOLDER_KEYRING + "store_in(*sys.argv[1:3]).adopt(Account.from_text(sys.argv[3]))",
        tmp_path,
        kind,
        FIRST.to_text(),
    )
    windows = range(WINDOW, WINDOW + 60)
    processes = [stepping(tmp_path, kind, windows.start, windows.stop) for _ in range(2)]
    for process in processes:
        start(process)
    for process in processes:
        lines = [line.split() for line in process.communicate(timeout=60)[0].splitlines()]
        assert process.returncode == 0
        given_windows = [int(window) for window, _ in lines]
        assert given_windows == sorted(given_windows)
        assert all(got >= asked for got, asked in zip(given_windows, windows, strict=True))
        assert all(bytes.fromhex(secret) == secret_for(SECRET, WINDOW, int(window)) for window, secret in lines)
