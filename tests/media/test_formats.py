"""Every format on the list is read; what is off it, or needs an extra, is refused by name."""

from __future__ import annotations

import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from scanner.errors import MediaError, MediaFault
from scanner.media import Accuracy, decode, formats
from tests.conftest import encoded, png, smooth

formats.available()
PIXELS = smooth(40, 64)
IMAGE = Image.fromarray(PIXELS)


def rows(pixels: np.ndarray) -> bytes:
    """Rows as a PNG stores them, each behind filter byte 0."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def interlaced() -> bytes:
    """A PNG in Adam7's seven passes, written by hand: Pillow writes none."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    stored = b"".join(rows(PIXELS[top::down, left::across]) for top, left, down, across in passes)
    data = bytearray(png(64, 40, 8, 2, stored))
    data[28] = 1
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


READ = {
    "baseline JPEG": ("JPEG", encoded(IMAGE, "JPEG", quality=95)),
    "progressive JPEG": ("JPEG", encoded(IMAGE, "JPEG", quality=95, progressive=True)),
    "CMYK JPEG": ("JPEG", encoded(IMAGE.convert("CMYK"), "JPEG", quality=95)),
    "multi-picture JPEG": ("JPEG", encoded(IMAGE, "MPO", quality=95, save_all=True, append_images=[IMAGE.copy()])),
    "PNG": ("PNG", encoded(IMAGE, "PNG")),
    "16-bit PNG": ("PNG", png(64, 40, 16, 2, rows((PIXELS.astype(np.uint16) * 257).astype(">u2")))),
    "interlaced PNG": ("PNG", interlaced()),
    "animated PNG": ("PNG", encoded(IMAGE, "PNG", save_all=True, append_images=[IMAGE.rotate(180)])),
    "WebP": ("WEBP", encoded(IMAGE, "WEBP", quality=95)),
    "animated WebP": ("WEBP", encoded(IMAGE, "WEBP", quality=95, save_all=True, append_images=[IMAGE.rotate(180)])),
    "GIF": ("GIF", encoded(IMAGE, "GIF")),
    "BMP": ("BMP", encoded(IMAGE, "BMP")),
    "TIFF": ("TIFF", encoded(IMAGE, "TIFF")),
    "TIFF of pages": ("TIFF", encoded(IMAGE, "TIFF", save_all=True, append_images=[IMAGE.rotate(180)])),
    "AVIF": ("AVIF", encoded(IMAGE, "AVIF", quality=95)),
    "HEIC": ("HEIF", encoded(IMAGE, "HEIF", quality=95)),
    "JPEG XL": ("JXL", encoded(IMAGE, "JXL", lossless=True)),
    "JPEG XL in a container": ("JXL", encoded(IMAGE, "JXL", lossless=True, use_container=True)),
    "icon of a PNG": ("ICO", encoded(IMAGE, "ICO", sizes=[(64, 40)])),
    "icon of a bitmap": ("ICO", encoded(IMAGE, "ICO", sizes=[(64, 40)], bitmap_format="bmp")),
}


@pytest.mark.parametrize(("name", "data"), READ.values(), ids=READ)
@pytest.mark.parametrize("accuracy", Accuracy)
def test_every_format_is_read(name, data, accuracy):
    """Each gives the picture that went in, within what its codec loses."""
    picture = decode(data, accuracy=accuracy)
    assert (picture.format, picture.width, picture.height) == (name, 64, 40)
    wanted = PIXELS if picture.pixels.ndim == 3 else np.asarray(IMAGE.convert("L"))
    assert np.abs(picture.pixels.astype(int) - wanted).mean() < 6


def test_a_jpeg_of_ycck_is_read():
    """Adobe's marker says that the four planes are YCC and black; with it changed to 2, they are taken as such."""
    data = bytearray(encoded(IMAGE.convert("CMYK"), "JPEG"))
    at = data.find(b"Adobe")
    assert data[at + 11] == 0
    data[at + 11] = 2
    assert decode(bytes(data)).pixels.shape == (40, 64, 3)


@pytest.mark.parametrize("bits", [12, 16])
def test_a_jpeg_of_more_bits_is_refused_by_its_bits(bits):
    """The frame header's first byte is the precision of a sample."""
    data = bytearray(encoded(IMAGE, "JPEG"))
    data[data.find(b"\xff\xc0") + 4] = bits
    with pytest.raises(MediaError, match=f"{bits} bits") as raised:
        decode(bytes(data))
    assert raised.value.fault is MediaFault.UNSUPPORTED


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\r\n  ",
        b'<?xml version="1.0" encoding="UTF-8"?>\n',
        b"<!-- a drawing -->\n",
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n',
        b'\xef\xbb\xbf<?xml version="1.0"?><!-- made by hand --><!DOCTYPE svg>',
    ],
    ids=["plain", "BOM", "BOM and blanks", "prologue", "comment", "doctype", "all"],
)
@pytest.mark.parametrize("tag", [b"<svg", b"<SVG"])
def test_svg_is_refused_by_name(beginning, tag):
    """A drawing is told from what is no picture at all, so that a caller can say what to do."""
    with pytest.raises(MediaError, match="SVG") as raised:
        decode(beginning + tag + b' xmlns="http://www.w3.org/2000/svg"><rect width="10" height="10"/></svg>')
    assert raised.value.fault is MediaFault.UNSUPPORTED


