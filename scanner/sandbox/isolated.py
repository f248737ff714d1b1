"""Hash media in other processes, which are killed when they are late and replaced when they are gone.

Rules:
1. This process never parses media; it looks at a few fixed bytes at most.
2. A worker that crashes, hangs or answers wrongly costs the media it had, and nothing else.
3. Whatever a worker says is checked for shape and range (scanner.sandbox.messages).
"""

from __future__ import annotations

import mmap
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import numpy as np

from scanner.errors import MediaError, MediaFault, SandboxError
from scanner.media import Accuracy, Limits, Source, read_source
from scanner.profiles import AlgorithmSettings, algorithm_named
from scanner.sandbox import messages
from scanner.sandbox.confine import Protection
from scanner.types import HashedMedia

MEMORY = 1536 * 1024 * 1024
"""Bytes a worker may take beyond its own: what a picture of the most pixels needs with its alpha composited."""

START_SECONDS = 120.0
"""Time for a worker to be ready; kernels that are not in the cache are compiled in it."""

BUSY_SECONDS = 1200.0
"""A worker that has worked so long is replaced by a fresh one, well before its own bound on processor time."""

SHARED = 16 * 1024 * 1024
"""Bytes of memory shared with a worker, which may only read them: media up to this is copied once, not twice."""

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_F_SEAL_FUTURE_WRITE = 0x10  # whoever maps it from now on may only read
_BOOT = "import sys; sys.path[:] = sys.argv[1:-3]; from scanner.sandbox.worker import main; main()"
_KEPT_ENVIRONMENT = ("HOME", "LANG", "LC_", "LD_LIBRARY_PATH", "NUMBA_", "SYSTEMROOT")


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
        self._idle: list[_Worker] = []
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
        worker, _ = self._take(time.monotonic() + START_SECONDS)
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

    def _take(self, deadline: float) -> tuple[_Worker, float]:
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
            return _Worker(self._command, self._arguments), time.monotonic() - started
        except BaseException:
            self._lose()
            raise

    def _give_back(self, worker: _Worker, *, keep: bool) -> None:
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


class _Worker:
    """One process and the pipes to it."""

    def __init__(self, command: Sequence[str], arguments: Sequence[str]) -> None:
        shared, self._region = _shared_memory()
        environment = {name: value for name, value in os.environ.items() if name.startswith(_KEPT_ENVIRONMENT)}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                (*command, str(shared), *arguments),
                bufsize=0,
                pass_fds=() if shared < 0 else (shared,),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=os.sep,
                env=environment,
            )
        except OSError as error:
            raise SandboxError(f"can't start the decoder {command[0]}: {error.strerror or error}") from error
        finally:
            if shared >= 0:
                os.close(shared)
        self._end = weakref.finalize(self, _end, self._process, self._region, os.getpid())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        self.busy = 0.0
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        with suppress(ImportError, OSError):  # Linux alone; fewer turns for large media
            import fcntl

            fcntl.fcntl(self._input, _F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            magic, applied = messages.HELLO.unpack(self._read(messages.HELLO.size, time.monotonic() + START_SECONDS))
        except (_LateError, EOFError) as error:
            self.kill()
            raise SandboxError("the decoder did not start; run: scanner doctor") from error
        except BaseException:
            self.kill()
            raise
        if magic != messages.MAGIC:
            self.kill()
            raise SandboxError("the decoder did not start as it should; run: scanner doctor")
        self.protections = Protection(applied & sum(Protection))

    def ask(
        self,
        data: bytes,
        accuracy: Accuracy,
        limits: Limits,
        deadline: float,
        algorithm: AlgorithmSettings,
        progress: Callable[[float], None] | None,
    ) -> HashedMedia:
        started = time.monotonic()
        try:
            if self._region is not None and len(data) <= len(self._region):
                room = np.asarray(memoryview(self._region))  # NumPy lets other threads run while it copies
                room[: len(data)] = np.asarray(memoryview(data))
                del room
                self._write(messages.request(len(data), accuracy, limits), deadline)
            else:
                self._write(messages.request(len(data), accuracy, limits), deadline)
                self._write(data, deadline)
            read = partial(self._read, deadline=deadline)
            return messages.read_answer(read, algorithm.name, algorithm.bits, limits, progress)
        except _LateError:
            raise MediaError(MediaFault.TIMED_OUT, "the decoder was not done in time") from None
        except (OSError, EOFError):
            raise MediaError(MediaFault.CRASHED, "the decoder crashed on this media") from None
        except ValueError:
            raise MediaError(MediaFault.CRASHED, "the decoder answered wrongly on this media") from None
        finally:
            self.busy += time.monotonic() - started

    def kill(self) -> None:
        self._end()

    def _read(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._wait(self._output, select.POLLIN, deadline)
            with suppress(BlockingIOError):
                part = os.read(self._output, length - len(data))
                if not part:
                    raise EOFError
                data += part
        return bytes(data)

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._input, view) :]
            except BlockingIOError:
                self._wait(self._input, select.POLLOUT, deadline)

    def _wait(self, channel: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(channel, event)
        if not poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
            raise _LateError


def _end(process: subprocess.Popen[bytes], region: mmap.mmap | None, owner: int) -> None:
    """End a worker, also when its hasher was forgotten or this process ends; a fork only lets go of it."""
    if os.getpid() == owner:
        process.kill()
        process.wait()
    else:
        process.returncode = 0  # not ours to wait for
    if region is not None:
        region.close()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _shared_memory() -> tuple[int, mmap.mmap | None]:
    """A descriptor to hand on and this process's mapping; -1 and None where the system has no such memory."""
    if not hasattr(os, "memfd_create"):
        return -1, None
    import fcntl

    shared = os.memfd_create("prescan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(shared, SHARED)
        region = mmap.mmap(shared, SHARED)
        fcntl.fcntl(shared, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | _F_SEAL_FUTURE_WRITE)
        return shared, region
    except OSError:
        os.close(shared)
        return -1, None


class _LateError(Exception):
    """The deadline has passed."""
