"""Take from this process everything that decoding does not need; there is no way back.

=================  ==================================================================================================
``no-new-privs``   no program it might run gains rights (Linux)
``not-dumpable``   processes of the same user can't look into it (Linux)
``landlock``       no path of the file system can be opened, made or run (Linux 5.13, package ``landlock``)
``rlimits``        bounds memory and processor time; no new file, no core dump, no byte written to a file (POSIX)
``seccomp``        of the system calls only those of the list below are left, and no new executable memory (Linux,
                   package ``pyseccomp`` and the system's libseccomp)
=================  ==================================================================================================

Each is tried by itself; what is missing is told, not hidden (``scanner doctor``).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from enum import IntFlag
from importlib import import_module
from pathlib import Path

PROTECTIONS = ("no-new-privs", "not-dumpable", "landlock", "rlimits", "seccomp")
"""Their names, in the order in which they are taken."""

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PROT_EXEC = 4
_CLONE_THREAD = 0x10000

# What CPython, numpy, Pillow, FFmpeg and the C library call while they decode from memory.
_CALLS = (
    "brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "exit", "exit_group", "fstat", "futex",
    "getcpu", "getpid", "getrandom", "getrusage", "gettid", "gettimeofday", "lseek", "madvise", "membarrier", "mremap",
    "munmap", "nanosleep", "newfstatat", "read", "readv", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list", "sigaltstack", "tgkill", "uname", "write",
)  # fmt: skip


class Protection(IntFlag):
    """The protections as a set."""

    NO_NEW_PRIVS = 1
    NOT_DUMPABLE = 2
    LANDLOCK = 4
    RLIMITS = 8
    SECCOMP = 16

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(name for name, protection in zip(PROTECTIONS, Protection, strict=True) if protection in self)


def confine(memory: int, seconds: int) -> Protection:
    """Confine this process for good.

    Args:
        memory: bytes it may take beyond what it has.
        seconds: of processor time it may use in all.

    Returns:
        what is in force.
    """
    for module in ("resource", "landlock", "pyseccomp"):
        with suppress(Exception):
            import_module(module)  # while files can still be opened
    steps: tuple[Callable[[], None], ...] = (
        lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1),
        lambda: _prctl(_PR_SET_DUMPABLE, 0),
        _landlock,
        lambda: _limit(memory, seconds, taken),
        _seccomp,
    )
    taken = _bytes_taken()
    applied = Protection(0)
    for protection, step in zip(Protection, steps, strict=True):
        with suppress(Exception):  # a system or package without it
            step()
            applied |= protection
    return applied


def _bytes_taken() -> int:
    """Address space of this process, where the kernel tells."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return 0


def _limit(memory: int, seconds: int, taken: int) -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_AS, taken + memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _prctl(what: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _landlock() -> None:
    from landlock import Ruleset

    Ruleset().apply()


def _seccomp() -> None:
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ERRNO(1))  # EPERM
    for call in _CALLS:
        rules.add_rule(seccomp.ALLOW, call)
    for call in ("mmap", "mprotect"):
        rules.add_rule(seccomp.ALLOW, call, seccomp.Arg(2, seccomp.MASKED_EQ, _PROT_EXEC, 0))
    if os.uname().machine == "x86_64":
        rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    rules.add_rule(seccomp.ERRNO(38), "clone3")  # ENOSYS: its arguments can't be looked at, so that clone is used
    rules.load()
