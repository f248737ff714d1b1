"""A worker ends without breaking what it has begun, and in bounded time."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from scanner.intake.operations.draining import Drain, Draining, State
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
