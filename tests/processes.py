"""Look at processes that a test has started, and wait for their end; ``ps`` is there on every Unix."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable


def children_of(process: int) -> list[int]:
    """Processes that a process started and that have not ended."""
    return [pid for pid, parent in _running() if parent == process]


def wait_until_gone(processes: Iterable[int], seconds: float = 30.0) -> None:
    """Wait until all of these have ended, whether or not somebody has asked how.

    Raises:
        TimeoutError: some have not.
    """
    deadline = time.monotonic() + seconds
    waited_for = set(processes)
    while left := waited_for & {pid for pid, _ in _running()}:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(left)} have not ended")
        time.sleep(0.02)


def _running() -> list[tuple[int, int]]:
    """Id and parent's id of every process but those that have ended and wait to be asked how."""
    command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
    rows = (line.split() for line in subprocess.check_output(command, text=True, timeout=30).splitlines())
    return [(int(pid), int(parent)) for pid, parent, state in rows if not state.startswith("Z")]
