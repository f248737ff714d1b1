"""Operators set webhooks over HTTP, on both databases, and a service delivers to a real receiver."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from scanner.intake import problems
from scanner.intake.api import hooks
from scanner.intake.api.context import Service
from scanner.intake.authority.limits import Limits
from scanner.intake.authority.operators import Verified
from scanner.intake.body_limit import BodyLimit
from scanner.intake.ed25519 import SigningKey
from scanner.intake.hooks.delivering import deliver
from scanner.intake.hooks.outbox import tell
from scanner.intake.hooks.registry import MOST_HOOKS, set_hook
from scanner.intake.hooks.signing import verify
from scanner.intake.operations.metrics import Metrics
from scanner.intake.settings import Rate, Settings
from scanner.intake.store.change import Writer
from scanner.intake.store.commits import Commits
from scanner.intake.store.engine import open_store
from scanner.intake.store.tables import HOOK_MESSAGES
from tests.intake.conftest import INTAKE, NOW, make_operator, open_writer, serving
from tests.intake.hooks.receivers import answer, receiving
from tests.intake.hooks.stored import hook_id, logged, messages, tell_times

HOOK = {"url": "https://receiver.example/prescan?token=s3cr3t", "events": ["case.opened", "case.closed"]}
FIRST = f"/v1/hooks/{hook_id(1)}"
TEST = f"{FIRST}/tests/{'ab' * 16}"
FAST = Rate(10**6, 1.0)


def service_on(writer: Writer, chosen: Settings) -> Service:
    """A service without vouchers."""
    return Service(
        store=writer.store,
        writer=writer,
        commits=Commits(writer, 1, lambda _number, _seconds: None),
        settings=chosen,
        signing_key=SigningKey(INTAKE),
        public_key=INTAKE.public_key().public_bytes_raw(),
        clock=lambda: NOW,
        limits=Limits(chosen, lambda: 0.0),
        verified=Verified(),
        metrics=Metrics(),
    )


def app_on(url: str, *, unsafe: bool = False) -> FastAPI:
    """An app of these endpoints alone."""
    chosen = Settings(unsafe_private_hooks=unsafe, address_rate=FAST, login_rate=FAST)

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        async with open_store(url) as store:
            app.state.service = service_on(Writer(store, "localhost", INTAKE), chosen)
            yield

    app = FastAPI(lifespan=lifespan)
    app.state.trusted_proxies = ()
    problems.install(app)
    app.include_router(hooks.router)
    app.add_middleware(BodyLimit, limit=chosen.largest_body)
    original = app.openapi

    def openapi():
        document = original()
        document["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def bearer(url: str, *scopes: str, name: str = "tester") -> dict[str, str]:
    """The header of a new operator."""
    return {"Authorization": f"Bearer {make_operator(url, *scopes, name=name)}"}


@pytest.fixture
def admin(store_url) -> Iterator[httpx.Client]:
    """A client who may set webhooks."""
    headers = bearer(store_url, "admin")
    with serving(app_on(store_url)) as url, httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        yield client


def is_problem(said: httpx.Response, status: int, name: str) -> bool:
    """It is a problem of this status and name; all else fails the test here."""
    assert (said.status_code, said.json()["type"]) == (status, f"urn:prescan:problem:{name}")
    assert "s3cr3t" not in said.text
    return True


def test_a_hook_is_set_read_listed_and_deleted(admin, store_url):
    """Each may be repeated and gives the same; a deleted one is gone, and comes back by being set."""
    first, again = [admin.put(FIRST, json=HOOK) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert (
        first.json()
        == again.json()
        == {
            "hook_id": hook_id(1),
            "url": HOOK["url"],
            "events": ["case.closed", "case.opened"],
            "made_at": int(NOW),
            "disabled_at": None,
            "disabled_why": None,
        }
    )
    assert admin.get(FIRST).json() == first.json()
    assert admin.get("/v1/hooks").json() == {"items": [first.json()], "next": None}
    changed = admin.put(FIRST, json=HOOK | {"events": ["export.made"]})
    assert (changed.status_code, changed.json()["events"]) == (200, ["export.made"])
    assert [admin.delete(FIRST).status_code for _ in range(2)] == [204, 204]
    assert is_problem(admin.get(FIRST), 404, "unknown-hook")
    assert is_problem(admin.get(f"{FIRST}/messages"), 404, "unknown-hook")
    assert is_problem(admin.put(TEST), 404, "unknown-hook")
    assert admin.get("/v1/hooks").json()["items"] == []
    assert admin.put(FIRST, json=HOOK).status_code == 201

    async def kinds() -> list[str]:
        async with open_writer(store_url) as writer:
            return [kind for kind, _ in await logged(writer)]

    assert asyncio.run(kinds())[1:] == ["hook", "hook", "hook-disabled", "hook"]


def test_what_is_unknown_is_not_found(admin):
    """For every endpoint of one hook."""
    for said in (admin.get(FIRST), admin.delete(FIRST), admin.get(f"{FIRST}/messages"), admin.put(TEST)):
        assert is_problem(said, 404, "unknown-hook")


@pytest.mark.parametrize(
    "url", ["http://receiver.example/", "https://127.0.0.1/", "https://localhost/", "https://169.254.169.254/latest"]
)
def test_urls_that_are_not_public_are_refused(admin, url):
    """Nothing is stored of them."""
    assert is_problem(admin.put(FIRST, json=HOOK | {"url": url}), 403, "not-public")
    assert admin.get(FIRST).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"url": "ftp://a.example/"}, {"url": "https://u:s3cr3t@a.example/"}, {"url": "https://[::1]/"},
        {"url": "https://a.example/" + "x" * 2048}, {"url": None}, {"events": []}, {"events": ["hook.test"]},
        {"events": ["case.open"]}, {"events": ["case.opened", "case.opened"]}, {"secret": "x"},
    ],
)  # fmt: skip
def test_what_is_not_valid_is_refused(admin, change):
    """A wrong URL, a wrong event, one twice, or a field nobody knows; the answer does not repeat it."""
    assert is_problem(admin.put(FIRST, json=HOOK | change), 422, "invalid-request")


def test_private_hooks_are_allowed_by_the_unsafe_setting(sqlite_url):
    """Then http and this machine may be told."""
    headers = bearer(sqlite_url, "admin")
    with serving(app_on(sqlite_url, unsafe=True)) as url, httpx.Client(base_url=url, headers=headers) as client:
        assert client.put(FIRST, json=HOOK | {"url": "http://127.0.0.1:9/"}).status_code == 201


def test_only_admins_set_hooks(sqlite_url):
    """Every endpoint but the public key asks for the scope."""
    other = bearer(sqlite_url, "enrol", "read", "export", "review")
    with serving(app_on(sqlite_url)) as url, httpx.Client(base_url=url, timeout=30) as client:
        for method, path in (
            ("PUT", FIRST), ("GET", FIRST), ("DELETE", FIRST), ("GET", "/v1/hooks"), ("PUT", TEST),
            ("GET", f"{FIRST}/messages"),
        ):  # fmt: skip
            body = HOOK if (method, path) == ("PUT", FIRST) else None
            assert is_problem(client.request(method, path, json=body), 401, "unauthorized")
            assert is_problem(client.request(method, path, json=body, headers=other), 403, "wrong-scope")
        assert client.get("/v1/hooks/key").status_code == 200


def test_a_test_message_is_queued_once(admin, store_url):
    """The same id again gives what became of it, another hook's id is refused, and a disabled hook gets none."""
    admin.put(FIRST, json=HOOK)
    admin.put(f"/v1/hooks/{hook_id(2)}", json=HOOK)
    first, again = admin.put(TEST), admin.put(TEST)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (
        first.json()
        == again.json()
        == {
            "message_id": "ab" * 16,
            "event": "hook.test",
            "state": "waiting",
            "attempts": 0,
            "made_at": int(NOW),
            "due_at": int(NOW),
            "last_status": None,
            "last_fault": None,
            "ended_at": None,
        }
    )
    assert is_problem(admin.put(TEST.replace(hook_id(1), hook_id(2))), 409, "other-message")

    async def tell_case() -> str:
        async with open_writer(store_url) as writer:
            await tell_times(writer)
            return next(
                row.message_id
                for row in await messages(writer)
                if row.hook_id == hook_id(1) and row.event != "hook.test"
            )

    assert is_problem(admin.put(f"{FIRST}/tests/{asyncio.run(tell_case())}"), 409, "other-message")


