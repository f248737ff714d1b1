"""Every pixel mode comes to upright 8-bit grey or RGB by the stated rule."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scanner.errors import MediaError, MediaFault
from scanner.media import decode
from scanner.media.modes import flatten
from tests.conftest import encoded, png, smooth

RGB = smooth(17, 26)
GREY = RGB[:, :, 0]
INK = (GREY > 110).astype(np.uint8) * 255
ALPHA = np.tile(np.arange(26, dtype=np.uint8) * 10, (17, 1))
DEEP = GREY.astype(np.uint16) * 256 + 255 - GREY

COLOURS = np.array([(10, 20, 30), (200, 100, 50), (0, 255, 0), (255, 0, 255)], np.uint8)
FIELDS = (np.add.outer(np.arange(17), np.arange(26)) // 3 % 4).astype(np.uint8)


def on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What an observer sees of a picture laid on white paper."""
    share = (alpha / 255)[:, :, None]
    return colours * share + 255.0 * (1 - share)


def palette() -> Image.Image:
    """Four colours in fields."""
    image = Image.fromarray(FIELDS)
    image.putpalette(COLOURS.tobytes())
    return image


def rgba() -> Image.Image:
    return Image.fromarray(np.dstack([RGB, ALPHA]))


def grey_alpha() -> Image.Image:
    return Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(ALPHA)))


def deep(dtype: str) -> Image.Image:
    return Image.fromarray(DEEP.astype(dtype))


def stacked(grey: np.ndarray) -> np.ndarray:
    return np.dstack([grey] * 3)


SEEN_THROUGH = np.where((FIELDS == 1)[:, :, None], 255, COLOURS[FIELDS])
HALF_SEEN = on_white(COLOURS[FIELDS], np.array([255, 0, 128, 255])[FIELDS])

LOSSLESS = [
    ("black and white PNG", Image.fromarray(INK).convert("1"), "PNG", {}, INK),
    ("black and white GIF", Image.fromarray(INK).convert("1"), "GIF", {}, INK),
    ("black and white BMP", Image.fromarray(INK).convert("1"), "BMP", {}, INK),
    ("black and white TIFF", Image.fromarray(INK).convert("1"), "TIFF", {}, INK),
    ("fax TIFF", Image.fromarray(INK).convert("1"), "TIFF", {"compression": "group4"}, INK),
    ("grey PNG", Image.fromarray(GREY), "PNG", {}, GREY),
    ("grey BMP", Image.fromarray(GREY), "BMP", {}, GREY),
    ("grey TIFF", Image.fromarray(GREY), "TIFF", {}, GREY),
    ("grey GIF", Image.fromarray(GREY), "GIF", {}, GREY),
    ("RGB PNG", Image.fromarray(RGB), "PNG", {}, RGB),
    ("RGB BMP", Image.fromarray(RGB), "BMP", {}, RGB),
    ("RGB TIFF", Image.fromarray(RGB), "TIFF", {}, RGB),
    ("compressed TIFF", Image.fromarray(RGB), "TIFF", {"compression": "tiff_lzw"}, RGB),
    ("RGB WebP", Image.fromarray(RGB), "WEBP", {"lossless": True}, RGB),
    ("RGBA PNG", rgba(), "PNG", {}, on_white(RGB, ALPHA)),
    ("RGBA TIFF", rgba(), "TIFF", {}, on_white(RGB, ALPHA)),
    ("RGBA WebP", rgba(), "WEBP", {"lossless": True, "exact": True}, on_white(RGB, ALPHA)),
    ("grey with alpha PNG", grey_alpha(), "PNG", {}, on_white(stacked(GREY), ALPHA)),
    ("grey with alpha TIFF", grey_alpha(), "TIFF", {}, on_white(stacked(GREY), ALPHA)),
    ("palette PNG", palette(), "PNG", {}, COLOURS[FIELDS]),
    ("palette GIF", palette(), "GIF", {}, COLOURS[FIELDS]),
    ("palette BMP", palette(), "BMP", {}, COLOURS[FIELDS]),
    ("palette TIFF", palette(), "TIFF", {}, COLOURS[FIELDS]),
    ("palette PNG, one transparent", palette(), "PNG", {"transparency": 1}, SEEN_THROUGH),
    ("palette GIF, one transparent", palette(), "GIF", {"transparency": 1}, SEEN_THROUGH),
    ("palette PNG, alphas", palette(), "PNG", {"transparency": bytes([255, 0, 128, 255])}, HALF_SEEN),
    ("grey PNG, key colour", Image.fromarray(GREY), "PNG", {"transparency": 100}, np.where(GREY == 100, 255, GREY)),
    ("16-bit PNG", deep("<u2"), "PNG", {}, GREY),
    ("16-bit TIFF", deep("<u2"), "TIFF", {}, GREY),
    ("16-bit big-endian TIFF", deep(">u2"), "TIFF", {}, GREY),
    ("CMYK TIFF", Image.fromarray(RGB).convert("CMYK"), "TIFF", {}, RGB),
]


