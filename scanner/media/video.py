"""Videos to the few frames worth hashing: their containers, and the walk over the packets.

Here PyAV is imported, when a video is opened. Besides, scanner.media.samples loads it ahead for the isolated decoder;
scanner.media.track and scanner.media.luma import its types alone.

Rules:
1. Containers and codecs are on an allowlist, chosen by the file's first bytes; nothing outside the bytes is opened.
2. Size is checked from the header, before a frame is decoded; after that by the track (scanner.media.track).
3. One thread.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scanner.errors import MediaError, MediaFault
from scanner.media.track import LARGEST_FRAME as LARGEST_FRAME
from scanner.media.track import Track, coded, too_large
from scanner.media.track import VideoFrame as VideoFrame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame as Decoded
    from av.video.stream import VideoStream

CODECS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4", "mjpeg", "prores")
"""FFmpeg's names of the decoders that are used."""

MOST_TRACKS = 4
MOST_PACKETS = 1_000_000
"""Packets of a file that are looked at: nine hours at 30 frames a second."""

_PICTURE_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1", b"avif", b"avis"}
)
_OLD_MOVIE_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_EBML = b"\x1a\x45\xdf\xa3"


def is_video(data: bytes) -> bool:
    """Tell by the first bytes whether this is an MP4, QuickTime, WebM or Matroska file."""
    return _container_of(data) is not None


def _container_of(data: bytes) -> str | None:
    """FFmpeg's name of the demuxer to use."""
    if data.startswith(_EBML):
        return "matroska"
    kind = data[4:8]
    if kind == b"ftyp":
        return None if data[8:12] in _PICTURE_BRANDS else "mov"
    size = int.from_bytes(data[:4])
    return "mov" if kind in _OLD_MOVIE_ATOMS and (size in {0, 1} or size >= 8) else None


def video_frames(data: bytes, *, max_pixels: int, max_frames: int) -> Iterator[VideoFrame]:
    """Decode what is worth hashing; several video tracks share ``max_frames``.

    Args:
        data: the file.
        max_pixels: refuse larger frames; never more than :data:`LARGEST_FRAME`.
        max_frames: most frames that are taken, at least 1.

    Raises:
        MediaError: ``UNSUPPORTED``, if PyAV is not installed or there is no video track or one of an unknown codec;
            ``TOO_LARGE``; ``DAMAGED``, if no frame can be decoded. What is damaged, cut short or grows too large after
            the first frame ends the frames there.
    """
    bounds = min(max_pixels, LARGEST_FRAME)
    with _opened(data, bounds) as container:
        tracks = [Track(stream) for stream in _video_streams(container, bounds)]
        by_index = {track.index: track for track in tracks}
        for packet in _packets(container):
            if packet.stream_index in by_index:
                by_index[packet.stream_index].note(packet)
        for track in tracks:
            track.plan(max(1, max_frames // len(tracks)))
    found = 0
    try:
        for frame in _decoded(data, bounds, tracks):
            found += 1
            yield frame
            if found >= max_frames:
                return
    except MediaError:
        if not found:
            raise
    if not found:
        raise MediaError(MediaFault.DAMAGED, "no frame of the video can be decoded: it is damaged or cut short")


def _opened(data: bytes, bounds: int) -> InputContainer:
    """Read the headers; the first packets of a track without a size in them are decoded by the same rules."""
    try:
        import av
    except ImportError:
        raise MediaError(MediaFault.UNSUPPORTED, "videos need the extra: pip install 'prescan[video]'") from None
    kind = _container_of(data)
    if kind is None:
        raise MediaError(MediaFault.UNSUPPORTED, "not an MP4, QuickTime, WebM or Matroska file")
    try:
        return av.open(
            io.BytesIO(data),
            "r",
            format=kind,
            options={
                "codec_whitelist": ",".join(CODECS),
                "protocol_whitelist": "none",
                "enable_drefs": "0",
                "threads": "1",
                "max_pixels": str(coded(bounds)),
            },
            metadata_errors="ignore",
        )
    except Exception as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> MediaError:
    return MediaError(MediaFault.DAMAGED, f"the video is damaged or cut short ({type(error).__name__})")


def _video_streams(container: InputContainer, bounds: int) -> list[VideoStream]:
    """The video tracks, covers left out.

    Raises:
        MediaError: there is none, or one of them can't or mustn't be decoded: what is not seen is not cleared.
    """
    from av.stream import Disposition

    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise MediaError(MediaFault.UNSUPPORTED, "the file has no video track")
    if len(streams) > MOST_TRACKS:
        raise MediaError(MediaFault.UNSUPPORTED, f"the file has {len(streams)} video tracks; {MOST_TRACKS} are allowed")
    for stream in streams:
        decoder = stream.codec_context
        name = decoder.codec.name if decoder is not None else "unknown"
        if name not in CODECS:
            raise MediaError(MediaFault.UNSUPPORTED, f"videos of codec {name!r} are not supported")
        if decoder.width * decoder.height > bounds:
            raise too_large(decoder.width, decoder.height, bounds)
    return streams


def _decoded(data: bytes, bounds: int, tracks: list[Track]) -> Iterator[VideoFrame]:
    """Decode by the tracks' plans; once more with nothing left out, if a keyframe turns out to be none."""
    with _opened(data, bounds) as container:
        for track in tracks:
            track.start(container)
        for track, frame in _frames_of(container, tracks):
            taken = track.take(frame, bounds)
            if taken:
                yield taken
            if track.misled:
                break
    misled = [track.distrust() for track in tracks]
    if any(misled):
        yield from _decoded(data, bounds, tracks)


def _frames_of(container: InputContainer, tracks: list[Track]) -> Iterator[tuple[Track, Decoded]]:
    by_index = {track.index: track for track in tracks}
    for packet in _packets(container):
        if packet.stream_index in by_index:
            track = by_index[packet.stream_index]
            for frame in track.decode(packet):
                yield track, frame
    for track in tracks:
        for frame in track.drain():
            yield track, frame


def _packets(container: InputContainer) -> Iterator[Packet[VideoStream]]:
    """Packets with something in them, up to where the file is cut."""
    packets = container.demux(video=tuple(range(len(container.streams.video))))
    for _ in range(MOST_PACKETS):
        try:
            packet = next(packets, None)
        except Exception:  # noqa: BLE001 - hostile bytes can make a demuxer raise anything
            return
        if packet is None:
            return
        if packet.size:
            yield packet
