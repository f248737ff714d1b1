"""Work of many pieces over any ``concurrent.futures.Executor``: processes here, or a Dask cluster.

Rules: a piece is a function of plain numbers and texts that keeps its result on disk, so nothing of value crosses
between processes; a piece whose result is there is not done again; whatever ends a run, the finished pieces stay.

``concurrent.futures`` and ``distributed`` have wire formats of their own for the call of a function by its name; this
project's own files and messages are plain arrays and JSON.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, NamedTuple, TextIO

from scanner.errors import ArgumentError, LocalError

DEATHS = 3
"""Times that workers may die, one after the other, without a piece being finished."""
SECONDS_BETWEEN_LINES = (0.5, 10.0)
"""Of progress: on a terminal, and in a file."""
THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that say how many threads numerical libraries use; they read them when they are loaded."""


class Piece(NamedTuple):
    """One call: plain arguments, and how much work it is compared with the others."""

    arguments: tuple[Any, ...]
    weight: int


class Pool(NamedTuple):
    """An executor, and how many pieces to hand to it before the first is back."""

    executor: Executor
    ahead: int


class Progress:
    """Says on stderr how much is done and how long the rest takes.

    Args:
        what: the pieces, in the plural.
        unit: what weights count, in the plural.
        out: where to; silent if None.
        clock: seconds that never go back.
    """

    def __init__(
        self, what: str, unit: str, out: TextIO | None = sys.stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._unit, self._out, self._clock = what, unit, out, clock
        self._total = self._pieces = self._done = self._weight = self._kept = 0
        self._begun = self._said = clock()

    def begin(self, pieces: Sequence[Piece], kept: int) -> None:
        """Start: what is to be done, and how many pieces were done before."""
        self._pieces, self._kept = len(pieces) + kept, kept
        self._total = sum(piece.weight for piece in pieces)
        self._done = self._weight = 0
        self._begun = self._said = self._clock()
        if kept:
            self._say(f"{kept:,} of {self._pieces:,} {self._what} are there already", last=True)

    def finished(self, piece: Piece) -> None:
        """Count a piece, and say so unless something was said just now."""
        self._done += 1
        self._weight += piece.weight
        now = self._clock()
        last = self._done + self._kept == self._pieces
        pause = SECONDS_BETWEEN_LINES[not (self._out is not None and self._out.isatty())]
        if last or now - self._said >= pause:
            self._said = now
            self._say(self.line(now), last=last)

    def line(self, now: float) -> str:
        """Put the state in words."""
        speed = self._weight / max(now - self._begun, 1e-9)
        rest = (self._total - self._weight) / speed if speed else 0.0
        return (
            f"{self._done + self._kept:,} of {self._pieces:,} {self._what}, {amount(speed)} {self._unit}/s, "
            f"{duration(rest)} left"
        )

    def _say(self, text: str, *, last: bool) -> None:
        if self._out is not None:
            on_terminal = self._out.isatty()
            self._out.write(f"\r{text}\x1b[K" if on_terminal else text)
            self._out.write("\n" if last or not on_terminal else "")
            self._out.flush()


def carry_out(
    function: Callable[..., object],
    pieces: Sequence[Piece],
    pools: Callable[[], AbstractContextManager[Pool]],
    *,
    progress: Progress | None = None,
    kept: int = 0,
) -> None:
    """Do every piece, in any order, each at least once.

    A pool whose worker dies is opened anew and the pieces it had are done again.

    Args:
        function: importable by its name; called with a piece's arguments. What it returns is ignored.
        pieces: what to do.
        pools: opens a pool; ``processes`` or ``dask`` with their arguments.
        progress: told of each piece.
        kept: pieces that were done before, for the progress.

    Raises:
        LocalError: workers died ``DEATHS`` times with no piece finished in between.
        KeyboardInterrupt: it was interrupted; what was under way is dropped.
        Exception: whatever a piece raised; no further piece is begun.
    """
    if progress is not None:
        progress.begin(pieces, kept)
    left = dict(enumerate(pieces))
    deaths = 0
    while left:
        before = len(left)
        try:
            with pools() as pool:
                _feed(function, left, pool, progress)
        except BrokenExecutor as error:
            deaths = 1 if len(left) < before else deaths + 1
            if deaths == DEATHS:
                raise LocalError(
                    f"workers died {DEATHS} times with no piece finished in between: is there memory enough? "
                    f"{len(left):,} pieces are left, the others are kept"
                ) from error


def _feed(function: Callable[..., object], left: dict[int, Piece], pool: Pool, progress: Progress | None) -> None:
    waiting = iter(list(left))
    running: dict[Future[object], int] = {}
    try:
        while True:
            while len(running) < pool.ahead and (number := next(waiting, None)) is not None:
                running[pool.executor.submit(function, *left[number].arguments)] = number
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(future)
                future.result()
                piece = left.pop(number)
                if progress is not None:
                    progress.finished(piece)
    finally:
        for future in running:
            future.cancel()


@contextmanager
def processes(workers: int | None = None) -> Iterator[Pool]:
    """Open a pool of processes here, spawned and not forked, which end with this one however it ends.

    Numerical libraries use one thread in each, unless the environment says otherwise: with as many as there are
    processors in each process, threads wait for each other and hashing takes 1.7 times as long.

    Args:
        workers: how many; as many as this process may use processors if left out.

    Raises:
        ArgumentError: it is under 1.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = count if workers is None else workers
    if count < 1:
        raise ArgumentError(f"{count} workers can do nothing")
    spawn = get_context("spawn")
    reader, writer = spawn.Pipe(duplex=False)
    executor = ProcessPoolExecutor(count, spawn, _begin_worker, (reader,))
    unsaid = [name for name in THREADS_OF_LIBRARIES if name not in os.environ]
    os.environ.update(dict.fromkeys(unsaid, "1"))  # what a spawned process begins with, whenever it is spawned
    try:
        yield Pool(executor, 2 * count)
        executor.shutdown()
    finally:
        writer.close()  # workers that are left end at once
        executor.shutdown(cancel_futures=True)
        reader.close()
        for name in unsaid:
            os.environ.pop(name, None)


def _begin_worker(lifeline: Connection) -> None:
    """Leave interrupts to the process that started this one, and end when it lets go of the other end, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    wait_for([lifeline])
    os._exit(1)


@contextmanager
def dask(address: str) -> Iterator[Pool]:
    """Use the workers of a Dask scheduler; they need this project, and the same files at the same paths.

    Args:
        address: of the scheduler, as ``tcp://10.0.0.1:8786``.

    Raises:
        ArgumentError: ``distributed`` is absent.
        LocalError: the scheduler can't be reached, has no worker, or gave up a piece whose workers died.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise ArgumentError(f"{error}; pip install '.[cluster]'") from None
    try:
        client: Any = Client(address, timeout=10, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise LocalError(f"the Dask scheduler at {address} can't be reached: {error}") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise LocalError(f"the Dask scheduler at {address} has no worker")
        executor = client.get_executor()
        try:
            yield Pool(executor, 2 * threads)
        except KilledWorker as error:
            raise LocalError(f"Dask gave up: {error}") from error
        finally:
            executor.shutdown(wait=False)


def amount(number: float) -> str:
    """Put a number in at most four digits and a letter."""
    for letter, unit in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * unit:  # what three digits would show as a thousand of the unit below
            return f"{number / unit:.3g} {letter}"
    return f"{number:.3g} "


def duration(seconds: float) -> str:
    """Put seconds in words, of the largest unit or two."""
    for name, unit, next_name, next_unit in (
        ("years", 31_557_600, "days", 86_400),
        ("days", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= unit:
            whole, rest = divmod(seconds, unit)
            return f"{whole:,.0f} {name} {rest // next_unit:.0f} {next_name}"
    return f"{seconds:.0f} s"
