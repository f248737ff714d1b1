"""The adapter for matrix-nio against a server that misbehaves: every kind of source, the same bytes at each attempt."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from dataclasses import replace

import aiofiles
import pytest
from aiohttp import web
from nio import AsyncClientConfig, LocalProtocolError, TransferCancelledError, TransferMonitor, UploadResponse
from nio.crypto import decrypt_attachment

from scanner.integrations.matrix_nio import HELD, GatedClient, HeldUpload
from tests.integrations.devices import AT_ONCE, KNOWN, PATIENT, device, picture, write_list

INNOCENT = picture(20)


class Uploads:
    """A media server that does what it is told before it takes an upload."""

    def __init__(self, *trouble):
        self.bodies, self.types, self._trouble = [], [], list(trouble)

    async def take(self, request):
        self.bodies.append(await request.read())
        self.types.append(request.headers["Content-Type"])
        match self._trouble.pop(0) if self._trouble else None:
            case "limit":
                limited = {"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 1}
                return web.json_response(limited, status=429)
            case "wait":
                await asyncio.Event().wait()
            case "hang up":
                request.transport.close()
            case call if call is not None:
                call()
                request.transport.close()
        return web.json_response({"content_uri": "mxc://localhost/x"})


@asynccontextmanager
async def clients(uploads, one, **options):
    """A client behind a device's gate, and the server it uploads to."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/_matrix/media/v3/upload", uploads.take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config = AsyncClientConfig(encryption_enabled=False, backoff_factor=0.01)
    client = GatedClient(f"http://127.0.0.1:{port}", "@a:localhost", config=config, gate=one.gate, **options)
    client.user_id, client.access_token = "@a:localhost", "token"
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def uploaded(list_path, tmp_path, provide, *trouble, profile="standard", gate=AT_ONCE, options=None, **arguments):
    """Upload what ``provide`` gives; gives the answer and what the server got."""
    uploads = Uploads(*trouble)

    async def run():
        async with (
            device(list_path, tmp_path, PATIENT[profile], settings=gate) as one,
            clients(uploads, one, **(options or {})) as client,
        ):
            source = provide()
            if asyncio.iscoroutine(source):
                source = await source
            answer = await asyncio.wait_for(client.upload(source, **arguments), 60)
            if hasattr(source, "close"):
                closed = source.close()
                if asyncio.iscoroutine(closed):
                    await closed
            return answer

    return asyncio.run(run()), uploads


async def in_pieces():
    for at in range(0, len(INNOCENT), 1000):
        yield INNOCENT[at : at + 1000]


def sources(path):
    """Everything nio takes, each holding the same picture; and a text."""
    return {
        "bytes": lambda: lambda *_: INNOCENT,
        "path": lambda: lambda *_: path,
        "text path": lambda: lambda *_: str(path),
        "pieces": lambda: lambda *_: [INNOCENT[:10], INNOCENT[10:]],
        "async pieces": lambda: lambda *_: in_pieces(),
        "buffer": lambda: io.BytesIO(INNOCENT),
        "file": lambda: path.open("rb"),
        "writable file": lambda: path.open("r+b"),
        "raw file": lambda: path.open("rb", buffering=0),
        "called file": lambda: lambda *_: io.BytesIO(INNOCENT),
        "async file": lambda: aiofiles.open(path, "rb").__aenter__(),
        "text": lambda: path.with_suffix(".txt").open(encoding="utf-8"),
        "async text": lambda: aiofiles.open(path.with_suffix(".txt"), encoding="utf-8").__aenter__(),
        "text pieces": lambda: lambda *_: ["gr", "ü", "n"],
        "async text pieces": lambda: lambda *_: text_pieces(),
    }


async def text_pieces():
    for piece in ("gr", "ü", "n"):
        yield piece


@pytest.mark.parametrize("kind", sources(None))
def test_every_kind_of_source_is_checked_and_sent_whole(list_path, tmp_path, kind):
    """Whatever nio takes, the server gets its bytes, with their length and type."""
    path = tmp_path / "picture.png"
    path.write_bytes(INNOCENT)
    path.with_suffix(".txt").write_text("grün", "utf-8")
    (answer, keys), uploads = uploaded(list_path, tmp_path, sources(path)[kind], content_type="image/png", filesize=3)
    assert isinstance(answer, UploadResponse)
    assert keys is None
    assert uploads.bodies == ["grün".encode() if "text" in kind and "path" not in kind else INNOCENT]
    assert uploads.types == ["image/png"]


@pytest.mark.parametrize("kind", sources(None))
@pytest.mark.parametrize(("profile", "sent"), [("standard", True), ("strict", False)])
def test_what_is_too_large_is_sent_or_held_by_the_profile(list_path, tmp_path, kind, profile, sent):
    """Fail open leaves it to nio, which reads it from where it is, whole; fail closed holds it."""
    path = tmp_path / "picture.png"
    path.write_bytes(INNOCENT)
    path.with_suffix(".txt").write_text("grün", "utf-8")
    gate = replace(AT_ONCE, max_bytes=4)
    (answer, _), uploads = uploaded(list_path, tmp_path, sources(path)[kind], gate=gate, profile=profile)
    if sent:
        assert isinstance(answer, UploadResponse)
        assert uploads.bodies == ["grün".encode() if "text" in kind and "path" not in kind else INNOCENT]
    else:
        assert isinstance(answer, HeldUpload)
        assert uploads.bodies == []


