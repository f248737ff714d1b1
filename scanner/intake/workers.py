"""Several workers on one socket and one database: a parent that starts them, starts again who dies, and ends them.

Each worker is ``python -m scanner.intake.workers FD DIRECTORY``, with the deployment in its environment; nothing is
forked from a running program and nothing is pickled.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from scanner.intake.operations.logs import logging_to
from scanner.intake.settings import Deployment, environment_of, from_environment

_log = logging.getLogger(__name__)

READY = b"ready\n"
_SOON = 5.0  # a worker that lived less has failed to start
_LONGEST_WAIT = 30.0
_TICK = 0.1


@dataclass(slots=True)
class _Worker:
    """One place among the workers, and who holds it now."""

    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    began: float = 0.0
    failures: int = 0
    due: float = 0.0


@dataclass(slots=True)
class _Parent:
    """The parent's state."""

    command: list[str]
    environment: dict[str, str]
    passed: tuple[int, ...]
    workers: list[_Worker]
    asked: list[int] = field(default_factory=list)

    def start(self, worker: _Worker) -> None:
        """Start a worker, without waiting for it: whoever waits hears no signal."""
        worker.began = time.monotonic()
        worker.ready = False
        worker.process = subprocess.Popen(  # noqa: S603 -- ourselves
            self.command,
            env=self.environment,
            pass_fds=self.passed,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a terminal's Ctrl-C goes to the parent alone, which passes it on once
        )
        assert worker.process.stdout is not None
        os.set_blocking(worker.process.stdout.fileno(), False)

    def all_ready(self) -> bool:
        """Whether each worker has said that it takes requests."""
        for worker in self.workers:
            if not worker.ready and worker.process is not None and worker.process.stdout is not None:
                worker.ready = worker.process.stdout.read(len(READY)) == READY  # None: it has said nothing yet
        return all(worker.ready for worker in self.workers)

    def tick(self) -> None:
        """Start again who has died and is due."""
        now = time.monotonic()
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is not None:
                worker.failures = worker.failures + 1 if now - worker.began < _SOON else 0
                worker.due = now + min(_LONGEST_WAIT, 2.0**worker.failures - 1)
                _close(worker.process)
                worker.process = None
                _log.warning("a worker ended and is started again")
            if worker.process is None and now >= worker.due:
                self.start(worker)

    def end(self, limit: float) -> None:
        """Pass on the signal, wait, and kill who is not done in time."""
        running = [worker.process for worker in self.workers if worker.process is not None]
        for process in running:
            process.send_signal(self.asked[0])
        deadline = time.monotonic() + limit
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            if len(self.asked) > 1:
                break
            time.sleep(_TICK)
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
            _close(process)


def run_workers(deployment: Deployment, listening: socket.socket, started: Callable[[], None]) -> None:
    """Keep a deployment's workers alive until SIGINT or SIGTERM.

    Args:
        deployment: says how many.
        listening: the socket they share, bound.
        started: called once when all of them take requests.
    """
    with (
        logging_to(sys.stderr, deployment.log_format),
        tempfile.TemporaryDirectory(prefix="prescan-intake-") as directory,
    ):
        parent = _Parent(
            [sys.executable, "-m", "scanner.intake.workers", str(listening.fileno()), directory],
            os.environ | environment_of(deployment),
            (listening.fileno(),),
            [_Worker() for _ in range(deployment.workers)],
        )

        def ask(number: int, _: FrameType | None) -> None:
            parent.asked.append(number)

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for worker in parent.workers:
                parent.start(worker)
            while not parent.asked and not parent.all_ready():
                time.sleep(_TICK)
                parent.tick()
            if not parent.asked:
                started()
            while not parent.asked:
                time.sleep(_TICK)
                parent.tick()
            parent.end(deployment.settings.drain_notice + deployment.settings.drain_limit + 10)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def main() -> None:
    """Be one worker."""
    import threading

    from scanner.intake.server import serve

    number, directory = int(sys.argv[1]), Path(sys.argv[2])

    def end_with_parent() -> None:
        os.read(sys.stdin.fileno(), 1)  # until the parent ends, or closes it; a buffer would be locked at the end
        os.kill(os.getpid(), signal.SIGTERM)

    def tell() -> None:
        with suppress(BrokenPipeError):  # the parent has died: the thread above ends this worker, as it should end
            os.write(sys.stdout.fileno(), READY)

    threading.Thread(target=end_with_parent, daemon=True).start()
    with socket.socket(fileno=number) as listening, suppress(KeyboardInterrupt):  # raised when SIGINT has been served
        serve(from_environment(os.environ), listening, started=tell, metrics_directory=directory)


if __name__ == "__main__":
    main()
