"""Of several frames the first is taken."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from scanner.media import Accuracy, decode
from tests.conftest import encoded, smooth

FIRST = smooth(24, 33)
SECOND = 255 - FIRST

ANIMATED = [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("GIF", {}),
    ("AVIF", {"quality": 95}),
]


@pytest.mark.parametrize(("kind", "options"), ANIMATED)
def test_the_first_frame_of_many_is_taken(kind, options):
    """Animations and multi-page files are scanned by what is shown first."""
    alone = encoded(Image.fromarray(FIRST), kind, **options)
    second = Image.fromarray(SECOND)
    both = encoded(Image.fromarray(FIRST), kind, save_all=True, append_images=[second], **options)
    with Image.open(io.BytesIO(both)) as image:
        assert image.n_frames == 2
    picture = decode(both)
    assert (picture.width, picture.height) == (33, 24)
    assert np.abs(picture.pixels.astype(int) - decode(alone).pixels).mean() < 4


@pytest.mark.parametrize("accuracy", Accuracy)
def test_the_first_picture_of_a_multi_picture_jpeg_is_taken(accuracy):
    """Telephones append a depth map or a second view; the picture itself comes first."""
    first, second = Image.fromarray(FIRST), Image.fromarray(SECOND)
    both = encoded(first, "MPO", save_all=True, append_images=[second], quality=90)
    alone = encoded(first, "JPEG", quality=90)
    np.testing.assert_array_equal(decode(both, accuracy=accuracy).pixels, decode(alone, accuracy=accuracy).pixels)
