"""Every pixel mode to 8-bit grey or RGB, by a stated rule.

=================  =====================================================================================
mode               rule
=================  =====================================================================================
L, RGB             as it is
1                  black and white become 0 and 255
P, PA              the palette is looked up; a transparent entry is composited
LA, La, RGBA, RGBa composited on white, the background most viewers and messengers show; so are PNG's transparent
                   levels and colours, but for a colour of 16 bits, of which Pillow keeps 8
I;16*              the upper eight bits (65535 becomes 255)
I                  the same if all values fit 16 bits, as PNG's do; else refused
CMYK               ink to light, (255 - c)(255 - k) / 255 each; Pillow has undone Adobe's inversion
YCbCr, HSV, LAB    Pillow's conversion to RGB
F, others          refused: there is no agreed black and white
=================  =====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scanner.errors import MediaError, MediaFault

if TYPE_CHECKING:
    from PIL import Image

BACKGROUND = 255
"""Grey level under transparent pixels."""

_STRIP = 64  # rows

_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


_LEVEL_STEPS = {"1": 255, "L;2": 85, "L;4": 17}
"""Distance of neighbouring levels in grey PNGs of 1, 2 and 4 bits, once Pillow has widened them to 8."""


def flatten(image: Image.Image, stored: str = "") -> Image.Image:
    """Bring a loaded picture to mode ``L`` or ``RGB``.

    Args:
        image: the picture.
        stored: Pillow's raw mode of the file, as its tile had it before it was loaded.

    Raises:
        MediaError: ``UNSUPPORTED``, if the mode has no agreed meaning.
    """
    mode = image.mode
    if stored in _LEVEL_STEPS and mode in {"1", "L"}:
        return _key_level_on_white(image.convert("L"), image.info.get("transparency"), _LEVEL_STEPS[stored])
    if mode in {"L", "RGB"}:
        return _without_key_colour(image) if "transparency" in image.info else image
    if mode == "1":
        return image.convert("L")
    if mode == "La":
        image = image.convert("LA")
    if mode in _ALPHA_MODES or (mode == "P" and "transparency" in image.info):
        return _composited(image if mode == "RGBA" else image.convert("RGBA"))
    if mode in {"P", "CMYK", "YCbCr", "HSV", "LAB"}:
        return image.convert("RGB")
    if mode == "I" or mode.startswith("I;16"):
        return _upper_byte(image)
    raise MediaError(MediaFault.UNSUPPORTED, f"pictures of mode {mode} are not supported")


def _without_key_colour(image: Image.Image) -> Image.Image:
    """PNG's tRNS on grey and RGB marks one colour as transparent."""
    return _composited(image.convert("RGBA"))


def _key_level_on_white(grey: Image.Image, key: object, step: int) -> Image.Image:
    """The same for pictures of few levels, step apart; the key is the level's number."""
    if not isinstance(key, int):
        return grey
    level = key * step
    return grey.point([BACKGROUND if value == level else value for value in range(256)])


def _composited(rgba: Image.Image) -> Image.Image:
    """Lay a picture on white, a strip at a time: whole, it would be in memory four times over."""
    from PIL import Image

    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB")
    flat = Image.new("RGB", rgba.size)
    for top in range(0, rgba.height, _STRIP):
        strip = rgba.crop((0, top, rgba.width, min(top + _STRIP, rgba.height)))
        ground = Image.new("RGBA", strip.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        flat.paste(Image.alpha_composite(ground, strip).convert("RGB"), (0, top))
    return flat


def _upper_byte(image: Image.Image) -> Image.Image:
    from PIL import Image

    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise MediaError(MediaFault.UNSUPPORTED, "32-bit integer pictures are not supported")
    key = image.info.get("transparency")
    upper = (values >> 8).astype(np.uint8)
    if isinstance(key, int):
        upper[values == key] = BACKGROUND
    return Image.fromarray(upper)
