"""matrix-nio behind the gate: :class:`GatedClient` is an ``AsyncClient`` whose uploads are checked first.

In a client nothing changes but the class and the gate::

    async with OutgoingGate(scanner, sealer, outbox, account, notices, courier=courier) as gate:
        client = GatedClient("https://example.org", "@me:example.org", gate=gate, on_notice=show)

What is checked: whatever goes through :meth:`upload`, encrypted or not. In Matrix media is uploaded before an event
names it, so these are covered: pictures, videos and other files; thumbnails, which are uploaded by themselves;
stickers, avatars of people and rooms, and custom emoji, when they are uploaded; an edit (``m.replace``) with new media.

What is not, as no media is uploaded: an event that names media which is on a server already (forwarded media, a
sticker out of a pack, a second use of an avatar); pictures inside the text of a message; what a call transmits; and
``room_send`` with an address that was uploaded by another program. To have forwarded media checked, download it and
upload it anew. A program that uploads through ``send`` itself, or encrypts before it calls ``upload``, goes round it.

What it does to uploads: nio encrypts media that is given as ``bytes`` or as a file in pieces of 4 KiB, each of which
waits twice for a thread; here it gets pieces of 1 MiB. When nio asks again, after 429 or a timeout, it gets the same
bytes. The length that is announced is that of the bytes that were checked.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from aiofiles.threadpool.binary import AsyncBufferedReader
from aiofiles.threadpool.text import AsyncTextIOWrapper
from nio import AsyncClient, TransferCancelledError, TransferMonitor, UploadError, UploadResponse
from nio.client.base_client import logged_in_async

from scanner.integrations.checked import Checked, Progress
from scanner.integrations.gate import OutgoingGate
from scanner.integrations.notices import Notice
from scanner.media import Source

HELD = "PRESCAN_HELD"
"""The status of an upload that was held, as Matrix's error codes are written."""

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_LOOKS = 0.05
"""Seconds between two looks at whether a monitor was cancelled."""


class HeldUpload(UploadError):  # type: ignore[misc] # noqa: N818 - a response, not an exception
    """What :meth:`GatedClient.upload` returns for held media: to a client that knows no gate, an upload that failed.

    Args:
        notice: what the sender is shown.
    """

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.lines[0], HELD)
        self.notice = notice


class GatedClient(AsyncClient):  # type: ignore[misc]
    """An ``AsyncClient`` that uploads nothing the gate holds.

    Args:
        arguments: those of ``AsyncClient``.
        gate: checks; started, and closed by who made it. For a new edition of the list open a gate with it, set
            ``client.gate``, and close the old one, which answers what runs.
        on_notice: shows a notice to the sender, of held media and of media that is sent with a remark.
        on_progress: is told of checks that take longer.
        options: those of ``AsyncClient``.
    """

    def __init__(
        self,
        *arguments: Any,
        gate: OutgoingGate,
        on_notice: Callable[[Notice], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.gate = gate
        self._on_notice = on_notice
        self._on_progress = on_progress

    @logged_in_async  # type: ignore[untyped-decorator]
    async def upload(
        self,
        data_provider: Any,
        content_type: str = "application/octet-stream",
        filename: str | None = None,
        encrypt: bool = False,
        monitor: TransferMonitor | None = None,
        filesize: int | None = None,
    ) -> tuple[UploadResponse | UploadError, dict[str, Any] | None]:
        """Check media, then upload the bytes that were checked; as ``AsyncClient.upload``.

        A callable ``data_provider`` is called once, whatever is tried again later; only one whose media is not read,
        as it is too large or unreadable, and is sent all the same, is left to nio.

        Returns:
            what nio returns; ``(HeldUpload, None)`` if it was held.

        Raises:
            TransferCancelledError: the monitor was cancelled.
        """
        source = await _source_of(data_provider, self.gate.max_bytes)
        checked = await _unless_cancelled(self._checked(source), monitor)
        if checked.notice is not None:
            self._show(checked.notice)
            if checked.held:
                return HeldUpload(checked.notice), None
        provider, length = data_provider, filesize
        if checked.data is not None:  # else too large to be read, or unreadable: sent from where it is, by the profile
            provider, length = (lambda *_: checked.pieces()), len(checked.data)
        upload = super().upload(provider, content_type, filename, encrypt, monitor, length)
        return await _unless_cancelled(upload, monitor)

    async def _checked(self, source: Source) -> Checked:
        """By the gate that is there when this begins, which then waits for it."""
        return await self.gate.check(source, progress=self._on_progress)

    def _show(self, notice: Notice) -> None:
        if self._on_notice is not None:
            try:
                self._on_notice(notice)
            except Exception as error:  # noqa: BLE001 - a display that fails stops no message, nor lets one through
                _log.error("a notice could not be shown: %s", type(error).__name__)


async def _unless_cancelled(work: Coroutine[Any, Any, _Result], monitor: TransferMonitor | None) -> _Result:
    """Wait for work, and end it when the monitor is cancelled.

    nio looks only while it encrypts; where that makes the connection fail, it would connect again and again.
    """
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=None if monitor is None else _LOOKS))[0]:
            if monitor is not None and monitor.cancel:
                raise TransferCancelledError
        return task.result()
    finally:
        task.cancel()  # does nothing once it is done


async def _source_of(provider: Any, most: int) -> Source:
    """What the gate reads. Of what it can't read by itself, the bytes, and one more than ``most`` if there are more.

    A file stands where it stood afterwards unless all of it was read.

    Raises:
        TypeError: nio takes no such thing.
    """
    data = provider(0, 0) if callable(provider) else provider
    if isinstance(data, (str, Path, bytes)) and callable(provider):
        return data
    if isinstance(data, (io.BufferedIOBase, io.FileIO)):
        return data  # type: ignore[return-value] # each is a BinaryIO in all but name
    if isinstance(data, (AsyncBufferedReader, AsyncTextIOWrapper)):
        at = await data.tell()
        return await _bounded(await data.read(most + 1), most, lambda: data.seek(at))
    if isinstance(data, io.TextIOBase):
        at, text = data.tell(), await asyncio.to_thread(data.read, most + 1)
        return await _bounded(text, most, lambda: asyncio.to_thread(data.seek, at))
    if isinstance(data, Iterable) and callable(provider):
        return await asyncio.to_thread(_joined, data, most)
    if isinstance(data, AsyncIterable) and callable(provider):
        pieces = bytearray()
        async for piece in data:
            pieces += piece.encode() if isinstance(piece, str) else piece
            if len(pieces) > most:
                break
        return bytes(pieces)
    raise TypeError(f"data_provider is a callable or a file, not {type(provider).__name__}")


async def _bounded(read: bytes | str, most: int, wind_back: Callable[[], Awaitable[Any]]) -> bytes:
    data = read.encode() if isinstance(read, str) else read
    if len(data) > most:
        await wind_back()
    return data


def _joined(pieces: Iterable[bytes | str], most: int) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece.encode() if isinstance(piece, str) else piece
        if len(data) > most:
            break
    return bytes(data)
