"""Pixels back to a Pillow picture, for code that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image


def to_image(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """Wrap pixels, uint8 of shape ``(H, W)`` or ``(H, W, 3)``, as a picture of mode ``L`` or ``RGB``."""
    from PIL import Image

    return Image.fromarray(pixels)
