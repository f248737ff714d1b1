"""What is counted is what Prometheus reads, from one worker or from many."""

from __future__ import annotations

import asyncio
import io
import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from scanner.errors import StorageError
from scanner.intake.operations.logs import logging_to
from scanner.intake.operations.metrics import HookOutcome, Metrics
from tests.intake.operations.apps import DEVICE
from tests.intake.operations.secrecy import assert_silent


@pytest.fixture
def worker(tmp_path) -> Iterator[Callable[..., Metrics]]:
    """Make metrics of workers that add up in one directory; all are closed at the end."""
    with ExitStack() as opened:

        def make(directory: Path = tmp_path) -> Metrics:
            metrics = Metrics(directory)
            opened.callback(metrics.close)
            return metrics

        yield make


OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample that is not 0, by its short name and labels' values."""
    found = {}
    for family in parse_text(metrics.render()[0].decode()):
        for sample in family.samples:
            key = sample.name.removeprefix("prescan_intake_")
            labels = ",".join(value for _, value in sorted(sample.labels.items()))
            if sample.value:
                found[f"{key}[{labels}]" if labels else key] = sample.value
    return found


def count_all(metrics: Metrics) -> None:
    """Count one of everything."""
    metrics.count_request("PUT", "/v1/devices/{device}", 201, 0.003)
    metrics.count_received(2)
    metrics.count_duplicate()
    metrics.count_refused("bad-signature")
    metrics.count_commit(3, 0.004)
    metrics.count_hook(HookOutcome.GIVEN_UP)
    metrics.watch_waiting(lambda: 7)
    metrics.set_audit_entries(11)


ONE_OF_EACH = {
    "requests_total[PUT,/v1/devices/{device},201]": 1, "vouchers_received_total": 2, "vouchers_duplicate_total": 1,
    "vouchers_refused_total[bad-signature]": 1, "commit_vouchers_count": 1, "commit_vouchers_sum": 3,
    "commit_seconds_count": 1, "commit_seconds_sum": 0.004, "webhooks_total[given-up]": 1, "vouchers_waiting": 7,
    "audit_entries": 11, "request_seconds_count[/v1/devices/{device}]": 1,
    "request_seconds_sum[/v1/devices/{device}]": 0.003,
}  # fmt: skip


def test_everything_counted_is_shown():
    """Each counter, gauge and histogram, under its name and labels."""
    metrics = Metrics()
    assert values(metrics) == {}
    count_all(metrics)
    shown = values(metrics)
    buckets = {key: value for key, value in shown.items() if "_bucket" in key}
    assert {key: value for key, value in shown.items() if key not in buckets} == ONE_OF_EACH
    assert "commit_vouchers_bucket[4.0]" in buckets
    assert "commit_vouchers_bucket[2.0]" not in buckets
    assert set(buckets.values()) == {1.0}


def test_two_sets_of_metrics_share_nothing(worker, tmp_path):
    """Not even in one process, and not even when one of them adds up with others."""
    first, second, third = Metrics(), Metrics(), worker()
    count_all(first)
    assert values(second) == values(third) == {}


def test_both_forms_can_be_read(worker, tmp_path):
    """The text form and OpenMetrics, as Prometheus asks for them, of one worker and of several."""
    for metrics in (Metrics(), worker()):
        count_all(metrics)
        body, content_type = metrics.render(OPENMETRICS)
        assert content_type.startswith("application/openmetrics-text")
        names = {family.name for family in parse_openmetrics(body.decode())}
        body, content_type = metrics.render("text/plain")
        assert content_type.startswith("text/plain; version=0.0.4")
        assert len(names) == len(list(parse_text(body.decode()))) == 10
        assert "_created" not in body.decode()


def test_workers_add_up(worker, tmp_path):
    """Counters, buckets and waiting vouchers are summed; the one audit log is as large as any worker saw it."""
    first, second = worker(), worker()
    count_all(first)
    count_all(second)
    first.set_audit_entries(10)
    first.publish()
    twice = {key: 11 if key == "audit_entries" else pytest.approx(2 * value) for key, value in ONE_OF_EACH.items()}
    shown = values(second)
    assert {key: value for key, value in shown.items() if "_bucket" not in key} == twice
    assert shown["commit_vouchers_bucket[4.0]"] == shown["commit_vouchers_bucket[+Inf]"] == 2


def test_the_dead_still_count_but_have_nothing_waiting(worker, tmp_path):
    """A worker that ended leaves its counters; its gauges go with it."""
    first, second = worker(), worker()
    count_all(first)

    async def live() -> None:
        async with first.published():
            pass

    asyncio.run(live())
    second.watch_waiting(lambda: 1)
    shown = values(second)
    assert (shown["vouchers_received_total"], shown["vouchers_waiting"]) == (2, 1)
    assert "audit_entries" not in shown
    first.count_received(100)
    first.publish()
    assert values(second) == shown


def test_files_of_the_dead_are_folded_into_one(worker, tmp_path):
    """However often workers crash, the directory stays small and no count is lost or doubled."""
    last = worker()
    for _ in range(20):
        metrics = worker()
        count_all(metrics)
        metrics.publish()
        metrics.close()
    assert len(list(tmp_path.glob("worker-*.json"))) == 1
    assert values(last)["vouchers_received_total"] == 40
    worker()
    assert values(last)["vouchers_received_total"] == 40
    assert values(last)["commit_vouchers_bucket[+Inf]"] == 20


