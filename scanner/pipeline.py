"""Media to a verdict: decoded and hashed in another process, searched and judged in this one.

Rules:
1. Nothing raises in the middle of sending: every fault becomes a verdict, and the profile says what to do about it.
2. Media is read once; what was scanned is what the caller must send.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from scanner.errors import MediaError, MediaFault, UnknownNameError
from scanner.hashset import HashSet, LayeredSet
from scanner.hashset.calibration import check_demand
from scanner.index import ENGINES, Index
from scanner.matching import find_matches
from scanner.media import Accuracy, Limits, Source, is_video, read_source
from scanner.policy import judge, judge_error, judge_low_quality, judge_timeout, judge_unscannable, not_too_flat
from scanner.profiles import PROFILES, VIDEO_RULE, Profile, VideoRule
from scanner.sandbox import InProcessHasher, IsolatedHasher
from scanner.types import Verdict

ISOLATION = ("isolated", "in-process")
"""Where media is decoded: in another process that can do nothing else, or in this one."""

_log = logging.getLogger(__name__)


class Scanner:
    """Checks pictures and videos against one hash set. Safe to use from many threads at once.

    Close it, or use it as a context manager, to end the process that decodes.

    Args:
        known: the hash set, or a set with deltas on top; must stay open as long as the scanner is used.
        profile: what to do about each outcome.
        engine: search engine, by name.
        isolation: ``isolated``: media is decoded in another process that can do nothing else, and that is killed when
            it is late; ``in-process``: here, for tools that hold no keys and read their own pictures.
        workers: processes that decode, at most.
        limits: bounds on bytes, pixels and frames.
        accuracy: how JPEGs are decoded.
        rule: when a video on the list matches.

    Raises:
        UnknownNameError: no such engine or isolation.
        HashSetError: the list lacks the calibration that the profile asks for.
    """

    def __init__(
        self,
        known: HashSet | LayeredSet,
        profile: Profile = PROFILES["standard"],
        *,
        engine: str = "auto",
        isolation: str = "isolated",
        workers: int = 1,
        limits: Limits | None = None,
        accuracy: Accuracy = Accuracy.FAST,
        rule: VideoRule = VIDEO_RULE,
    ) -> None:
        if profile.requires_calibration is not None:
            check_demand(known.calibration, profile.requires_calibration, known.header.name)
        self.known = known
        self.profile = profile
        if engine not in ("auto", *ENGINES):
            raise UnknownNameError("engine", engine, ("auto", *ENGINES))
        self._engine = engine
        self._opened: Index | None = None
        self._opening = threading.Lock()
        self._limits = limits or Limits()
        self._accuracy = accuracy
        self._rule = rule
        algorithm = known.header.algorithm
        if isolation not in ISOLATION:
            raise UnknownNameError("isolation", isolation, ISOLATION)
        self._hasher: IsolatedHasher | InProcessHasher
        if isolation == "isolated":
            self._hasher = IsolatedHasher(algorithm, workers=workers)
        else:
            self._hasher = InProcessHasher(algorithm)

    def warm_up(self) -> None:
        """Start the process that decodes and load the kernels now rather than at the first picture.

        Raises:
            ScannerError: the engine does not work here, or no process can be started.
        """
        opening = threading.Thread(target=self._open_quietly, daemon=True)
        opening.start()
        self._hasher.warm_up()
        opening.join()
        self._index().search(bytes(self.known.header.bits // 8), 0)

    def close(self) -> None:
        """End the process that decodes."""
        self._hasher.close()

    def __enter__(self) -> Scanner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scan(self, source: Source, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """Check one picture or video.

        Args:
            source: bytes, a path, or a binary file.
            progress: told of a video, from this thread, which share of it is hashed, 0 to 1; must not raise.

        Returns:
            the verdict; faults are verdicts too, nothing is raised.
        """
        limit = self.profile.time_limit
        try:
            data = read_source(source, self._limits.max_bytes)
            limit = self._time_limit(data)
            return self._judged(data, limit, progress)
        except MediaError as error:
            if error.fault is MediaFault.TIMED_OUT:
                return judge_timeout(limit, profile=self.profile)
            return judge_unscannable(error, profile=self.profile)
        except Exception as error:  # noqa: BLE001 - rule 1
            _log.error("scan failed: %s", type(error).__name__)
            return judge_error(error, profile=self.profile)

    async def scan_async(self, source: Source) -> Verdict:
        """Check one picture or video without blocking the event loop.

        A scan over the profile's time limit counts as ``TIMEOUT``; what is decoded in another process is stopped, what
        is decoded here finishes in the background.
        """
        limit = self.profile.time_limit
        try:
            async with asyncio.timeout(limit):
                data = await asyncio.to_thread(read_source, source, self._limits.max_bytes)
            limit = self._time_limit(data)
            async with asyncio.timeout(None if isinstance(self._hasher, IsolatedHasher) else limit):
                return await asyncio.to_thread(self.scan, data)
        except TimeoutError:
            return judge_timeout(limit, profile=self.profile)
        except MediaError as error:
            return judge_unscannable(error, profile=self.profile)
        except Exception as error:  # noqa: BLE001 - rule 1
            return judge_error(error, profile=self.profile)

    def _time_limit(self, data: bytes) -> float:
        return self.profile.video_time_limit if is_video(data) else self.profile.time_limit

    def _judged(self, data: bytes, limit: float, progress: Callable[[float], None] | None) -> Verdict:
        header = self.known.header
        if self._opened is None and isinstance(self._hasher, IsolatedHasher):  # it starts a process in the meantime
            threading.Thread(target=self._open_quietly, daemon=True).start()
        media = self._hasher.hash_media(
            data, accuracy=self._accuracy, limits=self._limits, timeout=limit, progress=progress
        )
        frames = not_too_flat(media, header.quality_floor)
        if not frames:
            return judge_low_quality(media, quality_floor=header.quality_floor, profile=self.profile)
        found = find_matches(frames, self.known, self._index(), self._rule)
        return judge(
            found[0][1] if found else frames[0],
            [match for match, _ in found],
            frames=len(media.frames),
            complete=media.complete,
            list_name=header.name,
            profile=self.profile,
        )

    def _open_quietly(self) -> None:
        with suppress(Exception):  # it fails again, and is told, where it is needed
            self._index()

    def _index(self) -> Index:
        """Opened at the first search, so that a file checked in the background is waited for no sooner."""
        if self._opened is None:
            with self._opening:
                if self._opened is None:
                    self._opened = self.known.open_index(self._engine)
        return self._opened
