"""Read lists of hashes as the field exchanges them: CSV, JSON lines, or one hash a line.

Columns and keys are found by name, upper or lower case:

========  =====================================================================================
meaning   names
========  =====================================================================================
hash      ``hash``, ``indicator`` (ThreatExchange), ``signal``, ``value``, ``pdq``, ``phash``, ``hex``
label     ``label``, ``tags`` (text, list, or ThreatExchange's ``{"data": [{"text": …}]}``), ``description``
cluster   ``cluster``, ``group``: a number, or text that is hashed to one
quality   ``quality``
type      ``type``, ``signal_type``: ``HASH_PDQ``, ``pdq`` …; rows of another type are refused and counted
========  =====================================================================================

A CSV without a header row has the hash first, then the quality if it is a number, then the label: what
``pdq-photo-hasher`` prints. Lines that are empty or begin with ``#`` are passed over.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scanner.errors import HashListError, StorageError
from scanner.hashset.entry import Entry
from scanner.profiles import algorithm_named
from scanner.types import PerceptualHash

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson"})

_HASH = ("hash", "indicator", "signal", "value", "pdq", "phash", "hex")
_LABEL = ("label", "tags", "description")
_CLUSTER = ("cluster", "group")
_QUALITY = ("quality",)
_TYPE = ("type", "signal_type")

Refuse = Callable[[str], None]
Row = Mapping[str, Any]


def read_hash_list(path: Path, algorithm: str, refuse: Refuse) -> Iterator[Entry]:
    """Read a list's entries in order.

    Args:
        path: a ``.csv``, ``.tsv``, ``.txt``, ``.json`` (one array) or JSON-lines file, UTF-8.
        algorithm: the algorithm the hashes are of.
        refuse: called with the reason for each row passed over because it is of another type.

    Raises:
        StorageError: the file can't be read.
        HashListError: a row can't be understood; the message names file and line.
    """
    settings = algorithm_named(algorithm)
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for place, raw in _rows(path.suffix.lower(), file):
                number = place
                row = _object(json.loads(raw) if isinstance(raw, _JsonLine) else raw)
                kind = _first(row, _TYPE)
                if kind is not None and _type_of(str(kind)) not in {algorithm, algorithm.split("-")[0]}:
                    refuse(f"type {kind}")
                    continue
                yield _entry(row, algorithm, settings.bits)
    except OSError as error:
        raise StorageError(f"can't read {path}: {error.strerror or error}") from error
    except (ValueError, OverflowError, csv.Error, RecursionError) as error:
        raise HashListError(f"{path}, line {number or 1}: {error}") from error


class _JsonLine(str):
    """A line still to be read, so that what is wrong with it is told with its number."""

    __slots__ = ()


def _rows(suffix: str, file: Iterable[str]) -> Iterator[tuple[int, object]]:
    if suffix == ".json":
        rows = json.loads("".join(file))
        if isinstance(rows, dict):
            rows = rows.get("data")
        if not isinstance(rows, list):
            raise ValueError("expected an array of objects, or an object with such an array under 'data'")
        yield from enumerate(rows, 1)
    elif suffix in {".jsonl", ".ndjson"}:
        yield from ((number, _JsonLine(text)) for number, text in enumerate(file, 1) if text.strip())
    else:
        yield from _csv_rows(file, "\t" if suffix == ".tsv" else ",")


def _csv_rows(file: Iterable[str], delimiter: str) -> Iterator[tuple[int, object]]:
    reader = csv.reader(file, delimiter=delimiter)
    names: list[str] | None = None
    for cells in reader:
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            continue
        if names is None:
            lowered = [cell.strip().lower() for cell in cells]
            if any(name in _HASH for name in lowered):
                names = lowered
                continue
            names = ["hash", "quality", "label"] if len(cells) > 1 and _is_number(cells[1]) else ["hash", "label"]
        yield reader.line_num, dict(zip(names, cells, strict=False))


def _is_number(text: str) -> bool:
    return text.strip().isdecimal() and int(text) <= 100


def _object(row: object) -> Row:
    if isinstance(row, str):
        return {"hash": row}
    if isinstance(row, dict):
        return {str(key).lower(): value for key, value in row.items()}
    raise ValueError("expected an object or a text")


def _entry(row: Row, algorithm: str, bits: int) -> Entry:
    text = _first(row, _HASH)
    if not isinstance(text, str):
        raise ValueError(f"no hash; name its column one of: {', '.join(_HASH)}")
    quality = _first(row, _QUALITY)
    return Entry(
        PerceptualHash.from_hex(text, algorithm, bits=bits),
        _label(_first(row, _LABEL)),
        _cluster(_first(row, _CLUSTER)),
        None if quality is None else _whole(quality, "quality"),
    )


def _first(row: Row, names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _type_of(kind: str) -> str:
    return kind.strip().lower().removeprefix("hash_").replace("_", "-")


def _label(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("data", [])
    if isinstance(value, list):
        return ", ".join(str(tag.get("text", tag)) if isinstance(tag, dict) else str(tag) for tag in value)
    return "" if value is None else str(value)


def _cluster(value: Any) -> int | None:
    if value is None:
        return None
    text = str(value).strip()
    if text.isdecimal() and int(text) < 2**64:
        return int(text)
    return int.from_bytes(hashlib.sha256(b"cluster\0" + text.encode()).digest()[:8])


def _whole(value: Any, what: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} is no whole number") from None
