"""From what was measured to rates with intervals: one JSON document, made anew at will and read by everything after it.

Rules: raw results are only read; the same raw results and settings give the same document but for the day; a number
that is no number is not written, its reason is; format and version stand in front, and another version is refused.

The document, ``evaluation.json``::

    format, version, at, made_with     "prescan-accuracy", 1, the day and second, settings of the statistics
    measured                           machine, versions, exact command, plug-ins, seconds of each step
    corpus                             digest, pictures, strata, sources, licences, purge, what could not be hashed
    ladder                             version, digest, rungs, sources edited
    hashes                             by name: populations (histogram, FMR, degrees of freedom), FPIR by size, radius
                                       and stratum, tails, accounts, PPV, FNIR by edit, DET points, nearest pairs
    cross_lineage, comparisons         between hashes
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.accounts import ppv
from benchmarks.accuracy.costs import processors
from benchmarks.accuracy.identification import Account, identify
from benchmarks.accuracy.intervals import Estimate
from benchmarks.accuracy.manifest import Picture
from benchmarks.accuracy.raw import FLOOR, LISTABLE, Raw
from benchmarks.accuracy.recalls import LADDER_GROUP, Recalls, comparisons, cross_lineage, recall_figures, recalls_of
from scanner.account_rates import laws_of
from scanner.errors import ArgumentError, RemoteError
from scanner.files import replace_file

FORMAT, VERSION = "prescan-accuracy", 1
LEVEL = 0.95
PREVALENCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
NEAREST_PAIRS = 8
MOST_REASONS = 20

Document = dict[str, Any]
Tell = Callable[[str], None]


class EvaluationError(RemoteError, ValueError):
    """A file is no evaluation, or not of this version."""


@dataclass(frozen=True)
class Settings:
    """How the statistics are made.

    Attributes:
        target: FPIR at which hashes are compared.
        account: what thresholds are found for.
        replicates: draws of each bootstrap.
        seed: of the draws.

    Raises:
        ArgumentError: a target that is not over 0 and under 1, under 100 draws, or an account that no law takes.
    """

    target: float = 0.01
    account: Account = field(default_factory=Account)
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.target < 1 or self.replicates < 100 or self.seed < 0:
            raise ArgumentError("the target is over 0 and under 1, a bootstrap has 100 draws or more, a seed is from 0")
        account = self.account
        if account.pictures < 1 or not 0 < account.wanted < 1:
            raise ArgumentError("an account sends a picture at least, and what is wanted is over 0 and under 1")
        laws_of(0.0, shape=account.shape, burst=account.burst, pictures=account.pictures)


def evaluate(raw: Raw, settings: Settings, at: datetime, tell: Tell = lambda line: None) -> Document:
    """Work out every figure.

    Args:
        raw: what was measured.
        settings: of the statistics.
        at: now, in UTC.
        tell: given a line for each hash.

    Returns:
        the document, plain values only.
    """
    found = recalls_of(raw)

    def of_hash(name: str) -> Document:
        tell(f"figures of {name}")
        return _of_hash(raw, name, settings, found)

    with ThreadPoolExecutor(processors()) as pool:  # what takes long leaves the interpreter free
        hashes = dict(zip(raw.plan.hashes, pool.map(of_hash, raw.plan.hashes), strict=True))
    radii = {name: one["radius"] for name, one in hashes.items() if "radius" in one}
    equal = {name: one["equal_radius"] for name, one in hashes.items() if one.get("equal_radius") is not None}
    document: Document = {
        "format": FORMAT,
        "version": VERSION,
        "at": at.isoformat(timespec="seconds"),
        "made_with": {**asdict(settings), "level": LEVEL, "floor": FLOOR, "plan": asdict(raw.plan)},
        "measured": {
            name: raw.about[name] for name in ("machine", "command", "plugins", "seconds") if name in raw.about
        },
        "corpus": _corpus(raw),
        "ladder": {**raw.about["ladder"], "sources": len(raw.sources), "strata": _strata(raw, list(raw.sources))},
        "hashes": hashes,
        "cross_lineage": [],
        "comparisons": [],
    }
    if found is not None:
        known = [pair for pair in found.crossed if pair[0] in radii]
        found = Recalls(
            found.rungs, found.clusters, found.strata, found.distances,
            {pair: found.crossed[pair] for pair in known}, found.below_floor,
        )  # fmt: skip
        document["cross_lineage"] = cross_lineage(found, radii, settings.replicates, settings.seed)
        document["comparisons"] = comparisons(found, equal, raw.plan.hashes, settings.replicates, settings.seed)
    return document


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write a document, whole or not at all.

    Raises:
        StorageError: it can't be written.
    """
    replace_file(path, [json.dumps(document, indent=1, allow_nan=False).encode(), b"\n"])