def test_a_worker_without_its_lock_file_is_dead(worker, tmp_path):
    """What it published counts all the same."""
    first = worker()
    count_all(first)
    first.publish()
    (alive,) = tmp_path.glob("*.alive")
    alive.unlink()
    shown = values(worker())
    assert (shown["vouchers_received_total"], shown.get("vouchers_waiting")) == (2, None)


def test_a_fold_cut_short_counts_nothing_twice(worker, tmp_path, monkeypatch):
    """Killed between writing the sum and removing what is in it, the next one goes on from there."""
    metrics = worker()
    count_all(metrics)
    metrics.publish()
    metrics.close()
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "cut")))
        with pytest.raises(StorageError, match="can't keep metrics"):
            worker()
    assert list(tmp_path.glob("worker-*.json"))
    for _ in range(3):
        assert values(worker())["vouchers_received_total"] == 2


WORKER = """
import sys, time
from pathlib import Path
from scanner.intake.operations.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    metrics.count_received(int(line))
    metrics.watch_waiting(lambda: 5)
    metrics.publish()
    print("done", flush=True)
"""


def test_a_killed_workers_count_stays(worker, tmp_path):
    """SIGKILL: what it published counts, what waited in it no longer does, and no counter goes back."""
    metrics = worker()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    try:
        for number, process in enumerate(processes):
            assert process.stdout.readline() == "ready\n"
            process.stdin.write(f"{10**number}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
        assert {key: value for key, value in values(metrics).items() if "vouchers" in key} == {
            "vouchers_received_total": 111, "vouchers_waiting": 15,
        }  # fmt: skip
        processes[1].send_signal(signal.SIGKILL)
        assert processes[1].wait(10) == -signal.SIGKILL
        assert {key: value for key, value in values(metrics).items() if "vouchers" in key} == {
            "vouchers_received_total": 111, "vouchers_waiting": 10,
        }  # fmt: skip
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=10)


def test_scrapes_and_folds_at_once_never_show_a_wrong_sum(worker, tmp_path):
    """While workers die and start, every reading is the whole and none goes back."""
    reader, stop, readings = worker(), threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            readings.append(values(reader).get("vouchers_received_total", 0.0))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(30):
            metrics = worker()
            metrics.count_received()
            metrics.publish()
            metrics.close()
    finally:
        stop.set()
        thread.join(10)
    assert len(readings) > 3
    assert readings == sorted(readings)
    assert values(reader)["vouchers_received_total"] == 30


def test_a_worker_publishes_while_it_lives_and_at_its_end(worker, tmp_path):
    """Others see what it counted, without its being asked."""
    metrics, other = worker(), worker()

    async def live() -> None:
        async with metrics.published(every=0.01):
            metrics.count_received()
            deadline = time.monotonic() + 10
            while (await asyncio.to_thread(values, other)).get("vouchers_received_total") != 1:
                assert time.monotonic() < deadline
            metrics.count_received(4)

    asyncio.run(live())
    assert values(other)["vouchers_received_total"] == 5


def test_a_directory_that_goes_away_stops_no_worker(worker, tmp_path):
    """It is logged, with nothing but the directory; the endpoint says it by the error of storage."""
    directory = tmp_path / "metrics"
    directory.mkdir()
    metrics, stream = worker(directory), io.StringIO()
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()

    async def live() -> None:
        async with metrics.published(every=0.005):
            await asyncio.sleep(0.1)

    with logging_to(stream, "json"):
        asyncio.run(live())
    assert "can't write metrics" in json.loads(stream.getvalue().splitlines()[0])["event"]
    with pytest.raises(StorageError, match=r"can't read metrics in .*: No such file or directory"):
        metrics.render()
    with pytest.raises(StorageError, match="can't keep metrics"):
        worker(directory)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"folded":[],"families":{"a":1}}', '{"folded":[],"families":[]}'])
def test_a_file_of_another_form_is_an_error_of_storage(worker, tmp_path, content):
    """Not a crash, and not a wrong sum."""
    metrics = worker()
    (tmp_path / "gone.json").write_text(content)
    with pytest.raises(StorageError, match="can't read metrics"):
        metrics.render()


def test_a_worker_alone_writes_no_file(tmp_path, monkeypatch):
    """Publishing and living are nothing for it."""
    monkeypatch.chdir(tmp_path)
    metrics = Metrics()

    async def live() -> None:
        async with metrics.published(every=0.001):
            await asyncio.sleep(0.01)

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == []


def test_counting_is_cheap_and_bounded():
    """A known request makes no new series, and the names hold no id."""
    metrics = Metrics()
    for _ in range(100):
        metrics.count_request("PUT", "/v1/devices/{device}", 201, 0.003)
    lines = metrics.render()[0].decode()
    assert lines.count("request_seconds_count") == 1
    assert_silent(lines, [DEVICE])
    assert not math.isnan(values(metrics)["request_seconds_sum[/v1/devices/{device}]"])
