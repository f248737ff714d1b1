"""Every frame of a picture, an animation or a video that differs from the one before it.

Rules: a picture is one frame; the pages of a TIFF are frames; of a multi-picture JPEG the first is the picture, the
others are depth and gain maps or second views, which no viewer shows; what is damaged or too large after the first
frame ends the frames there, as it does on the recipient's screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scanner.errors import MediaError, MediaFault
from scanner.media import video
from scanner.media.decode import Accuracy, Picture, decode_frame, opened
from scanner.media.limits import Limits
from scanner.media.source import Source, read_source

_SINGLE = frozenset({"JPEG", "MPO", "BMP", "ICO"})
_STILL = _SINGLE | {"TIFF", "HEIF"}


class Frame(NamedTuple):
    """One frame.

    Attributes:
        picture: its pixels.
        seconds: when it is first shown; 0 for pictures and pages.
        share: of a video, that is shown up to it, 0 to 1; None for all else.
    """

    picture: Picture
    seconds: float
    share: float | None = None


class Media:
    """Media with its frames, decoded as they are asked for.

    Args:
        source: bytes, a path, or a binary file.
        accuracy: how JPEGs are decoded.
        limits: bounds on bytes, pixels and frames.

    Attributes:
        moving: whether its frames are shown one after the other, in a video or an animation; known with the first.
        complete: False once frames were left out because there were too many, or because one is damaged.

    Raises:
        MediaError: ``UNREADABLE`` or ``TOO_LARGE``.
    """

    def __init__(
        self, source: Source, *, accuracy: Accuracy = Accuracy.REFERENCE, limits: Limits | None = None
    ) -> None:
        self._bounds = limits or Limits()
        self._accuracy = accuracy
        self._data = read_source(source, self._bounds.max_bytes)
        self.moving = video.is_video(self._data)
        self.complete = True

    def frames(self) -> Iterator[Frame]:
        """Decode frame by frame.

        Raises:
            MediaError: as for :func:`scanner.media.decode`, before the first frame.
        """
        return self._video_frames() if self.moving else self._picture_frames()

    def _picture_frames(self) -> Iterator[Frame]:
        bounds = self._bounds
        with opened(self._data, bounds) as image:
            picture = decode_frame(image, self._accuracy, bounds)
            self.moving = image.format not in _STILL
            yield Frame(picture, 0.0)
            if image.format in _SINGLE:
                return
            first = image.tell()  # any picture in a HEIC may be the one that is shown first
            seconds, total, taken, number = 0.0, 0, 1, 0
            while True:
                number += number == first
                seconds += _shown(image.info.get("duration"))
                total += picture.pixels.shape[0] * picture.pixels.shape[1]
                try:
                    image.seek(number)
                except EOFError:
                    return
                except Exception:  # noqa: BLE001 - hostile bytes can make a decoder raise anything
                    self.complete = False
                    return
                if taken >= bounds.max_frames or total + image.size[0] * image.size[1] > bounds.max_total_pixels:
                    self.complete = False
                    return
                try:
                    following = decode_frame(image, self._accuracy, bounds)
                except Exception:  # noqa: BLE001 - as above
                    self.complete = False
                    return
                if not np.array_equal(picture.pixels, following.pixels):
                    yield Frame(following, seconds)
                picture = following
                taken += 1
                number += 1

    def _video_frames(self) -> Iterator[Frame]:
        bounds = self._bounds
        frames = video.video_frames(self._data, max_pixels=bounds.max_pixels, max_frames=bounds.max_frames)
        given = 0
        while True:
            try:
                pixels, seconds, share = next(frames)
            except StopIteration:
                return
            except MediaError:
                raise
            except Exception as error:
                if not given:
                    what = f"the video is damaged or cut short ({type(error).__name__})"
                    raise MediaError(MediaFault.DAMAGED, what) from error
                self.complete = False
                return
            height, width = pixels.shape
            yield Frame(Picture(pixels, "VIDEO", width, height), seconds, share)
            given += 1


def _shown(duration: object) -> float:
    """Seconds from Pillow's milliseconds; what is none, or no time, counts as 0."""
    return duration / 1000 if isinstance(duration, (int, float)) and 0 <= duration < 1e9 else 0.0
