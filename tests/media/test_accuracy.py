"""REFERENCE decodes whole; FAST decodes the luma of a JPEG, scaled but never too far."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scanner.media import Accuracy, Scale, decode
from scanner.media.decode import FAST_SHORT_SIDE
from tests.conftest import encoded, smooth


@pytest.mark.parametrize(
    ("width", "height", "divisor"),
    [
        (1023, 700, 1),
        (1023, 3000, 1),
        (1024, 1024, 2),
        (1025, 4000, 2),
        (2100, 1100, 2),
        (2048, 2200, 4),
        (8300, 1022, 1),
        (4300, 4097, 8),
    ],
)
def test_fast_decoding_keeps_the_short_side(width, height, divisor):
    """A JPEG is scaled by 2, 4 or 8 only while its short side stays at FAST_SHORT_SIDE or more."""
    data = encoded(Image.linear_gradient("L").resize((width, height)), "JPEG")
    picture = decode(data, accuracy=Accuracy.FAST)
    assert picture.pixels.shape == (-(-height // divisor), -(-width // divisor))
    assert (picture.width, picture.height) == (width, height)
    assert divisor == 1 or min(picture.pixels.shape) >= FAST_SHORT_SIDE
    assert picture.scale == (None if divisor == 1 else Scale(height, width, divisor, (0, 0)))


def test_fast_decoding_gives_the_luma_of_a_colour_jpeg():
    """What is left out is colour, not brightness."""
    image = Image.fromarray(smooth(80, 120))
    data = encoded(image, "JPEG", quality=95)
    picture = decode(data, accuracy=Accuracy.FAST)
    assert picture.pixels.shape == (80, 120)
    assert np.abs(picture.pixels.astype(int) - np.asarray(image.convert("L"))).max() <= 8


def test_reference_decoding_gives_the_full_size_in_colour():
    """Nothing is scaled and nothing left out."""
    data = encoded(Image.fromarray(smooth(2100, 2200)), "JPEG")
    picture = decode(data)
    assert picture.pixels.shape == (2100, 2200, 3)
    np.testing.assert_array_equal(picture.pixels, decode(data, accuracy=Accuracy.REFERENCE).pixels)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_other_formats_are_decoded_the_same_either_way(kind):
    """FAST means nothing but for a JPEG."""
    data = encoded(Image.fromarray(smooth(40, 60)), kind)
    np.testing.assert_array_equal(decode(data).pixels, decode(data, accuracy=Accuracy.FAST).pixels)


def test_a_cmyk_jpeg_is_decoded_the_same_either_way():
    """Ink has no luma to decode alone."""
    data = encoded(Image.fromarray(smooth(40, 60)).convert("CMYK"), "JPEG")
    np.testing.assert_array_equal(decode(data).pixels, decode(data, accuracy=Accuracy.FAST).pixels)
