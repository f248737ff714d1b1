"""The gate a client's media passes before it is encrypted. It knows no messenger; an adapter for each is beside it.

Rules:
1. Media is read once. What was scanned is handed back, and that is what the caller sends.
2. Held media is not handed back, and the user's file is not touched.
3. The event loop only waits: threads read and store, the scanner's processes decode.
4. What a client says of a file, its content type, decides nothing: it would be the way round.
5. A check that is cancelled leaves no voucher and no count; one that comes too late still leaves its voucher.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

from scanner.checkpoint import Checkpoint, WindowSecrets
from scanner.delivery import Courier
from scanner.errors import ArgumentError, MediaError, StorageError
from scanner.integrations.checked import Checked, Decision, Progress
from scanner.integrations.keeping import Keeper, KeepingSettings
from scanner.integrations.notices import Notices
from scanner.integrations.reading import read
from scanner.media import Limits, Source, is_video
from scanner.outbox import Outbox
from scanner.pipeline import Scanner
from scanner.policy import judge_error, judge_timeout, judge_unscannable
from scanner.types import Action, Outcome, Verdict
from scanner.vouchers import DeviceSealer

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, slots=True)
class GateSettings:
    """How the gate waits and what it tells. The failure policy itself is the scanner's profile.

    Attributes:
        notify: outcomes after which media that is sent comes with a notice: those that leave a voucher, and those in
            which our own fault left it unchecked. (Every file that is no picture is ``unscannable``.)
        soft_budget: seconds after which progress is told; below 0.1 s a person sees no delay (J. Nielsen, Usability
            Engineering, 1993).
        progress: seconds between two tellings.
        hard_budget: seconds after which the caller is answered ``timeout`` whatever is still going on, waiting for
            other checks included; None: the profile's limits for one scan, and no bound on waiting.
        max_bytes: more is not read; the scanner's own limit, unless that is lower.
        keeping: when ticks and deliveries are made.
    """

    notify: frozenset[Outcome] = frozenset({Outcome.MATCH, Outcome.TIMEOUT, Outcome.ERROR})
    soft_budget: float = 0.1
    progress: float = 0.25
    hard_budget: float | None = None
    max_bytes: int = Limits().max_bytes
    keeping: KeepingSettings = field(default_factory=KeepingSettings)


class OutgoingGate:
    """One gate for one device of one account. Use it as an asynchronous context manager, or start and close it.

    Args:
        scanner: checks; stays open as long as the gate. Its profile is the failure policy.
        sealer: seals matches with the device's key under its policy.
        outbox: where vouchers wait.
        secrets: the account's window secrets, such as :class:`scanner.account.AccountStore`.
        notices: writes what the sender is shown.
        courier: delivers vouchers; None: the client does that itself.
        workers: as many as the scanner has. With two or more, pictures never wait for videos.
        build: names the client's build in vouchers.
        settings: budgets and timers.
        clock: gives the time in seconds since 1970.

    Raises:
        ArgumentError: the policy is for another list, or the list matches more than the policy allows.
    """

    def __init__(
        self,
        scanner: Scanner,
        sealer: DeviceSealer,
        outbox: Outbox,
        secrets: WindowSecrets,
        notices: Notices,
        *,
        courier: Courier | None = None,
        workers: int = 1,
        build: bytes = b"",
        settings: GateSettings = GateSettings(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._scanner = scanner
        self._profile = scanner.profile
        self._checkpoint = _Withdrawable(scanner, sealer, outbox, secrets, build=build, clock=clock)
        self._covered = sealer.terms.covered
        self._notices = notices
        self._settings = settings
        self._readers = ThreadPoolExecutor(2, "prescan-readers")
        self._pictures = ThreadPoolExecutor(max(1, workers - 1), "prescan-pictures")
        self._videos = self._pictures if workers < 2 else ThreadPoolExecutor(1, "prescan-videos")
        self._keepers = ThreadPoolExecutor(1, "prescan-keeper")
        self._keeper = Keeper(self._checkpoint, outbox, courier, self._keepers, clock, settings.keeping)
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False
        self._under_way = 0
        self._none_under_way = asyncio.Event()
        self._none_under_way.set()

    @property
    def max_bytes(self) -> int:
        """More is not read."""
        return self._settings.max_bytes

    async def start(self) -> None:
        """Start the process that decodes, the timer and deliveries.

        Raises:
            ScannerError: the scanner does not work here.
        """
        await asyncio.get_running_loop().run_in_executor(self._pictures, self._scanner.warm_up)
        self._keeping = asyncio.create_task(self._keeper.run(), name="prescan keeper")

    async def aclose(self) -> None:
        """End, after a last tick, when every check under way is answered and recorded.

        That takes as long as they take, each by its profile's limit at most. A check that comes later is an ``error``.
        """
        self._closed = True
        await self._none_under_way.wait()
        for pool in (self._pictures, self._videos):  # of checks that were given up or answered ``timeout``
            await asyncio.to_thread(pool.shutdown)
        if self._keeping is not None:
            self._keeper.end()
            await self._keeping
            self._keeping = None
        for pool in (self._readers, self._keepers):
            await asyncio.to_thread(pool.shutdown)

    async def __aenter__(self) -> OutgoingGate:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def check(self, source: Source, *, progress: Callable[[Progress], None] | None = None) -> Checked:
        """Check one picture, video or other file on its way out.

        Cancel the task that waits to give it up.

        Args:
            source: bytes, which must not change meanwhile; a path; or a binary file that can seek, read from where it
                stands.
            progress: called on the event loop now and then once it takes longer than the soft budget.

        Raises:
            ArgumentError: the file can't seek. Whatever else goes wrong is a verdict.
        """
        started = time.monotonic()
        if not isinstance(source, (bytes, bytearray, memoryview, str, os.PathLike)) and not source.seekable():
            raise ArgumentError("a file that can't seek can't be given back unread; read it first")
        self._under_way += 1
        self._none_under_way.clear()
        try:
            if self._closed:
                raise StorageError("the gate is closed")
            verdict, data = await self._verdict_on(source, started, progress)
        except Exception as error:  # noqa: BLE001 - nothing raises in the middle of sending
            _log.error("a check failed: %s", type(error).__name__)
            verdict, data = judge_error(error, profile=self._profile), None
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._none_under_way.set()
        return self._answer(verdict, data, time.monotonic() - started)

    async def _verdict_on(
        self, source: Source, started: float, progress: Callable[[Progress], None] | None
    ) -> tuple[Verdict, bytes | None]:
        """The verdict, recorded, and what it is on, unless that was not read."""
        data = await _submit(self._readers, read, source, self._settings.max_bytes)
        if isinstance(data, MediaError):
            refused = judge_unscannable(data, profile=self._profile)
            return await _submit(self._readers, self._checkpoint.record, refused), None
        scan = _Scan()
        video = is_video(data)
        limit = self._profile.video_time_limit if video else self._profile.time_limit
        pool = self._videos if video else self._pictures
        job = _submit(pool, self._checkpoint.check_if, data, scan)
        job.add_done_callback(self._ended)
        try:
            verdict = await self._watched(
                job, started, progress, lambda passed: Progress(passed, limit, scan.running, video, scan.share)
            )
        except asyncio.CancelledError:
            scan.wanted = False
            job.cancel()
            raise
        return verdict, data

    def _ended(self, job: asyncio.Future[Verdict]) -> None:
        """A scan ended, perhaps after its caller was answered ``timeout``."""
        if not job.cancelled() and job.result().matched and not self._covered:
            self._keeper.matched()

    def _answer(self, verdict: Verdict, data: bytes | None, seconds: float) -> Checked:
        if verdict.action is Action.HOLD:
            decision = Decision.HOLD
        else:
            decision = Decision.NOTIFY if verdict.outcome in self._settings.notify else Decision.SEND
        notice = None
        if decision is not Decision.SEND:
            header = self._scanner.known.header
            notice = self._notices.write(verdict.action, verdict.outcome, header.name, header.epoch)
        return Checked(decision, verdict, None if decision is Decision.HOLD else data, notice, seconds)

    async def _watched(
        self,
        job: asyncio.Future[Verdict],
        started: float,
        progress: Callable[[Progress], None] | None,
        describe: Callable[[float], Progress],
    ) -> Verdict:
        """Wait for a scan, tell how it goes, and give up waiting when the budget is used up."""
        hard = self._settings.hard_budget
        pause = self._settings.soft_budget
        while True:
            left = None if hard is None else max(0.0, hard - (time.monotonic() - started))
            step = pause if progress is not None else None
            bounds = [bound for bound in (left, step) if bound is not None]
            await asyncio.wait({job}, timeout=min(bounds, default=None))
            if job.done():
                return job.result()
            passed = time.monotonic() - started
            if hard is not None and passed >= hard:
                return judge_timeout(hard, profile=self._profile)
            if progress is not None:
                pause = self._settings.progress
                try:
                    progress(describe(passed))
                except Exception as error:  # noqa: BLE001 - a display that fails stops no message
                    _log.error("progress could not be told: %s", type(error).__name__)


@dataclass(slots=True)
class _Scan:
    """What the event loop and the thread that scans know of each other."""

    wanted: bool = True
    running: bool = False
    share: float | None = None

    def hashed(self, share: float) -> None:
        self.share = share


class _Withdrawable(Checkpoint):
    """A checkpoint whose callers may go before they have the verdict."""

    def check_if(self, data: bytes, scan: _Scan) -> Verdict:
        """Scan; record the verdict if it is still wanted then."""
        scan.running = True
        verdict = self._scanner.scan(data, progress=scan.hashed)
        return self.record(verdict) if scan.wanted else verdict


def _submit(pool: Executor, call: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> asyncio.Future[_Result]:
    return asyncio.get_running_loop().run_in_executor(pool, call, *arguments)
