"""The account's secret on the device, kept so that past windows can't be read from it.

Rules: one window's secret is there at a time; the next one is stored before it is handed out, and then the old one is
erased; windows never go back, whatever the clock says; what was stored is never lost to a crash.

An account is shared by the devices of one user. Its secret is in the platform's keyring, or in a file of mode 600 that
holds the text of :meth:`Account.to_text`. With a keyring the file names the entry there, so that the secret is looked
for where it was put. Beside a file ``f`` stand::

    .f.lock   empty, for ever: whoever holds its lock may read and write
    .f.new    while it is written, the file to come
    .f.old    a second name of the file that goes, until its bytes are overwritten

After a crash the next call overwrites and removes the last two. In a keyring two entries take turns (a and b), since
some keyrings replace an entry by deleting it first; the file names the one in use, the other is deleted.

What overwriting can't reach: flash memory writes new cells and keeps the old ones for a while; file systems that copy
on write (Btrfs, ZFS, APFS) or journal data (ext4 with ``data=journal``) keep old blocks; so do snapshots, backups and
swap. A power cut between two steps can lose the second name. A keyring overwrites or not as it likes. Only an encrypted
disk helps there. Of this process's memory see :meth:`scanner.vouchers.sharing.WindowShares.erase`.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import math
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar

from scanner.errors import ArgumentError, KeyFileError, StorageError
from scanner.vouchers.header import WINDOWS, window_at
from scanner.vouchers.sharing import ACCOUNT_BYTES, MOST_STEPS, SECRET_BYTES, secret_for

VERSION = 1
KEYRING_SERVICE = "prescan"
LEAST_PRIORITY = 1.0
"""Keyrings below are those that ``keyring`` itself does not recommend: none, or text files without a password."""

_ACCOUNT = "PRESCAN:"
_ENTRY = "PRESCAN-KEYRING:"
_CHECK_BYTES = 7  # makes an account 60 bytes: base32 without padding
_ACCOUNT_BODY = struct.Struct(f">B{ACCOUNT_BYTES}sI{SECRET_BYTES}s")  # version, account id, window, its secret
_ENTRY_BODY = struct.Struct(">B16s?")  # version, name of the entries, whether b is in use
_MOST_BYTES = 1 << 12
_Result = TypeVar("_Result")


class Keyring(Protocol):
    """What is used of a backend of the package ``keyring``."""

    def get_password(self, service: str, username: str) -> str | None:
        """The text of an entry, or None if there is none."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Make or replace an entry."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Delete an entry that is there."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """An account in one window. The secret is not shown in logs.

    Attributes:
        account_id: 16 bytes.
        window: number of the window.
        secret: K_w, 32 bytes.

    Raises:
        ArgumentError: a value is of another length or out of range.
    """

    account_id: bytes
    window: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.account_id) != ACCOUNT_BYTES:
            raise ArgumentError(f"an account id has {ACCOUNT_BYTES} bytes, this has {len(self.account_id)}")
        if not 0 <= self.window < WINDOWS:
            raise ArgumentError(f"a window is 0 to {WINDOWS - 1}, not {self.window}")
        if len(self.secret) != SECRET_BYTES:
            raise ArgumentError(f"a window's secret has {SECRET_BYTES} bytes, this has {len(self.secret)}")

    def at(self, now: float) -> Account:
        """The account in the window of a moment, in seconds since 1970; itself if that is not a later one.

        Raises:
            ArgumentError: that window is more than :data:`MOST_STEPS` later, or ``now`` is no number.
        """
        window = _window_of(now)
        if window <= self.window:
            return self
        if window - self.window > MOST_STEPS:
            raise ArgumentError(
                f"the clock says window {window}, more than {MOST_STEPS} after the stored {self.window}; set it right"
            )
        return Account(self.account_id, window, secret_for(self.secret, self.window, window))

    def to_text(self) -> str:
        """Write all that another device of the account needs: 104 characters, of a QR code's alphanumeric mode.

        Whoever reads this text has the account's secrets of its window and of every later one, for ever: together with
        the opener they read every voucher of the account, below the threshold too. Show it to another device of the
        same user alone; don't send, store or print it. It can't be revoked, only left behind by making a new account.
        """
        return _to_text(_ACCOUNT, _ACCOUNT_BODY.pack(VERSION, self.account_id, self.window, self.secret))

    @classmethod
    def from_text(cls, text: str) -> Account:
        """Read the text that another device of the user shows; case and white space don't matter.

        The checksum finds errors, not malice: whoever made the text knows the account's secrets. Take it from a device
        of the user's own alone.

        Raises:
            ArgumentError: it is no account's text, damaged, or of another version.
        """
        body = _from_text(_ACCOUNT, "".join(text.split()).upper(), _ACCOUNT_BODY.size, "an account's text")
        _, account_id, window, secret = _ACCOUNT_BODY.unpack(body)
        return cls(account_id, window, secret)


class _Entry(NamedTuple):
    """Where in the keyring the secret is."""

    name: bytes
    is_b: bool

    @property
    def user(self) -> str:
        return f"{self.name.hex()}-{'b' if self.is_b else 'a'}"

    def other(self) -> _Entry:
        return _Entry(self.name, not self.is_b)

    def to_text(self) -> str:
        return _to_text(_ENTRY, _ENTRY_BODY.pack(VERSION, *self))

    @classmethod
    def from_text(cls, text: str) -> _Entry:
        _, name, is_b = _ENTRY_BODY.unpack(_from_text(_ENTRY, text, _ENTRY_BODY.size, "a keyring entry's name"))
        return cls(name, is_b)


class AccountStore:
    """One account on this device. Safe to use from many threads and processes; holds no secret between calls.

    A call waits while another process steps the secret. Every call reads what is stored, so that all agree on the
    window; with a keyring that takes milliseconds.

    Args:
        path: the file; links are followed once, here.
        keyring: where a new account's secret is put. ``"auto"``: the keyring of the platform if the package
            ``keyring`` is there and finds one it recommends, else the file. A :class:`Keyring`: that one. ``None``: the
            file; an account whose secret was put into a keyring is then refused. One that is in a file stays there.
    """

    def __init__(self, path: str | os.PathLike[str], *, keyring: Keyring | Literal["auto"] | None = None) -> None:
        self._path = Path(os.path.realpath(path))
        self._choice = keyring

    def exists(self) -> bool:
        """Whether there is an account, or something else in its place."""
        return os.path.lexists(self._path)

    def create(self, now: float) -> Account:
        """Make a new, random account in the window of a moment, in seconds since 1970.

        Raises:
            KeyFileError: there is one already; it stays as it is.
            StorageError: it can't be stored; then there is none.
        """
        return self.adopt(
            Account(secrets.token_bytes(ACCOUNT_BYTES), _window_of(now), secrets.token_bytes(SECRET_BYTES))
        )

    def adopt(self, account: Account) -> Account:
        """Keep an account that another device of the user has; errors as for :meth:`create`."""
        with self._locked():
            if self.exists():
                raise KeyFileError(f"{self._path} exists already; accounts are never overwritten")
            backend = self._backend()
            before = None if backend is None else _Entry(secrets.token_bytes(16), is_b=True)
            self._save(account, before, backend)
        return account

    @property
    def account_id(self) -> bytes:
        """The account's id, 16 bytes; errors as for :meth:`read`."""
        return self.read().account_id

    def read(self) -> Account:
        """The account as it is stored, perhaps in a window that is past.

        Raises:
            KeyFileError: others can read or write the file.
            StorageError: there is none, or it is damaged, of another version or can't be read.
        """
        with self._locked():
            return self._load()[0]

    def secret(self, now: float) -> tuple[int, bytes]:
        """The window a moment, in seconds since 1970, counts in, and its secret K_w, 32 bytes.

        If the moment is in a later window than the stored one, the secret is stepped forward, stored, and the old one
        erased before this returns. Call it when the program starts and now and then, not only when there is a match:
        until it is called, the secret of the past window stays.

        A clock set back gives the stored, later window again. A clock set ahead therefore takes the account along:
        nothing goes back, and until time catches up vouchers are made in that later window, apart from those of the
        account's other devices. If that is too long, remove the file and adopt the account again from a device whose
        clock was right, or make a new one. Only a clock more than :data:`MOST_STEPS` windows ahead is refused.

        Raises:
            ArgumentError: the clock is that far ahead, or ``now`` is no number; nothing changed.
            KeyFileError, StorageError: as for :meth:`read`, or the new secret can't be stored or the old one not be
                erased. The one or the other is stored, and another call tries again.
        """
        account = self._stepped(now)
        return account.window, account.secret

    def export_for_device(self, now: float) -> str:
        """The text for another device of the user, of the window of now; see the warning of :meth:`Account.to_text`.

        Args and errors as for :meth:`secret`. The other device does ``adopt(Account.from_text(text))``.
        """
        return self._stepped(now).to_text()

    def _stepped(self, now: float) -> Account:
        with self._locked():
            account, entry, backend = self._load()
            stepped = account.at(now)
            if stepped.window > account.window:
                self._save(stepped, entry, backend)
        return stepped

    def _load(self) -> tuple[Account, _Entry | None, Keyring | None]:
        """Read, and erase the keyring's entry that a crash may have left."""
        entry, backend, text = None, None, self._read_file()
        where = str(self._path)
        try:
            if text.startswith(_ENTRY):
                entry = _Entry.from_text(text)
                backend, where = self._needed_backend(), f"the keyring's entry {KEYRING_SERVICE}/{entry.user}"
                self._forget(backend, entry.other())
                text = self._get(backend, entry) or ""
            account = Account.from_text(text)
            if account.to_text() != text:
                raise ArgumentError("this is not an account's text as it was written")
        except ArgumentError as error:
            raise StorageError(
                f"{where}: {error}; if it stays so, remove {self._path} and take the account from another device of it"
            ) from None
        return account, entry, backend

    def _save(self, account: Account, entry: _Entry | None, backend: Keyring | None) -> None:
        """Store an account, then erase the one before; ``entry`` is the one in use so far."""
        if entry is None or backend is None:
            self._replace_file(account.to_text())
            return
        following = entry.other()
        _asked(lambda: backend.set_password(KEYRING_SERVICE, following.user, account.to_text()))
        if self._get(backend, following) != account.to_text():
            raise StorageError("the keyring did not keep the account's secret; use another keyring, or the file")
        self._replace_file(following.to_text())
        self._forget(backend, entry)

    def _get(self, backend: Keyring, entry: _Entry) -> str | None:
        return _asked(lambda: backend.get_password(KEYRING_SERVICE, entry.user))

    def _forget(self, backend: Keyring, entry: _Entry) -> None:
        if self._get(backend, entry) is not None:
            _asked(lambda: backend.delete_password(KEYRING_SERVICE, entry.user))

    def _backend(self) -> Keyring | None:
        return platform_keyring() if self._choice == "auto" else self._choice

    def _needed_backend(self) -> Keyring:
        backend = self._backend()
        if backend is None:
            raise StorageError(
                f"the secret of {self._path} is in a keyring and there is none here; log in where it was made"
            )
        return backend

    def _read_file(self) -> str:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise KeyFileError(f"{self._path} can be read by others; run: chmod 600 {self._path}")
                return file.read(_MOST_BYTES).decode("ascii", "replace")
        except FileNotFoundError:
            raise StorageError(f"there is no account in {self._path}; make one, or take one from a device") from None
        except OSError as error:
            raise StorageError(f"can't read the account {self._path}: {error.strerror or error}") from error

    def _beside(self, suffix: str) -> Path:
        return self._path.parent / f".{self._path.name}.{suffix}"

    def _replace_file(self, text: str) -> None:
        new, old = self._beside("new"), self._beside("old")
        try:
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(text.encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            with _overwritten_afterwards(self._path):
                with suppress(OSError):  # there is none yet, or the file system has no second names
                    os.link(self._path, old)
                new.replace(self._path)
                self._sync_folder()
            old.unlink(missing_ok=True)
            self._sync_folder()
        except OSError as error:
            with suppress(StorageError):
                self._erase_leftovers()
            raise StorageError(f"can't write the account {self._path}: {error.strerror or error}") from error

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _erase_leftovers(self) -> None:
        for leftover in (self._beside("new"), self._beside("old")):
            try:
                if not os.path.lexists(leftover):
                    continue
                if not (self._path.exists() and leftover.samefile(self._path)):
                    with _overwritten_afterwards(leftover):
                        self._sync_folder()  # what took its place must be there to stay
                leftover.unlink()
            except OSError as error:
                raise StorageError(f"can't erase {leftover}: {error.strerror or error}; remove it") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep out other processes, and other threads: each opens the lock's file anew."""
        try:
            lock = os.open(self._beside("lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StorageError(f"can't use the folder of {self._path}: {error.strerror or error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._erase_leftovers()
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child forked meanwhile has it too
            os.close(lock)


def platform_keyring() -> Keyring | None:
    """The platform's keyring; None if there is none that ``keyring`` recommends, or that package isn't there.

    Raises:
        StorageError: it can't be asked.
    """
    try:
        package, chainer = import_module("keyring"), import_module("keyring.backends.chainer")
    except ImportError:
        return None

    def best() -> Keyring | None:
        backend = package.get_keyring()
        if isinstance(backend, chainer.ChainerBackend):  # writes to the first of these, but reads from all
            backend = next(iter(backend.backends), None)
        return backend if backend is not None and backend.priority >= LEAST_PRIORITY else None

    return _asked(best)


def _asked(ask: Callable[[], _Result]) -> _Result:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - backends raise what their platform does
        kind = type(error).__name__  # no more: what it says could hold the secret
        raise StorageError(f"the keyring failed ({kind}); is it unlocked? unlock it and try again") from None


@contextmanager
def _overwritten_afterwards(path: Path) -> Iterator[None]:
    """Hold on to a file, if there is one, while another takes its name; then overwrite what it held."""
    try:
        held = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield
        return
    try:
        yield
        os.pwrite(held, bytes(os.fstat(held).st_size), 0)
        os.fsync(held)
    finally:
        os.close(held)


def _window_of(now: float) -> int:
    if not math.isfinite(now):
        raise ArgumentError(f"a moment is a number of seconds since 1970, not {now}")
    return window_at(now)


def _check(label: str, body: bytes) -> bytes:
    return hashlib.sha256(label.encode("ascii") + body).digest()[:_CHECK_BYTES]


def _to_text(label: str, body: bytes) -> str:
    return label + base64.b32encode(body + _check(label, body)).decode("ascii").rstrip("=")


def _from_text(label: str, text: str, size: int, what: str) -> bytes:
    """The body, whose first byte is the version."""
    if not text.startswith(label):
        raise ArgumentError(f"this is not {what}; it begins with {label}")
    digits = text.removeprefix(label)
    try:
        data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    except (binascii.Error, ValueError):
        raise ArgumentError(f"{what} is damaged; copy it again, whole") from None
    body = data[:-_CHECK_BYTES]
    if not body or data[-_CHECK_BYTES:] != _check(label, body):
        raise ArgumentError(f"{what} is damaged; copy it again, whole")
    if body[0] != VERSION:
        raise ArgumentError(f"{what} is of version {body[0]}; this release reads {VERSION}")
    if len(body) != size:
        raise ArgumentError(f"{what} is damaged; copy it again, whole")
    return body
