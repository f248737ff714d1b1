"""The file of an account, replaced so that nothing is left of the one before.

Rules: only its owner reads it; it is written whole before it takes the name; then the bytes of the one before are
overwritten.

Beside a file ``f`` stand::

    .f.lock   empty, for ever: whoever holds its lock may read and write
    .f.new    while it is written, the file to come
    .f.old    a second name of the file that goes, until its bytes are overwritten

After a crash the next call overwrites and removes the last two.

What overwriting can't reach: flash memory writes new cells and keeps the old ones for a while; file systems that copy
on write (Btrfs, ZFS, APFS) or journal data (ext4 with ``data=journal``) keep old blocks; so do snapshots, backups and
swap. A power cut between two steps can lose the second name. Only an encrypted disk helps there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scanner.errors import KeyFileError, StorageError
from scanner.files import sync_folder

_MOST_BYTES = 1 << 12


class AccountFile:
    """The file and what stands beside it. Read and replace it in a block of :meth:`locked`.

    Args:
        path: the file; links are followed once, here.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.realpath(path))

    def read(self) -> str:
        """What it holds.

        Raises:
            KeyFileError: others can read or write it.
            StorageError: there is none, or it can't be read.
        """
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise KeyFileError(f"{self.path} can be read by others; run: chmod 600 {self.path}")
                return file.read(_MOST_BYTES).decode("ascii", "replace")
        except FileNotFoundError:
            raise StorageError(f"there is no account in {self.path}; make one, or take one from a device") from None
        except OSError as error:
            raise StorageError(f"can't read the account {self.path}: {error.strerror or error}") from error

    def replace(self, text: str) -> None:
        """Store a text, then erase the one before, if there is one.

        Raises:
            StorageError: the text can't be stored or the one before not be erased; the one or the other is stored.
        """
        new, old = self._beside("new"), self._beside("old")
        try:
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(text.encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            with _overwritten_afterwards(self.path):
                with suppress(OSError):  # there is none yet, or the file system has no second names
                    os.link(self.path, old)
                new.replace(self.path)
                sync_folder(self.path.parent)
            old.unlink(missing_ok=True)
            sync_folder(self.path.parent)
        except OSError as error:
            with suppress(StorageError):
                self._erase_leftovers()
            raise StorageError(f"can't write the account {self.path}: {error.strerror or error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep out other processes, and other threads: each opens the lock's file anew.

        Raises:
            StorageError: the folder can't be used, or what a crash left not be erased.
        """
        try:
            lock = os.open(self._beside("lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StorageError(f"can't use the folder of {self.path}: {error.strerror or error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._erase_leftovers()
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child forked meanwhile has it too
            os.close(lock)

    def _beside(self, suffix: str) -> Path:
        return self.path.parent / f".{self.path.name}.{suffix}"

    def _erase_leftovers(self) -> None:
        for leftover in (self._beside("new"), self._beside("old")):
            try:
                if not os.path.lexists(leftover):
                    continue
                if not (self.path.exists() and leftover.samefile(self.path)):
                    with _overwritten_afterwards(leftover):
                        sync_folder(self.path.parent)  # what took its place must be there to stay
                leftover.unlink()
            except OSError as error:
                raise StorageError(f"can't erase {leftover}: {error.strerror or error}; remove it") from error


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