@pytest.mark.parametrize(
    ("data", "module", "extra"),
    [
        (READ["HEIC"][1], "pillow_heif", "heif"),
        (READ["JPEG XL"][1], "pillow_jxl", "jxl"),
        (READ["JPEG XL in a container"][1], "pillow_jxl", "jxl"),
    ],
    ids=["HEIC", "JPEG XL", "JPEG XL in a container"],
)
def test_without_its_extra_a_format_is_refused_by_the_extras_name(monkeypatch, data, module, extra):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    for name in ("HEIF", "JXL"):
        monkeypatch.delitem(Image.OPEN, name)
    with pytest.raises(MediaError, match=rf"prescan\[{extra}\]") as raised:
        decode(data)
    assert raised.value.fault is MediaFault.UNSUPPORTED


def test_without_extras_the_other_formats_are_read(monkeypatch):
    """AVIF is in the same container as HEIC, and needs no extra."""
    for module, name in (("pillow_heif", "HEIF"), ("pillow_jxl", "JXL")):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(Image.OPEN, name)
    assert formats.available() == formats.FORMATS
    assert formats.allowed() == formats.FORMATS
    assert decode(READ["AVIF"][1]).format == "AVIF"


def test_avif_with_a_brand_of_heif_is_avif(monkeypatch):
    """AVIF files list the brand mif1 too."""
    assert b"mif1" in READ["AVIF"][1][:40]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert decode(READ["AVIF"][1]).format == "AVIF"


def icon(part: bytes, *, length: int | None = None, offset: int = 22) -> bytes:
    """An icon of one part, 16 x 16 by its entry."""
    return (
        struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(part) if length is None else length, offset) + part
    )


@pytest.mark.parametrize(
    "part",
    [
        png(50_000, 50_000, 8, 6, bytes(100)),
        struct.pack("<IiiHHIIiiII", 40, 20_000, 40_000, 1, 32, 0, 0, 0, 0, 0, 0),
        struct.pack("<IiiHHIIiiII", 40, 20_000, -40_000, 1, 32, 0, 0, 0, 0, 0, 0),
    ],
    ids=["PNG", "bitmap", "bitmap from the top"],
)
def test_an_icon_whose_part_is_larger_than_its_entry_is_refused(part):
    """The entry says 16 x 16; what counts is the part's own header, and nothing is decoded before."""
    with pytest.raises(MediaError) as raised:
        decode(icon(part))
    assert raised.value.fault is MediaFault.TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        icon(b""),
        icon(bytes(10)),
        icon(bytes(40), length=8),
        icon(bytes(40), offset=2**32 - 1),
        b"\0\0\1\0\xff\xff" + bytes(30),
    ],
    ids=["no part", "short part", "short length", "offset beyond the end", "too few entries"],
)
def test_an_icon_cut_short_is_damaged(data):
    """Parts and entries that are not in the file are told."""
    with pytest.raises(MediaError) as raised:
        decode(data)
    assert raised.value.fault is MediaFault.DAMAGED


def jxl_size(*values: tuple[int, int]) -> bytes:
    """A JPEG XL codestream that is nothing but its size header: (value, bits), from the lowest bit up."""
    bits = at = 0
    for value, count in values:
        bits |= value << at
        at += count
    return b"\xff\x0a" + bits.to_bytes(14, "little")


TALL = ((0, 1), (3, 2), (49_999, 30))
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "


@pytest.mark.parametrize(
    "codestream",
    [
        jxl_size(*TALL, (0, 3), (3, 2), (49_999, 30)),
        jxl_size(*TALL, (1, 3)),
        jxl_size(*TALL, (7, 3)),
        jxl_size((1, 1), (31, 5), (0, 3), (31, 5)),
    ],
    ids=["both sides", "square", "twice as wide", "small sides"],
)
@pytest.mark.parametrize("box", [None, b"jxlc", b"jxlp"])
def test_a_jpeg_xl_is_refused_by_its_size_header(codestream, box):
    """Its reader decodes as it opens, so the header is looked at before, in a container or bare."""
    body = (b"\0\0\0\0" if box == b"jxlp" else b"") + codestream
    data = codestream if box is None else CONTAINER + struct.pack(">I4s", 8 + len(body), box) + body
    small = codestream == jxl_size((1, 1), (31, 5), (0, 3), (31, 5))
    with pytest.raises(MediaError) as raised:
        decode(data)
    assert raised.value.fault is (MediaFault.DAMAGED if small else MediaFault.TOO_LARGE)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (256, 256), (320, 240), (7, 600), (1000, 500), (8191, 3)])
def test_the_size_header_of_a_jpeg_xl_is_read_right(width, height):
    """One pixel less than the picture has is too few, whatever way its size is written."""
    data = encoded(Image.new("RGB", (width, height), (9, 8, 7)), "JXL", lossless=True)
    formats.check_parts(data, width * height)
    with pytest.raises(MediaError, match=f"{width * height:,} pixels"):
        formats.check_parts(data, width * height - 1)
