"""Which formats are tried, which need an extra, and what is refused by name."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

from scanner.errors import MediaError, MediaFault

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO")
"""Pillow's names of the formats that are tried; multi-picture JPEGs count as JPEG."""


class Plugin(NamedTuple):
    """A format that Pillow reads with another package's help."""

    name: str
    what: str
    module: str
    register: str | None
    extra: str


_PLUGINS = (
    Plugin("HEIF", "HEIC", "pillow_heif", "register_heif_opener", "heif"),
    Plugin("JXL", "JPEG XL", "pillow_jxl", None, "jxl"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_JXL_MARKS = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")
_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_ICO_MARK = b"\0\0\1\0"
_MARKER = re.compile(rb"\xff+[^\x00\x01\xd0-\xd8\xff]")
_SOS, _EOI = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JXL_HEADER = 16
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

PASSES = 8
"""How often all the pixels a file may have are gone through: a progressive JPEG's scans times its pixels."""


def _plugin_for(data: bytes) -> Plugin | None:
    if data.startswith(_JXL_MARKS):
        return _PLUGINS[1]
    if data[4:8] == b"ftyp" and _brands(data) & _HEIF_BRANDS and not _brands(data) & {b"avif", b"avis"}:
        return _PLUGINS[0]
    return None


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO media file; the first sixteen."""
    end = min(int.from_bytes(data[:4]), 16 + 4 * 15, len(data))
    return {data[8:12]} | {data[at : at + 4] for at in range(16, end, 4)}


def load_for(data: bytes) -> None:
    """Load what Pillow needs to read this file.

    Raises:
        MediaError: ``UNSUPPORTED``, naming the extra that is not installed.
    """
    plugin = _plugin_for(data)
    if plugin is not None:
        load(plugin)


def load(plugin: Plugin) -> None:
    """Register a format with Pillow, once.

    Raises:
        MediaError: ``UNSUPPORTED``, if its package is not installed.
    """
    try:
        module = import_module(plugin.module)
    except ImportError:
        raise MediaError(
            MediaFault.UNSUPPORTED, f"{plugin.what} pictures need an extra: pip install 'prescan[{plugin.extra}]'"
        ) from None
    if plugin.register:
        getattr(module, plugin.register)()


def available() -> tuple[str, ...]:
    """Load every extra that is installed; returns the names of all formats that can be read."""
    names = list(FORMATS)
    for plugin in _PLUGINS:
        try:
            load(plugin)
        except MediaError:
            continue
        names.append(plugin.name)
    return tuple(names)


def missing() -> tuple[Plugin, ...]:
    """The formats that can't be read because their extra is not installed; load :func:`available` first."""
    from PIL import Image

    return tuple(plugin for plugin in _PLUGINS if plugin.name not in Image.OPEN)


def allowed() -> tuple[str, ...]:
    """The formats Pillow may try; those of extras only once they are loaded."""
    from PIL import Image

    Image.preinit()
    return (*FORMATS, *(plugin.name for plugin in _PLUGINS if plugin.name in Image.OPEN))


def check_parts(data: bytes, max_pixels: int) -> None:
    """Check sizes that Pillow looks at too late: icons and JPEG XL files are decoded as they are opened.

    Raises:
        MediaError: ``TOO_LARGE`` or ``DAMAGED``.
    """
    if data.startswith(_JXL_MARKS):
        pixels = _jxl_pixels(_jxl_beginning(data))
        if pixels > max_pixels:
            raise MediaError(
                MediaFault.TOO_LARGE, f"the picture has {pixels:,} pixels; the limit is {max_pixels:,} pixels"
            )
    if data.startswith(_ICO_MARK):
        _check_icon(data, max_pixels)


def _check_icon(data: bytes, max_pixels: int) -> None:
    """Each picture in an icon has a header of its own."""
    for number in range(int.from_bytes(data[4:6], "little")):
        entry = data[6 + 16 * number : 22 + 16 * number]
        if len(entry) < 16:
            raise MediaError(MediaFault.DAMAGED, "the icon is cut short")
        length, offset = struct.unpack("<II", entry[8:])
        part = data[offset : offset + min(length, 32)]
        if len(part) < 24:
            raise MediaError(MediaFault.DAMAGED, "the icon names a picture that is not in it")
        if part.startswith(_PNG_MARK):
            width, height = struct.unpack(">II", part[16:24])
        else:
            width, height = struct.unpack("<ii", part[4:12])
        if abs(width * height) > max_pixels:
            raise MediaError(
                MediaFault.TOO_LARGE,
                f"the icon has a picture of {abs(width * height):,} pixels; the limit is {max_pixels:,} pixels",
            )


def refusal(data: bytes) -> MediaError:
    """Say why bytes that no decoder took are refused."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return MediaError(MediaFault.NOT_A_PICTURE, "the file is empty")
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!--", b"<!doctype")) and b"<svg" in head):
        return MediaError(
            MediaFault.UNSUPPORTED, "SVG is a drawing program, not pixels: render it first, or refuse to send it"
        )
    if data.startswith(b"\xff\xd8") and (bits := _jpeg_bits(data)) not in {None, 8}:
        return MediaError(MediaFault.UNSUPPORTED, f"JPEGs of {bits} bits a sample are not supported")
    if data.startswith((b"\xff\xd8", _PNG_MARK, b"GIF8", b"RIFF", b"II*\0", b"MM\0*", _ICO_MARK)):
        return MediaError(MediaFault.DAMAGED, "the picture is damaged or cut short at its beginning")
    return MediaError(MediaFault.NOT_A_PICTURE, f"not a picture of a supported format ({', '.join(FORMATS)})")


def check_scans(data: bytes, pixels: int, max_pixels: int, max_total_pixels: int) -> None:
    """Check a JPEG of several scans, which is held in memory whole, and gone through once for each.

    Raises:
        MediaError: ``TOO_LARGE``, if it has too many pixels, or too many scans for its pixels.
    """
    most = max_total_pixels * PASSES // max(1, pixels)
    scans, progressive, components = 0, False, b""
    for marker, at in _jpeg_segments(data):
        if marker in _FRAMES:
            progressive = marker in _PROGRESSIVE
            components = data[at + 9 : at + 10]
        if marker == _SOS:
            scans += 1
            if scans == 1 and not progressive and data[at + 4 : at + 5] == components:
                return  # all of the picture is in its first scan: no decoder looks for others
        if scans > 1 and scans > most:
            raise MediaError(MediaFault.TOO_LARGE, f"the picture of {pixels:,} pixels has more than {most:,} scans")
    if (progressive or scans > 1) and pixels > max_pixels:
        raise MediaError(MediaFault.TOO_LARGE, f"the picture has {pixels:,} pixels; the limit is {max_pixels:,} pixels")


def _jpeg_bits(data: bytes) -> int | None:
    """Bits a sample by a JPEG's frame header, if one is found."""
    for marker, at in _jpeg_segments(data):
        if marker in _FRAMES and at + 5 <= len(data):
            return data[at + 4]
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers of a JPEG up to its end, and where they stand; coded data and what is between segments is passed over."""
    found = _MARKER.search(data, 2)
    while found:
        at = found.end() - 2
        marker = data[at + 1]
        if marker == _EOI:
            return
        yield marker, at
        found = _MARKER.search(data, at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4])))


def _jxl_beginning(data: bytes) -> bytes:
    """First bytes of a JPEG XL's codestream, in a container or bare."""
    beginning, at = b"", 0
    if not data.startswith(_JXL_MARKS[1]):
        return data[:_JXL_HEADER]
    while at + 8 <= len(data) and len(beginning) < _JXL_HEADER:
        length, start = int.from_bytes(data[at : at + 4]), at + 8
        if length == 1:
            length, start = int.from_bytes(data[at + 8 : at + 16]), at + 16
        end = at + length if length else len(data)
        kind = data[at + 4 : at + 8]
        if kind in {b"jxlc", b"jxlp"}:
            start += 4 * (kind == b"jxlp")
            beginning += data[start : min(end, start + _JXL_HEADER)]
        if end <= at:
            break
        at = end
    return beginning


def _jxl_pixels(codestream: bytes) -> int:
    """Pixels by the size header (ISO/IEC 18181-1, SizeHeader); fields are read from the lowest bit up."""
    bits, at = int.from_bytes(codestream[2:_JXL_HEADER], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> at - count & (1 << count) - 1

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    if not ratio:
        return height * side()
    across, down = _JXL_RATIOS[ratio - 1]
    return height * (height * across // down)
