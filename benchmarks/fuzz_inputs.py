"""Damaged pictures of every format: small sound files, and what is done to them.

An input is known by its seed and number: the same two give the same bytes, as long as the encoders are the same.
"""

from __future__ import annotations

import importlib.util
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

Rng = np.random.Generator
PHOTOGRAPHS = (("skimage", "data/astronaut.png"), ("sklearn", "datasets/images/flower.jpg"))
_BOXES_OF_BOXES = frozenset({b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf"})
_PNG_MARK = b"\x89PNG\r\n\x1a\n"


class Field(NamedTuple):
    """Where a file says how long or large something is: bytes from ``at``, an unsigned integer of ``size`` bytes."""

    at: int
    size: int
    order: str


def sound_files() -> dict[str, list[bytes]]:
    """Files of every format that decode, none larger than 96 x 72 pixels, by the format's name."""
    import pillow_heif
    import pillow_jxl  # noqa: F401 - registers itself

    pillow_heif.register_heif_opener()
    pictures = [*_photographs(), _drawn()]
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    files: dict[str, list[bytes]] = {}

    def add(name: str, image: Image.Image, kind: str, **options: object) -> None:
        out = io.BytesIO()
        image.copy().save(out, kind, **options)
        files.setdefault(name, []).append(out.getvalue())

    for image in pictures:
        turned, grey = image.transpose(Image.Transpose.ROTATE_180), image.convert("L")
        clear = image.copy()
        clear.putalpha(grey)
        more = {"save_all": True, "append_images": [turned, grey.convert("RGB")]}
        add("JPEG", image, "JPEG", exif=exif, icc_profile=bytes(64))
        add("JPEG", image, "JPEG", progressive=True, quality=90)
        add("JPEG", image.convert("CMYK"), "JPEG", restart_marker_blocks=4)
        add("JPEG", grey, "JPEG", optimize=True, comment=b"comment")
        add("MPO", image, "MPO", save_all=True, append_images=[turned])
        add("PNG", image, "PNG", exif=exif)
        add("PNG", clear, "PNG")
        add("PNG", image.quantize(16), "PNG", transparency=bytes(8))
        add("PNG", Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG")
        add("APNG", clear, "PNG", duration=40, default_image=False, disposal=1, blend=1, **more)
        add("WEBP", image, "WEBP", exif=exif, quality=70)
        add("WEBP", clear, "WEBP", lossless=True)
        add("WEBP", image, "WEBP", duration=40, quality=50, **more)
        add("GIF", image, "GIF")
        add("GIF", image, "GIF", duration=40, disposal=2, loop=0, **more)
        add("BMP", image, "BMP")
        add("BMP", image.quantize(16), "BMP")
        add("TIFF", image, "TIFF", exif=exif, save_all=True, append_images=[grey])
        for compression in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"):
            add("TIFF", image, "TIFF", compression=compression)
        add("TIFF", grey.convert("1"), "TIFF", compression="group4")
        add("AVIF", image, "AVIF", exif=exif, quality=50, speed=10)
        add("AVIF", clear, "AVIF", speed=10)
        add("AVIF", image, "AVIF", duration=40, speed=10, **more)
        add("HEIC", image, "HEIF", exif=exif, quality=50)
        add("HEIC", clear, "HEIF", save_all=True, append_images=[turned])
        add("JPEG XL", image, "JXL", exif=exif.tobytes())
        add("JPEG XL", clear, "JXL", lossless=True, use_container=True)
        add("ICO", clear, "ICO", sizes=[(16, 16), (48, 36)])
        add("ICO", clear, "ICO", sizes=[(16, 16), (48, 36)], bitmap_format="bmp")
    return files


def _photographs() -> Iterator[Image.Image]:
    for package, name in PHOTOGRAPHS:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise FileNotFoundError(f"{package} is not installed: pip install 'prescan[demo]'")
        with Image.open(Path(found.origin).parent / name) as image:
            yield image.convert("RGB").resize((96, 72))


def _drawn() -> Image.Image:
    y, x = np.mgrid[:33, :50]
    planes = (5 * x, 7 * y, np.where((x // 8 + y // 8) % 2, 250, 5))
    return Image.fromarray(np.stack(planes, 2).astype(np.uint8))


def one_input(files: dict[str, list[bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Build the input of a number: its format, and a sound file of it after one to four mutations."""
    rng = np.random.default_rng((seed, number))
    name = sorted(files)[number % len(files)]
    data = bytearray(files[name][rng.integers(len(files[name]))])
    for _ in range(rng.integers(1, 5)):
        if data:
            data = MUTATIONS[rng.integers(len(MUTATIONS))](rng, data, files[name])
    if data.startswith(_PNG_MARK) and rng.random() < 0.9:
        mend_checksums(data)
    return name, bytes(data)


Mutation = Callable[[Rng, bytearray, list[bytes]], bytearray]


def _place(rng: Rng, data: bytearray) -> int:
    """Somewhere in the file; half the time near its beginning, where headers are."""
    return int(rng.integers(min(len(data), 256) if rng.random() < 0.5 else len(data)))


def _flip_bits(rng: Rng, data: bytearray, _: list[bytes]) -> bytearray:
    for _number in range(rng.integers(1, 9)):
        data[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return data


def _set_bytes(rng: Rng, data: bytearray, _: list[bytes]) -> bytearray:
    at, length = _place(rng, data), int(rng.integers(1, 9))
    value = (0, 255, 127, 128, 1, int(rng.integers(256)))[rng.integers(6)]
    data[at : at + length] = bytes([value]) * len(data[at : at + length])
    return data


def _insert(rng: Rng, data: bytearray, _: list[bytes]) -> bytearray:
    at, length = _place(rng, data), int(rng.integers(1, 33))
    data[at:at] = rng.bytes(length) if rng.random() < 0.5 else data[at : at + length]
    return data


def _delete(rng: Rng, data: bytearray, _: list[bytes]) -> bytearray:
    at = _place(rng, data)
    del data[at : at + int(rng.integers(1, 33))]
    return data


def _cut(rng: Rng, data: bytearray, _: list[bytes]) -> bytearray:
    return data[: rng.integers(len(data))]


def _splice(rng: Rng, data: bytearray, siblings: list[bytes]) -> bytearray:
    """The beginning of the file with the end of another one of the format."""
    other = siblings[rng.integers(len(siblings))]
    return data[: _place(rng, data)] + other[rng.integers(len(other)) :]


def _repeat(rng: Rng, data: bytearray, _: list[bytes]) -> bytearray:
    """A stretch of the file many times over, from one of its parts to another if it has such."""
    marks = [field.at for field in fields(bytes(data))] or [0, len(data)]
    first, last = sorted(marks[int(index)] for index in rng.integers(len(marks), size=2))
    stretch = bytes(data[first : last or len(data)])
    data[first:first] = stretch * min(int(rng.integers(2, 100)), 20_000 // max(1, len(stretch)))
    return data


def _change_fields(rng: Rng, data: bytearray, _: list[bytes]) -> bytearray:
    """Lengths, sizes, counts and offsets set to what is extreme for them."""
    found = fields(bytes(data))
    for _number in range(rng.integers(1, 4) if found else 0):
        at, size, order = found[rng.integers(len(found))]
        most = 256**size - 1
        old = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
        extremes = (0, 1, most, most // 2, most // 2 + 1, len(data), old + 1, old - 1, old * 2, int(rng.integers(most)))
        value = extremes[rng.integers(len(extremes))] & most
        data[at : at + size] = value.to_bytes(size, order)
    return data


MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _set_bytes,
    _insert,
    _delete,
    _cut,
    _splice,
    _repeat,
    _change_fields,
    _change_fields,
    _change_fields,
)


def mend_checksums(data: bytearray) -> None:
    """Make each chunk's checksum right again, so that what is in a PNG's chunks is looked at."""
    for at, length in _png_chunks(data):
        end = at + 8 + length
        if end + 4 <= len(data):
            data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)


def fields(data: bytes) -> list[Field]:
    """Find the lengths, sizes, counts and offsets in a file, by its first bytes."""
    if data[:2] == b"\xff\xd8":
        return _jpeg_fields(data)
    if data.startswith(_PNG_MARK):
        return [Field(at, 4, "big") for at, _ in _png_chunks(data)] + _run(16, 2, 4, "big")
    if data[:4] == b"RIFF":
        return _riff_fields(data)
    if data[:3] == b"GIF":
        blocks = [Field(at + 5, 2, "little") for at in range(13, len(data) - 10) if data[at] == 0x2C]
        return _run(6, 2, 2, "little") + blocks + [Field(field.at + 2, 2, "little") for field in blocks]
    if data[:2] == b"BM":
        return _run(2, 15, 4, "little")
    if data[:4] in {b"II*\0", b"MM\0*"}:
        return _tiff_fields(data, "little" if data[:1] == b"I" else "big")
    if data[:4] == b"\0\0\1\0":
        entries = range(6, min(len(data), 6 + 16 * int.from_bytes(data[4:6], "little")), 16)
        parts = [int.from_bytes(data[at + 12 : at + 16], "little") for at in entries]
        inside = [field for at in parts for field in (*_run(at + 4, 4, 4, "little"), *_run(at + 16, 2, 4, "big"))]
        found = [Field(4, 2, "little"), *(field for at in entries for field in _run(at + 8, 2, 4, "little")), *inside]
        return [field for field in found if field.at + field.size <= len(data)]
    return _box_fields(data, 0, len(data))


def _run(at: int, count: int, size: int, order: str) -> list[Field]:
    return [Field(at + size * number, size, order) for number in range(count)]


def _jpeg_fields(data: bytes) -> list[Field]:
    found = []
    at = data.find(b"\xff", 2)
    while 0 <= at < len(data) - 10:
        marker = data[at + 1]
        if marker in {0, 0xFF} or 0xD0 <= marker <= 0xD9:
            at = data.find(b"\xff", at + 1 + (marker != 0xFF))
            continue
        found.append(Field(at + 2, 2, "big"))
        if 0xC0 <= marker <= 0xC2:
            found += [*_run(at + 5, 2, 2, "big"), Field(at + 11, 1, "big")]
        elif data[at + 4 : at + 8] == b"MPF\0":
            inner = _tiff_fields(data[at + 8 :], "little" if data[at + 8 : at + 9] == b"I" else "big")
            found += [Field(at + 8 + field.at, field.size, field.order) for field in inner]
        at = data.find(b"\xff", at + 4)
    return found


def _png_chunks(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        yield at, length
        at += 12 + length


def _riff_fields(data: bytes) -> list[Field]:
    found, at = [Field(4, 4, "little")], 12
    while at + 16 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(Field(at + 4, 4, "little"))
        if kind in {b"VP8X", b"ANMF"}:
            found += _run(at + 12, 2, 3, "little")
        elif kind == b"VP8 ":
            found += _run(at + 14, 2, 2, "little")
        elif kind == b"VP8L":
            found.append(Field(at + 9, 4, "little"))
        at += 24 if kind == b"ANMF" else 8 + length + length % 2
    return found


def _tiff_fields(data: bytes, order: str) -> list[Field]:
    found, at, seen = [Field(4, 4, order)], int.from_bytes(data[4:8], order), set()  # type: ignore[arg-type]
    while 0 < at < len(data) - 6 and at not in seen:
        seen.add(at)
        count = int.from_bytes(data[at : at + 2], order)  # type: ignore[arg-type]
        found.append(Field(at, 2, order))
        for entry in range(at + 2, min(at + 2 + 12 * count, len(data) - 12), 12):
            found += [Field(entry + 4, 4, order), Field(entry + 8, 4, order), Field(entry + 8, 2, order)]
        at += 2 + 12 * count
        if at + 4 <= len(data):
            found.append(Field(at, 4, order))
            at = int.from_bytes(data[at : at + 4], order)  # type: ignore[arg-type]
    return found


def _box_fields(data: bytes, at: int, end: int) -> list[Field]:
    found: list[Field] = []
    while at + 8 <= end:
        length, kind = int.from_bytes(data[at : at + 4]), bytes(data[at + 4 : at + 8])
        found.append(Field(at, 4, "big"))
        if length < 8 or at + length > end:
            break
        if kind in _BOXES_OF_BOXES:
            found += _box_fields(data, at + (12 if kind == b"meta" else 8), at + length)
        else:
            found += [field for field in _run(at + 8, 10, 4, "big") if field.at + 4 <= at + length]
        at += length
    return found
