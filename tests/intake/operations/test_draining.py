"""A worker ends without breaking what it has begun, and in bounded time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from scanner.intake.operations.draining import Drain, Draining, State
from scanner.intake.operations.draining_server import DrainingServer
from tests.intake.operations.apps import ask, make_app, unready


class Gate:
    """An app whose requests wait until they are let through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered = asyncio.Event()
        self.cut = 0

    async def __call__(self, scope, receive, send) -> None:
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        await PlainTextResponse("done")(scope, receive, send)


class Sleeps:
    """Records what is slept, and sleeps not at all, or for ever past ``ever`` seconds."""

    def __init__(self, ever: float = 1e9) -> None:
        self.slept, self.ever = [], ever

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0 if seconds < self.ever else 3600)


async def get(app, path: str = "/") -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://intake.example") as client:
        return await asyncio.wait_for(client.get(path), 10)


def test_states_go_forward_only():
    """Beginning again or after the end changes nothing."""
    drain = Drain()
    seen = [drain.state()]
    for step in (drain.begin, drain.begin, drain.end, drain.begin):
        step()
        seen.append(drain.state())
    assert seen == [State.SERVING, State.DRAINING, State.DRAINING, State.ENDED, State.ENDED]


def test_a_serving_worker_is_ready_and_keeps_connections():
    """Nothing is added to its answers."""
    answer = ask(Draining(make_app(), drain=Drain(), unready=unready), "GET", "/readyz")
    assert (answer.status_code, answer.text) == (200, "ready")
    assert "connection" not in answer.headers


def test_a_draining_worker_is_not_ready_but_serves():
    """/readyz says 503 and when to come back; other requests are served and close their connections."""
    drain = Drain()
    drain.begin()
    app = Draining(make_app(), drain=drain, unready=unready)
    ready, served = ask(app, "GET", "/readyz"), ask(app, "GET", "/v1/devices/x")
    assert (ready.status_code, ready.headers["Retry-After"], ready.headers["connection"]) == (503, "5", "close")
    assert (served.status_code, served.text, served.headers["connection"]) == (200, "x", "close")


def test_an_ended_worker_serves_nothing():
    """Every request is told to come back."""
    drain = Drain()
    drain.end()
    answer = ask(Draining(make_app(), drain=drain, unready=unready), "GET", "/v1/devices/x")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_running_requests_are_waited_for():
    """The listener stops after the notice; the end comes with the last answer, before the limit."""

    async def run() -> None:
        drain, gate, sleeps, stopped = Drain(), Gate(), Sleeps(ever=10), []
        app = Draining(gate, drain=drain, unready=unready)
        requests = [asyncio.create_task(get(app)) for _ in range(3)]
        await asyncio.wait_for(gate.entered.wait(), 10)
        ending = asyncio.create_task(drain.run(lambda: stopped.append(drain.state()), notice=5, limit=30, sleep=sleeps))
        for _ in range(20):
            await asyncio.sleep(0)
        assert (drain.running, drain.state(), stopped, ending.done()) == (3, State.DRAINING, [State.DRAINING], False)
        gate.open.set()
        assert [(await each).text for each in requests] == ["done"] * 3
        assert await asyncio.wait_for(ending, 10) is True
        assert (sleeps.slept, gate.cut, drain.running, drain.state()) == ([5, 30], 0, 0, State.ENDED)

    asyncio.run(run())


def test_past_the_limit_running_requests_are_cut_off():
    """Each gets 503 and when to come back, and the worker ends though they never would."""

    async def run() -> None:
        drain, gate = Drain(), Gate()
        app = Draining(gate, drain=drain, unready=unready)
        requests = [asyncio.create_task(get(app)) for _ in range(3)]
        await asyncio.wait_for(gate.entered.wait(), 10)
        assert await asyncio.wait_for(drain.run(int, notice=0, limit=30, sleep=Sleeps()), 10) is False
        answers = [await each for each in requests]
        assert [(each.status_code, each.headers["Retry-After"]) for each in answers] == [(503, "5")] * 3
        assert (gate.cut, drain.running) == (3, 0)

    asyncio.run(run())


def test_an_idle_worker_ends_after_the_notice():
    """Nothing is waited for when nothing runs."""

    async def run() -> bool:
        return await asyncio.wait_for(Drain().run(int, notice=0, limit=3600), 10)

    assert asyncio.run(run()) is True


