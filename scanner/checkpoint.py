"""The checkpoint media passes before it is encrypted: scan, and on a match seal a voucher into the outbox.

Rules:
1. Nothing raises in the middle of sending: every fault becomes a verdict, and the profile says what to do about it.
2. A voucher is safely in the outbox before the verdict is given. Without a match nothing is stored and nothing leaves.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from scanner.errors import ArgumentError
from scanner.media import Source
from scanner.outbox import Outbox
from scanner.pipeline import Scanner
from scanner.policy import judge_error
from scanner.types import Verdict
from scanner.vouchers import DeviceSealer, Payload
from scanner.vouchers.field import to_bytes
from scanner.vouchers.schedule import slots_due
from scanner.vouchers.terms import AccountShares

_COUNTS_TOGETHER = 32
"""Scans are written into the user's ledger so many at a time, at each match and at each tick."""

_log = logging.getLogger(__name__)


class WindowSecrets(Protocol):
    """Where an account's secret comes from; :class:`scanner.account.AccountStore` is one."""

    def secret(self, now: float) -> tuple[int, bytes]:
        """The window a moment, in seconds since 1970, counts in, never one before the last, and its secret."""
        ...


class Checkpoint:
    """What a messaging client calls before it encrypts: scan, and on a match seal a voucher into the outbox.

    Call :meth:`tick` each quarter of an hour, and when the client starts: it leaves no secret of a past window behind.
    With a policy of profile ``covered`` a match waits for the next slot, and the slots are filled there too.

    Args:
        scanner: the scanner.
        sealer: seals matches with the device's key under its policy.
        outbox: where vouchers wait for delivery.
        secrets: the account's window secrets.
        build: names the client's build in vouchers; up to 32 bytes.
        clock: gives the time in seconds since 1970; read once a check.

    Raises:
        ArgumentError: the policy is for another list, or the list matches more than the policy allows.
    """

    def __init__(
        self,
        scanner: Scanner,
        sealer: DeviceSealer,
        outbox: Outbox,
        secrets: WindowSecrets,
        *,
        build: bytes = b"",
        clock: Callable[[], float] = time.time,
    ) -> None:
        header, policy = scanner.known.header, sealer.policy
        if policy.hashset_digest != scanner.known.digest:
            raise ArgumentError(
                f"the policy is for another edition of the list than {header.name} epoch {header.epoch}"
            )
        if header.radius > policy.radius or header.quality_floor < policy.quality_floor:
            raise ArgumentError("the list matches more than the policy allows: its radius or quality floor differs")
        self._scanner = scanner
        self._sealer = sealer
        self._outbox = outbox
        self._secrets = secrets
        self._build = build
        self._clock = clock
        self._counting = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._sharing = threading.Lock()  # held while shares are used, so that none are erased under a seal
        self._shares: AccountShares | None = None

    def check(self, source: Source) -> Verdict:
        """Scan one picture or video; on a match its voucher is on disk when this returns. Never raises."""
        return self.record(self._scanner.scan(source))

    async def check_async(self, source: Source) -> Verdict:
        """The same without blocking the event loop."""
        verdict = await self._scanner.scan_async(source)
        return await asyncio.to_thread(self.record, verdict)

    def tick(self) -> int:
        """Write down what was counted, step the account's secret on, and fill the slots whose time has come, if any.

        Returns:
            how many vouchers were made.

        Raises:
            StorageError: nothing was stored.
        """
        now = self._clock()
        self._write_counts(now)
        with self._sharing:
            shares = self._shares_at(now)
            return self._fill_slots(shares, now) if self._sealer.terms.covered else 0

    def _fill_slots(self, shares: AccountShares, now: float) -> int:
        window, slots = slots_due(self._sealer.device_id, now)
        if window != shares.window:  # the clock was set back: the slots of the later window have their time again
            return 0

        def content_of(payload: bytes) -> bytes:
            return to_bytes(shares.share(Payload.from_bytes(payload).content_id).shown.x)

        def seal(payload: bytes, slot: int) -> bytes:
            matched = Payload.from_bytes(payload)
            # It may have waited through a change of policy: a voucher names the same one outside and inside.
            matched = dataclasses.replace(matched, policy_digest=self._sealer.policy_digest)
            return self._sealer.seal(matched, shares, slot)

        return self._outbox.fill(
            window, slots, content_of, seal, lambda slot: self._sealer.seal_dummy(window, slot), now
        )

    def record(self, verdict: Verdict) -> Verdict:
        """Count a verdict, and have its voucher on disk if it is a match, before it is acted on. Never raises."""
        now = None
        try:
            now = self._clock()
            if verdict.matched:
                self._store(verdict, now)
        except Exception as error:  # noqa: BLE001 - rule 1
            _log.error("a verdict could not be recorded: %s", type(error).__name__)
            verdict = judge_error(error, profile=self._scanner.profile) if verdict.matched else verdict
        try:
            self._count(verdict, now)
        except Exception as error:  # noqa: BLE001 - rule 1; by now a voucher is stored, or none is needed
            _log.error("the ledger could not be written: %s", type(error).__name__)
        return verdict

    def _count(self, verdict: Verdict, now: float | None) -> None:
        with self._counting:
            self._counts[verdict.outcome] += 1
            many = self._counts.total() >= _COUNTS_TOGETHER
        if now is not None and (verdict.matched or many):
            self._write_counts(now)

    def _store(self, verdict: Verdict, now: float) -> None:
        payload = Payload.of_match(
            verdict,
            policy_digest=self._sealer.policy_digest,
            hashset_digest=self._scanner.known.digest,
            account=self._sealer.account,
            now=now,
            build=self._build,
        )
        if self._sealer.terms.covered:
            self._outbox.enqueue(payload.content_id.to_bytes(8), payload.to_bytes(), now)
            return
        with self._sharing:
            shares = self._shares_at(now)
            content = to_bytes(shares.share(payload.content_id).shown.x)
            self._outbox.add(shares.window, lambda _, slot: self._sealer.seal(payload, shares, slot), now, content)

    def _shares_at(self, now: float) -> AccountShares:
        window, secret = self._secrets.secret(now)
        if self._shares is None or self._shares.window != window:
            if self._shares is not None:
                self._shares.erase()
            self._outbox.forget_before(window)
            self._shares = self._sealer.terms.shares(secret, window, self._sealer.account)
        return self._shares

    def _write_counts(self, now: float) -> None:
        with self._counting:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            self._outbox.count_scans(counts, now)
        except BaseException:
            with self._counting:
                self._counts.update(counts)
            raise
