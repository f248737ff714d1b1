"""A worker whose decoder was taken over: what it does is written in the media. Started by test_isolated."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scanner.sandbox import worker

honest = worker.hash_media
TEMPORARY = tempfile.gettempdir()


def crash() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def leave() -> None:
    os._exit(0)


def hang() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(3600)


def eat_at_once() -> None:
    bytearray(1 << 40)


def eat() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(b"x") * (1 << 24))


def write_rubbish() -> None:
    for channel in range(3, 16):
        try:
            os.write(channel, b"\xff" * 4096)
        except OSError:
            continue


def stutter() -> None:
    for channel in range(3, 16):
        try:
            os.write(channel, b"P")
        except OSError:
            continue
    time.sleep(3600)


def print_rubbish() -> None:
    sys.__stdout__.write("rubbish" * 1000)
    sys.__stdout__.flush()


def open_socket() -> None:
    socket.socket().close()


def open_file() -> None:
    Path(os.__file__).read_bytes()


def list_folder() -> None:
    list(Path("/").iterdir())


def write_file() -> None:
    path = Path(TEMPORARY, f"{os.getpid()}.evil")
    path.touch()
    path.unlink()


def run_program() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def signal_parent() -> None:
    os.kill(os.getppid(), 0)


def look_at_parent() -> None:
    Path(f"/proc/{os.getppid()}/status").read_bytes()


def make_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


DENIED: dict[str, Callable[[], None]] = {
    action.__name__: action
    for action in (
        open_socket, open_file, list_folder, write_file, run_program, fork, signal_parent, look_at_parent, make_code,
    )
}  # fmt: skip
"""What an ordinary process may do and the worker may not."""

DISTURBING: dict[str, Callable[[], None]] = {
    action.__name__: action
    for action in (
        crash, abort, leave, hang, sleep, eat_at_once, eat, write_rubbish, stutter, print_rubbish,
    )
}  # fmt: skip


def taken_over(data: bytes, *arguments: object, **options: object) -> object:
    """Do what the media says; decode it if it says nothing."""
    action = {**DENIED, **DISTURBING}.get(bytes(data[:40]).decode("latin-1"))
    if action is not None:
        action()
    return honest(data, *arguments, **options)


if __name__ == "__main__":
    worker.hash_media = taken_over
    worker.main()
