"""One picture, one hash: however it is decoded, stored or turned, its hash moves by no more than a stated few bits.

The larger table, over hundreds of photographs, is made by benchmarks/decoding.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from scanner.hashing import hash_picture, hash_pixels
from scanner.hashing.pdq import pdq_scaled
from scanner.media import Accuracy, decode
from scanner.media.formats import available
from scanner.types import HashedPicture, PerceptualHash
from tests.conftest import encoded
from tests.media.test_orientation import STORED, marked

LARGEST = 320
LARGE_SIDE = 1061  # halved by FAST, with blocks that reach over the edge; quartered at twice the size


def thumbnail(path: Path, mode: str = "RGB") -> Image.Image:
    """A photograph of no more than LARGEST pixels a side."""
    image = Image.fromarray(decode(path).pixels).convert(mode)
    image.thumbnail((LARGEST, LARGEST))
    return image


@pytest.fixture(scope="module")
def small(photographs) -> dict[str, tuple[Image.Image, HashedPicture]]:
    """Every bundled photograph that is not too flat to be told apart, made small, and the hash of its pixels.

    Not the colour wheel: its brightness is even, so the least change of colour moves it, into a palette by 48 bits.
    """
    found = {}
    for path in photographs:
        if path.name == "color.png":
            continue
        image = thumbnail(path)
        hashed = hash_pixels(np.asarray(image))
        if hashed.quality >= 50:
            found[path.stem] = (image, hashed)
    assert len(found) >= 15
    return found


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """A picture with a short side of so many pixels."""
    ratio = side / min(image.size)
    return image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BICUBIC)


FORMATS = {
    "PNG": (0, "PNG", {"compress_level": 1}),
    "TIFF": (0, "TIFF", {}),
    "BMP": (0, "BMP", {}),
    "WebP lossless": (0, "WEBP", {"lossless": True, "quality": 0, "method": 0}),
    "WebP q90": (10, "WEBP", {"quality": 90, "method": 2}),
    "AVIF q90": (10, "AVIF", {"quality": 90, "speed": 10}),
    "HEIC q90": (10, "HEIF", {"quality": 90}),
    "JPEG XL q90": (10, "JXL", {"quality": 90, "effort": 3}),
    "JPEG q95": (6, "JPEG", {"quality": 95}),
    "JPEG q90": (6, "JPEG", {"quality": 90}),
    "JPEG q75": (10, "JPEG", {"quality": 75}),
    "JPEG q50": (12, "JPEG", {"quality": 50}),
    "JPEG q90 progressive": (6, "JPEG", {"quality": 90, "progressive": True}),
    "JPEG q90 4:4:4": (6, "JPEG", {"quality": 90, "subsampling": "4:4:4"}),
}
"""The most bits a format may move, and how it is saved."""

MODES = {
    "opaque alpha": (0, "RGBA", "PNG"),
    "grey": (6, "L", "PNG"),
    "grey and opaque alpha": (6, "LA", "PNG"),
    "palette": (16, "P", "PNG"),
    "palette, GIF": (16, "P", "GIF"),
    "ink": (6, "CMYK", "JPEG"),
}
"""The most bits a mode may move, the mode, and the format."""


def moved(small: dict, save) -> dict[str, int]:
    """Bits moved by either decode, by photograph; only those that moved."""
    found = {}
    for name, (image, known) in small.items():
        data = save(image)
        for accuracy in (Accuracy.REFERENCE, Accuracy.FAST):
            bits = hash_picture(data, accuracy=accuracy).hash.distance(known.hash)
            if bits:
                found[f"{name} {accuracy}"] = bits
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_moves_few_bits(name, small):
    """Lossless formats none, lossy ones a stated few."""
    most, kind, options = FORMATS[name]
    if kind not in available():
        pytest.skip(f"{kind} needs an extra")
    bits = moved(small, lambda image: encoded(image, kind, **options))
    assert max(bits.values(), default=0) <= most, bits


@pytest.mark.parametrize("name", MODES)
def test_a_mode_moves_few_bits(name, small):
    """Opaque alpha none; what loses colours or rounds brightness a stated few."""
    most, mode, kind = MODES[name]
    bits = moved(small, lambda image: encoded(image.quantize() if mode == "P" else image.convert(mode), kind))
    assert max(bits.values(), default=0) <= most, bits


def test_grey_of_16_bits_hashes_as_grey_of_8(small):
    """The upper byte is the picture."""
    for image, _ in small.values():
        grey = np.asarray(image.convert("L"))
        deep = encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
        assert hash_picture(deep) == hash_pixels(grey)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_colour_profile_alone_moves_nothing(kind, small):
    """Profiles are not applied: the numbers are hashed, as other tools hash them."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image, _ in small.values():
        for accuracy in (Accuracy.REFERENCE, Accuracy.FAST):
            plain = hash_picture(encoded(image, kind), accuracy=accuracy)
            assert hash_picture(encoded(image, kind, icc_profile=profile), accuracy=accuracy) == plain


