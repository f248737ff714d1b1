"""Add up the metrics of the workers of one intake, through files in a directory that the server gives.

Rules: each worker counts in its own memory and writes what it has to its own file, so that counting costs no more than
with one worker; what a scrape has shown is in a file first, so no counter ever goes back, whatever is killed; a worker
is alive while it holds the lock on its file, which the kernel takes from the dead; counters of the dead still count,
their gauges don't.

``prometheus_client`` has such a mode of its own. It is chosen for a whole process by an environment variable before the
first import, keeps its files in the module, and gives two sets of metrics in one process the same values; so it doesn't
go with metrics that are handed in, and is not used.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from scanner.errors import StorageError

_GONE = "gone.json"
_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError)  # of the system, or of what a file holds
_Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(slots=True)
class _Family:
    kind: str
    text: str
    samples: _Samples


class WorkerFiles:
    """One worker's place among the files of all.

    Args:
        directory: on this machine, the same for every worker, empty when the intake starts; nobody else writes there.
        largest: names of gauges of which the largest counts; of other gauges the sum over living workers.

    Raises:
        StorageError: the directory can't be used.
    """

    def __init__(self, directory: Path, largest: frozenset[str] = frozenset()) -> None:
        self._directory = directory
        self._largest = largest
        self._name = f"worker-{os.getpid()}-{secrets.token_hex(4)}"
        self._writing = threading.Lock()
        try:
            self._alive = (directory / f"{self._name}.alive").open("wb")
        except OSError as error:
            raise self._failed("keep", error) from error
        try:
            fcntl.flock(self._alive, fcntl.LOCK_EX)
            with self._folder(fcntl.LOCK_EX):
                self._fold()
        except _FAULTS as error:
            self._alive.close()
            raise self._failed("keep", error) from error

    def publish(self, metrics: Iterable[Metric]) -> None:
        """Write what this worker has counted, whole or not at all; nothing once closed.

        Raises:
            StorageError: it can't be written.
        """
        families = {each.name: _family(each) for each in metrics}
        try:
            with self._writing:
                if not self._alive.closed:  # the others may have folded the file
                    self._write(f"{self._name}.json", families, [])
        except OSError as error:
            raise self._failed("write", error) from error

    def collect(self) -> Iterator[Metric]:
        """Add up what all workers have written.

        Raises:
            StorageError: a file can't be read.
        """
        try:
            with self._folder(fcntl.LOCK_SH):
                total = self._total(self._names())
        except _FAULTS as error:
            raise self._failed("read", error) from error
        for name, family in sorted(total.items()):
            metric = Metric(name, family.text, family.kind)
            for (sample, labels), value in family.samples.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric

    def close(self) -> None:
        """Be dead to the others; what was published stays counted."""
        with self._writing:
            self._alive.close()

    def _failed(self, what: str, error: Exception) -> StorageError:
        why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return StorageError(f"can't {what} metrics in {self._directory}: {why}")

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self._directory.glob("worker-*.json"))

    def _total(self, names: Iterable[str]) -> dict[str, _Family]:
        folded, total = self._read(_GONE)
        for name in names:
            if name not in folded:
                _, families = self._read(f"{name}.json")
                self._add(total, families, alive=self._is_alive(name))
        return total

    def _add(self, total: dict[str, _Family], families: dict[str, _Family], *, alive: bool) -> None:
        for name, family in families.items():
            known = total.setdefault(name, _Family(family.kind, family.text, {}))
            if family.kind == "gauge" and not alive:
                continue
            for key, value in family.samples.items():
                before = known.samples.get(key, 0.0)
                known.samples[key] = max(before, value) if name in self._largest else before + value

    def _fold(self) -> None:
        """Add the files of the dead to one, so that crashing workers don't fill the directory.

        The one file names those it has taken in: killed before they are removed, nothing is counted twice.
        """
        dead = [name for name in self._names() if not self._is_alive(name)]
        if dead:
            self._write(_GONE, self._total(dead), dead)
        for name in dead:
            (self._directory / f"{name}.json").unlink()
            (self._directory / f"{name}.alive").unlink(missing_ok=True)

    def _is_alive(self, name: str) -> bool:
        if name == self._name:
            return not self._alive.closed
        try:
            with (self._directory / f"{name}.alive").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    @contextmanager
    def _folder(self, kind: int) -> Iterator[None]:
        """Keep others from folding (shared) or from reading (exclusive) while the block runs."""
        with (self._directory / "folder.lock").open("ab") as file:
            fcntl.flock(file, kind)
            yield

    def _write(self, name: str, families: dict[str, _Family], folded: list[str]) -> None:
        content = {
            "folded": folded,
            "families": {
                each: [family.kind, family.text, [[*key, value] for key, value in family.samples.items()]]
                for each, family in families.items()
            },
        }
        new = self._directory / f"{name}.new"
        new.write_text(json.dumps(content), "utf-8")  # not flushed to disk: metrics end with the machine's run
        new.replace(self._directory / name)

    def _read(self, name: str) -> tuple[frozenset[str], dict[str, _Family]]:
        try:
            content = json.loads((self._directory / name).read_text("utf-8"))
        except FileNotFoundError:
            return frozenset(), {}
        families = {
            each: _Family(kind, text, _samples(rows)) for each, (kind, text, rows) in content["families"].items()
        }
        return frozenset(content["folded"]), families


def _family(metric: Metric) -> _Family:
    samples = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in metric.samples}
    return _Family(metric.type, metric.documentation, samples)


def _samples(rows: list[Any]) -> _Samples:
    return {(name, tuple((key, text) for key, text in labels)): float(value) for name, labels, value in rows}
