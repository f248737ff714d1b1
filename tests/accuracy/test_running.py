"""Running many pieces: over processes and Dask, through deaths, interruptions and damage, with the same result."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy import costs, running
from benchmarks.accuracy.banks import Bank, store_bank
from benchmarks.accuracy.costs import cost, speed_here, sum_speed_here
from benchmarks.accuracy.kept import ready
from benchmarks.accuracy.pools import Piece, Pool, Progress, amount, carry_out, dask, duration, processes
from benchmarks.accuracy.running import AllPairs, count_all
from benchmarks.accuracy.tiles import cut
from scanner.errors import ArgumentError, LocalError, StorageError
from tests.processes import children_of, wait_until_gone

SECONDS = 60
PROJECT = Path(__file__).parents[2]


def a_bank(folder: Path, count: int = 400) -> Bank:
    """Hashes of 256 bits, of which many are alike, in clusters of two."""
    return store_bank(some_codes(count), np.arange(count) // 2, 256, folder / "banks")


def some_codes(count: int) -> np.ndarray:
    """Those hashes."""
    rng = np.random.default_rng(count)
    codes = np.packbits(rng.integers(0, 2, (7, 256), np.uint8)[rng.integers(0, 7, count)], axis=1)
    return codes ^ np.packbits(rng.random((count, 256)) < 0.1, axis=1)


@contextmanager
def threads():
    """A pool without processes."""
    with ThreadPoolExecutor(2) as executor:
        yield Pool(executor, 3)


def result_bytes(found: AllPairs, folder: Path) -> bytes:
    """The result's file."""
    found.write(folder / "pairs.npz")
    return (folder / "pairs.npz").read_bytes()


count_small = partial(count_all, right=None, reach=60, height=64, width=128)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> bytes:
    """The result of a run in which nothing happened."""
    folder = tmp_path_factory.mktemp("expected")
    return result_bytes(count_small(a_bank(folder), folder=folder / "tiles", pools=threads), folder)


def test_a_kill_in_the_middle_changes_nothing(tmp_path, expected):
    """After kill -9 no worker is left, the next run counts the missing tiles only, and the result is the same."""
    bank, tiles = a_bank(tmp_path), tmp_path / "tiles"
    script = f"""
import time
from functools import partial
from pathlib import Path
from benchmarks.accuracy import tiles
from benchmarks.accuracy.banks import Bank
from benchmarks.accuracy.pools import processes
from benchmarks.accuracy.running import count_all
from tests.accuracy.test_running import slow_tile, running
if __name__ == "__main__":
    running.count_tile = slow_tile
    bank = Bank(Path({str(bank.hashes)!r}), Path({str(bank.clusters)!r}), {bank.digest!r}, {bank.count}, 256)
    count_all(bank, None, 60, Path({str(tiles)!r}), partial(processes, 1), height=64, width=128)
"""
    (tmp_path / "killed.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "killed.py")], cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}
    )
    try:
        wait_for_files(tiles, 3, process)
        workers = children_of(process.pid)
        assert workers
    finally:
        process.kill()
        process.wait(SECONDS)
    wait_until_gone(workers)
    stamps = {path: path.stat().st_mtime_ns for path in tiles.glob("*.tile")}
    assert 3 <= len(stamps) < 17
    found = count_small(bank, folder=tiles, pools=threads)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert result_bytes(found, tmp_path) == expected


def slow_tile(*arguments):
    """Count a tile, and take long enough to be killed in between."""
    from benchmarks.accuracy.tiles import count_tile

    count_tile(*arguments)
    time.sleep(0.2)