def test_a_begun_answer_is_not_replaced():
    """A cut after the first bytes cuts the connection; no second answer is sent into the first."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(3600)

    async def run() -> None:
        drain, messages = Drain(), []

        async def send(message) -> None:
            messages.append(message["type"])

        served = Draining(app, drain=drain, unready=unready)
        task = asyncio.create_task(served({"type": "http", "path": "/"}, None, send))
        await asyncio.sleep(0)
        drain.end()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
        assert (messages, drain.running) == (["http.response.start"], 0)

    asyncio.run(run())


def test_a_client_that_leaves_is_not_taken_for_a_cut():
    """A request cancelled while the worker serves stays cancelled."""

    async def run() -> None:
        drain, gate = Drain(), Gate()
        task = asyncio.create_task(
            Draining(gate, drain=drain, unready=unready)({"type": "http", "path": "/"}, None, None)
        )
        await asyncio.wait_for(gate.entered.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (drain.running, drain.state()) == (0, State.SERVING)

    asyncio.run(run())


def test_the_start_and_end_of_a_service_are_no_requests():
    """They pass even when the worker has ended, or it could not close its database."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["type"])

    drain = Drain()
    drain.end()
    asyncio.run(Draining(app, drain=drain, unready=unready)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


SERVICE = """
import asyncio, socket, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from scanner.intake.operations.draining import Drain, Draining
from scanner.intake.operations.draining_server import DrainingServer
from tests.intake.operations.apps import unready

async def slow(request):
    print("begun", flush=True)
    await asyncio.sleep(float(request.query_params["seconds"]))
    return PlainTextResponse("done")

async def quick(request):
    return PlainTextResponse("ready")

drain = Drain()
app = Draining(Starlette(routes=[Route("/slow", slow), Route("/readyz", quick)]), drain=drain, unready=unready)
listening = socket.create_server(("127.0.0.1", 0))
config = uvicorn.Config(app, log_config=None, access_log=False)
print(listening.getsockname()[1], flush=True)
DrainingServer(config, drain, notice=float(sys.argv[1]), limit=float(sys.argv[2])).run([listening])
print("ended", flush=True)
"""


class Service:
    """The small service in a process of its own."""

    def __init__(self, notice: float, limit: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, str(notice), str(limit)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def slow(self, seconds: float) -> tuple[threading.Thread, list[httpx.Response]]:
        """Begin a request that takes so long, and wait until it runs."""
        answers: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: answers.append(httpx.get(f"{self.url}/slow?seconds={seconds}", timeout=20))
        )
        thread.start()
        assert self.process.stdout.readline() == "begun\n"
        return thread, answers

    def wait(self, thread: threading.Thread) -> None:
        """Wait for the request and the process to end."""
        thread.join(20)
        assert not thread.is_alive()
        self.process.wait(20)


@pytest.fixture
def service():
    """Start services; whatever still runs at the end is killed."""
    started = []

    def start(notice: float, limit: float) -> Service:
        started.append(Service(notice, limit))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate(timeout=10)


def test_a_service_told_to_stop_answers_what_it_has_begun(service):
    """SIGTERM: not ready at once, still reachable through the notice, the running request answered, then gone."""
    running = service(notice=0.5, limit=20)
    thread, answers = running.slow(seconds=1.0)
    running.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while (ready := httpx.get(f"{running.url}/readyz")).status_code != 503:
        assert time.monotonic() < deadline
    assert ready.headers["Retry-After"] == "5"
    running.wait(thread)
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "done")]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.url}/readyz")


def test_a_service_told_to_stop_ends_at_the_limit(service):
    """A request that would run for an hour gets 503 and the process ends."""
    running = service(notice=0, limit=0.3)
    thread, answers = running.slow(seconds=3600)
    start = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    running.wait(thread)
    assert time.monotonic() - start < 10
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in answers] == [(503, "5")]


def test_a_second_ctrl_c_ends_the_notice(service):
    """Nobody waits an hour in front of a terminal."""
    running = service(notice=3600, limit=0.2)
    assert httpx.get(f"{running.url}/readyz").status_code == 200
    running.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 10
    while httpx.get(f"{running.url}/readyz").status_code != 503:
        assert time.monotonic() < deadline
    running.process.send_signal(signal.SIGINT)
    running.process.wait(10)


def test_the_server_waits_a_little_longer_than_the_limit():
    """uvicorn's own cut comes after ours, so that the last answers are written."""
    config = uvicorn.Config(make_app())
    DrainingServer(config, Drain(), notice=0, limit=29.5)
    assert config.timeout_graceful_shutdown == 32
