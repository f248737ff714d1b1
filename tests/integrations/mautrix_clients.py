"""Real mautrix clients with keys of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mautrix.client import Client
from mautrix.client.state_store import MemoryStateStore, MemorySyncStore
from mautrix.crypto import MemoryCryptoStore, OlmMachine
from mautrix.types import EventType, RoomID, StateEvent, TrustState, UserID

from scanner.demo import synapse

ROOM_IS_ENCRYPTED = StateEvent.deserialize(
    {
        "type": "m.room.encryption",
        "state_key": "",
        "content": {"algorithm": "m.megolm.v1.aes-sha2"},
        "room_id": "",
        "event_id": "",
        "sender": "",
        "origin_server_ts": 0,
    }
)


class State(MemoryStateStore):
    """What a client knows of rooms; says which rooms two people share."""

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return [room for room, members in self.members.items() if user_id in members]


@asynccontextmanager
async def mautrix_client(server: synapse.Server, name: str) -> AsyncIterator[Client]:
    """A new user, logged in."""
    user, state = UserID(server.register(name)), State()
    client = Client(mxid=user, base_url=server.url, sync_store=MemorySyncStore(), state_store=state)
    try:
        answer = await client.login(identifier=name, password=synapse.PASSWORD)
        kept = MemoryCryptoStore(user, "of nobody")
        await kept.put_device_id(answer.device_id)
        client.crypto = OlmMachine(client, kept, state)
        client.crypto.share_keys_min_trust = TrustState.UNVERIFIED
        await client.crypto.load()
        await client.crypto.share_keys()
        yield client
    finally:
        client.stop()
        if client.syncing_task is not None:
            await asyncio.wait({client.syncing_task}, timeout=10)
        await client.api.session.close()


async def listening(sender: Client, receiver: Client, room: RoomID) -> asyncio.Queue:
    """Let both hear of what happens, until the sender knows who is in a room; gives where messages arrive."""
    arrived: asyncio.Queue = asyncio.Queue()
    receiver.add_event_handler(EventType.ROOM_MESSAGE, arrived.put)
    for client in (sender, receiver):
        client.start(None)
    async with asyncio.timeout(30):
        while not {sender.mxid, receiver.mxid} <= set(await sender.state_store.get_members(room) or ()):
            await asyncio.sleep(0.02)
        while not await sender.state_store.is_encrypted(room):
            await asyncio.sleep(0.02)
    return arrived