@pytest.mark.parametrize(
    ("image", "kind", "options", "seen"), [case[1:] for case in LOSSLESS], ids=[c[0] for c in LOSSLESS]
)
def test_lossless_files_give_the_pixels_an_observer_sees(image, kind, options, seen):
    """Pixels are those of the picture, alpha laid on white, 16 bits cut to the upper eight."""
    picture = decode(encoded(image, kind, **options))
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    assert (picture.format, picture.width, picture.height) == (kind, 26, 17)
    pixels = picture.pixels if picture.pixels.ndim == seen.ndim else picture.pixels[:, :, 0]
    assert picture.pixels.ndim == 2 or seen.ndim == 3 or (picture.pixels == stacked(pixels)).all()
    np.testing.assert_allclose(pixels.astype(float), seen, atol=1)


LOSSY = [
    ("grey JPEG", Image.fromarray(GREY), "JPEG", {"quality": 95}, GREY),
    ("RGB JPEG", Image.fromarray(RGB), "JPEG", {"quality": 95, "subsampling": 0}, RGB),
    ("progressive JPEG", Image.fromarray(RGB), "JPEG", {"quality": 95, "progressive": True}, RGB),
    ("YCbCr JPEG", Image.fromarray(RGB).convert("YCbCr"), "JPEG", {"quality": 95}, RGB),
    ("CMYK JPEG", Image.fromarray(RGB).convert("CMYK"), "JPEG", {"quality": 95}, RGB),
    ("YCbCr TIFF", Image.fromarray(RGB).convert("YCbCr"), "TIFF", {}, RGB),
    ("RGB WebP", Image.fromarray(RGB), "WEBP", {"quality": 95}, RGB),
    ("grey AVIF", Image.fromarray(GREY), "AVIF", {"quality": 95}, GREY),
    ("RGB AVIF", Image.fromarray(RGB), "AVIF", {"quality": 95}, RGB),
    ("RGBA AVIF", rgba(), "AVIF", {"quality": 98, "subsampling": "4:4:4"}, on_white(RGB, ALPHA)),
    ("RGBA WebP", rgba(), "WEBP", {"quality": 95, "exact": True}, on_white(RGB, ALPHA)),
]


@pytest.mark.parametrize(("image", "kind", "options", "seen"), [case[1:] for case in LOSSY], ids=[c[0] for c in LOSSY])
def test_lossy_files_give_nearly_the_pixels_an_observer_sees(image, kind, options, seen):
    """No channel is inverted, swapped or dropped."""
    picture = decode(encoded(image, kind, **options))
    assert (picture.format, picture.width, picture.height) == (kind, 26, 17)
    assert picture.pixels.shape == seen.shape
    assert np.abs(picture.pixels.astype(float) - seen).mean() < 6


def rows(values: np.ndarray) -> bytes:
    """PNG rows, each after a filter byte."""
    return b"".join(b"\0" + row.tobytes() for row in values)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)])
def test_sixteen_bits_a_channel_are_cut_to_the_upper_eight(colour, channels):
    """PNG's 48- and 64-bit pictures keep their upper bytes."""
    deep_rgb = RGB.astype(">u2") * 256 + 77
    opaque = np.full((17, 26, 1), 0xFFFF, ">u2")
    stored = np.concatenate([deep_rgb, opaque], 2)[:, :, :channels].astype(">u2")
    picture = decode(png(26, 17, 16, colour, rows(stored)))
    np.testing.assert_array_equal(picture.pixels, RGB)


@pytest.mark.parametrize(
    ("depth", "packed", "grey"), [(2, b"\x1b", [0, 85, 170, 255]), (4, b"\x0f\x3c", [0, 255, 51, 204])]
)
def test_fewer_bits_than_eight_span_black_to_white(depth, packed, grey):
    """The lowest value is black and the highest white whatever the depth."""
    assert decode(png(4, 1, depth, 0, b"\0" + packed)).pixels.tolist() == [grey]


