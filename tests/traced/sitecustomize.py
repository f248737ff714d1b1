"""Python reads this at the start of every process that a test begins; conftest.py, for the process of the tests."""

from __future__ import annotations

import os
import threading


def keep_greenlets() -> None:
    """Let no thread's greenlet be destroyed.

    coverage looks its data up by greenlet, in a dictionary of weak keys. A thread's greenlet is destroyed from within
    the interpreter's pending calls, and a Python function that is called there while lines are traced, as the
    dictionary's is, never returns in Python 3.11 if another thread ends at that moment.
    """
    import greenlet

    kept: list[greenlet.greenlet] = []
    begin = threading.Thread._bootstrap_inner

    def begin_and_keep(thread: threading.Thread) -> None:
        kept.append(greenlet.getcurrent())
        begin(thread)

    threading.Thread._bootstrap_inner = begin_and_keep


if "COVERAGE_PROCESS_CONFIG" in os.environ or "COVERAGE_PROCESS_START" in os.environ:
    keep_greenlets()
