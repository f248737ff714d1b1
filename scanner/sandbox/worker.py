"""The process that decodes: warms up, confines itself, then answers requests until its input ends.

It is started by scanner.sandbox.isolated and holds nothing: no keys, no files, no network.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable

from scanner.errors import MediaError, MediaFault
from scanner.hashing import hash_media
from scanner.media import Accuracy, Limits
from scanner.media.samples import leave_bombs_to_limits, samples
from scanner.sandbox import messages
from scanner.sandbox.confine import confine

CPU_SECONDS = 3600
"""Processor time after which a worker ends; it is replaced long before."""


def main() -> None:
    """Run with the arguments shared memory's file descriptor (-1: none), algorithm and bytes of memory."""
    shared, algorithm, memory = int(sys.argv[-3]), sys.argv[-2], int(sys.argv[-1])
    region = None
    if shared >= 0:
        region = mmap.mmap(shared, 0, prot=mmap.PROT_READ)
        os.close(shared)
    requests, answers = _private_channels()
    warm_up(algorithm)
    applied = confine(memory, CPU_SECONDS)
    _write_all(answers, messages.HELLO.pack(messages.MAGIC, applied))
    serve(requests, answers, algorithm, region)
    os._exit(0)  # nothing here wants cleaning up, and nothing may be written


def _private_channels() -> tuple[int, int]:
    """Move requests and answers away from standard input and output, which any library may use."""
    channels = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    return channels


def serve(requests: int, answers: int, algorithm: str, region: mmap.mmap | None) -> None:
    """Answer requests, read from and written to file descriptors, until there are no more.

    Media lies in the region where it fits, and follows its request where not.
    """
    while len(head := _read_up_to(requests, messages.REQUEST.size)) == messages.REQUEST.size:
        length, accuracy, limits = messages.read_request(head)
        shared = region is not None and length <= len(region)
        data = region[:length] if region is not None and shared else _read_up_to(requests, length)
        _write_all(
            answers,
            answer_to(data, accuracy, limits, algorithm, lambda share: _write_all(answers, messages.step(share))),
        )


def answer_to(
    data: bytes,
    accuracy: Accuracy,
    limits: Limits,
    algorithm: str,
    progress: Callable[[float], None] | None = None,
) -> bytes:
    """Hash media and put what was found, or why it can't be, into an answer; say meanwhile how far it is."""
    try:
        return messages.answer(hash_media(data, algorithm, accuracy=accuracy, limits=limits, progress=progress))
    except MediaError as error:
        return messages.fault(error)
    except MemoryError:
        return messages.fault(MediaError(MediaFault.TOO_LARGE, "the media needs more memory than it may have"))
    except Exception as error:  # noqa: BLE001 - a fault of ours, told as such and not as a crash
        return messages.fault(MediaError(MediaFault.CRASHED, f"the decoder failed ({type(error).__name__})"))


def warm_up(algorithm: str) -> None:
    """Load every decoder and kernel, as neither files nor executable memory are to be had later."""
    leave_bombs_to_limits()
    for data in samples():
        for accuracy in Accuracy:
            try:
                hash_media(data, algorithm, accuracy=accuracy)
            except MediaError:  # a decoder that is missing here will be missing later
                continue


def _read_up_to(channel: int, length: int) -> bytes:
    """Read so many bytes, fewer only at the end of the input."""
    data = bytearray(length)
    view = memoryview(data)
    done = 0
    while done < length and (got := os.readv(channel, [view[done:]])):
        done += got
    view.release()
    return bytes(data) if done == length else b""


def _write_all(channel: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(channel, view) :]


if __name__ == "__main__":
    main()