def test_messages_are_listed_page_by_page(admin, store_url):
    """The newest first, each once, with what came of its attempts."""

    async def fill() -> None:
        async with open_writer(store_url) as writer:
            for second in range(3):
                await tell_times(writer, 3, NOW + second)
            async with writer.change(NOW) as change:
                for status, second in ((-1, 0), (0, 1), (500, 2)):
                    which = HOOK_MESSAGES.c.made_at == int(NOW) + second
                    values = {"attempts": 1, "last_status": status, "due_at": int(NOW) + 9}
                    await change.db.execute(update(HOOK_MESSAGES).where(which).values(**values))

    admin.put(FIRST, json=HOOK)
    admin.put(f"/v1/hooks/{hook_id(2)}", json=HOOK)
    asyncio.run(fill())
    found = []
    cursor: dict[str, str] = {}
    for _ in range(9):
        page = admin.get(f"{FIRST}/messages", params={"limit": 2, **cursor}).json()
        found += page["items"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len({item["message_id"] for item in found}) == len(found) == 9
    assert [item["made_at"] - int(NOW) for item in found] == [2] * 3 + [1] * 3 + [0] * 3
    assert [(item["last_status"], item["last_fault"]) for item in found[::3]] == [
        (500, None), (None, "no-answer"), (None, "not-public"),
    ]  # fmt: skip
    assert is_problem(admin.get(f"{FIRST}/messages", params={"cursor": "AAAA"}), 400, "bad-cursor")
    assert is_problem(admin.get("/v1/hooks", params={"cursor": "AAAA"}), 400, "bad-cursor")


def test_hooks_are_listed_page_by_page_and_limited(admin):
    """In the order of their ids; there may be only so many."""
    for number in range(MOST_HOOKS):
        assert admin.put(f"/v1/hooks/{hook_id(number)}", json=HOOK).status_code == 201
    assert is_problem(admin.put(f"/v1/hooks/{hook_id(99)}", json=HOOK), 409, "too-many-hooks")
    first = admin.get("/v1/hooks", params={"limit": 60}).json()
    second = admin.get("/v1/hooks", params={"limit": 60, "cursor": first["next"]}).json()
    found = [item["hook_id"] for item in first["items"] + second["items"]]
    assert found == [hook_id(number) for number in range(MOST_HOOKS)]
    assert second["next"] is None


def test_a_service_delivers_what_a_receiver_can_verify(store_url, caplog):
    """From the change that tells to a verified request, with the public key of the API; 410 shows as gone then."""
    statuses = itertools.chain([204, 410], itertools.repeat(500))

    async def run(public: str) -> None:
        async with open_writer(store_url) as writer, receiving(lambda _: answer(next(statuses))) as receiver:
            service = service_on(writer, Settings(unsafe_private_hooks=True))
            await deliver(service, NOW)
            async with writer.change(NOW) as change:
                await set_hook(change, hook_id(1), receiver.url("/s3cr3t"), ["export.made"], "0f" * 16)
                for number in range(3):
                    await tell(change, "export.made", {"export": hook_id(number), "vouchers": number})
            await deliver(service, NOW)
            assert len(receiver.got) == 2
            sent = {verify(public, got.headers, got.body, NOW) for got in receiver.got}
            assert sent < {row.message_id for row in await messages(writer)}
            assert sorted(row.state for row in await messages(writer)) == ["delivered", "given-up", "given-up"]
            await deliver(service, NOW + 10)
            assert len(receiver.got) == 2

    headers = bearer(store_url, "admin")
    with serving(app_on(store_url)) as url, httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        public = client.get("/v1/hooks/key").json()["public_key"]
        assert len(base64.b64decode(public.removeprefix("whpk_"))) == 32
        asyncio.run(run(public))
        assert client.get(FIRST).json()["disabled_why"] == "gone"
        assert is_problem(client.put(TEST), 409, "hook-disabled")
    ours = "".join(str(vars(record)) for record in caplog.records if record.name.startswith("scanner"))
    assert "s3cr3t" not in ours
    assert "127.0.0.1" not in ours


def test_the_service_sends_to_nobody_private_by_default(sqlite_url):
    """A hook that got into the database some other way is not followed either."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer, receiving() as receiver:
            async with writer.change(NOW) as change:
                await set_hook(change, hook_id(1), receiver.url(scheme="https"), ["export.made"], "0f" * 16)
                await tell(change, "export.made", {})
            await deliver(service_on(writer, Settings()), NOW)
            (row,) = await messages(writer)
            assert (row.state, row.attempts, row.last_status) == ("waiting", 1, -1)
            assert receiver.connections == 0

    asyncio.run(run())
