"""How large a picture is, is known from its header and checked before a pixel is decoded."""

from __future__ import annotations

import contextlib
import io
import resource
import struct
import time
import tracemalloc
import zlib

import pytest
from PIL import Image

from benchmarks.fuzz import warm_up
from scanner.errors import MediaError, MediaFault
from scanner.hashing import hash_media
from scanner.media import Accuracy, Limits, decode, formats
from tests.conftest import encoded, png, smooth

formats.available()
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JXL"]


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


def test_a_jpeg_counts_as_what_it_is_scaled_to():
    """At FAST 1024 x 1024 are decoded as 512 x 512, which is what the limit holds for; a pixel less is too few."""
    data = encoded(Image.fromarray(smooth(1024, 1024)), "JPEG")
    assert decode(data, accuracy=Accuracy.FAST, limits=Limits(max_pixels=512 * 512)).pixels.shape == (512, 512)
    for accuracy, most in (
        (Accuracy.FAST, 512 * 512 - 1),
        (Accuracy.LUMA, 1024 * 1024 - 1),
        (Accuracy.REFERENCE, 512 * 512),
    ):
        with pytest.raises(MediaError, match="1,048,576 pixels") as raised:
            decode(data, accuracy=accuracy, limits=Limits(max_pixels=most))
        assert raised.value.fault is MediaFault.TOO_LARGE


def test_a_progressive_jpeg_counts_whole():
    """It is in memory whole before it is scaled."""
    data = encoded(Image.fromarray(smooth(1024, 1024)), "JPEG", progressive=True)
    assert decode(data, accuracy=Accuracy.FAST, limits=Limits(max_pixels=1024 * 1024)).pixels.shape == (512, 512)
    with pytest.raises(MediaError) as raised:
        decode(data, accuracy=Accuracy.FAST, limits=Limits(max_pixels=1024 * 1024 - 1))
    assert raised.value.fault is MediaFault.TOO_LARGE


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again; each costs a pass over all the pixels."""
    data = encoded(Image.new("L", (1000, 1000), 90), "JPEG", progressive=True)
    table, scan = data.rfind(b"\xff\xc4"), data.rfind(b"\xff\xda")
    again = data[table if data.rfind(b"\xff\xda", 0, scan) < table < scan else scan : -2]
    return data[:-2] + again * count + b"\xff\xd9"


@pytest.mark.parametrize("scans", [3000, 100_000])
def test_a_progressive_jpeg_of_too_many_scans_is_refused(scans):
    """Some bytes would keep the decoder busy for minutes."""
    with pytest.raises(MediaError, match="scans") as raised:
        decode(many_scans(scans))
    assert raised.value.fault is MediaFault.TOO_LARGE


def test_what_looks_like_scans_behind_a_jpeg_does_not_count():
    """Telephones append videos, in which any bytes may stand."""
    data = encoded(Image.fromarray(smooth(40, 60)), "JPEG", progressive=True) + b"\xff\xda\0\2" * 200_000
    assert decode(data, limits=Limits(max_total_pixels=40 * 60 * 2)).width == 60


def tagged(directories: int, *, loop: bool) -> bytes:
    """A TIFF of one small picture, whose directories follow each other or come back to the first."""
    entries = [
        (256, 3, 1, 4),
        (257, 3, 1, 4),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (278, 3, 1, 4),
        (279, 4, 1, 16),
    ]
    packed = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    length = len(packed) + 4
    out = bytearray(b"II*\0" + struct.pack("<I", 24) + bytes(range(16)))
    for number in range(directories):
        last = 24 if loop else 0
        out += packed + struct.pack("<I", 24 + length * (number + 1) if number < directories - 1 else last)
    return bytes(out)


def claiming_views(count: int) -> bytes:
    """A multi-picture JPEG that claims more views than it has."""
    image = Image.fromarray(smooth(40, 60))
    data = bytearray(encoded(image, "MPO", save_all=True, append_images=[image.copy()]))
    at = data.find(b"MPF\0") + 4
    start = at + int.from_bytes(data[at + 4 : at + 8], "little") + 2
    for entry in range(start, start + 36, 12):
        if data[entry : entry + 2] == b"\x01\xb0":
            data[entry + 8 : entry + 12] = count.to_bytes(4, "little")
    return bytes(data)


def of_many_frames(kind: str, count: int, **options: object) -> bytes:
    """Frames of one pixel's difference each."""
    frames = [Image.new("L", (8, 8), number % 256) for number in range(count)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, **options)


def expanding_gif() -> bytes:
    """6,000 x 6,000 pixels of one colour: LZW makes thousands of pixels of a byte."""
    return encoded(Image.new("P", (6000, 6000)), "GIF")


def lying(kind: str, place: int, value: bytes) -> bytes:
    """A small picture with a header that claims another size."""
    data = bytearray(encoded(Image.fromarray(smooth(24, 40)), kind))
    data[place : place + len(value)] = value
    return bytes(data)


BOMBS = {
    "PNG of 50,000 x 50,000": lambda: png(50_000, 50_000, 8, 2, bytes(100)),
    "GIF that expands": expanding_gif,
    "GIF of a huge screen": lambda: lying("GIF", 6, b"\xff" * 4),
    "APNG of 3,000 frames": lambda: of_many_frames("PNG", 3000),
    "GIF of 3,000 frames": lambda: of_many_frames("GIF", 3000),
    "TIFF of 20,000 pages": lambda: tagged(20_000, loop=False),
    "TIFF whose pages come back": lambda: tagged(3, loop=True),
    "TIFF whose page is its own next": lambda: tagged(1, loop=True),
    "MPO claiming 10,000 views": lambda: claiming_views(10_000),
    "BMP claiming 2^31 rows": lambda: lying("BMP", 18, struct.pack("<ii", 2**31 - 1, 2**31 - 1)),
    "WebP claiming 16,383 x 16,383": lambda: lying("WEBP", 26, b"\xff\x3f\xff\x3f"),
    "JPEG XL of 30,000 x 30,000": lambda: b"\xff\x0a" + (6 | 29_999 << 3 | 1 << 33).to_bytes(12, "little"),
    "JPEG of 100,000 scans": lambda: many_scans(100_000),
}


@pytest.fixture(scope="module")
def warm() -> None:
    """Kernels are compiled before time is taken."""
    warm_up({})


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_end_soon_and_in_bounded_memory(bomb):
    """Each is hashed or refused within two seconds of work and a gibibyte."""
    data = bomb()
    assert len(data) < 20_000_000
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with contextlib.suppress(MediaError):
        assert hash_media(io.BytesIO(data), accuracy=Accuracy.FAST).frames
    assert time.process_time() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024**2  # KiB
