"""The policy a device acts under, kept with the rules by which it may change.

A policy counts from its day on; until then the one before it stays in force. What is kept are policies, not messages: a
message bears signatures of keys that a later policy may not name any more.
"""

from __future__ import annotations

import os
from pathlib import Path

import cbor2

from scanner.errors import StorageError, VoucherError
from scanner.files import replace_file
from scanner.vouchers.header import day_at
from scanner.vouchers.policies import PinnedSigners, Policy, SignedPolicy, check_successor, read

_KIND = "prescan policies 1"


def read_policy(path: str | os.PathLike[str]) -> SignedPolicy:
    """Read a policy's file and check the signatures in it; whom they are by, the caller judges.

    Raises:
        StorageError: the file can't be read.
        VoucherError: it is no policy, or a signature does not hold.
    """
    try:
        message = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"can't read the policy {path}: {error.strerror or error}") from error
    return read(message)


class PolicyStore:
    """Keeps the accepted policy, and the one in force until its day comes, in one file.

    Args:
        path: the file; missing until a policy is accepted.
        pinned: whose signatures the first policy needs; built into the client.
    """

    def __init__(self, path: str | os.PathLike[str], pinned: PinnedSigners) -> None:
        self._path = Path(path)
        self._pinned = pinned

    def accept(self, message: bytes, now: float) -> Policy:
        """Accept a signed policy, or refuse it and stay with the one before.

        Args:
            message: as it came.
            now: seconds since 1970.

        Returns:
            the accepted policy; it may not be in force yet.

        Raises:
            VoucherError: ``rollback``, ``not-enough-signatures``, ``threshold-too-low``, ``bad-signature`` and others:
                see :mod:`scanner.vouchers.policies`.
            StorageError: the file can't be read or written.
        """
        accepted, before = self._load()
        policy = check_successor(accepted, self._pinned, message)
        if policy == accepted:
            return policy
        in_force = accepted if accepted is not None and accepted.not_before <= day_at(now) else before
        kept = [policy.to_bytes(), *([in_force.to_bytes()] if in_force is not None else [])]
        replace_file(self._path, [cbor2.dumps([_KIND, kept], canonical=True)])
        return policy

    def in_force(self, now: float) -> Policy | None:
        """The policy of a moment, in seconds since 1970; None if none has been accepted, or its day has not come.

        Raises:
            StorageError: the file can't be read or is damaged.
        """
        accepted, before = self._load()
        return accepted if accepted is not None and accepted.not_before <= day_at(now) else before

    def _load(self) -> tuple[Policy | None, Policy | None]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None, None
        except OSError as error:
            raise StorageError(f"can't read the policies {self._path}: {error.strerror or error}") from error
        try:
            match cbor2.loads(data):
                case [kind, [bytes(accepted)]] if kind == _KIND:
                    return Policy.from_bytes(accepted), None
                case [kind, [bytes(accepted), bytes(before)]] if kind == _KIND:
                    return Policy.from_bytes(accepted), Policy.from_bytes(before)
            raise ValueError("another kind of file")
        except (VoucherError, ValueError, cbor2.CBORDecodeError) as error:
            raise StorageError(
                f"the policies {self._path} are damaged ({error}); remove the file to start anew"
            ) from error