@pytest.mark.parametrize("orientation", STORED)
def test_an_orientation_moves_nothing(orientation, small):
    """Turned pixels under a mark hash as the upright ones; turned JPEGs, whose blocks lie otherwise, nearly so."""
    for image, known in small.values():
        upright = np.asarray(image)
        assert hash_picture(marked(upright, orientation, "PNG", compress_level=1)) == known
        jpeg = hash_picture(marked(upright, orientation, "JPEG", quality=90), accuracy=Accuracy.FAST)
        assert jpeg.hash.distance(known.hash) <= 6


def test_luma_alone_moves_few_bits(small):
    """Leaving out colour, at full size."""
    for image, _ in small.values():
        data = encoded(image, "JPEG", quality=90)
        whole, luma = (hash_picture(data, accuracy=accuracy) for accuracy in (Accuracy.REFERENCE, Accuracy.LUMA))
        assert whole.hash.distance(luma.hash) <= 6
        assert abs(whole.quality - luma.quality) <= 1


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_scaled_decode_moves_few_bits(times, small):
    """Decoded by 2, 4 and 8, a large photograph hashes nearly as it does whole."""
    for image, _ in list(small.values())[:: 2 * times]:
        data = encoded(enlarged(image, times * LARGE_SIDE), "JPEG", quality=90)
        scale = decode(data, accuracy=Accuracy.FAST).scale
        assert scale is not None
        assert scale.block == 2 * times
        whole, fast = (hash_picture(data, accuracy=accuracy) for accuracy in (Accuracy.REFERENCE, Accuracy.FAST))
        assert whole.hash.distance(fast.hash) <= 6
        assert abs(whole.quality - fast.quality) <= 2


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("height", "width"), [(1025, 1033), (1025, 1400), (1032, 1025)])
def test_a_turned_scaled_decode_moves_few_bits(orientation, height, width, astronaut, monkeypatch):
    """Blocks that reach over the edge that came first, by seven pixels of eight, are weighed for what they hold."""
    monkeypatch.setattr(sys.modules[decode.__module__], "FAST_SHORT_SIDE", 128)
    upright = np.asarray(Image.open(astronaut).convert("RGB").resize((width, height)))
    data = marked(upright, orientation, "JPEG", quality=90)
    picture = decode(data, accuracy=Accuracy.FAST)
    assert picture.scale is not None
    assert picture.scale.block == 8
    whole, fast = (hash_picture(data, accuracy=accuracy) for accuracy in (Accuracy.REFERENCE, Accuracy.FAST))
    assert whole.hash.distance(fast.hash) <= 4
    if picture.scale.before != (0, 0):
        ignored, _ = pdq_scaled(picture.pixels, picture.scale._replace(before=(0, 0)))
        assert whole.hash.distance(PerceptualHash("pdq", ignored)) > 4
