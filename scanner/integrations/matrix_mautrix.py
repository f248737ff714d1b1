"""mautrix-python behind the gate: :class:`GatedMedia` checks, encrypts and uploads in one step.

In mautrix the client encrypts media itself and then calls ``upload_media``, which sees ciphertext: too late to check
anything. So what stands in a client or bridge as ``encrypt_attachment`` and ``upload_media`` becomes one call::

    media = GatedMedia(client, gate, on_notice=show)
    file = await media.upload_encrypted(path)
    await client.send_message(room, MediaMessageEventContent(msgtype=MessageType.IMAGE, body="picture", file=file))

What is checked: what goes through the two methods here. What is not: ``upload_media`` called directly, events that name
media which is on a server already, pictures inside text; see scanner.integrations.matrix_nio, the protocol is the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from mautrix.client import ClientAPI
from mautrix.crypto.attachments import inplace_encrypt_attachment
from mautrix.errors import MatrixError
from mautrix.types import ContentURI, EncryptedFile

from scanner.integrations.checked import Progress
from scanner.integrations.gate import OutgoingGate
from scanner.integrations.notices import Notice
from scanner.media import Source

_log = logging.getLogger(__name__)


class HeldError(MatrixError):
    """The gate held what was to be uploaded; nothing reached the server.

    Attributes:
        notice: what the sender is shown.
    """

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.lines[0])
        self.notice = notice


class GatedMedia:
    """Uploads of one client.

    Args:
        client: of mautrix; logged in.
        gate: checks; started, and closed by who made it.
        on_notice: shows a notice to the sender, of held media and of media that is sent with a remark.
        on_progress: is told of checks that take longer.
    """

    def __init__(
        self,
        client: ClientAPI,
        gate: OutgoingGate,
        *,
        on_notice: Callable[[Notice], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._client = client
        self._gate = gate
        self._on_notice = on_notice
        self._on_progress = on_progress

    async def upload_encrypted(self, source: Source) -> EncryptedFile:
        """Check media, encrypt exactly what was checked, and upload that.

        Args:
            source: bytes, a path, or a binary file that can seek.

        Returns:
            what an event names the media by, its address included.

        Raises:
            HeldError: it was held.
            OSError: it can't be read, and the profile lets such media pass.
            MatrixError: the server did not take it.
        """
        data = bytearray(await self._passed(source))
        file = await asyncio.to_thread(inplace_encrypt_attachment, data)
        file.url = await self._client.upload_media(data, mime_type="application/octet-stream", size=len(data))
        return file

    async def upload(self, source: Source, mime_type: str, filename: str | None = None) -> ContentURI:
        """Check media and upload exactly what was checked, unencrypted: for avatars and open rooms.

        Args and errors as for :meth:`upload_encrypted`; the type and the name are for the server.
        """
        data = await self._passed(source)
        return await self._client.upload_media(data, mime_type=mime_type, filename=filename, size=len(data))

    async def _passed(self, source: Source) -> bytes:
        checked = await self._gate.check(source, progress=self._on_progress)
        if checked.notice is not None:
            self._show(checked.notice)
            if checked.held:
                raise HeldError(checked.notice)
        return checked.data if checked.data is not None else await asyncio.to_thread(_whole, source)

    def _show(self, notice: Notice) -> None:
        if self._on_notice is not None:
            try:
                self._on_notice(notice)
            except Exception as error:  # noqa: BLE001 - a display that fails stops no message, nor lets one through
                _log.error("a notice could not be shown: %s", type(error).__name__)


def _whole(source: Source) -> bytes:
    """All of what the gate left unread."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, (str, os.PathLike)):
        return Path(source).read_bytes()
    return source.read()
