"""What the benign edits do to pixels, and the size each one leaves.

Rules: a function takes an upright RGB picture and gives a new one, without metadata, and never writes to what it was
given; lengths are shares of the picture, so that a strength means the same at every size; chance comes only from the
generator passed in; beside a function that changes the size stands the one that says which size comes out.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

from scanner.media.modes import flatten

Size = tuple[int, int]
"""Width and height in pixels."""

LONGEST_SIDE: Mapping[str, int] = MappingProxyType({"JPEG": 65500, "WEBP": 16383, "AVIF": 32768})
"""What each encoder takes; a longer picture is shrunk first, as any sender must."""

BLACK, WHITE = (0, 0, 0), (255, 255, 255)

_STRIP = 256  # rows handled at a time where floats are needed


def as_rgb(image: Image.Image) -> Image.Image:
    """Bring a picture of any mode to upright RGB on white, by Prescan's own rule for modes.

    Returns:
        a picture without metadata; the same one if it was so already.

    Raises:
        MediaError: ``UNSUPPORTED``, if the mode has no agreed meaning.
    """
    if type(image) is Image.Image and image.mode == "RGB" and not image.info:  # a file's own class may hold EXIF
        return image
    upright = ImageOps.exif_transpose(image)
    flat = flatten(upright).convert("RGB")  # convert copies
    flat.info = {}
    return flat


def same_size(size: Size, **_: Any) -> Size:
    """The size is kept."""
    return size


def fitted(size: Size, box: Size, *, enlarge: bool = True) -> Size:
    """Say the size of a picture that just fits a box, its proportions kept and no side under a pixel."""
    ratio = min(box[0] / size[0], box[1] / size[1])
    if ratio >= 1 and not enlarge:
        return size
    return _whole(size[0] * ratio), _whole(size[1] * ratio)


def _whole(length: float) -> int:
    return max(1, round(length))


def reencode(image: Image.Image, *, kind: str, **options: Any) -> Image.Image:
    """Save in a lossy format and read back; options are Pillow's."""
    size = reencode_size(image.size, kind=kind)
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, kind, **options)
    with Image.open(file) as read:
        return as_rgb(read)


def reencode_size(size: Size, *, kind: str, **_: Any) -> Size:
    """The size is kept, but for pictures longer than the format holds."""
    return fitted(size, (LONGEST_SIDE[kind],) * 2, enlarge=False)


def resave(image: Image.Image, *, quality: int, times: int) -> Image.Image:
    """Save as JPEG again and again, a little better every other time, so that the losses do not settle."""
    for turn in range(times):
        image = reencode(image, kind="JPEG", quality=quality + turn % 2 * 5, subsampling="4:2:0")
    return image


def messenger(image: Image.Image, *, longest: int, quality: int, times: int = 1) -> Image.Image:
    """What a messenger sends: no side over ``longest`` pixels, JPEG with halved colour, no metadata."""
    for _ in range(times):
        size = messenger_size(image.size, longest=longest)
        if size != image.size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        image = reencode(image, kind="JPEG", quality=quality, subsampling="4:2:0")
    return image


def messenger_size(size: Size, *, longest: int, **_: Any) -> Size:
    """Shrunk to fit a square of ``longest`` pixels, never enlarged."""
    return fitted(size, (longest, longest), enlarge=False)


def scale(image: Image.Image, *, x: float, y: float) -> Image.Image:
    """Resize by a factor along each axis."""
    return image.resize(scale_size(image.size, x=x, y=y), Image.Resampling.LANCZOS)


def scale_size(size: Size, *, x: float, y: float) -> Size:
    """Each side times its factor."""
    return _whole(size[0] * x), _whole(size[1] * y)


def shrink_and_enlarge(image: Image.Image, *, factor: float) -> Image.Image:
    """Resize down, then back to the size it had."""
    small = image.resize(scale_size(image.size, x=factor, y=factor), Image.Resampling.BILINEAR)
    return small.resize(image.size, Image.Resampling.BICUBIC)


def crop(image: Image.Image, **shares: float) -> Image.Image:
    """Cut off shares of the width on the left and right, of the height at the top and bottom."""
    return image.crop(_crop_box(image.size, **shares))


def crop_size(size: Size, **shares: float) -> Size:
    """What the cut leaves, a pixel at least."""
    left, top, right, bottom = _crop_box(size, **shares)
    return right - left, bottom - top


def _crop_box(
    size: Size, *, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0
) -> tuple[int, int, int, int]:
    width, height = size
    x, y = min(round(width * left), width - 1), min(round(height * top), height - 1)
    return x, y, max(width - round(width * right), x + 1), max(height - round(height * bottom), y + 1)


