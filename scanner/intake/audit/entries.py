"""What the audit log says: one entry for each thing done, in one encoding.

An entry is the deterministic CBOR of ``[version, kind, at, {field: value}]``; a leaf of the log is the hash of its
bytes. Rules: a kind's fields never change within a version; entries hold digests of what may be deleted, never the
thing; nothing in them names a person.

    enrolment          device, account, public_key, token         token: hash of the one-time token, or null
    revocation         device, by
    token              token, account, expires, by
    receipt            device, window, slot, digest               digest: SHA-256 of the voucher
    export             export, by, before, through, windows, vouchers, digest, listed
                                                                  listed: of listed_bytes of each window, in order
    opening            opening, by, account, window, result, vouchers, digest
    case               case, account, window, opening, matches    matches: SHA-256 of each, in order
    note               note, case, by, digest
    decision           case, round, by, outcome, digest           digest: SHA-256 of the reason
    closing            case, outcome
    report             case, by, format, digest
    expiry             account, window, vouchers, digest, exports
                                                                  digest: of the vouchers' digests, one after another;
                                                                  exports: ids of those that name the window no more
    case-expiry        case
    operator           operator, name, scopes, secret, by         secret: SHA-256 of the stored argon2 text
    operator-revoked   operator, by
    login              operator, session
    logout             operator, session
    hook               hook, by, url, events                      url: its SHA-256
    hook-disabled      hook, by, why
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cbor2

from scanner.errors import VoucherError
from scanner.vouchers.cose import number

VERSION = 1

KINDS: dict[str, frozenset[str]] = {
    "enrolment": frozenset({"device", "account", "public_key", "token"}),
    "revocation": frozenset({"device", "by"}),
    "token": frozenset({"token", "account", "expires", "by"}),
    "receipt": frozenset({"device", "window", "slot", "digest"}),
    "export": frozenset({"export", "by", "before", "through", "windows", "vouchers", "digest", "listed"}),
    "opening": frozenset({"opening", "by", "account", "window", "result", "vouchers", "digest"}),
    "case": frozenset({"case", "account", "window", "opening", "matches"}),
    "note": frozenset({"note", "case", "by", "digest"}),
    "decision": frozenset({"case", "round", "by", "outcome", "digest"}),
    "closing": frozenset({"case", "outcome"}),
    "report": frozenset({"case", "by", "format", "digest"}),
    "expiry": frozenset({"account", "window", "vouchers", "digest", "exports"}),
    "case-expiry": frozenset({"case"}),
    "operator": frozenset({"operator", "name", "scopes", "secret", "by"}),
    "operator-revoked": frozenset({"operator", "by"}),
    "login": frozenset({"operator", "session"}),
    "logout": frozenset({"operator", "session"}),
    "hook": frozenset({"hook", "by", "url", "events"}),
    "hook-disabled": frozenset({"hook", "by", "why"}),
}
"""The fields of each kind."""


def listed_bytes(account: bytes, window: int, vouchers: int) -> bytes:
    """One account's window in an export, and how many vouchers it has there, as ``listed`` is the digest of."""
    return cbor2.dumps([account, window, vouchers], canonical=True)


def receipt_bytes(at: int, device: bytes, window: int, slot: int, digest: bytes) -> bytes:
    """The bytes of a ``receipt``, as :meth:`Entry.to_bytes` would write them, in a fifth of the time.

    Args:
        at: seconds since 1970.
        device: id, 16 bytes.
        window: of its place.
        slot: of its place.
        digest: SHA-256 of the voucher, 32 bytes.
    """
    return b"".join(
        (
            b"\x84\x01\x67receipt", number(at), b"\xa4\x64slot", number(slot), b"\x66device\x50", device,
            b"\x66digest\x58\x20", digest, b"\x66window", number(window),
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        kind: one of ``KINDS``.
        at: seconds since 1970.
        fields: by name, exactly those of the kind; bytes, text, integers, null and lists of them.
    """

    kind: str
    at: int
    fields: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Write the entry: what its leaf is the hash of."""
        assert KINDS[self.kind] == self.fields.keys(), self.kind
        return cbor2.dumps([VERSION, self.kind, self.at, dict(self.fields)], canonical=True)

    @classmethod
    def from_bytes(cls, body: bytes) -> Entry:
        """Read an entry, in its one encoding alone.

        Raises:
            VoucherError: ``malformed``, or ``unknown-version``.
        """
        try:
            value = cbor2.loads(body)
            canonical = cbor2.dumps(value, canonical=True)
        except Exception as error:
            raise VoucherError("malformed", "the log's entry is not valid CBOR") from error
        match value:
            case [int(version), str(kind), int(at), dict(fields)] if canonical == body:
                if version != VERSION:
                    raise VoucherError("unknown-version", f"the log's entry is of version {version}, not {VERSION}")
                if KINDS.get(kind) == fields.keys():
                    return cls(kind, at, fields)
        raise VoucherError("malformed", "the log's entry has not the fields of its kind")