def wait_for_files(folder: Path, count: int, process: subprocess.Popen) -> None:
    """Wait until so many tiles are there."""
    deadline = time.monotonic() + SECONDS
    while len(list(folder.glob("*.tile"))) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_dask_gives_the_same_bytes(tmp_path, expected):
    """A real scheduler and two workers on loopback count the tiles with the same result, by the command too."""
    bank = a_bank(tmp_path)
    np.save(tmp_path / "codes.npy", some_codes(400))
    np.save(tmp_path / "clusters.npy", np.arange(400) // 2)
    import distributed  # a second to load; the extra dev has it

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, host="127.0.0.1", protocol="tcp", dashboard_address=None,
        worker_dashboard_address=None, silence_logs=False,
    ) as cluster:  # fmt: skip
        found = count_small(bank, folder=tmp_path / "tiles", pools=partial(dask, cluster.scheduler_address))
        command = [
            str(tmp_path / "codes.npy"), "--clusters", str(tmp_path / "clusters.npy"), "--reach", "60", "--rows", "64",
            "--columns", "128", "--out", str(tmp_path / "out"), "--dask", cluster.scheduler_address,
        ]  # fmt: skip
        assert running.main(command) == 0
    assert result_bytes(found, tmp_path) == expected
    (result,) = (tmp_path / "out").glob("pairs-*.npz")
    assert result.read_bytes() == expected


def test_no_scheduler_is_told(tmp_path):
    """A scheduler that isn't there is an error in a line, and soon."""
    with pytest.raises(LocalError, match="can't be reached"), dask("nonsense://127.0.0.1:1"):
        pass


def die_once(path, mark):
    """End the worker without a word at the first call; leave a file at the second."""
    if not Path(mark).exists():
        Path(mark).touch()
        os._exit(1)
    Path(path).touch()


def test_pieces_of_a_worker_that_dies_are_done_again(tmp_path):
    """A worker that dies takes no piece with it."""
    pieces = [Piece((str(tmp_path / f"{number}.done"), str(tmp_path / "mark")), 1) for number in range(4)]
    carry_out(die_once, pieces, partial(processes, 1))
    assert len(list(tmp_path.glob("*.done"))) == 4


