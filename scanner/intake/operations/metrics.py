"""What the intake counts, for Prometheus.

Rules: metrics are handed to whoever counts, and two of them share nothing; a label has few values, all ours: no device,
account, address or path; counting takes no file and no await.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder

from scanner.errors import StorageError
from scanner.intake.operations.worker_files import WorkerFiles

PREFIX = "prescan_intake_"
PUBLISH_SECONDS = 1.0
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_LARGEST = frozenset({f"{PREFIX}audit_entries"})  # every worker sees the one log

_log = logging.getLogger(__name__)


class HookOutcome(StrEnum):
    """What came of one attempt to deliver a webhook."""

    DELIVERED = "delivered"
    FAILED = "failed"  # will be tried again
    GIVEN_UP = "given-up"


class _Counts(Protocol):
    def inc(self, amount: float = 1) -> None: ...


class Metrics:
    """The metrics of one worker.

    Args:
        directory: where the workers of one intake add up theirs, or None for a worker alone.

    Raises:
        StorageError: the directory can't be used.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._files = None if directory is None else WorkerFiles(directory, _LARGEST)
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            f"{PREFIX}requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            f"{PREFIX}request_seconds",
            "Time from a request's first byte to its answer's last.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._received = Counter(f"{PREFIX}vouchers_received", "Vouchers stored.", registry=registry)
        self._duplicate = Counter(
            f"{PREFIX}vouchers_duplicate", "Vouchers that were stored already.", registry=registry
        )
        self._refused = Counter(f"{PREFIX}vouchers_refused", "Vouchers refused.", ["problem"], registry=registry)
        self._commit_size = Histogram(
            f"{PREFIX}commit_vouchers", "Vouchers in a commit.", buckets=SIZES, registry=registry
        )
        self._commit_seconds = Histogram(
            f"{PREFIX}commit_seconds", "Time that a commit took.", buckets=SECONDS, registry=registry
        )
        self._waiting = Gauge(f"{PREFIX}vouchers_waiting", "Vouchers that wait for a commit.", registry=registry)
        self._hooks = Counter(f"{PREFIX}webhooks", "Attempts to deliver a webhook.", ["outcome"], registry=registry)
        self._audit = Gauge(f"{PREFIX}audit_entries", "Entries of the audit log.", registry=registry)
        for outcome in HookOutcome:
            self._hooks.labels(outcome.value)  # shown from the start, as 0
        self._of_request: dict[tuple[str, str, int], tuple[_Counts, Histogram]] = {}

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; method and route are names, not what the client sent."""
        key = (method, route, status)
        children = self._of_request.get(key)
        if children is None:
            children = self._of_request[key] = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(route),
            )
        children[0].inc()
        children[1].observe(seconds)

    def count_received(self, count: int = 1) -> None:
        """Count vouchers that were stored."""
        self._received.inc(count)

    def count_duplicate(self, count: int = 1) -> None:
        """Count vouchers that were there already."""
        self._duplicate.inc(count)

    def count_refused(self, problem: str, count: int = 1) -> None:
        """Count vouchers refused by the name of a problem."""
        self._refused.labels(problem).inc(count)

    def count_commit(self, vouchers: int, seconds: float) -> None:
        """Count a commit of so many vouchers."""
        self._commit_size.observe(vouchers)
        self._commit_seconds.observe(seconds)

    def count_hook(self, outcome: HookOutcome) -> None:
        """Count an attempt to deliver a webhook."""
        self._hooks.labels(outcome.value).inc()

    def watch_waiting(self, read: Callable[[], int]) -> None:
        """Ask for the vouchers that wait for a commit in this worker whenever metrics are shown, from any thread."""
        self._waiting.set_function(read)

    def set_audit_entries(self, entries: int) -> None:
        """Say how large the audit log was when this worker last saw it."""
        self._audit.set(entries)

    def publish(self) -> None:
        """Write this worker's metrics to where the others find them; nothing if it is alone.

        Raises:
            StorageError: they can't be written.
        """
        if self._files is not None:
            self._files.publish(self._own())

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Write the metrics of all workers; call it in a thread, for it reads files.

        Those of other workers are up to :data:`PUBLISH_SECONDS` old.

        Args:
            accept: the request's Accept header; Prometheus asks for OpenMetrics.

        Returns:
            the body and its content type.

        Raises:
            StorageError: files can't be read or written.
        """
        self.publish()
        encode, content_type = choose_encoder(accept)
        metrics = list(self._own() if self._files is None else self._files.collect())
        return encode(_Collected(metrics)), content_type

    @asynccontextmanager
    async def published(self, every: float = PUBLISH_SECONDS) -> AsyncIterator[None]:
        """Publish while the block runs, and once more at its end, then close. Put it around a worker's life."""
        task = asyncio.create_task(self._publish_forever(every))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            with suppress(StorageError):
                self.publish()
            self.close()

    def close(self) -> None:
        """Be dead to the other workers; what was published stays counted."""
        if self._files is not None:
            self._files.close()

    async def _publish_forever(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                await asyncio.to_thread(self.publish)
            except StorageError as error:
                _log.warning("%s", error)

    def _own(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric


class _Collected:
    """What was collected, as the encoders ask for it."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics
