"""The gate in a real messenger: two matrix-nio clients, end to end encrypted, a real Synapse, the intake.

``make test`` sends a few pictures, ``make test-messenger`` (``PRESCAN_MESSENGER=full``) fifty, and crashes a
decoder under both failure policies.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mautrix.crypto.attachments import decrypt_attachment
from mautrix.types import MediaMessageEventContent, MessageType
from nio import AsyncClient, TransferCancelledError, TransferMonitor, UploadResponse

from scanner.demo.people import receive, send
from scanner.integrations.matrix_mautrix import GatedMedia, HeldError
from scanner.integrations.matrix_nio import HeldUpload
from scanner.outbox import Outbox
from scanner.types import Outcome
from tests.integrations.devices import KNOWN, device, edited, picture, write_list
from tests.integrations.mautrix_clients import ROOM_IS_ENCRYPTED, listening, mautrix_client
from tests.integrations.town import FULL, INNOCENT, delivered, new_key


def test_a_known_picture_is_held_and_its_voucher_arrives(town, list_path, tmp_path):
    """An edited copy never leaves; the sender is told why, the file stays, and the intake signs for the voucher."""
    path = tmp_path / "holiday.jpg"
    path.write_bytes(edited(0))
    stored = len(town.server.stored_media())
    key = new_key()

    async def script():
        async with town.behind(list_path, tmp_path / "device", key=key, isolation="isolated") as one:
            answer = await send(town.sender, town.rooms[0], b"", data_provider=lambda *_: path)
            await delivered(one.outbox)
            return answer

    answer = town.run(script())
    assert isinstance(answer, HeldUpload)
    assert town.shown == [answer.notice]
    assert (answer.notice.reason, answer.notice.list_name, answer.notice.epoch) == (Outcome.MATCH, "a list", 7)
    assert path.read_bytes() == edited(0)
    assert len(town.server.stored_media()) == stored
    assert town.vouchers_of(key) == 1


def test_by_policy_a_known_picture_is_sent_and_its_voucher_arrives(town, list_path, tmp_path):
    """Under ``report-only`` the other side gets the same bytes, the sender a notice, the intake the voucher."""
    key = new_key()

    async def script():
        async with town.behind(list_path, tmp_path, "report-only", key=key) as one:
            assert isinstance(await send(town.sender, town.rooms[0], edited(1)), UploadResponse)
            await delivered(one.outbox)
            return await receive(town.receiver, 1)

    (received,) = town.run(script())
    assert received.data == edited(1)
    assert [notice.reason for notice in town.shown] == [Outcome.MATCH]
    assert town.vouchers_of(key) == 1


def test_innocent_pictures_arrive_and_the_server_holds_ciphertext(town, list_path, tmp_path):
    """Byte-equal on the other side, in order; no file at the server holds one of them; the intake hears nothing."""
    pictures = [picture(100 + number, side=128) for number in range(INNOCENT)]

    async def script():
        async with town.behind(list_path, tmp_path) as one:
            for data in pictures:
                assert isinstance(await send(town.sender, town.rooms[0], data), UploadResponse)
            received = await receive(town.receiver, INNOCENT)
            await asyncio.sleep(0.1)
            return received, one.outbox.counts()

    received, counts = town.run(script())
    assert [one.data for one in received] == pictures
    assert counts == {}
    assert town.shown == []
    assert town.to_intake.taken() == b""
    stored = town.server.stored_media()
    assert {len(data) for data in pictures} <= {len(data) for data in stored}
    for data in stored:
        assert not data.startswith((b"\x89PNG", b"\xff\xd8"))
        assert b"IHDR" not in data[:64]
        assert not any(sent[100:164] in data for sent in pictures)


def test_nothing_about_innocent_media_is_on_the_wire(town, list_path, tmp_path, monkeypatch):
    """With the gate off and on the device sends the same: uploads to the byte, events in all but their ciphertext.

    A known picture that is sent changes nothing of that either; the vouchers are all there is more.
    """
    pictures = [picture(200), edited(2), picture(201, side=600), picture(202, "JPEG")]

    def fixed(number):
        """Stands for the random keys of attachments: the same ones each time."""
        values = itertools.count(number)
        return lambda: lambda size: hashlib.shake_256(b"%d" % next(values)).digest(size)

    class Random:
        @staticmethod
        def new():
            return Random

        read = None

    async def sent(upload):
        Random.read = staticmethod(fixed(1)())
        monkeypatch.setattr("nio.crypto.async_attachments.Random", Random)
        town.to_server.taken()
        for data in pictures:
            uploaded, keys = await upload(
                lambda *_, data=data: data, "image/png", "picture.png", encrypt=True, filesize=len(data)
            )
            content = {"msgtype": "m.image", "body": "picture.png", "file": {"url": uploaded.content_uri, **keys}}
            await town.sender.room_send(town.rooms[1], "m.room.message", content, ignore_unverified_devices=True)
        return town.to_server.requests()

    async def script():
        async with town.behind(list_path, tmp_path, "report-only") as one:
            await send(town.sender, town.rooms[1], picture(203))  # shares the room's key
            off = await sent(lambda *a, **k: AsyncClient.upload(town.sender, *a, **k))
            silence = town.to_intake.taken()
            on = await sent(town.sender.upload)
            await delivered(one.outbox)
            await receive(town.receiver, 9)
            return off, on, silence

    off, on, silence = town.run(script())
    assert len(off) == 2 * len(pictures)
    assert sum(one.is_upload for one in off) == len(pictures)
    assert [one.shape() for one in on] == [one.shape() for one in off]
    assert silence == b""
    (voucher,) = town.to_intake.requests()
    assert voucher.line.startswith("PUT /v1/vouchers/")
    assert len(voucher.body) == 605


def test_while_the_intake_is_down_messages_go_on_and_vouchers_wait(town, list_path, tmp_path):
    """Sending does not depend on it; what waited arrives when it is back."""
    key = new_key()

    async def script():
        async with town.behind(list_path, tmp_path, "report-only", key=key) as one:
            town.to_intake.go_down()
            for data in (edited(0), picture(300)):
                assert isinstance(await send(town.sender, town.rooms[0], data), UploadResponse)
            await receive(town.receiver, 2)
            async with asyncio.timeout(30):
                while not any(kept.problem for kept in one.outbox.ledger().vouchers):
                    await asyncio.sleep(0.02)
            counts = one.outbox.counts()
            town.to_intake.down = False
            one.gate._keeper._clock = lambda clock=one.gate._keeper._clock: clock() + 3600  # its turn has come
            one.gate._keeper.matched()
            await delivered(one.outbox)
            return counts

    try:
        assert town.run(script()) == {"pending": 1}
    finally:
        town.to_intake.down = False
    assert town.vouchers_of(key) == 1


def test_a_list_replaced_while_it_is_used_is_used_to_the_end(town, tmp_path):
    """A new edition takes its place by a rename; the open one goes on, the next start takes the new one."""
    (tmp_path / "list").mkdir()
    known = write_list(tmp_path / "list" / "known.prescan")
    other = write_list(tmp_path / "list" / "other.prescan", (picture(400),), epoch=8)

    async def script():
        answers = []
        async with town.behind(known, tmp_path / "one"):
            answers.append(await send(town.sender, town.rooms[0], KNOWN[0]))
            other.replace(known)
            answers.append(await send(town.sender, town.rooms[0], KNOWN[1]))
        async with town.behind(known, tmp_path / "two"):
            answers.append(await send(town.sender, town.rooms[0], KNOWN[2]))
            answers.append(await send(town.sender, town.rooms[0], picture(400)))
            await receive(town.receiver, 1)
        return answers

    before, during, unlisted, listed = town.run(script())
    assert (before.notice.epoch, during.notice.epoch, listed.notice.epoch) == (7, 7, 8)
    assert isinstance(unlisted, UploadResponse)


@pytest.mark.parametrize("profile", ["standard", "strict"] if FULL else ["standard"])
def test_a_decoder_that_crashes_costs_one_check(town, list_path, tmp_path, profile):
    """Killed in the middle: that picture follows the profile, the next is checked by another process."""

    async def script():
        async with town.behind(list_path, tmp_path, profile, isolation="isolated") as one:
            (worker,) = one.scanner._hasher._idle
            os.kill(worker._process.pid, signal.SIGKILL)
            answers = [await send(town.sender, town.rooms[0], data) for data in (picture(500), KNOWN[0])]
            if profile == "standard":
                (received,) = await receive(town.receiver, 1)
                assert received.data == picture(500)
            return answers

    crashed, held = town.run(script())
    assert isinstance(crashed, UploadResponse if profile == "standard" else HeldUpload)
    assert held.notice.reason is Outcome.MATCH


def test_a_client_killed_between_scan_and_send_loses_no_voucher(town, list_path, tmp_path):
    """What was found is on disk; nothing was sent; started again it delivers, and sending again makes no second one."""
    path = tmp_path / "holiday.jpg"
    path.write_bytes(edited(0))
    stored = len(town.server.stored_media())
    key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    folder = tmp_path / "device"
    folder.mkdir()
    script_of_it = [sys.executable, "-m", "tests.integrations.killed_client", list_path, folder, town.server.url,
                    town.sender.user_id, town.sender.access_token, path]  # fmt: skip
    ran = subprocess.run([*map(str, script_of_it)], capture_output=True, timeout=120, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
    with Outbox(folder / "outbox.db") as outbox:
        assert outbox.counts() == {"pending": 1}
    assert len(town.server.stored_media()) == stored

    async def script():
        async with town.behind(list_path, folder, "report-only", key=key) as one:
            await delivered(one.outbox)
            await send(town.sender, town.rooms[0], path.read_bytes())
            await receive(town.receiver, 1)
            return one.outbox.counts()

    assert town.run(script()) == {"delivered": 1}
    assert town.vouchers_of(key) == 1


@pytest.mark.parametrize("how", ["monitor", "task"])
def test_a_cancelled_send_leaves_nothing(town, list_path, tmp_path, how):
    """Given up while it is checked: no upload, no voucher; the next picture goes."""
    stored = len(town.server.stored_media())

    async def script():
        async with town.behind(list_path, tmp_path) as one:
            began, go, scan = threading.Event(), threading.Event(), one.scanner.scan

            def slow(data, **options):
                began.set()
                assert go.wait(30)
                return scan(data, **options)

            one.scanner.scan = slow
            monitor = TransferMonitor(len(KNOWN[0])) if how == "monitor" else None
            sending = asyncio.create_task(send(town.sender, town.rooms[0], KNOWN[0], monitor=monitor))
            await asyncio.to_thread(began.wait, 30)
            if monitor:
                monitor.cancel = True
            else:
                sending.cancel()
            with pytest.raises(TransferCancelledError if monitor else asyncio.CancelledError):
                await sending
            go.set()
            assert isinstance(await send(town.sender, town.rooms[0], picture(600)), UploadResponse)
            await receive(town.receiver, 1)
            return one.outbox.counts()

    assert town.run(script()) == {}
    assert len(town.server.stored_media()) == stored + 1


def test_two_rooms_at_once(town, list_path, tmp_path):
    """Pictures sent to two rooms together go to theirs, and known ones among them to none."""
    pictures = {
        room: [picture(700 + 10 * place + n, side=128) for n in range(3)] for place, room in enumerate(town.rooms)
    }

    async def script():
        async with town.behind(list_path, tmp_path, workers=2) as one:
            sends = [send(town.sender, room, data) for room, many in pictures.items() for data in (*many, edited(0))]
            answers = await asyncio.gather(*sends)
            await delivered(one.outbox)
            return answers, await receive(town.receiver, 6)

    answers, received = town.run(script())
    assert sum(isinstance(answer, HeldUpload) for answer in answers) == 2
    for room, many in pictures.items():
        assert sorted(one.data for one in received if one.room == room) == sorted(many)


@pytest.mark.filterwarnings("ignore:The sender_key field:DeprecationWarning")  # mautrix reads it itself
def test_the_same_gate_in_mautrix(town, list_path, tmp_path):
    """A second library, with encryption of its own: a known picture is held, an innocent one arrives, as ciphertext."""
    innocent, stored = picture(800), len(town.server.stored_media())
    shown = []

    async def script():
        async with (
            device(list_path, tmp_path, key=new_key()) as one,
            mautrix_client(town.server, "third") as sender,
            mautrix_client(town.server, "fourth") as receiver,
        ):
            room = await sender.create_room(invitees=[receiver.mxid], initial_state=[ROOM_IS_ENCRYPTED])
            await receiver.join_room(room)
            arrived = await listening(sender, receiver, room)
            media = GatedMedia(sender, one.gate, on_notice=shown.append)
            with pytest.raises(HeldError, match="was not sent"):
                await media.upload_encrypted(edited(2))
            assert len(town.server.stored_media()) == stored
            file = await media.upload_encrypted(innocent)
            await sender.send_message(
                room, MediaMessageEventContent(msgtype=MessageType.IMAGE, body="picture.png", file=file)
            )
            named = (await asyncio.wait_for(arrived.get(), 30)).content.file
            body = await receiver.download_media(named.url)
            return decrypt_attachment(body, named.key.key, named.hashes["sha256"], named.iv), one.outbox.counts()

    data, counts = asyncio.run(asyncio.wait_for(script(), 120))
    assert data == innocent
    assert [notice.reason for notice in shown] == [Outcome.MATCH]
    assert counts == {"pending": 1}
    assert not any(innocent[100:164] in file for file in town.server.stored_media())
