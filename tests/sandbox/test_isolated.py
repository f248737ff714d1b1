"""A decoder that crashes, hangs, eats or lies costs the media it had, and nothing else."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scanner.errors import MediaError, MediaFault, SandboxError, UnknownNameError
from scanner.hashing import HASHERS, hash_media
from scanner.media import Accuracy, Limits
from scanner.sandbox import PROTECTIONS, InProcessHasher, IsolatedHasher, isolated, process
from tests.media.test_video import KINDS, clip, still
from tests.sandbox import evil

ROOT = Path(__file__).parents[2]
MODULE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import runpy; "
EVIL = (sys.executable, "-c", MODULE + "runpy.run_module('tests.sandbox.evil', run_name='__main__')")
LINUX = sys.platform == "linux"


@pytest.fixture(scope="module")
def hasher():
    with IsolatedHasher() as hasher:
        yield hasher


@pytest.fixture(scope="module")
def taken_over():
    """A hasher whose worker does what the media says."""
    with IsolatedHasher(command=EVIL, memory=1 << 28) as hasher:
        hasher.warm_up()
        yield hasher


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if LINUX else 0


@pytest.mark.parametrize("accuracy", Accuracy)
def test_isolated_hashes_are_those_of_this_process(hasher, accuracy, photographs):
    """Hash, quality and every other field."""
    for path in photographs[:8]:
        assert hasher.hash_media(path, accuracy=accuracy) == hash_media(path, accuracy=accuracy)


@pytest.mark.parametrize("kind", ["mp4-h264", "webm-vp9", "mov-mjpeg"])
def test_videos_are_decoded_confined(kind):
    """Frame for frame as in this process: nothing of the decoder is left to be loaded once the doors are closed."""
    data = clip(still(3.5), **KINDS[kind])
    told: list[float] = []
    expected: list[float] = []
    with IsolatedHasher() as hasher:  # a worker that has seen no video before
        there = hasher.hash_media(data, progress=told.append)
    assert len(there.frames) == 4
    assert there.moving
    assert there == hash_media(data, accuracy=Accuracy.FAST, progress=expected.append)
    assert told == pytest.approx(expected, abs=1e-6)
    assert len(told) == 4


@pytest.mark.parametrize("algorithm", HASHERS)
def test_every_algorithm_works_confined(algorithm, astronaut):
    """Nothing an algorithm needs is left to be loaded once the doors are closed."""
    with IsolatedHasher(algorithm) as hasher:
        assert hasher.hash_media(astronaut) == hash_media(astronaut, algorithm, accuracy=Accuracy.FAST)


@pytest.mark.parametrize("source", [b"", b"no picture", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_the_medias_faults_come_through(hasher, source):
    """The same fault and the same words as in this process."""
    with pytest.raises(MediaError) as here:
        hash_media(source)
    with pytest.raises(MediaError) as there:
        hasher.hash_media(source)
    assert (there.value.fault, str(there.value)) == (here.value.fault, str(here.value))


def test_limits_come_through(hasher, astronaut):
    """They are the request's, not the worker's."""
    assert len(hasher.hash_media(astronaut).frames) == 1
    with pytest.raises(MediaError) as refused:
        hasher.hash_media(astronaut, limits=Limits(max_pixels=100))
    assert refused.value.fault is MediaFault.TOO_LARGE


def test_all_protections_are_in_force_here(hasher):
    """On a current Linux nothing is missing; Landlock must be there where the kernel has it."""
    landlock = (
        ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1 if LINUX else False
    )  # landlock_create_ruleset: its version
    if LINUX:
        assert set(hasher.warm_up()) == set(PROTECTIONS) - (set() if landlock else {"landlock"})


@pytest.mark.parametrize("action", evil.DENIED.values(), ids=evil.DENIED)
def test_what_is_denied_to_the_worker_is_possible_here(action):
    """So that the test below can fail."""
    action()


@pytest.mark.skipif(not LINUX, reason="seccomp is Linux's")
@pytest.mark.parametrize("action", evil.DENIED)
def test_a_decoder_that_was_taken_over_can_do_nothing_else(taken_over, action, astronaut):
    """No file, no network, no process; the next picture is served."""
    with pytest.raises(MediaError) as refused:
        taken_over.hash_media(action.encode())
    assert refused.value.fault is MediaFault.CRASHED
    assert str(refused.value) in {
        "the decoder failed (PermissionError)",
        "the decoder failed (OSError)",  # no file descriptors left, which is as good
        "the decoder failed (ImportError)",
        "the decoder failed (ModuleNotFoundError)",
    }
    assert taken_over.hash_media(astronaut) == hash_media(astronaut, accuracy=Accuracy.FAST)


FAULTS = {
    "crash": MediaFault.CRASHED,
    "abort": MediaFault.CRASHED,
    "leave": MediaFault.CRASHED,
    "hang": MediaFault.TIMED_OUT,
    "sleep": MediaFault.TIMED_OUT,
    "eat_at_once": MediaFault.TOO_LARGE,
    "eat": MediaFault.TOO_LARGE,
    "write_rubbish": MediaFault.CRASHED,
    "stutter": MediaFault.TIMED_OUT,
    "print_rubbish": MediaFault.NOT_A_PICTURE,  # standard output leads nowhere: the media itself is told of
}


def test_every_disturbance_has_its_fault():
    """A disturbance added to the list is added here."""
    assert set(FAULTS) == set(evil.DISTURBING)


@pytest.mark.parametrize("action", evil.DISTURBING)
def test_a_decoder_that_disturbs_costs_its_media_alone(taken_over, action, astronaut):
    """One fault in bounded time, and the next picture is served."""
    before = open_files()
    started = time.monotonic()
    with pytest.raises(MediaError) as refused:
        taken_over.hash_media(action.encode(), timeout=1.0)
    assert refused.value.fault is FAULTS[action]
    assert time.monotonic() - started < 10
    assert taken_over.hash_media(astronaut) == hash_media(astronaut, accuracy=Accuracy.FAST)
    assert open_files() == before


def test_threads_share_the_workers(astronaut, photographs):
    """Two workers serve eight threads, and a crash hits nobody else."""
    expected = hash_media(astronaut, accuracy=Accuracy.FAST)
    with IsolatedHasher(command=EVIL, workers=2) as hasher, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> object:
            if number % 10 == 3:
                with pytest.raises(MediaError):
                    hasher.hash_media(b"leave")
                return expected
            return hasher.hash_media(astronaut)

        assert list(pool.map(ask, range(40))) == [expected] * 40


def test_waiting_for_a_worker_counts(astronaut):
    """Who waits behind a slow picture is told in time."""
    with IsolatedHasher(command=EVIL) as hasher:
        hasher.warm_up()

        def be_slow() -> None:
            with pytest.raises(MediaError):
                hasher.hash_media(b"sleep", timeout=2.0)

        slow = threading.Thread(target=be_slow)
        slow.start()
        time.sleep(0.5)
        with pytest.raises(MediaError, match="every decoder was busy") as late:
            hasher.hash_media(astronaut, timeout=0.2)
        assert late.value.fault is MediaFault.TIMED_OUT
        slow.join()


def test_a_worker_is_replaced_when_it_has_worked_long(astronaut, monkeypatch):
    """Before its own bound on processor time ends it in the middle of a picture."""
    monkeypatch.setattr(isolated, "BUSY_SECONDS", 0.0)
    with IsolatedHasher() as hasher:
        for _ in range(2):
            assert hasher.hash_media(astronaut).frames
            assert not hasher._idle


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("/nowhere/python",), "can't start the decoder"),
        ((sys.executable, "-c", "pass"), "did not start"),
        ((sys.executable, "-c", "print('PSWx' * 100)"), "did not start as it should"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "did not start"),
    ],
    ids=["missing", "silent", "another", "slow"],
)
def test_a_decoder_that_can_not_be_started_is_told(command, told, monkeypatch, astronaut):
    """A fault of this machine, not of the picture; and nothing stays behind."""
    monkeypatch.setattr(process, "START_SECONDS", 1.0)
    before = open_files()
    with IsolatedHasher(command=command) as hasher:
        for _ in range(2):
            with pytest.raises(SandboxError, match=told):
                hasher.hash_media(astronaut)
    assert open_files() == before


def test_a_closed_hasher_is_told(astronaut):
    """Closing ends the worker; closing twice does no harm."""
    hasher = IsolatedHasher()
    hasher.warm_up()
    (worker,) = hasher._idle
    hasher.close()
    hasher.close()
    assert worker._process.returncode is not None
    with pytest.raises(SandboxError, match="closed"):
        hasher.hash_media(astronaut)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_starts_its_own_worker(hasher, astronaut):
    """Two processes must not write into one pipe."""
    expected = hasher.hash_media(astronaut)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if hasher.hash_media(astronaut) == expected else 1)
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert hasher.hash_media(astronaut) == expected


def test_the_environment_of_the_worker_is_bare(monkeypatch):
    """Secrets in the environment are not for the process that decodes."""
    monkeypatch.setenv("PRESCAN_SECRET", "secret")
    with IsolatedHasher() as hasher:
        hasher.warm_up()
        (worker,) = hasher._idle
        if LINUX and os.geteuid() == 0:  # the worker is not dumpable: root alone may look
            assert b"secret" not in Path(f"/proc/{worker._process.pid}/environ").read_bytes()


def test_in_process_hashing_gives_the_same(astronaut):
    """The other way of decoding has the same interface and no protections."""
    hasher = InProcessHasher()
    assert hasher.warm_up() == ()
    assert hasher.hash_media(astronaut) == hash_media(astronaut, accuracy=Accuracy.FAST)
    hasher.close()


@pytest.mark.parametrize("kind", [IsolatedHasher, InProcessHasher])
def test_unknown_algorithms_are_refused_at_once(kind):
    """Before a process is started."""
    with pytest.raises(UnknownNameError):
        kind("md5")


@pytest.mark.parametrize("length", [process.SHARED, process.SHARED + 1], ids=["shared", "sent"])
def test_media_of_any_length_comes_through(hasher, length, astronaut):
    """In the memory that both share, or after its request where it does not fit."""
    data = astronaut.read_bytes()
    padded = data + bytes(length - len(data))  # what follows a PNG's end is not looked at
    assert hasher.hash_media(padded) == hash_media(data, accuracy=Accuracy.FAST)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory files are Linux's")
def test_the_memory_both_share_can_not_be_written_by_others():
    """Who maps it anew may only read, and it keeps its size."""
    shared, region = process._shared_memory()
    try:
        region[:3] = b"abc"
        with pytest.raises(PermissionError):
            mmap.mmap(shared, 0)
        with pytest.raises(PermissionError):
            os.ftruncate(shared, 1)
        with mmap.mmap(shared, 0, prot=mmap.PROT_READ) as theirs:
            assert theirs[:3] == b"abc"
    finally:
        region.close()
        os.close(shared)


def test_without_memory_to_share_media_is_sent(monkeypatch, astronaut):
    """As on systems that have none."""
    monkeypatch.setattr(process, "_shared_memory", lambda: (-1, None))
    with IsolatedHasher() as hasher:
        assert hasher.hash_media(astronaut) == hash_media(astronaut, accuracy=Accuracy.FAST)


def test_a_hasher_that_is_forgotten_leaves_no_process():
    """Even in a cycle, and without a warning."""
    hasher = IsolatedHasher()
    hasher.warm_up()
    (worker,) = hasher._idle
    process = worker._process
    worker.circle = hasher
    del worker, hasher
    gc.collect()
    assert process.returncode is not None
