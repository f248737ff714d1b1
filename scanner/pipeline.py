"""The client side in one place: a scanner, and the checkpoint a picture passes before it is encrypted.

Rules:
1. Nothing raises in the middle of sending: every fault becomes a verdict, and the profile says what to do about it.
2. Media is read once; what was scanned is what the caller must send.
3. A voucher is safely in the outbox before the verdict is given. Without a match nothing is stored and nothing leaves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from scanner.errors import MediaError, UnknownNameError
from scanner.hashing import hash_picture, hash_pixels
from scanner.hashset import HashSet, LayeredSet
from scanner.index import ENGINES, Index
from scanner.media import Accuracy, Limits, Source
from scanner.outbox import Outbox
from scanner.policy import judge, judge_error, judge_low_quality, judge_timeout, judge_unscannable, too_flat
from scanner.profiles import PROFILES, Profile
from scanner.types import HashedPicture, Match, Verdict
from scanner.vouchers import DeviceSealer, Payload, window_at

MOST_MATCHES = 1000
"""A verdict names so many entries at most, the nearest: a list of copies must not hold up a picture."""

_log = logging.getLogger(__name__)


class Scanner:
    """Checks pictures against one hash set. Safe to use from many threads at once.

    Args:
        known: the hash set, or a set with deltas on top; must stay open as long as the scanner is used.
        profile: what to do about each outcome.
        engine: search engine, by name.
        limits: bounds on bytes and pixels.
        accuracy: how JPEGs are decoded.

    Raises:
        UnknownNameError: no such engine.
    """

    def __init__(
        self,
        known: HashSet | LayeredSet,
        profile: Profile = PROFILES["standard"],
        *,
        engine: str = "auto",
        limits: Limits | None = None,
        accuracy: Accuracy = Accuracy.FAST,
    ) -> None:
        self.known = known
        self.profile = profile
        if engine not in ("auto", *ENGINES):
            raise UnknownNameError("engine", engine, ("auto", *ENGINES))
        self._engine = engine
        self._opened: Index | None = None
        self._opening = threading.Lock()
        self._limits = limits or Limits()
        self._accuracy = accuracy

    def warm_up(self) -> None:
        """Compile or load the kernels now rather than at the first picture.

        Raises:
            ScannerError: the engine does not work here.
        """
        import numpy as np

        for shape in ((64, 64), (64, 64, 3)):
            picture = hash_pixels(np.zeros(shape, np.uint8), self.known.header.algorithm)
            self._matches(picture)

    def scan(self, source: Source) -> Verdict:
        """Check one picture.

        Args:
            source: bytes, a path, or a binary file.

        Returns:
            the verdict; faults are verdicts too, nothing is raised.
        """
        try:
            return self._judged(source)
        except MediaError as error:
            return judge_unscannable(error, profile=self.profile)
        except Exception as error:  # noqa: BLE001 - rule 1
            _log.error("scan failed: %s", type(error).__name__)
            return judge_error(error, profile=self.profile)

    async def scan_async(self, source: Source) -> Verdict:
        """Check one picture without blocking the event loop.

        A scan over the profile's time limit counts as ``TIMEOUT``; its thread finishes in the background.
        """
        try:
            async with asyncio.timeout(self.profile.time_limit):
                return await asyncio.to_thread(self.scan, source)
        except TimeoutError:
            return judge_timeout(profile=self.profile)

    def _judged(self, source: Source) -> Verdict:
        header = self.known.header
        picture = hash_picture(source, header.algorithm, accuracy=self._accuracy, limits=self._limits)
        if too_flat(picture, header.quality_floor):
            return judge_low_quality(picture, quality_floor=header.quality_floor, profile=self.profile)
        return judge(picture, self._matches(picture), list_name=header.name, profile=self.profile)

    def _index(self) -> Index:
        """Opened at the first search, so that a file checked in the background is waited for no sooner."""
        if self._opened is None:
            with self._opening:
                if self._opened is None:
                    self._opened = self.known.open_index(self._engine)
        return self._opened

    def _matches(self, picture: HashedPicture) -> list[Match]:
        hits = self._index().search(picture.hash.data, self.known.header.radius)
        nearest = hits.distances.argsort(kind="stable")[:MOST_MATCHES]
        return [self.known.match_at(int(hits.indices[hit]), int(hits.distances[hit])) for hit in nearest]


class Checkpoint:
    """What a messaging client calls before it encrypts: scan, and on a match seal a voucher into the outbox.

    Args:
        scanner: the scanner.
        sealer: seals payloads with the device's key for the opener.
        outbox: where vouchers wait for delivery.
        clock: gives the time in seconds since 1970; read once a check.
    """

    def __init__(
        self, scanner: Scanner, sealer: DeviceSealer, outbox: Outbox, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._scanner = scanner
        self._sealer = sealer
        self._outbox = outbox
        self._clock = clock

    def check(self, source: Source) -> Verdict:
        """Scan one picture; on a match its voucher is on disk when this returns. Never raises."""
        return self._recorded(self._scanner.scan(source))

    async def check_async(self, source: Source) -> Verdict:
        """The same without blocking the event loop."""
        verdict = await self._scanner.scan_async(source)
        return await asyncio.to_thread(self._recorded, verdict) if verdict.matched else verdict

    def _recorded(self, verdict: Verdict) -> Verdict:
        if not verdict.matched:
            return verdict
        try:
            self._store(verdict, self._clock())
        except Exception as error:  # noqa: BLE001 - rule 1
            _log.error("a voucher could not be stored: %s", type(error).__name__)
            return judge_error(error, profile=self._scanner.profile)
        return verdict

    def _store(self, verdict: Verdict, now: float) -> None:
        payload = Payload.of_match(
            verdict,
            policy_digest=self._sealer.policy_digest,
            hashset_digest=self._scanner.known.digest,
            now=now,
        )
        self._outbox.add(window_at(now), lambda window, slot: self._sealer.seal(payload, window, slot), now)
