"""Damaged pictures by the hundred thousand: each gives frames or MediaError, soon, in bounded memory.

python -m benchmarks.fuzz --inputs 200000 --seed 1            all of them, and benchmarks/results/fuzz.json
python -m benchmarks.fuzz --seed 1 --show 4711 --out bad.bin  one of them again, with its traceback

The invariant: ``hash_media`` at FAST, with default limits, gives at least one frame or raises MediaError, within
MAX_SECONDS, and the process's resident memory never grows by more than MAX_GROWTH. A worker that dies or hangs is seen
by its parent, which notes the input and goes on after it.
"""

from __future__ import annotations

import argparse
import io
import mmap
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.fuzz_inputs import one_input, sound_files
from benchmarks.measure import machine, store
from scanner.errors import MediaError
from scanner.hashing import hash_media
from scanner.media import Accuracy

MAX_SECONDS = 2.0
MAX_GROWTH = 2 * 1024**3
HUNG_SECONDS = 60.0
BATCH = 200
_MEGABYTE = 1024**2


@dataclass
class Tally:
    """What became of a format's inputs."""

    inputs: int = 0
    frames: int = 0
    pictures: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_input: int = -1
    growth: int = 0
    growth_input: int = -1


@dataclass
class Run:
    """What one input did."""

    number: int
    name: str
    frames: int
    fault: str
    seconds: float
    growth: int
    violation: str


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def warm_up(files: dict[str, list[bytes]]) -> None:
    """Hash what is sound, and a JPEG that is scaled, so that kernels are compiled and decoders loaded."""
    out = io.BytesIO()
    Image.new("RGB", (1100, 1100)).save(out, "JPEG")
    for data in (out.getvalue(), *chain.from_iterable(files.values())):
        hash_media(data, accuracy=Accuracy.FAST)


def run_one(files: dict[str, list[bytes]], seed: int, number: int) -> Run:
    """Hash one input, and hold it to the invariant."""
    name, data = one_input(files, seed, number)
    before = peak_memory()
    frames, fault, violation = 0, "", ""
    started, worked = time.perf_counter(), time.process_time()
    try:
        frames = len(hash_media(data, accuracy=Accuracy.FAST).frames)
        if not frames:
            violation = "no frame and no error"
    except MediaError as error:
        fault = error.fault.value
    except BaseException as error:  # noqa: BLE001 - what is looked for
        violation = f"{type(error).__name__}: {error}"[:200]
    seconds = time.perf_counter() - started
    growth = peak_memory() - before
    if min(seconds, time.process_time() - worked) > MAX_SECONDS:
        violation = violation or f"took {seconds:.1f} s"
    return Run(number, name, frames, fault, seconds, growth, violation)


def work(seed: int, numbers: range, skip: frozenset[int], place: str, results: Connection) -> None:
    """Run inputs in this process; the number of the one at hand stands in a file that outlives it."""
    files = sound_files()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes a line for each thing it finds wrong
    warnings.simplefilter("ignore")
    warm_up(files)
    first = peak_memory()
    with Path(place).open("r+b") as file, mmap.mmap(file.fileno(), 8) as current:
        runs: list[Run] = []
        for number in numbers:
            if number not in skip:
                current[:] = number.to_bytes(8)
                runs.append(run_one(files, seed, number))
            if len(runs) == BATCH or number == numbers[-1]:
                results.send((number, runs, peak_memory() - first))
                runs = []
    results.close()


@dataclass
class Share:
    """The inputs of one worker, and of those that take its place."""

    seed: int
    numbers: range
    place: str
    skip: set[int] = field(default_factory=set)
    worker: Any = None
    results: Any = None
    heard: float = 0.0

    def start(self) -> None:
        """Start a process on what is left."""
        context = multiprocessing.get_context("spawn")
        self.results, theirs = context.Pipe(duplex=False)
        arguments = (self.seed, self.numbers, frozenset(self.skip), self.place, theirs)
        self.worker = context.Process(target=work, args=arguments, daemon=True)
        self.worker.start()
        theirs.close()
        self.heard = time.monotonic()

    def current(self) -> int:
        """Number of the input at hand, or of the last one."""
        return int.from_bytes(Path(self.place).read_bytes())


