"""The account's secret on the device, kept so that past windows can't be read from it.

Rules: one window's secret is there at a time; the next one is stored before it is handed out, and then the old one is
erased; windows never go back, whatever the clock says; what was stored is never lost to a crash.

The secret is in the platform's keyring, or in a file of mode 600 that holds the text of :meth:`Account.to_text`. With a
keyring the file names the entry there, so that the secret is looked for where it was put. What erasing can't reach is
told in :mod:`scanner.account.file` and :mod:`scanner.account.keyring`. Of this process's memory see
:meth:`scanner.vouchers.sharing.WindowShares.erase`.
"""

from __future__ import annotations

import os
import secrets
from typing import Literal

from scanner.account.account import Account, window_of
from scanner.account.file import AccountFile
from scanner.account.keyring import ENTRY, KEYRING_SERVICE, Entry, Keyring, platform_keyring
from scanner.errors import ArgumentError, KeyFileError, StorageError
from scanner.vouchers.sharing import ACCOUNT_BYTES, SECRET_BYTES


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
        self._file = AccountFile(path)
        self._choice = keyring

    def exists(self) -> bool:
        """Whether there is an account, or something else in its place."""
        return os.path.lexists(self._file.path)

    def create(self, now: float) -> Account:
        """Make a new, random account in the window of a moment, in seconds since 1970.

        Raises:
            KeyFileError: there is one already; it stays as it is.
            StorageError: it can't be stored; then there is none.
        """
        return self.adopt(
            Account(secrets.token_bytes(ACCOUNT_BYTES), window_of(now), secrets.token_bytes(SECRET_BYTES))
        )

    def adopt(self, account: Account) -> Account:
        """Keep an account that another device of the user has; errors as for :meth:`create`."""
        with self._file.locked():
            if self.exists():
                raise KeyFileError(f"{self._file.path} exists already; accounts are never overwritten")
            backend = self._backend()
            before = None if backend is None else Entry(secrets.token_bytes(16), is_b=True)
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
        with self._file.locked():
            return self._load()[0]

    def secret(self, now: float) -> tuple[int, bytes]:
        """The window a moment, in seconds since 1970, counts in, and its secret K_w, 32 bytes.

        If the moment is in a later window than the stored one, the secret is stepped forward, stored, and the old one
        erased before this returns. Call it when the program starts and now and then, not only when there is a match:
        until it is called, the secret of the past window stays.

        A clock set back gives the stored, later window again. A clock set ahead therefore takes the account along:
        nothing goes back, and until time catches up vouchers are made in that later window, apart from those of the
        account's other devices. If that is too long, remove the file and adopt the account again from a device whose
        clock was right, or make a new one. Only a clock more than :data:`scanner.vouchers.sharing.MOST_STEPS` windows
        ahead is refused.

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
        with self._file.locked():
            account, entry, backend = self._load()
            stepped = account.at(now)
            if stepped.window > account.window:
                self._save(stepped, entry, backend)
        return stepped

    def _load(self) -> tuple[Account, Entry | None, Keyring | None]:
        """Read, and erase the keyring's entry that a crash may have left."""
        entry, backend, text = None, None, self._file.read()
        where = str(self._file.path)
        try:
            if text.startswith(ENTRY):
                entry = Entry.from_text(text)
                backend, where = self._needed_backend(), f"the keyring's entry {KEYRING_SERVICE}/{entry.user}"
                entry.other().forget(backend)
                text = entry.get(backend) or ""
            account = Account.from_text(text)
            if account.to_text() != text:
                raise ArgumentError("this is not an account's text as it was written")
        except ArgumentError as error:
            raise StorageError(
                f"{where}: {error}; if it stays so, remove {self._file.path} "
                "and take the account from another device of it"
            ) from None
        return account, entry, backend

    def _save(self, account: Account, entry: Entry | None, backend: Keyring | None) -> None:
        """Store an account, then erase the one before; ``entry`` is the one in use so far."""
        if entry is None or backend is None:
            self._file.replace(account.to_text())
            return
        following = entry.other()
        following.put(backend, account.to_text())
        self._file.replace(following.to_text())
        entry.forget(backend)

    def _backend(self) -> Keyring | None:
        return platform_keyring() if self._choice == "auto" else self._choice

    def _needed_backend(self) -> Keyring:
        backend = self._backend()
        if backend is None:
            raise StorageError(
                f"the secret of {self._file.path} is in a keyring and there is none here; log in where it was made"
            )
        return backend