def test_libraries_in_workers_use_one_thread_unless_told_otherwise(monkeypatch):
    """Workers of a pool do not compete with themselves for processors, and the environment is left as it was."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with processes(1) as pool:
        seen = [pool.executor.submit(os.getenv, name).result() for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
    assert seen == ["1", "3"]
    assert "OPENBLAS_NUM_THREADS" not in os.environ


class Dying(ThreadPoolExecutor):
    """An executor whose workers die at every call."""

    def submit(self, function, /, *arguments, **_):
        future: Future = Future()
        future.set_exception(BrokenProcessPool("dead"))
        return future


def test_workers_that_always_die_end_the_run():
    """Where no piece is ever finished, it is given up after three tries."""
    opened = []

    @contextmanager
    def pools():
        opened.append(1)
        with Dying(1) as executor:
            yield Pool(executor, 2)

    with pytest.raises(LocalError, match="2 pieces are left"):
        carry_out(print, [Piece((1,), 1), Piece((2,), 1)], pools)
    assert len(opened) == 3


def test_a_full_disk_ends_the_run_and_keeps_the_rest(tmp_path, monkeypatch, expected):
    """An error in a piece ends the run with that error; the tiles there are taken up by the next."""
    from scanner import files

    bank, real, room = a_bank(tmp_path), os.fsync, iter(range(8))

    def full(descriptor):
        if next(room, None) is None:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            count_small(bank, folder=tmp_path / "tiles", pools=threads)
    held = list((tmp_path / "tiles").iterdir())
    assert 1 <= len(held) <= 8  # a call for the file, one for its name
    assert {path.suffix for path in held} == {".tile"}
    assert result_bytes(count_small(bank, folder=tmp_path / "tiles", pools=threads), tmp_path) == expected


def test_a_damaged_tile_is_counted_again(tmp_path, expected):
    """A run believes no damaged file, and counts only that tile anew."""
    bank, folder = a_bank(tmp_path), tmp_path / "tiles"
    count_small(bank, folder=folder, pools=threads)
    path = sorted(folder.iterdir())[2]
    path.write_bytes(path.read_bytes()[:-5])
    out = io.StringIO()
    found = count_small(bank, folder=folder, pools=threads, progress=Progress("tiles", "pairs", out))
    assert result_bytes(found, tmp_path) == expected
    lines = out.getvalue().splitlines()
    assert lines[0].startswith(f"{len(list(folder.iterdir())) - 1} of")
    assert len(lines) == 2


def test_an_interrupt_ends_a_run_cleanly(tmp_path, monkeypatch):
    """Ctrl-C ends the command with 130 and a line, leaves no worker, and the same command goes on."""
    rng = np.random.default_rng(1)
    np.save(tmp_path / "codes.npy", rng.integers(0, 256, (900, 32), np.uint8))
    command = [
        sys.executable, "-m", "benchmarks.accuracy.running", str(tmp_path / "codes.npy"), "--reach", "90",
        "--out", str(tmp_path / "out"), "--rows", "10", "--workers", "1",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_files(tmp_path / "out" / "tiles", 2, process)
        workers = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted; the finished tiles are kept")
    assert "Traceback" not in said
    wait_until_gone(workers)
    tiles = tmp_path / "out" / "tiles"
    stamps = {path: path.stat().st_mtime_ns for path in tiles.glob("*.tile")}
    assert 2 <= len(stamps) < 90
    with monkeypatch.context() as patch:
        patch.setattr(running, "processes", lambda _: threads())
        assert running.main(command[3:]) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    (result,) = (tmp_path / "out").glob("pairs-*.npz")
    assert AllPairs.read(result).counted.histogram.sum() == 900 * 899 // 2


def test_a_result_is_read_as_written(tmp_path):
    """What is written is read back equal; anything else is refused by name."""
    found = count_small(a_bank(tmp_path, 50), folder=tmp_path / "tiles", pools=threads)
    path = tmp_path / "pairs.npz"
    found.write(path)
    again = AllPairs.read(path)
    assert (again.digest, again.bits, again.reach) == (found.digest, 256, 60)
    assert np.array_equal(again.sums, found.sums)
    assert np.array_equal(again.counted.distance, found.counted.distance)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StorageError, match=r"pairs\.npz is no file of counted pairs"):
        AllPairs.read(path)


def test_files_of_the_dead_are_swept(tmp_path):
    """What a process that died was writing is removed, what one writes now is not."""
    for name in (".prescan-old", ".prescan-new", "a.tile"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".prescan-old", (1, 1))
    ready(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".prescan-new", "a.tile"]
    with pytest.raises(StorageError, match="can't make"):
        ready(tmp_path / "a.tile")


@given(
    rows=st.integers(1, 300),
    columns=st.none() | st.integers(1, 300),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
)
def test_a_cost_knows_the_tiles_without_making_them(rows, columns, height, width):
    """Pairs and tiles told beforehand are those that are cut."""
    told = cost(rows, columns, 64, 1e9, 1e5, workers=1, near_rate=0, height=height, width=width)
    bounds = list(cut(rows, columns, height, width))
    assert told.tiles == len(bounds)
    assert told.pairs == sum(one.pairs(within=columns is None) for one in bounds)


def test_the_cost_of_anything_is_told():
    """Of 1e15 pairs, and of far more, at once."""
    told = cost(44_721_361, None, 256, 1e9, 1e5, workers=2, near_rate=1e-6)
    assert told.pairs == 44_721_361 * 44_721_360 // 2
    assert told.seconds == pytest.approx(5e5 + 447, rel=1e-6)
    assert told.near == pytest.approx(1e9, rel=1e-3)
    assert told.disk == pytest.approx(44_721_361 * 40 + 18e9 + told.tiles * 3_400, rel=1e-2)
    assert told.lines()[2].startswith("time     5 days 19 h with 2 workers; 277.8 core hours")
    more = cost(10**15, 10**15, 64, 1e9, 1e5, workers=1, near_rate=0)
    assert more.tiles == 61_035_156_250 * 953_674_317
    right = {"rows": 9, "columns": None, "bits": 64, "speed": 1.0, "sum_speed": 1.0, "workers": 1, "near_rate": 0.0}
    for wrong in ({"rows": 0}, {"speed": 0.0}, {"sum_speed": 0.0}, {"near_rate": 2.0}, {"workers": 0}):
        with pytest.raises(ArgumentError):
            cost(**{**right, **wrong})


def test_the_disk_it_takes_is_what_was_told(tmp_path):
    """Files of hashes, clusters and tiles come to what was told, if the rate of near pairs was right."""
    found = count_small(a_bank(tmp_path), folder=tmp_path / "banks", pools=threads)
    rate = len(found.counted.first) / (400 * 399 / 2)
    told = cost(400, None, 256, 1e9, 1e5, workers=1, near_rate=rate, height=64, width=128)
    taken = sum(path.stat().st_size for path in (tmp_path / "banks").iterdir())
    assert told.disk == pytest.approx(taken, rel=0.02)


def test_a_dry_run_does_nothing(tmp_path, monkeypatch, capsys):
    """Cost is told of a number or a file, and no file is made."""
    monkeypatch.setattr(costs, "speed_here", lambda _: 1e9)
    monkeypatch.setattr(costs, "sum_speed_here", lambda _: 1e5)
    np.save(tmp_path / "codes.npy", np.zeros((70, 8), np.uint8))
    for left in ("70", str(tmp_path / "codes.npy")):
        assert running.main([left, "--bits", "64", "--dry-run"]) == 0
        assert capsys.readouterr().out.startswith("pairs    2,415 ")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("bits", [42, 64])
def test_speed_is_measured_by_the_clock(bits):
    """The speed is pairs over seconds of the clock that was given."""
    ticks = iter([0.0, 3.0, 3.0])
    assert speed_here(bits, 2.0, lambda: next(ticks)) == pytest.approx(2_048 * (1 << 17) / 3)
    ticks = iter([1.0, 3.0])
    assert sum_speed_here(bits, lambda: next(ticks)) == 8_192 / 2


def test_programs_are_compared(monkeypatch, capsys):
    """Each program counts the same pairs, and has its line in the table."""
    monkeypatch.setattr(costs, "one_thread", lambda: None)
    costs.report(costs.measured((40, 500), 1))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 2 * 4
    assert sum("numpy" in line for line in lines[2:]) == 2


def test_progress_tells_the_rest():
    """Pieces, speed and time left follow from weights and the clock."""
    now, out = [0.0], io.StringIO()
    progress = Progress("tiles", "pairs", out, lambda: now[0])
    pieces = [Piece((), 10**9)] * 4
    progress.begin(pieces, 2)
    for _ in range(4):
        now[0] += 11
        progress.finished(pieces[0])
    assert out.getvalue().splitlines() == [
        "2 of 6 tiles are there already",
        "3 of 6 tiles, 90.9 M pairs/s, 33 s left",
        "4 of 6 tiles, 90.9 M pairs/s, 22 s left",
        "5 of 6 tiles, 90.9 M pairs/s, 11 s left",
        "6 of 6 tiles, 90.9 M pairs/s, 0 s left",
    ]
    quiet = Progress("tiles", "pairs", None)
    quiet.begin(pieces, 1)
    quiet.finished(pieces[0])


def test_numbers_and_times_in_words():
    """Amounts have a letter, times their largest units."""
    assert [amount(value) for value in (0, 999, 999_499_999, 999_999_999, 1_960_000_000, 3e13)] == [
        "0 ", "999 ", "999 M", "1 G", "1.96 G", "30 T",
    ]  # fmt: skip
    assert [duration(value) for value in (3, 61, 7300, 90_000, 4e7)] == [
        "3 s", "1 min 1 s", "2 h 1 min", "1 days 1 h", "1 years 97 days",
    ]  # fmt: skip


def test_bad_commands_are_told_in_a_line(tmp_path, capsys):
    """What can't be done is an error of a line and a status."""
    codes, absent = str(tmp_path / "codes.npy"), str(tmp_path / "absent.npy")
    np.save(codes, np.zeros((3, 8), np.uint8))
    out = ["--out", str(tmp_path / "out")]
    for arguments, said in (
        ([], "name a file"),
        ([codes], "--out"),
        ([codes, codes, *out], "--right-clusters"),
        ([absent, *out], "absent"),
        ([absent, "--dry-run"], "absent"),
        ([codes, *out], "hashes of 256 bits"),
        ([codes, "--bits", "64", "--workers", "0", *out], "0 workers"),
    ):
        assert running.main(arguments) == 1
        assert said in capsys.readouterr().err
