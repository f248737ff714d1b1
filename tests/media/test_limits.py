"""How large a picture is, is known from its header and checked before a pixel is decoded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from PIL import Image

from scanner.errors import MediaError, MediaFault
from scanner.media import Limits, decode
from tests.conftest import encoded, png, smooth

KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


@pytest.mark.parametrize("side", [9_500, 12_000, 50_000, 2**31 - 1])
def test_a_header_that_claims_too_much_is_refused_without_memory(side):
    """A decompression bomb costs no more than its own bytes."""
    bomb = png(side, side, 8, 2, bytes(100))
    tracemalloc.start()
    try:
        with pytest.raises(MediaError) as raised:
            decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert raised.value.fault is MediaFault.TOO_LARGE
    assert peak < 10_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixel_limit_is_inclusive(kind):
    """A picture of exactly the limit passes, one pixel more does not."""
    data = encoded(Image.fromarray(smooth(16, 24)), kind)
    assert decode(data, limits=Limits(max_pixels=384)).width == 24
    with pytest.raises(MediaError, match="384 pixels") as raised:
        decode(data, limits=Limits(max_pixels=383))
    assert raised.value.fault is MediaFault.TOO_LARGE


@pytest.mark.parametrize("limits", [Limits(max_pixels=99), None])
def test_size_is_checked_before_pixels(limits):
    """A damaged picture that is also too large is too large: its pixels were never looked at."""
    width, height = (10, 10) if limits else (40_000, 40_000)
    with pytest.raises(MediaError) as raised:
        decode(png(width, height, 8, 0, b"garbage"), limits=limits)
    assert raised.value.fault is MediaFault.TOO_LARGE


def test_a_small_header_with_too_few_rows_is_damaged():
    """The same bytes with a claim that is allowed are decoded, and found cut."""
    with pytest.raises(MediaError) as raised:
        decode(png(10, 10, 8, 0, b"garbage"))
    assert raised.value.fault is MediaFault.DAMAGED


def test_a_text_chunk_that_inflates_without_end_is_bounded():
    """Compressed metadata is a bomb too."""
    text = b"comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    data = png(4, 4, 8, 0, bytes(20), zTXt=text)
    tracemalloc.start()
    try:
        with pytest.raises(MediaError):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


def test_a_picture_of_no_pixels_is_an_error():
    """Width 0 is no picture."""
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0)
    with pytest.raises(MediaError):
        decode(header)
