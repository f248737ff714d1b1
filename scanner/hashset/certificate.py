"""A calibration as text: the certificate, and its strict reader.

Rules: a certificate has exactly the fields below; a rate or bound that does not follow from the counts beside it
makes it none; whatever the text, the one error is HashSetError, after bounded work.

JSON in UTF-8::

    format, version                    "prescan-calibration", 1
    hashset_digest, corpus_digest      64 hexadecimal digits: the list, and the manifest of the corpus
    algorithm, radius, quality_floor   as in the list's header
    date                               YYYY-MM-DD, of the measurement
    query_clusters, hits               clusters of pictures that are not on the list, and how many of them matched
    fpir, upper                        hits / query_clusters, and its upper bound
    strata                             array of {name, query_clusters, hits, fpir, upper}; may be empty
    nearest_distances                  smallest distances of a query cluster to the list, in bits, ascending
    versions                           object: tools that measured, and their versions
    ladder                             null, or {version, edits}: array of {name, pictures, missed, fnir, upper}

Bounds are one-sided at 95 % (Clopper and Pearson 1934, Biometrika 26:404).
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

from scanner.errors import ArgumentError, HashSetError
from scanner.hashset.calibration import CONFIDENCE, Calibration, Edit, Stratum

FORMAT = "prescan-calibration"
VERSION = 1
DIGITS = 9
"""So many are written of a rate or bound: the last bits of a double differ between machines."""
RATE_TOLERANCE = 1e-8
BOUND_TOLERANCE = 1e-5
"""Relative."""

_LISTED = ("algorithm", "radius", "quality_floor", "query_clusters", "hits", "versions", "nearest_distances")
_KEYS = frozenset({*_LISTED, "format", "version", "hashset_digest", "corpus_digest", "date", "fpir", "upper", "strata",
                   "ladder"})  # fmt: skip


def write_certificate(calibration: Calibration) -> str:
    """Write a calibration as JSON, keys sorted, a field a line; one calibration is always the same text."""
    fields = {name: getattr(calibration, name) for name in _LISTED}
    fields |= {
        "format": FORMAT,
        "version": VERSION,
        "hashset_digest": calibration.hashset_digest.hex(),
        "corpus_digest": calibration.corpus_digest.hex(),
        "date": calibration.date.isoformat(),
        "fpir": _rounded(calibration.fpir),
        "upper": _rounded(calibration.upper),
        "versions": dict(calibration.versions),
        "strata": [_written(one, ("name", "query_clusters", "hits", "fpir", "upper")) for one in calibration.strata],
        "ladder": calibration.ladder and {
            "version": calibration.ladder,
            "edits": [_written(one, ("name", "pictures", "missed", "fnir", "upper")) for one in calibration.edits],
        },
    }  # fmt: skip
    return json.dumps(fields, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def read_certificate(text: str | bytes) -> Calibration:
    """Read a certificate.

    Raises:
        HashSetError: it does not have exactly the fields of one, or its figures contradict each other.
    """
    try:
        whole = text if isinstance(text, str) else text.decode("utf-8")
        fields = json.loads(whole, object_pairs_hook=_distinct, parse_constant=_no_number)
        return _read(fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise HashSetError(f"the calibration certificate is not valid: {error}") from error


def _read(fields: Any) -> Calibration:
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ArgumentError(f"it is not of the format {FORMAT}")
    if type(fields.get("version")) is not int or fields["version"] != VERSION:
        raise ArgumentError(f"only version {VERSION} is known here; install a newer prescan, or measure again")
    _check_keys("the certificate", fields, _KEYS)
    if type(fields["nearest_distances"]) is not list:
        raise ArgumentError("nearest_distances is an array")
    strata = [
        Stratum(one["name"], one["query_clusters"], one["hits"])
        for one in _records("strata", fields["strata"], ("name", "query_clusters", "hits", "fpir", "upper"))
    ]
    ladder, written = fields["ladder"], []
    if ladder is not None:
        _check_keys("the ladder", ladder, ("version", "edits"))
        written = _records("edits", ladder["edits"], ("name", "pictures", "missed", "fnir", "upper"))
    edits = [Edit(one["name"], one["pictures"], one["missed"]) for one in written]
    calibration = Calibration(
        hashset_digest=_digest(fields["hashset_digest"]),
        corpus_digest=_digest(fields["corpus_digest"]),
        date=_date(fields["date"]),
        strata=tuple(strata),
        ladder=None if ladder is None else ladder["version"],
        edits=tuple(edits),
        **{name: fields[name] for name in _LISTED},
    )
    _keep_bound("the whole", calibration, calibration.hits, calibration.query_clusters, fields["fpir"], fields["upper"])
    for stratum, one in zip(strata, fields["strata"], strict=True):
        _keep_bound(stratum.name, stratum, stratum.hits, stratum.query_clusters, one["fpir"], one["upper"])
    for edit, one in zip(edits, written, strict=True):
        _keep_bound(edit.name, edit, edit.missed, edit.pictures, one["fnir"], one["upper"])
    return calibration


def _keep_bound(
    what: str, counted: Calibration | Stratum | Edit, hits: int, trials: int, rate: Any, upper: Any
) -> None:
    """Refuse a rate or a bound that does not follow from the counts; keep a bound that does, so none is looked for."""
    if type(rate) is not float or not math.isclose(rate, hits / trials, rel_tol=RATE_TOLERANCE):
        raise ArgumentError(f"the rate of {what} is not that of its counts")
    if type(upper) is not float or not is_bound(upper, hits, trials):
        raise ArgumentError(f"the bound of {what} is not that of its counts (Clopper-Pearson, one-sided)")
    vars(counted)["upper"] = upper  # where its cached property looks first


def is_bound(upper: float, hits: int, trials: int) -> bool:
    """Whether a rate is the one at which so few hits are as seldom as 5 %, to within the tolerance.

    That is how Clopper and Pearson define the bound; to check it takes a hundredth of the time that it takes to find
    it, so a list opens no slower for its certificate.

    Args:
        upper: the rate; any number.
        hits: 0 to ``trials``.
        trials: 1 to 1e9.
    """
    if hits == trials:
        return upper == 1
    if not hits / trials < upper * (1 + BOUND_TOLERANCE) or not upper <= 1:
        return False
    below, above = upper * (1 - BOUND_TOLERANCE), upper * (1 + BOUND_TOLERANCE)
    often = below * trials <= hits or chance_of_at_most(hits, trials, below) >= 1 - CONFIDENCE
    return often and (above >= 1 or chance_of_at_most(hits, trials, above) <= 1 - CONFIDENCE)


def chance_of_at_most(hits: int, trials: int, rate: float) -> float:
    """Find the chance of at most so many hits: the largest term of the binomial law, then the others by their ratios.

    Args:
        hits: 0 to ``trials - 1``.
        trials: 1 to 1e9; the relative error is below 2e-5, all of it from the logarithms of factorials.
        rate: over ``hits / trials`` and under 1, so that the terms fall from the first on.
    """
    log_term = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    log_term += hits * math.log(rate) + (trials - hits) * math.log1p(-rate)
    term = total = 1.0
    for count in range(hits, 0, -1):
        term *= count / (trials - count + 1) * ((1 - rate) / rate)
        total += term
        if term < 1e-12 * total:
            break
    return math.exp(log_term) * total


def _written(one: Stratum | Edit, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in names}
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in values.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _records(what: str, records: Any, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    if not isinstance(records, list):
        raise ArgumentError(f"{what} is an array")
    for one in records:
        _check_keys(f"one of the {what}", one, keys)
    return records


def _check_keys(what: str, fields: Any, keys: Iterable[str]) -> None:
    if not isinstance(fields, dict) or fields.keys() != set(keys):
        raise ArgumentError(f"{what} does not have exactly the fields {', '.join(sorted(keys))}")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ArgumentError("a field is there twice")
    return fields


def _no_number(name: str) -> NoReturn:
    raise ArgumentError(f"{name} is no number")


def _digest(text: Any) -> bytes:
    data = bytes.fromhex(text) if type(text) is str else b""
    if data.hex() != text:
        raise ArgumentError("a digest is 64 hexadecimal digits")
    return data


def _date(text: Any) -> dt.date:
    day = dt.date.fromisoformat(text) if type(text) is str else None
    if day is None or day.isoformat() != text:
        raise ArgumentError("the date is written YYYY-MM-DD")
    return day
