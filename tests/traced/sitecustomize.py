"""Python reads this at the start of every process that a test begins: for its threads, what conftest.py does here."""

from __future__ import annotations

import os

if "COVERAGE_PROCESS_CONFIG" in os.environ or "COVERAGE_PROCESS_START" in os.environ:
    import threading

    import greenlet

    _kept: list[greenlet.greenlet] = []
    _begin = threading.Thread._bootstrap_inner

    def _begin_and_keep(thread: threading.Thread) -> None:
        _kept.append(greenlet.getcurrent())
        _begin(thread)

    threading.Thread._bootstrap_inner = _begin_and_keep
