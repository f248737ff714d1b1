"""Hash media in other processes, which are killed when they are late and replaced when they are gone.

Rules:
1. This process never parses media; it looks at a few fixed bytes at most.
2. A worker that crashes, hangs or answers wrongly costs the media it had, and nothing else.
3. Whatever a worker says is checked (scanner.sandbox.process).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from scanner.errors import MediaError, MediaFault, SandboxError
from scanner.media import Accuracy, Limits, Source, read_source
from scanner.profiles import algorithm_named
from scanner.sandbox import process
from scanner.sandbox.process import Process
from scanner.types import HashedMedia

MEMORY = 1536 * 1024 * 1024
"""Bytes a worker may take beyond its own: what a picture of the most pixels needs with its alpha composited."""

BUSY_SECONDS = 1200.0
"""A worker that has worked so long is replaced by a fresh one, well before its own bound on processor time."""

_BOOT = "import sys; sys.path[:] = sys.argv[1:-3]; from scanner.sandbox.worker import main; main()"


class IsolatedHasher:
    """Hashes media in worker processes. Safe to use from many threads at once.

    Args:
        algorithm: a name from :data:`scanner.profiles.ALGORITHMS`.
        workers: processes at most; the first is started at the first use, others when all are busy.
        memory: bytes a worker may take for decoding.
        command: how to start a worker, instead of this interpreter; what scanner.sandbox.worker takes comes after it.

    Raises:
        UnknownNameError: no such algorithm.
    """

    def __init__(
        self,
        algorithm: str = "pdq",
        *,
        workers: int = 1,
        memory: int = MEMORY,
        command: Sequence[str] | None = None,
    ) -> None:
        self._settings = algorithm_named(algorithm)
        base = command or (sys.executable, "-I", "-c", _BOOT, *map(os.path.abspath, sys.path))
        self._command = tuple(base)
        self._arguments = (self._settings.name, str(memory))
        self._most = workers
        self._free = threading.Condition()
        self._idle: list[Process] = []
        self._count = 0
        self._owner = os.getpid()
        self._closed = False

    def hash_media(
        self,
        source: Source,
        *,
        accuracy: Accuracy = Accuracy.FAST,
        limits: Limits | None = None,
        timeout: float = 60.0,
        progress: Callable[[float], None] | None = None,
    ) -> HashedMedia:
        """Hash every frame that differs from the one before it, as :func:`scanner.hashing.hash_media` does.

        Args:
            source: bytes, a path, or a binary file; read here, decoded in a worker.
            accuracy: how JPEGs are decoded.
            limits: bounds on bytes, pixels and frames.
            timeout: seconds to the answer, waiting for a free worker included, starting one not.
            progress: told of a video, from this thread, which share of it is hashed, 0 to 1.

        Raises:
            MediaError: as there; also ``TIMED_OUT``, and ``CRASHED`` if the worker ended or answered wrongly.
            SandboxError: no worker can be started.
        """
        bounds = limits or Limits()
        data = read_source(source, bounds.max_bytes)
        deadline = time.monotonic() + timeout
        worker, waited = self._take(deadline)
        deadline += waited
        good = False
        try:
            media = worker.ask(data, accuracy, bounds, deadline, self._settings, progress)
            good = True
            return media
        except MediaError as error:
            good = error.fault not in {MediaFault.TIMED_OUT, MediaFault.CRASHED}
            raise
        finally:
            self._give_back(worker, keep=good and worker.busy < BUSY_SECONDS)

    def warm_up(self) -> tuple[str, ...]:
        """Start a worker now.

        Returns:
            names of the protections in force, out of :data:`scanner.sandbox.PROTECTIONS`.

        Raises:
            SandboxError: none can be started.
        """
        worker, _ = self._take(time.monotonic() + process.START_SECONDS)
        self._give_back(worker, keep=True)
        return worker.protections.names

    def close(self) -> None:
        """End the workers; those that are busy end with what they do."""
        with self._free:
            self._closed = True
            idle, self._idle = self._idle, []
            self._count -= len(idle)
        for worker in idle:
            worker.kill()

    def __enter__(self) -> IsolatedHasher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, deadline: float) -> tuple[Process, float]:
        """An idle worker, a new one or the next to be free; and the seconds its start took."""
        with self._free:
            if self._owner != os.getpid():  # a fork has no claim on its parent's workers
                self._idle, self._count, self._owner = [], 0, os.getpid()
            while True:
                if self._closed:
                    raise SandboxError("the decoder is closed")
                if self._idle:
                    return self._idle.pop(), 0.0
                if self._count < self._most:
                    self._count += 1
                    break
                if not self._free.wait(max(0.0, deadline - time.monotonic())):
                    raise MediaError(MediaFault.TIMED_OUT, "every decoder was busy")
        started = time.monotonic()
        try:
            return Process(self._command, self._arguments), time.monotonic() - started
        except BaseException:
            self._lose()
            raise

    def _give_back(self, worker: Process, *, keep: bool) -> None:
        with self._free:
            if keep and not self._closed:
                self._idle.append(worker)
                self._free.notify()
                return
        worker.kill()
        self._lose()

    def _lose(self) -> None:
        with self._free:
            self._count -= 1
            self._free.notify()
