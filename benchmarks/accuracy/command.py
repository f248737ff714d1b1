"""The command: ``python -m benchmarks.accuracy``. Results go to files and stdout, progress and errors to stderr.

Rules: one error is one line; an interrupted run is picked up by the same command; nothing is measured twice.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.accuracy import arguments, comparing, evaluation, presets
from benchmarks.accuracy.banks import LONGEST
from benchmarks.accuracy.building import build, listed
from benchmarks.accuracy.edits import LADDER
from benchmarks.accuracy.hashes import absent, available
from benchmarks.accuracy.identification import Account
from benchmarks.accuracy.measuring import measure, threads
from benchmarks.accuracy.pools import Progress, dask, processes
from benchmarks.accuracy.raw import Plan, Raw
from benchmarks.accuracy.summary import lines_of
from benchmarks.measure import machine
from scanner.errors import ArgumentError, ScannerError
from scanner.files import replace_file

VERSIONS_OF = ("numpy", "pillow", "scipy", "numba")
INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Do what is asked.

    Returns:
        0; 1 after an error or a gate that is not passed; 130 if interrupted.
    """
    given = list(sys.argv[1:] if words is None else words)
    try:
        asked = parser().parse_args(given)
        asked.words = given
        return int(asked.call(asked))
    except ScannerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


def tell(line: str) -> None:
    """Say on stderr what is going on."""
    sys.stderr.write(f"{line}\n")  # in one piece: threads tell, too


def build_corpus(asked: argparse.Namespace) -> int:
    """List a corpus, take near copies out, and write both."""
    print(build(asked.kind, asked.root, asked.out, purged=not asked.keep_copies, tell=tell))
    return 0


def run(asked: argparse.Namespace) -> int:
    """Measure, evaluate and write the report."""
    _settings(asked)  # what is wrong with them is said before hours of work
    manifest, root, about = listed(asked.corpus, asked.root, asked.out, tell)
    hashes = tuple(available()) if asked.hashes == "all" else tuple(asked.hashes.split(","))
    for name, why in absent().items() if asked.hashes == "all" else ():
        tell(f"left out {name}: {why}")
    about |= {"machine": machine(*VERSIONS_OF), "command": ["python", "-m", "benchmarks.accuracy", *asked.words]}
    plan = Plan(hashes, rungs_named(asked.rungs), asked.pictures, asked.sources, asked.seed)
    pools = partial(processes, asked.workers) if asked.dask is None else partial(dask, asked.dask)
    counters = threads if asked.dask is None else pools
    raw = measure(
        manifest, root, asked.out, plan, about,
        clock=time.perf_counter, pools=pools, counters=counters, progress=Progress,
    )  # fmt: skip
    return _evaluate(raw, asked)


def evaluate(asked: argparse.Namespace) -> int:
    """Make figures and report anew from raw results."""
    return _evaluate(Raw.read(asked.folder), asked)


def compare(asked: argparse.Namespace) -> int:
    """Say which rates moved."""
    found = comparing.compare(evaluation.read(asked.first), evaluation.read(asked.second))
    print("\n".join(found.lines(every=asked.all)))
    return 0


def gate(asked: argparse.Namespace) -> int:
    """Judge a run against a baseline."""
    from benchmarks.accuracy.gate import gate as judge

    verdict = judge(evaluation.read(asked.baseline), evaluation.read(asked.current), asked.alpha)
    for line in verdict.regressions:
        print(f"regression: {line}")
    tell(f"{verdict.tests:,} rates judged, {verdict.worse:,} worse, {len(verdict.regressions):,} beyond chance")
    return 0 if verdict.passed else 1


def certificate(asked: argparse.Namespace) -> int:
    """Write the calibration certificate of a hash set."""
    from benchmarks.accuracy.certifying import certify
    from scanner import HashSet

    raw = Raw.read(asked.folder)
    with HashSet.open(asked.hashset) as known:
        found = certify(raw, known, dt.datetime.now(dt.UTC).date())
    replace_file(asked.out, [found.to_json().encode()])
    tell(
        f"{found.hits:,} false hits in {found.query_clusters:,} query clusters: FPIR at most {found.upper:.3g} at 95 %"
    )
    tell(f"attach it: scanner hashset attach-calibration {asked.hashset} {asked.out} --out {asked.hashset}")
    print(asked.out)
    return 0


def dry_run(asked: argparse.Namespace) -> int:
    """Tell what counting all pairs would cost."""
    from benchmarks.accuracy import costs

    if not (1 <= asked.bits <= LONGEST and asked.pairs >= 1):
        raise ArgumentError(f"a hash has 1 to {LONGEST:,} bits, and there is a pair at least")
    rows = asked.rows or round((2 * asked.pairs) ** 0.5)
    found = costs.cost(
        rows, asked.columns, asked.bits, costs.speed_here(asked.bits), costs.sum_speed_here(asked.bits),
        workers=asked.workers or costs.processors(), near_rate=asked.near_rate,
    )  # fmt: skip
    print("\n".join(found.lines()))
    return 0


def published(asked: argparse.Namespace) -> int:
    """Print published figures beside measured ones."""
    document = evaluation.read(asked.folder)
    preset = presets.preset_named(asked.preset)
    print(f"{preset.name}: {preset.source}\ncorpus there: {preset.corpus}\nfigures there: {preset.how}")
    print(f"corpus here: {document['corpus']['pictures']:,} pictures, {document['corpus']['strata']}")
    for row in presets.beside(preset, document):
        here = "not measured" if row.measured is None else f"{row.measured:.4g}"
        print(f"{row.published:>10.4g} {here:>12}  {row.what}{'; ' + row.differs if row.differs else ''}")
    return 0


def rungs_named(text: str) -> tuple[str, ...]:
    """Names of edits: ``all``, ``some`` for the middle one of each family, ``none``, or their names.

    Raises:
        UnknownNameError: there is no such edit.
    """
    if text in ("all", "none"):
        return tuple(LADDER) if text == "all" else ()
    if text == "some":
        families: dict[str, list[str]] = {}
        for rung in LADDER.values():
            families.setdefault(rung.family, []).append(rung.name)
        return tuple(names[len(names) // 2] for names in families.values())
    return tuple(text.split(","))


def _settings(asked: argparse.Namespace) -> evaluation.Settings:
    account = Account(asked.account_pictures, asked.wanted, asked.shape, asked.burst)
    return evaluation.Settings(asked.target, account, asked.replicates, asked.bootstrap_seed)


def _evaluate(raw: Raw, asked: argparse.Namespace) -> int:
    from benchmarks.accuracy import report

    document = evaluation.evaluate(raw, _settings(asked), dt.datetime.now(dt.UTC), tell)
    evaluation.write(document, raw.folder / "evaluation.json")
    report.write(document, raw.root, raw.folder / "report.html")
    print("\n".join(lines_of(document)))
    print(raw.folder / "evaluation.json")
    print(raw.folder / "report.html")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments, each command with its function."""
    return arguments.make(
        {
            "corpus": build_corpus, "run": run, "evaluate": evaluate, "compare": compare, "gate": gate,
            "certificate": certificate, "published": published, "dry-run": dry_run,
        }
    )  # fmt: skip