@pytest.mark.parametrize("source", [INNOCENT, None, 7, [INNOCENT], "picture.png"], ids=type)
def test_what_nio_does_not_take_is_refused(list_path, tmp_path, source):
    """As nio does, and never past the gate."""
    with pytest.raises(TypeError, match="data_provider"):
        uploaded(list_path, tmp_path, lambda: source)
    with pytest.raises(TypeError, match="data_provider"):
        uploaded(list_path, tmp_path, lambda: lambda *_: 7)


@pytest.mark.parametrize("encrypt", [False, True])
def test_when_nio_asks_again_it_gets_the_same_bytes(list_path, tmp_path, encrypt):
    """After a limit and a lost connection, with a known picture put in the file's place: still what was checked."""
    path = tmp_path / "picture.png"
    path.write_bytes(INNOCENT)
    called = []

    def provide(*numbers):
        called.append(numbers)
        return path

    (answer, keys), uploads = uploaded(
        list_path, tmp_path, lambda: provide, "limit", lambda: path.write_bytes(KNOWN[0]), "hang up", encrypt=encrypt
    )
    assert isinstance(answer, UploadResponse)
    assert called == [(0, 0)]
    assert len(uploads.bodies) == 4
    if encrypt:
        last = decrypt_attachment(uploads.bodies[-1], keys["key"]["k"], keys["hashes"]["sha256"], keys["iv"])
        assert last == INNOCENT
        assert {len(body) for body in uploads.bodies} == {len(INNOCENT)}
    else:
        assert set(uploads.bodies) == {INNOCENT}


def test_a_held_upload_is_a_failed_one_to_who_knows_no_gate(list_path, tmp_path):
    """Its type, its text and its code are those of an upload that the server refused; nothing reached the server."""
    shown = []
    (answer, keys), uploads = uploaded(
        list_path, tmp_path, lambda: lambda *_: KNOWN[0], options={"on_notice": shown.append}, encrypt=True
    )
    assert isinstance(answer, HeldUpload)
    assert keys is None
    assert (answer.status_code, answer.message) == (HELD, "This file was not sent.")
    assert str(answer) == "HeldUpload: PRESCAN_HELD This file was not sent."
    assert shown == [answer.notice]
    assert uploads.bodies == []


@pytest.mark.parametrize(("profile", "bodies"), [("standard", 0), ("report-only", 1)])
def test_a_display_that_fails_changes_nothing(list_path, tmp_path, profile, bodies):
    """What is held stays held, what is sent is sent."""

    def show(notice):
        raise RuntimeError("the display is broken")

    _, uploads = uploaded(
        list_path, tmp_path, lambda: lambda *_: KNOWN[0], profile=profile, options={"on_notice": show}
    )
    assert len(uploads.bodies) == bodies


def test_who_is_not_logged_in_has_nothing_checked(list_path, tmp_path):
    """What could not be sent anyway leaves no voucher."""

    async def run():
        async with device(list_path, tmp_path) as one:
            client = GatedClient("http://127.0.0.1:9", "@a:localhost", gate=one.gate)
            with pytest.raises(LocalProtocolError):
                await client.upload(lambda *_: KNOWN[0])
            return one.outbox.counts()

    assert asyncio.run(run()) == {}


def test_a_monitor_counts_what_is_sent_and_can_cancel(list_path, tmp_path):
    """As with nio: transferred bytes are counted, and a cancelled monitor ends the upload."""
    monitor = TransferMonitor(len(INNOCENT))
    uploaded(list_path, tmp_path, lambda: lambda *_: INNOCENT, monitor=monitor)
    assert monitor.transferred == len(INNOCENT)
    cancelled = TransferMonitor(len(INNOCENT), on_transferred=lambda _: setattr(cancelled, "cancel", True))
    with pytest.raises(TransferCancelledError):
        uploaded(list_path, tmp_path, lambda: lambda *_: INNOCENT, "wait", monitor=cancelled)


@pytest.mark.parametrize("turns", range(4))
def test_a_gate_is_replaced_by_one_with_another_list(list_path, tmp_path, turns):
    """What runs is answered by the old gate, what comes after by the new one; nothing falls between the two."""
    (tmp_path / "lists").mkdir()
    newer = write_list(tmp_path / "lists" / "newer.prescan", (INNOCENT,), epoch=8)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()

    async def run():
        async with (
            device(list_path, tmp_path / "old") as old,
            device(newer, tmp_path / "new") as new,
            clients(Uploads(), old) as client,
        ):
            running = asyncio.create_task(client.upload(lambda *_: INNOCENT, monitor=TransferMonitor(1)))
            for _ in range(turns):
                await asyncio.sleep(0)
            client.gate = new.gate
            await old.gate.aclose()
            answers = [await running]
            answers += [await client.upload(lambda *_, data=data: data) for data in (KNOWN[0], INNOCENT)]
            for one in (old, new):
                one.gate._checkpoint.tick()
            scans = [scan.outcome for one in (old, new) for scan in one.outbox.ledger().scans]
            return [answer for answer, _ in answers], scans

    (under_way, unlisted, listed), scans = asyncio.run(run())
    assert isinstance(under_way, UploadResponse if turns >= 2 else HeldUpload)
    assert isinstance(unlisted, UploadResponse)
    assert listed.notice.epoch == 8
    assert "error" not in scans


def test_progress_of_a_check_is_told(list_path, tmp_path):
    """The client's display hears of checks that last."""
    told = []
    gate = replace(AT_ONCE, soft_budget=0.0, progress=0.0)
    uploaded(list_path, tmp_path, lambda: lambda *_: INNOCENT, gate=gate, options={"on_progress": told.append})
    assert told