def read(path: Path) -> Document:
    """Read a document; a folder stands for the ``evaluation.json`` in it.

    Raises:
        EvaluationError: there is none, or it is of another version.
    """
    file = path / "evaluation.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise EvaluationError(f"can't read {file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{file} is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise EvaluationError(f"{file} is no evaluation: its format is not {FORMAT}")
    if document.get("version") != VERSION:
        raise EvaluationError(f"{file} is of version {document.get('version')!r}, not {VERSION}: evaluate again")
    for name, kind in (("made_with", dict), ("corpus", dict), ("ladder", dict), ("hashes", dict), ("measured", dict)):
        if not isinstance(document.get(name), kind):
            raise EvaluationError(f"{file} lacks {name}")
    return document


def estimate_of(fields: Mapping[str, Any]) -> Estimate:
    """Make an estimate of the fields it was written with.

    Raises:
        EvaluationError: they are not those of one.
    """
    try:
        return Estimate(*(fields[name] for name in ("estimate", "low", "high", "level", "n", "note")))
    except (KeyError, TypeError, ArgumentError) as error:
        raise EvaluationError(f"a rate is not one: {error}") from None


def _of_hash(raw: Raw, name: str, settings: Settings, found: Recalls | None) -> Document:
    about = raw.about["plugins"][name]
    figures = {**about, **identify(raw, name, settings.target, settings.account, settings.replicates, settings.seed)}
    figures["nearest_pairs"] = _nearest_pairs(raw, name)
    if found is None or "refused" in figures:
        return figures
    figures |= recall_figures(found, name, about["bits"], figures["radius"], figures["equal_radius"], figures["reach"])
    missed = figures["fnir_by_stratum"][LADDER_GROUP]
    recall = Estimate(
        1 - missed["estimate"], 1 - missed["high"], 1 - missed["low"], missed["level"], missed["n"],
        f"over the ladder; {missed['note']}",
    )  # fmt: skip
    false = estimate_of(figures["accounts"][LISTABLE]["fpir"])
    try:
        figures["ppv"] = [{"prevalence": at, **asdict(one)} for at, one in ppv(PREVALENCES, false, recall).items()]
    except ArgumentError as error:
        figures["ppv_refused"] = str(error)
    return figures


def _nearest_pairs(raw: Raw, name: str) -> list[Document]:
    """The nearest pairs of listable pictures that are of different clusters."""
    pairs = raw.pairs(name, LISTABLE)
    if pairs is None:
        return []
    numbers = raw.numbers(name, LISTABLE)
    order = np.argsort(pairs.counted.distance, kind="stable")[:NEAREST_PAIRS]
    found = []
    for at in order.tolist():
        one, two = (raw.pictures[numbers[side[at]]] for side in (pairs.counted.first, pairs.counted.second))
        found.append({"distance": int(pairs.counted.distance[at]), "pictures": [_told(one), _told(two)]})
    return found


def _told(picture: Picture) -> Document:
    return {"sha256": picture.sha256, "path": picture.path, "source": picture.source, "licence": picture.licence,
            "stratum": picture.stratum.value}  # fmt: skip


def _corpus(raw: Raw) -> Document:
    listable = raw.populations()[LISTABLE]
    reasons = Counter(f"{failure.plugin or 'picture'}: {failure.reason}" for failure in raw.hashed.failures)
    return {
        "digest": raw.manifest,
        "pictures": len(raw.pictures),
        "clusters": int(raw.clusters.max()) + 1,
        "listable": int(listable.sum()),
        "strata": _strata(raw, list(range(len(raw.pictures)))),
        "listable_strata": _strata(raw, np.flatnonzero(listable).tolist()),
        "sources": dict(Counter(picture.source for picture in raw.pictures).most_common()),
        "licences": dict(Counter(picture.licence for picture in raw.pictures).most_common()),
        "not_hashed": dict(reasons.most_common(MOST_REASONS)),
        "purge": raw.about.get("purge"),
        "left_out": raw.about.get("left_out", {}),
    }


def _strata(raw: Raw, numbers: list[int]) -> dict[str, int]:
    return dict(Counter(raw.pictures[at].stratum.value for at in numbers).most_common())
