"""The platform's keyring, and the entries of it that a secret is put in.

In a keyring two entries take turns (a and b), since some keyrings replace an entry by deleting it first; the account's
file names the one in use, the other is deleted. A keyring overwrites or not as it likes; only an encrypted disk helps
there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, Protocol, TypeVar

from scanner.account.account import VERSION, from_text, to_text
from scanner.errors import StorageError

KEYRING_SERVICE = "prescan"
LEAST_PRIORITY = 1.0
"""Keyrings below are those that ``keyring`` itself does not recommend: none, or text files without a password."""

ENTRY = "PRESCAN-KEYRING:"
"""A file that begins with it names an entry."""

_ENTRY_BODY = struct.Struct(">B16s?")  # version, name of the entries, whether b is in use
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


class Entry(NamedTuple):
    """Where in the keyring the secret is.

    What asks the keyring raises :class:`StorageError` if it fails, or did not keep what it was given.
    """

    name: bytes
    is_b: bool

    @property
    def user(self) -> str:
        """What the keyring takes for the user's name."""
        return f"{self.name.hex()}-{'b' if self.is_b else 'a'}"

    def other(self) -> Entry:
        """The one that takes turns with this."""
        return Entry(self.name, not self.is_b)

    def to_text(self) -> str:
        """Write for the account's file."""
        return to_text(ENTRY, _ENTRY_BODY.pack(VERSION, *self))

    @classmethod
    def from_text(cls, text: str) -> Entry:
        """Read what :meth:`to_text` wrote.

        Raises:
            ArgumentError: it is damaged, or of another version.
        """
        _, name, is_b = _ENTRY_BODY.unpack(from_text(ENTRY, text, _ENTRY_BODY.size, "a keyring entry's name"))
        return cls(name, is_b)

    def get(self, backend: Keyring) -> str | None:
        """The entry's text, or None if there is none."""
        return _asked(lambda: backend.get_password(KEYRING_SERVICE, self.user))

    def put(self, backend: Keyring, text: str) -> None:
        """Make the entry, and look whether it was kept."""
        _asked(lambda: backend.set_password(KEYRING_SERVICE, self.user, text))
        if self.get(backend) != text:
            raise StorageError("the keyring did not keep the account's secret; use another keyring, or the file")

    def forget(self, backend: Keyring) -> None:
        """Delete the entry, if it is there."""
        if self.get(backend) is not None:
            _asked(lambda: backend.delete_password(KEYRING_SERVICE, self.user))


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
