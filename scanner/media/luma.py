"""A frame's luma: every pixel of it, a coarse grid of it, and the frame turned upright.

Rule: pixels are luma, full range, upright, in memory of their own. PyAV is imported for its types alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame as Decoded

Pixels = npt.NDArray[np.uint8]

_POINTS, _PARTS = 128, 16
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
_EXPANDED = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8).tobytes()


class Luma(NamedTuple):
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


def luma_of(frame: Decoded) -> Luma:
    """The first plane as it was decoded, if that is luma or grey of 8 to 16 bits; else the frame converted to grey."""
    form = frame.format
    planar = form.name.startswith("yuv") and form.is_planar
    if not (planar or form.name.startswith("gray")) or form.name.endswith("be") or not 8 <= _bits(frame) <= 16:
        converted = frame.reformat(format="gray", threads=1)
        return Luma(_plane(converted, np.dtype(np.uint8)), 0, limited=False)
    bits = _bits(frame)
    limited = frame.color_range == _LIMITED_RANGE
    if planar and not form.name.startswith("yuvj"):
        limited = frame.color_range != _FULL_RANGE
    return Luma(_plane(frame, np.dtype("<u2" if bits > 8 else "u1")), bits - 8, limited)


def _bits(frame: Decoded) -> int:
    return frame.format.components[0].bits


def _plane(frame: Decoded, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    plane = frame.planes[0]
    values: npt.NDArray[Any] = np.frombuffer(plane, dtype)  # type: ignore[call-overload]
    lines = values.reshape(frame.height, abs(plane.line_size) // dtype.itemsize)[:, : frame.width]
    return lines if plane.line_size > 0 else lines[::-1]


def upright(pixels: Pixels, frame: Decoded) -> Pixels:
    """Turn and mirror by the display matrix: (x, y) is shown at (a x + c y, b x + d y).

    Beside side data that PyAV has no name for (EXIF in Motion JPEG) the matrix can't be read: PyAV 18 lists all or
    raises ValueError. By the turn, which it tells apart from that, a picture is then turned, but not mirrored.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
    if matrix is None:
        return pixels
    values = np.frombuffer(matrix, np.int32)  # type: ignore[call-overload]
    if values.size < 9:
        return pixels
    a, b, c, d = (int(values[at]) for at in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.T, c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
