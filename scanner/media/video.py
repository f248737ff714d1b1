"""Videos to the few frames worth hashing. The only module that imports PyAV.

Rules:
1. One frame a second: the first at or after each full second. If those were more than may be taken, the interval grows.
2. Besides, a frame that differs from the last one taken, so that no shot is missed; while frames are to spare.
3. What depends on nothing hashed is not decoded: frames that no other frame refers to, and, once rule 2 is off, what
   comes after a keyframe without leading up to a sample.
4. Containers and codecs are on an allowlist, chosen by the file's first bytes; nothing outside the bytes is opened.
5. Size is checked from the header, before a frame is decoded, by the decoder, and on every frame.
6. One thread; pixels are luma, full range, upright.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scanner.errors import MediaError, MediaFault

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame as Decoded
    from av.video.stream import VideoStream

Pixels = npt.NDArray[np.uint8]

CODECS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4", "mjpeg", "prores")
"""FFmpeg's names of the decoders that are used."""

LARGEST_FRAME = 139_264 * 256
"""Pixels; the largest frame of H.264's level 6.2 (ITU-T H.264, table A-1; HEVC, VP9 and AV1 have the same bound). A
decoder holds up to seventeen, so pictures may be larger than videos."""

CHANGE = 20.0
"""Rule 2's measure is the mean absolute difference of 16 x 16 means of luma (0 to 255), each over 8 x 8 points; this
much is a change. In panned and zoomed photographs every hard cut moves it by 40 or more."""

SECONDS_APART = 1.0
NEW_CONTENT = 0.25
"""A packet at least this large beside its group's keyframe may begin a shot: what is left out by rule 3 ends there."""

LOOKS_A_SECOND = 4
"""Rule 2 in codecs without dependent frames, where looking at every frame would mean decoding every frame."""

MOST_TRACKS = 4
MOST_PACKETS = 1_000_000
"""Packets of a file that are looked at: nine hours at 30 frames a second."""

_PICTURE_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1", b"avif", b"avis"}
)
_OLD_MOVIE_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_EBML = b"\x1a\x45\xdf\xa3"
_POINTS, _PARTS = 128, 16
_HEVC_LAYER = 5  # after four bytes of length: the second of a NAL unit's header, whose last three bits say the layer
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
_EXPANDED = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8).tobytes()

_SKIP, _IF_REFERRED_TO, _WHOLE = range(3)  # what to do with a packet


class VideoFrame(NamedTuple):
    """A frame of a video.

    Attributes:
        pixels: luma, full range; shape ``(H, W)``, uint8, upright, C-contiguous.
        seconds: when it is shown, counted from the first frame.
        share: of its track, that is shown up to it, 0 to 1.
    """

    pixels: Pixels
    seconds: float
    share: float


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
        tracks = [_Track(stream) for stream in _video_streams(container, bounds)]
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
                "max_pixels": str(_coded(bounds)),
            },
            metadata_errors="ignore",
        )
    except Exception as error:
        raise _damaged(error) from error


def _coded(bounds: int) -> int:
    """Coded frames are whole blocks, so the decoder's own limit leaves room for them."""
    return 2 * bounds + 128 * 128


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
            raise _too_large(decoder.width, decoder.height, bounds)
    return streams


def _too_large(width: int, height: int, bounds: int) -> MediaError:
    return MediaError(
        MediaFault.TOO_LARGE,
        f"the video's frames have {width * height:,} pixels; the limit is {bounds:,} pixels",
    )


def _decoded(data: bytes, bounds: int, tracks: list[_Track]) -> Iterator[VideoFrame]:
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


def _frames_of(container: InputContainer, tracks: list[_Track]) -> Iterator[tuple[_Track, Decoded]]:
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


def _ticks(of: Packet[VideoStream] | Decoded, otherwise: int) -> int:
    """When it is shown, in the track's time base."""
    if of.pts is not None:
        return of.pts
    return of.dts if of.dts is not None else otherwise


def _first_of_each(
    slots: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64], shown: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    """Of the packets of each slot, the one that is shown first."""
    order = np.lexsort((seconds, ~shown))[: int(shown.sum())]
    return order[np.unique(slots[order], return_index=True)[1]]


