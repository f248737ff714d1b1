"""One process that decodes, and the way to it and back: two pipes, and memory that both share.

Rules: whatever it says is checked for shape and range (scanner.sandbox.messages); nothing waits longer than it may; it
ends when it is let go of, however this process ends.
"""

from __future__ import annotations

import mmap
import os
import select
import subprocess
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import numpy as np

from scanner.errors import MediaError, MediaFault, SandboxError
from scanner.media import Accuracy, Limits
from scanner.profiles import AlgorithmSettings
from scanner.sandbox import messages
from scanner.sandbox.confine import Protection
from scanner.types import HashedMedia

START_SECONDS = 120.0
"""Time for a process to be ready; kernels that are not in the cache are compiled in it."""

SHARED = 16 * 1024 * 1024
"""Bytes of memory shared with a process, which may only read them: media up to this is copied once, not twice."""

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_F_SEAL_FUTURE_WRITE = 0x10  # whoever maps it from now on may only read
_KEPT_ENVIRONMENT = ("HOME", "LANG", "LC_", "LD_LIBRARY_PATH", "NUMBA_", "SYSTEMROOT")


class Process:
    """Start one and wait until it is ready.

    Args:
        command: how to start it.
        arguments: what scanner.sandbox.worker takes after the descriptor of the shared memory.

    Attributes:
        busy: seconds that it has been asked things.
        protections: in force in it, as it says.

    Raises:
        SandboxError: it can't be started, or is not ready in time.
    """

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
        """Have media hashed, by a deadline of ``time.monotonic``; ``progress`` is told which share of a video is.

        Raises:
            MediaError: the media's fault; ``TIMED_OUT`` and ``CRASHED`` are the process's, which is then of no use.
        """
        started = time.monotonic()
        try:
            shared = self._region is not None and len(data) <= len(self._region)
            if self._region is not None and shared:  # NumPy lets other threads run while it copies
                np.asarray(memoryview(self._region))[: len(data)] = np.asarray(memoryview(data))
            self._write(messages.request(len(data), accuracy, limits), deadline)
            if not shared:
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
        """End it at once."""
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
