"""People with real Matrix clients, and what they do: open an encrypted room, send pictures, receive them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nio import AsyncClient, AsyncClientConfig, RoomEncryptedMedia, RoomSendResponse, UploadError, UploadResponse
from nio.crypto import decrypt_attachment

from scanner.demo.synapse import PASSWORD
from scanner.errors import DeliveryError

ENCRYPTED = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}

_MANY = {"room": {"timeline": {"limit": 1000}}}  # else the server gives the newest few alone


@asynccontextmanager
async def logged_in(make: type[AsyncClient], url: str, user: str, folder: Path, **options: Any) -> AsyncIterator[Any]:
    """A client with keys of its own, at the server."""
    folder.mkdir(exist_ok=True)
    config = AsyncClientConfig(encryption_enabled=True, store_sync_tokens=False, backoff_factor=0.01)
    client = make(url, user, store_path=str(folder), config=config, **options)
    try:
        answer = await client.login(PASSWORD)
        if not client.logged_in:
            raise DeliveryError(f"the homeserver let nobody in: {answer}")
        await client.sync()
        await client.keys_upload()
        yield client
    finally:
        await client.close()


@dataclass(frozen=True)
class Received:
    """One picture as it arrived."""

    room: str
    data: bytes


async def open_room(sender: AsyncClient, receiver: AsyncClient) -> str:
    """An encrypted room with both in it."""
    made = await sender.room_create(initial_state=[ENCRYPTED], invite=[receiver.user_id])
    await receiver.join(made.room_id)
    for client in (sender, receiver, sender):
        await client.sync()
        if client.should_query_keys:
            await client.keys_query()
    if not sender.rooms[made.room_id].encrypted:
        raise DeliveryError("the homeserver made no encrypted room")
    return str(made.room_id)


async def send(client: AsyncClient, room: str, data: bytes, **options: Any) -> UploadResponse | UploadError:
    """Send a picture as every nio client does: upload it encrypted, then name it in an event, unless that failed."""
    given = {"data_provider": lambda *_: data, "filesize": len(data)} | options
    uploaded, keys = await client.upload(content_type="image/png", filename="picture.png", encrypt=True, **given)
    if isinstance(uploaded, UploadError):
        return uploaded
    content = {"msgtype": "m.image", "body": "picture.png", "file": {"url": uploaded.content_uri, **keys}}
    sent = await client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
    if not isinstance(sent, RoomSendResponse):
        raise DeliveryError(f"the homeserver took no event: {sent}")
    return uploaded


async def receive(client: AsyncClient, number: int) -> list[Received]:
    """Wait for so many pictures, download and decrypt them, in the order they came."""
    arrived: list[tuple[str, RoomEncryptedMedia]] = []
    client.add_event_callback(lambda room, event: arrived.append((room.room_id, event)), RoomEncryptedMedia)
    async with asyncio.timeout(30):
        while len(arrived) < number:
            await client.sync(timeout=1000, sync_filter=_MANY)
    client.event_callbacks.clear()
    return [Received(room, await _decrypted(client, event)) for room, event in arrived]


async def _decrypted(client: AsyncClient, event: RoomEncryptedMedia) -> bytes:
    body = (await client.download(event.url)).body
    return bytes(decrypt_attachment(body, event.key["k"], event.hashes["sha256"], event.iv))