def pad(image: Image.Image, *, x: float, y: float, colour: tuple[int, int, int] | None) -> Image.Image:
    """Add bars, as shares of the width to the left and right and of the height above and below.

    They are of one colour or, with None, the picture itself enlarged and blurred, as apps fill a screen.
    """
    size = pad_size(image.size, x=x, y=y)
    if colour is None:
        small = image.resize(fitted(size, (64, 64)), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(4))
        ground = small.resize(size, Image.Resampling.BICUBIC)
    else:
        ground = Image.new("RGB", size, colour)
    ground.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return ground


def pad_size(size: Size, *, x: float, y: float, **_: Any) -> Size:
    """Two bars more along an axis that has them."""
    return size[0] + 2 * math.ceil(size[0] * x), size[1] + 2 * math.ceil(size[1] * y)


def border(image: Image.Image, *, share: float, colour: tuple[int, int, int]) -> Image.Image:
    """Frame in one colour, as thick as a share of the shorter side."""
    return ImageOps.expand(image, _whole(min(image.size) * share), colour)


def border_size(size: Size, *, share: float, **_: Any) -> Size:
    """Twice the frame more along each axis."""
    thick = 2 * _whole(min(size) * share)
    return size[0] + thick, size[1] + thick


def transpose(image: Image.Image, *, how: str) -> Image.Image:
    """Turn by right angles or mirror; ``how`` is a name of Pillow's ``Transpose``."""
    return image.transpose(Image.Transpose[how])


def transpose_size(size: Size, *, how: str) -> Size:
    """The sides change places at a quarter turn."""
    return size[::-1] if how in {"ROTATE_90", "ROTATE_270", "TRANSPOSE", "TRANSVERSE"} else size


def tilt(image: Image.Image, *, degrees: float) -> Image.Image:
    """Turn about the middle; what leaves the frame is lost and the corners are black."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=BLACK)


def straighten(image: Image.Image, *, degrees: float) -> Image.Image:
    """Turn, then cut to the largest upright rectangle without a corner of the ground, as picture editors do."""
    width, height = straighten_size(image.size, degrees=degrees)
    x, y = (image.width - width) // 2, (image.height - height) // 2
    return tilt(image, degrees=degrees).crop((x, y, x + width, y + height))


def straighten_size(size: Size, *, degrees: float) -> Size:
    """The largest rectangle of the picture's proportions inside the turned one, whole pixels."""
    sine, cosine = math.sin(math.radians(abs(degrees))), math.cos(math.radians(abs(degrees)))
    ratio = min(1 / (cosine + sine * size[1] / size[0]), 1 / (cosine + sine * size[0] / size[1]))
    return max(1, math.floor(size[0] * ratio)), max(1, math.floor(size[1] * ratio))


def blur(image: Image.Image, *, share: float) -> Image.Image:
    """Gaussian blur, its sigma a share of the shorter side."""
    return image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def sharpen(image: Image.Image, *, percent: int) -> Image.Image:
    """Unsharp mask of two pixels' radius."""
    return image.filter(ImageFilter.UnsharpMask(2, percent, 0))


def noise(image: Image.Image, *, rng: np.random.Generator, sigma: float, coloured: bool) -> Image.Image:
    """Add normal noise, sigma in levels of 255: one value a pixel as film grain, or one a channel as sensors give."""
    pixels = np.array(image)
    for top in range(0, len(pixels), _STRIP):
        strip = pixels[top : top + _STRIP]
        grain = rng.standard_normal((*strip.shape[:2], 3 if coloured else 1), np.float32) * np.float32(sigma)
        strip[:] = np.rint(strip + grain).clip(0, 255)
    return Image.fromarray(pixels)


def levels(image: Image.Image, *, gamma: float = 1, brightness: float = 1, contrast: float = 1) -> Image.Image:
    """Change every channel by one curve: to the power gamma, then spread about the middle, then multiplied."""
    values = (np.arange(256) / 255) ** gamma
    return curves(image, *[(0.5 + (values - 0.5) * contrast) * brightness] * 3)


def tint(image: Image.Image, *, red: float, green: float, blue: float) -> Image.Image:
    """Multiply each channel: a warmer or a cooler light."""
    values = np.arange(256) / 255
    return curves(image, values * red, values * green, values * blue)


def curves(image: Image.Image, *curve: npt.NDArray[np.float64]) -> Image.Image:
    """Look every channel up in its curve: 256 values each, 0 to 1."""
    return image.point([int(level) for values in curve for level in np.rint(255 * values).clip(0, 255)])


def saturate(image: Image.Image, *, factor: float) -> Image.Image:
    """Move each channel from the pixel's luma (BT.601), 0 to grey and 1 not at all."""
    luma = (0.299, 0.587, 0.114)
    rows = [[(1 - factor) * part + factor * (own == other) for other, part in enumerate(luma)] for own in range(3)]
    return image.convert("RGB", tuple(weight for row in rows for weight in (*row, 0.0)))


def autocontrast(image: Image.Image, *, cutoff: float) -> Image.Image:
    """Spread each channel over the whole range, so many per cent at either end cut off."""
    return ImageOps.autocontrast(image, cutoff)
