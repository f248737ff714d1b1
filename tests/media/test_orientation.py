"""EXIF orientation is applied: a picture is upright whichever way it was stored."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scanner.hashing import hash_picture
from scanner.media import Accuracy, decode
from tests.conftest import encoded, smooth

STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: np.rot90,
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""How an upright picture lies in a file of an orientation: EXIF 2.32, tag 0x0112, where row 0 and column 0 are."""

UPRIGHT = smooth(40, 64)


def marked(upright: np.ndarray, orientation: int, kind: str, **options: object) -> bytes:
    """A file whose pixels lie turned, with the mark that says how."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    return encoded(Image.fromarray(stored), kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_lossless_pictures_come_out_upright(kind, options, orientation):
    """All eight orientations give the very pixels of the upright picture."""
    picture = decode(marked(UPRIGHT, orientation, kind, **options))
    np.testing.assert_array_equal(picture.pixels, UPRIGHT)
    assert (picture.width, picture.height) == (64, 40)
    assert picture.pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_pictures_come_out_upright(kind, orientation):
    """The same within what the codec loses."""
    picture = decode(marked(UPRIGHT, orientation, kind, quality=95))
    assert (picture.width, picture.height) == (64, 40)
    assert np.abs(picture.pixels.astype(int) - UPRIGHT).mean() < 4


@pytest.mark.parametrize("orientation", STORED)
def test_fast_decoding_turns_grey_pictures_too(orientation):
    """Luma-only decoding loses neither the mark nor the size."""
    picture = decode(marked(UPRIGHT, orientation, "JPEG", quality=95), accuracy=Accuracy.FAST)
    grey = np.asarray(Image.fromarray(UPRIGHT).convert("L")).astype(int)
    assert (picture.width, picture.height) == (64, 40)
    assert picture.pixels.shape == (40, 64)
    assert np.abs(picture.pixels - grey).mean() < 3


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_orientations_that_do_not_exist_are_passed_over(orientation):
    """A mark out of range leaves the picture as it is stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(UPRIGHT), "PNG", exif=exif)).pixels, UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
def test_a_marked_picture_hashes_as_the_upright_one(orientation, astronaut):
    """Turning a photograph and marking it does not hide it."""
    upright = np.asarray(Image.open(astronaut))
    turned = hash_picture(marked(upright, orientation, "PNG", compress_level=1))
    assert turned == hash_picture(astronaut)
