"""A video track: the plan of its packets, and what is decoded and taken by it. PyAV is imported for its types alone.

Rules:
1. One frame a second: the first at or after each full second. If those were more than may be taken, the interval grows.
2. Besides, a frame that differs from the last one taken, so that no shot is missed; while frames are to spare.
3. What depends on nothing hashed is not decoded: frames that no other frame refers to, and, once rule 2 is off, what
   comes after a keyframe without leading up to a sample.
4. Size is checked by the decoder, and on every frame.
5. One thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from scanner.errors import MediaError, MediaFault
from scanner.media.luma import Pixels, luma_of, upright

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame as Decoded
    from av.video.stream import VideoStream

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

_HEVC_LAYER = 5  # after four bytes of length: the second of a NAL unit's header, whose last three bits say the layer
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


class Track:
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
        self._decoder.options = {"max_pixels": str(coded(LARGEST_FRAME))}
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
            raise too_large(frame.width, frame.height, bounds)
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
        luma = luma_of(frame)
        grid = luma.grid()
        if due:
            self._slots.add(slot)
        elif self._grid is None or np.abs(self._grid - grid).mean() >= CHANGE:
            self._spare -= 1
        else:
            return None
        self._grid = grid
        share = min(1.0, seconds / self._length) if self._length else 1.0
        return VideoFrame(upright(luma.whole(), frame), seconds, share)

    def distrust(self) -> bool:
        """Plan to leave nothing out, if the decoder went on where no keyframe was."""
        if not self._anchors:
            return False
        self._anchors, self.misled = set(), False
        self._actions[:] = _WHOLE
        return True


def coded(bounds: int) -> int:
    """Coded frames are whole blocks, so the decoder's own limit leaves room for them."""
    return 2 * bounds + 128 * 128


def too_large(width: int, height: int, bounds: int) -> MediaError:
    """What is raised of frames of more pixels than allowed."""
    return MediaError(
        MediaFault.TOO_LARGE,
        f"the video's frames have {width * height:,} pixels; the limit is {bounds:,} pixels",
    )


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