class _Track:
    """A video track: when its packets are shown, what is done with each, and which frames were taken."""

    def __init__(self, stream: VideoStream) -> None:
        self.index = stream.index
        self._base = float(stream.time_base or 0)
        self._independent = bool(stream.codec_context.codec.intra_only)
        self._ticks: list[int] = []
        self._keys: list[bool] = []
        self._hidden: list[bool] = []
        self._sizes: list[int] = []
        self._first = 0
        self._length = 0.0
        self._interval = SECONDS_APART
        self._spare = 0
        self._actions = np.empty(0, np.uint8)
        self._anchors: set[int] = set()  # when keyframes are shown after which decoding goes on
        self._slots: set[float] = set()  # intervals of which a frame was taken
        self._grid: npt.NDArray[np.float64] | None = None
        self._number = 0
        self._gap = False
        self._decoder: VideoCodecContext | None = None
        self._hevc = stream.codec_context.codec.name == "hevc"
        self._layered = False  # in temporal layers "not referred to" means only: not within the layer
        self.misled = False

    def note(self, packet: Packet[VideoStream]) -> None:
        """Keep what the plan is made from."""
        self._ticks.append(_ticks(packet, self._ticks[-1] if self._ticks else 0))
        self._keys.append(packet.is_keyframe)
        self._hidden.append(packet.is_discard)
        self._sizes.append(packet.size)
        if self._hevc and packet.size > _HEVC_LAYER:
            self._layered |= memoryview(packet)[_HEVC_LAYER] & 7 > 1

    def plan(self, most: int) -> None:
        """Choose the interval by the times packets really have, and what to do with each packet."""
        shown = ~np.array(self._hidden, bool)
        if not shown.any():
            return
        ticks = np.array([float(value) for value in self._ticks])
        self._first = min(value for value, hidden in zip(self._ticks, self._hidden, strict=True) if not hidden)
        seconds = (ticks - self._first) * self._base
        self._length = float(seconds[shown].max())
        while (count := np.unique(seconds[shown] // self._interval).size) > most:
            self._interval *= max(1.05, count / most)
        self._spare = most - count if self._interval == SECONDS_APART else 0
        samples = _first_of_each(seconds // self._interval, seconds, shown)
        self._actions = np.full(ticks.size, _IF_REFERRED_TO, np.uint8)
        if self._independent:
            self._actions[:] = _SKIP
            if self._spare:
                self._actions[_first_of_each(seconds * LOOKS_A_SECOND // 1, seconds, shown)] = _WHOLE
        else:
            self._leave_out(seconds, samples)
        self._actions[samples] = _WHOLE

    def _leave_out(self, seconds: npt.NDArray[np.float64], samples: npt.NDArray[np.intp]) -> None:
        """Skip the end of each group of pictures that nothing is taken from."""
        keys, sizes = np.array(self._keys), np.array(self._sizes)
        starts = np.flatnonzero(keys)
        if not starts.size:
            return
        group = np.cumsum(keys) - 1  # -1 before the first keyframe
        ends = starts - 1  # the last packet of each group that is needed
        if self._spare:
            ends = starts.copy()
            large = np.flatnonzero(sizes >= NEW_CONTENT * sizes[starts[np.maximum(group, 0)]])
            samples = np.union1d(samples, large)
        inside = samples[group[samples] >= 0]
        np.maximum.at(ends, group[inside], inside)
        leading = group[inside[seconds[inside] < seconds[starts[group[inside]]]]]
        before = leading[leading > 0] - 1  # shown before their keyframe: they refer to the group before it, too
        ends[before] = starts[before + 1] - 1
        in_groups = np.flatnonzero(group >= 0)
        self._actions[in_groups[in_groups > ends[group[in_groups]]]] = _SKIP
        resumed = starts[1:][(self._actions[starts[1:] - 1] == _SKIP) & (self._actions[starts[1:]] != _SKIP)]
        self._anchors = {self._ticks[at] for at in resumed if not self._hidden[at]}

    def start(self, container: InputContainer) -> None:
        """Begin to decode."""
        (stream,) = (stream for stream in container.streams.video if stream.index == self.index)
        self._decoder = stream.codec_context
        self._decoder.thread_count = 1
        self._decoder.options = {"max_pixels": str(_coded(LARGEST_FRAME))}
        self._number = 0
        self._gap = False

    def decode(self, packet: Packet[VideoStream]) -> list[Decoded]:
        """Give the decoder the next packet as planned; the frames that come out may be earlier ones."""
        if self._decoder is None or self._number >= self._actions.size:
            return []
        action = self._actions[self._number]
        self._number += 1
        if action == _SKIP:
            before, self._gap = self._gap, not self._independent
            return [] if before or self._independent else self.drain()
        try:
            if self._gap:
                self._decoder.flush_buffers()
                self._gap = False
            self._decoder.skip_frame = "DEFAULT" if action == _WHOLE or self._layered else "NONREF"
            return self._decoder.decode(packet)
        except Exception:  # noqa: BLE001 - a damaged packet is left out, as players do
            return []

    def drain(self) -> list[Decoded]:
        """Get the frames the decoder still holds."""
        try:
            return self._decoder.decode(None) if self._decoder else []
        except Exception:  # noqa: BLE001 - as above
            return []

    def take(self, frame: Decoded, bounds: int) -> VideoFrame | None:
        """Take a frame if it is the first of its interval, or differs from the last one taken.

        Raises:
            MediaError: ``TOO_LARGE``.
        """
        if frame.width * frame.height > bounds:
            raise _too_large(frame.width, frame.height, bounds)
        ticks = _ticks(frame, self._first)
        if ticks in self._anchors:
            if not frame.key_frame:
                self.misled = True
                return None
            self._anchors.discard(ticks)
        seconds = max(0.0, (ticks - self._first) * self._base)
        slot = seconds // self._interval
        due = slot not in self._slots
        if not due and not self._spare:
            return None
        luma = _luma_of(frame)
        grid = luma.grid()
        if due:
            self._slots.add(slot)
        elif self._grid is None or np.abs(self._grid - grid).mean() >= CHANGE:
            self._spare -= 1
        else:
            return None
        self._grid = grid
        share = min(1.0, seconds / self._length) if self._length else 1.0
        return VideoFrame(_upright(luma.whole(), frame), seconds, share)

    def distrust(self) -> bool:
        """Plan to leave nothing out, if the decoder went on where no keyframe was."""
        if not self._anchors:
            return False
        self._anchors, self.misled = set(), False
        self._actions[:] = _WHOLE
        return True


class _Luma(NamedTuple):
    """A view of a frame's luma: plane (H, W) of uint8 or uint16, its bits over eight, its range."""

    plane: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    shift: int
    limited: bool

    def whole(self) -> Pixels:
        """Every pixel, full range, in memory of its own."""
        return self._expanded(self.plane)

    def grid(self) -> npt.NDArray[np.float64]:
        """Means of 16 x 16 parts of the frame."""
        rows, columns = (np.arange(_POINTS) * side // _POINTS for side in self.plane.shape)
        points = self._expanded(self.plane[rows[:, None], columns])
        means: npt.NDArray[np.float64] = points.reshape(_PARTS, _POINTS // _PARTS, _PARTS, -1).mean((1, 3))
        return means

    def _expanded(self, part: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Pixels:
        eight = np.array(part >> self.shift if self.shift else part, np.uint8, order="C")
        if self.limited:
            eight = np.frombuffer(bytearray(eight).translate(_EXPANDED), np.uint8).reshape(eight.shape)
        return eight


def _luma_of(frame: Decoded) -> _Luma:
    form = frame.format
    planar = form.name.startswith("yuv") and form.is_planar
    if not (planar or form.name.startswith("gray")) or form.name.endswith("be") or not 8 <= _bits(frame) <= 16:
        converted = frame.reformat(format="gray", threads=1)
        return _Luma(_plane(converted, np.dtype(np.uint8)), 0, limited=False)
    bits = _bits(frame)
    limited = frame.color_range == _LIMITED_RANGE
    if planar and not form.name.startswith("yuvj"):
        limited = frame.color_range != _FULL_RANGE
    return _Luma(_plane(frame, np.dtype("<u2" if bits > 8 else "u1")), bits - 8, limited)


def _bits(frame: Decoded) -> int:
    return frame.format.components[0].bits


def _plane(frame: Decoded, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    plane = frame.planes[0]
    values: npt.NDArray[Any] = np.frombuffer(plane, dtype)  # type: ignore[call-overload]
    lines = values.reshape(frame.height, abs(plane.line_size) // dtype.itemsize)[:, : frame.width]
    return lines if plane.line_size > 0 else lines[::-1]


def _upright(pixels: Pixels, frame: Decoded) -> Pixels:
    """Turn and mirror by the display matrix: (x, y) is shown at (a x + c y, b x + d y)."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    values = np.frombuffer(matrix, np.int32)  # type: ignore[call-overload]
    if values.size < 9:
        return pixels
    a, b, c, d = (int(values[at]) for at in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.T, c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
