"""A client that is killed when its picture was checked and the upload would begin; started by test_messenger.

Arguments: the list, the device's folder, the server, the user, the user's token, the picture.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from nio import AsyncClient

from scanner.integrations.matrix_nio import GatedClient
from tests.integrations.devices import PATIENT, device


async def killed(*_: object, **__: object) -> None:
    """Stands where the upload begins."""
    os.kill(os.getpid(), signal.SIGKILL)


async def main(known: str, folder: str, url: str, user: str, token: str, picture: str) -> None:
    """Send the picture."""
    AsyncClient.upload = killed
    async with device(Path(known), Path(folder), PATIENT["report-only"]) as one:
        client = GatedClient(url, user, gate=one.gate)
        client.user_id, client.access_token = user, token
        await client.upload(lambda *_: picture, encrypt=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