def fuzz(seed: int, inputs: int, processes: int, seconds: float) -> dict[str, Any]:
    """Run inputs in several processes until all are done or the time is up; returns what is stored."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    violations: list[dict[str, Any]] = []
    peak = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shares = []
        for number in range(processes):
            place = Path(folder, str(number))
            place.write_bytes(bytes(8))
            shares.append(Share(seed, range(number, inputs, processes), str(place)))
            shares[-1].start()
        while shares and time.monotonic() - started < seconds:
            for share in list(shares):
                ended = _listen(share, tallies, violations)
                peak = max(peak, ended[1])
                if ended[0]:
                    shares.remove(share)
        for share in shares:
            share.worker.kill()
            share.worker.join()
    formats = {name: _plain(tally) for name, tally in sorted(tallies.items())}
    if peak > MAX_GROWTH:
        violations.append({"input": None, "what": f"memory grew by {peak / _MEGABYTE:,.0f} MB"})
    return {
        "machine": machine("pillow", "pillow-heif", "pillow-jxl-plugin", "numpy"),
        "seed": seed,
        "inputs": sum(tally.inputs for tally in tallies.values()),
        "seconds": time.monotonic() - started,
        "processes": processes,
        "max_seconds": MAX_SECONDS,
        "max_growth": MAX_GROWTH,
        "growth": peak,
        "formats": formats,
        "violations": violations,
    }


def _listen(share: Share, tallies: dict[str, Tally], violations: list[dict[str, Any]]) -> tuple[bool, int]:
    """Take one batch of a worker, or start the next if it died or hung; returns whether all is done, and memory."""
    try:
        if share.results.poll(0.2):
            last, runs, growth = share.results.recv()
            share.heard = time.monotonic()
            for run in runs:
                _count(tallies[run.name], run)
                if run.violation:
                    violations.append({"input": run.number, "format": run.name, "what": run.violation})
            share.numbers = range(last + share.numbers.step, share.numbers.stop, share.numbers.step)
            if not share.numbers:
                share.worker.join()
            return not share.numbers, growth
    except EOFError:
        share.worker.join()
        if share.current() in share.skip:
            sys.exit("fuzz: the worker does not start; see its error above")
        violations.append({"input": share.current(), "what": f"the process died ({share.worker.exitcode})"})
        share.skip.add(share.current())
        share.start()
        return False, 0
    if time.monotonic() - share.heard > HUNG_SECONDS and _is_stuck(share):
        violations.append({"input": share.current(), "what": f"hung for {HUNG_SECONDS:.0f} s"})
        share.worker.kill()
        share.worker.join()
        share.skip.add(share.current())
        share.start()
    return False, 0


def _is_stuck(share: Share) -> bool:
    """Whether a worker that sends no batch stays at one input."""
    at = share.current()
    time.sleep(5)
    return share.current() == at and not share.results.poll()


def _count(tally: Tally, run: Run) -> None:
    tally.inputs += 1
    tally.frames += run.frames
    tally.pictures += bool(run.frames)
    if run.fault:
        tally.faults[run.fault] += 1
    if run.seconds > tally.slowest:
        tally.slowest, tally.slowest_input = run.seconds, run.number
    if run.growth > tally.growth:
        tally.growth, tally.growth_input = run.growth, run.number


def _plain(tally: Tally) -> dict[str, Any]:
    return {**vars(tally), "faults": dict(sorted(tally.faults.items()))}


def report(raw: dict[str, Any]) -> str:
    """Lay the figures out in a table."""
    faults = sorted({fault for tally in raw["formats"].values() for fault in tally["faults"]})
    columns = ["inputs", "pictures", "frames", *faults, "slowest ms", "growth MB"]
    lines = [f"{'':10}" + "".join(f"{column:>15}" for column in columns)]
    for name, tally in raw["formats"].items():
        figures = [tally["inputs"], tally["pictures"], tally["frames"]]
        figures += [tally["faults"].get(fault, 0) for fault in faults]
        figures += [round(tally["slowest"] * 1000), round(tally["growth"] / _MEGABYTE)]
        lines.append(f"{name:10}" + "".join(f"{figure:>15,}" for figure in figures))
    lines.append(
        f"{raw['inputs']:,} inputs of seed {raw['seed']} in {raw['seconds']:,.0f} s; memory grew by at most "
        f"{raw['growth'] / _MEGABYTE:,.0f} MB; violations: {len(raw['violations'])}"
    )
    return "\n".join([*lines, *(str(violation) for violation in raw["violations"])])


def show(seed: int, number: int, out: Path | None) -> None:
    """Run one input here, with its traceback."""
    files = sound_files()
    name, data = one_input(files, seed, number)
    if out is not None:
        out.write_bytes(data)
    try:
        hash_media(data, accuracy=Accuracy.FAST)
    except Exception:  # noqa: BLE001 - shown
        traceback.print_exc()
    print(f"{name}, {len(data):,} bytes: {run_one(files, seed, number)}")


def main() -> None:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--show", type=int, help="run only the input of this number")
    parser.add_argument("--out", type=Path, help="with --show: write the input to this file")
    arguments = parser.parse_args()
    if arguments.show is not None:
        show(arguments.seed, arguments.show, arguments.out)
        return
    raw = fuzz(arguments.seed, arguments.inputs, arguments.processes, arguments.seconds)
    store("fuzz", raw)
    print(report(raw))
    sys.exit(bool(raw["violations"]))


if __name__ == "__main__":
    main()