def test_a_key_colour_of_an_rgb_png_is_transparent():
    """PNG's tRNS names one colour; it shows the white ground, its neighbours do not."""
    stored = np.array([[(3, 128, 255), (3, 128, 254)]], np.uint8)
    picture = decode(png(2, 1, 8, 2, rows(stored), tRNS=b"\0\x03\0\x80\0\xff"))
    assert picture.pixels.tolist() == [[[255, 255, 255], [3, 128, 254]]]


@pytest.mark.parametrize(
    "image", [Image.new("F", (4, 4), 0.5), Image.new("I", (4, 4), 70_000), Image.new("I", (4, 4), -1)]
)
def test_pictures_without_agreed_black_and_white_are_refused(image):
    """Floating point and 32-bit pictures are unsupported, not guessed at."""
    with pytest.raises(MediaError) as raised:
        decode(encoded(image, "TIFF"))
    assert raised.value.fault is MediaFault.UNSUPPORTED


def test_32_bit_files_whose_values_fit_16_bits_keep_the_upper_byte():
    """Mode I is how older decoders hand over 16-bit pictures."""
    assert decode(encoded(Image.new("I", (2, 1), 0xABCD), "TIFF")).pixels.tolist() == [[0xAB, 0xAB]]


@pytest.mark.parametrize(
    ("mode", "image"),
    [
        ("La", grey_alpha().convert("La")),
        ("RGBa", rgba().convert("RGBa")),
        ("RGBA", rgba()),
        ("LA", grey_alpha()),
    ],
)
def test_every_kind_of_alpha_is_laid_on_white(mode, image):
    """Premultiplied or not, full transparency is white and full opacity the colour itself."""
    flat = np.asarray(flatten(image)).astype(float)
    assert image.mode == mode
    seen = on_white(RGB if "RGB" in mode else stacked(GREY), ALPHA)
    assert (flat[:, 0] == 255).all()
    np.testing.assert_allclose(flat, seen, atol=2)


def test_a_palette_with_alpha_is_laid_on_white():
    """Mode PA has a palette beside an alpha channel."""
    image = palette().convert("PA")
    image.putalpha(Image.fromarray(ALPHA))
    np.testing.assert_allclose(np.asarray(flatten(image)).astype(float), on_white(COLOURS[FIELDS], ALPHA), atol=1)


def test_an_opaque_alpha_channel_changes_nothing():
    """A picture that is opaque everywhere keeps its exact colours."""
    image = Image.fromarray(RGB).convert("RGBA")
    np.testing.assert_array_equal(np.asarray(flatten(image)), RGB)


@pytest.mark.parametrize("mode", ["HSV", "LAB"])
def test_other_colour_spaces_come_to_rgb(mode):
    """Whatever Pillow can convert is three channels wide afterwards."""
    assert flatten(Image.new(mode, (3, 2), 0)).mode == "RGB"


@pytest.mark.parametrize(
    ("key", "grey"), [(0x1234, [255, 0x12, 0xAB]), (0x1235, [0x12, 255, 0xAB]), (0x34, [18, 18, 171])]
)
def test_a_key_level_of_a_16_bit_grey_png_shows_white(key, grey):
    """The level is compared in all its bits before the lower ones are cut."""
    stored = np.array([[0x1234, 0x1235, 0xABCD]], ">u2")
    picture = decode(png(3, 1, 16, 0, rows(stored), tRNS=key.to_bytes(2)))
    assert picture.pixels.tolist() == [grey]


def test_a_key_level_of_an_8_bit_grey_png_shows_white():
    """The level's neighbours do not."""
    picture = decode(png(3, 1, 8, 0, b"\0\x63\x64\x65", tRNS=b"\0\x64"))
    assert np.atleast_3d(picture.pixels)[0, :, 0].tolist() == [0x63, 255, 0x65]


@pytest.mark.parametrize(
    ("level", "alpha", "seen"), [(0, 0, 255), (0, 255, 0), (200, 255, 200), (100, 100, 255), (50, 100, 205)]
)
def test_premultiplied_grey_is_laid_on_white(level, alpha, seen):
    """Mode La holds grey times alpha; what is missing to full opacity is white."""
    image = Image.frombytes("La", (2, 1), bytes([level, alpha] * 2))
    flat = flatten(image)
    assert flat.mode == "RGB"
    assert np.abs(np.asarray(flat).astype(int) - seen).max() <= 1


def test_a_transparent_white_of_a_black_and_white_png_stays_white():
    """What shows through is the white ground; black stays."""
    picture = decode(png(8, 1, 1, 0, b"\0\x0f", tRNS=b"\0\1"))
    assert np.atleast_3d(picture.pixels)[0, :, 0].tolist() == [0, 0, 0, 0, 255, 255, 255, 255]
