"""Whatever the bytes, decoding gives a picture or a MediaError."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scanner.errors import MediaError, MediaFault
from scanner.media import Accuracy, Limits, Picture, decode, formats
from tests.conftest import encoded, smooth

formats.available()
BOUNDS = Limits(max_pixels=200_000)
EXIF = Image.Exif()
EXIF[0x0112] = 6
IMAGE = Image.fromarray(smooth(24, 40))
FILES = {
    "JPEG": encoded(IMAGE, "JPEG", exif=EXIF),
    "progressive": encoded(IMAGE, "JPEG", progressive=True),
    "CMYK": encoded(IMAGE.convert("CMYK"), "JPEG"),
    "MPO": encoded(IMAGE, "MPO", save_all=True, append_images=[IMAGE]),
    "PNG": encoded(IMAGE, "PNG", exif=EXIF),
    "palette": encoded(IMAGE.quantize(16), "PNG", transparency=bytes(8)),
    "APNG": encoded(IMAGE, "PNG", save_all=True, append_images=[IMAGE.rotate(90)]),
    "WEBP": encoded(IMAGE, "WEBP", exif=EXIF),
    "lossless": encoded(IMAGE.convert("RGBA"), "WEBP", lossless=True),
    "GIF": encoded(IMAGE, "GIF", save_all=True, append_images=[IMAGE.rotate(90)]),
    "BMP": encoded(IMAGE, "BMP"),
    "TIFF": encoded(IMAGE, "TIFF", exif=EXIF),
    "LZW": encoded(IMAGE, "TIFF", compression="tiff_lzw"),
    "tiled JPEG": encoded(IMAGE, "TIFF", compression="jpeg"),
    "AVIF": encoded(IMAGE, "AVIF", exif=EXIF),
    "HEIC": encoded(IMAGE, "HEIF", exif=EXIF),
    "JPEG XL": encoded(IMAGE, "JXL"),
    "ICO": encoded(IMAGE, "ICO", sizes=[(33, 20), (16, 10)]),
    "ICO of bitmaps": encoded(IMAGE, "ICO", sizes=[(33, 20), (16, 10)], bitmap_format="bmp"),
}


def decodes_or_is_refused(data: bytes, accuracy: Accuracy = Accuracy.REFERENCE) -> Picture | None:
    """The one invariant of the decoder."""
    try:
        picture = decode(data, accuracy=accuracy, limits=BOUNDS)
    except MediaError as raised:
        refusal = raised
    else:
        refusal = None
    if refusal is not None:
        assert isinstance(refusal.fault, MediaFault)
        assert str(refusal)
        return None
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.ndim == 2 or picture.pixels.shape[2:] == (3,)
    assert 0 < picture.width * picture.height <= BOUNDS.max_pixels
    return picture


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_whole_files_decode(data):
    """The files that are damaged below are sound before."""
    assert decodes_or_is_refused(data) is not None


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_files_cut_anywhere_decode_or_are_refused(data):
    """A cut file never raises anything but MediaError."""
    step = max(1, len(data) // 300)
    for length in range(0, len(data), step):
        decodes_or_is_refused(data[:length])


@pytest.mark.parametrize("name", ["JPEG", "progressive", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "HEIC", "JPEG XL"])
def test_a_file_cut_in_half_is_no_picture(name):
    """A picture whose lower half is missing is refused, not hashed grey."""
    data = FILES[name]
    with pytest.raises(MediaError) as raised:
        decode(data[: len(data) // 2])
    assert raised.value.fault in {MediaFault.DAMAGED, MediaFault.NOT_A_PICTURE}


@settings(max_examples=250)
@given(
    name=st.sampled_from(sorted(FILES)),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    accuracy=st.sampled_from(Accuracy),
)
def test_files_with_changed_bytes_decode_or_are_refused(name, edits, accuracy):
    """Bytes changed anywhere, headers included, raise nothing but MediaError."""
    data = bytearray(FILES[name])
    for place, value in edits:
        data[int(place * len(data))] = value
    decodes_or_is_refused(bytes(data), accuracy)


@pytest.mark.parametrize("name", sorted(FILES))
def test_headers_with_changed_bytes_decode_or_are_refused(name):
    """Each of the first bytes, where sizes and modes stand, may be anything extreme."""
    for place in range(min(200, len(FILES[name]))):
        for value in (0, 255):
            data = bytearray(FILES[name])
            data[place] = value
            decodes_or_is_refused(bytes(data))


@given(start=st.sampled_from([data[:size] for data in FILES.values() for size in (0, 4, 12, 40)]), rest=st.binary())
def test_random_bytes_behind_a_real_beginning_decode_or_are_refused(start, rest):
    """A signature alone convinces no one."""
    decodes_or_is_refused(start + rest)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"hello, world\n" * 100,
        b"<!doctype html><html><body><img src='x.png'></body></html>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"PK\x03\x04" + bytes(100),
        np.random.default_rng(1).bytes(5000),
        encoded(IMAGE, "PPM"),
        encoded(IMAGE, "EPS"),
        encoded(IMAGE, "PCX"),
    ],
    ids=["empty", "zero", "text", "HTML", "PDF", "zip", "random", "PPM", "EPS", "PCX"],
)
def test_what_is_no_picture_of_a_listed_format_is_told_so(data):
    """Formats off the list are not tried, however well Pillow knows them."""
    with pytest.raises(MediaError) as raised:
        decode(data)
    assert raised.value.fault is MediaFault.NOT_A_PICTURE
    assert str(raised.value) == "the file is empty" if not data else "not a picture" in str(raised.value)
