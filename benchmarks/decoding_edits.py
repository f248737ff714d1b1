"""What happens to pictures on their way: other files of the same picture, and everyday edits.

Every function takes an RGB picture; a conversion gives the file, an edit the edited picture.
"""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFilter, ImageFont, ImageOps

from scanner import hash_picture, hash_pixels
from scanner.hashing.pdq import pdq_scaled
from scanner.media import Accuracy, decode

Conversion = Callable[[Image.Image], bytes]
Edit = Callable[[Image.Image], Image.Image]

UPRIGHT_TO_STORED: Mapping[int, Image.Transpose | None] = MappingProxyType(
    {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
)
"""How an upright picture is turned to lie as EXIF's orientation says it is stored."""

PRIMARIES: Mapping[str, tuple[tuple[float, float, float], ...]] = MappingProxyType(
    {
        "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
        "ProPhoto": ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
    }
)
"""XYZ of red, green and blue under D50: SMPTE EG 432-1 and ISO 22028-2; both with sRGB's curve here."""


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file of Pillow's format kind."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def stored(image: Image.Image, orientation: int, kind: str, **options: Any) -> bytes:
    """A file whose pixels lie turned, with the EXIF mark that says how."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = UPRIGHT_TO_STORED[orientation]
    return saved(image if turn is None else image.transpose(turn), kind, exif=exif, **options)


def with_short_side(image: Image.Image, side: int) -> Image.Image:
    """Resize a picture, its proportions kept."""
    ratio = side / min(image.size)
    return image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.LANCZOS)


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    """Add the same normal noise to every channel of a pixel, as a camera's grain is."""
    noise = np.random.default_rng(round(sigma)).standard_normal(image.size[::-1], np.float32) * np.float32(sigma)
    return Image.fromarray((np.asarray(image) + noise[:, :, None]).clip(0, 255).astype(np.uint8))


def profile(space: str) -> bytes:
    """An ICC profile: Pillow's sRGB, or that with other primaries."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), PRIMARIES.get(space, ()), strict=False):
        for tag in range(struct.unpack_from(">I", data, 128)[0]):
            signature, offset, _ = struct.unpack_from(">4sII", data, 132 + 12 * tag)
            if signature == name:
                struct.pack_into(">3i", data, offset + 8, *(round(value * 65536) for value in xyz))
    return bytes(data)


def _attached(image: Image.Image, space: str) -> bytes:
    return saved(image, "PNG", compress_level=1, icc_profile=profile(space))


def _converted(image: Image.Image, space: str) -> bytes:
    """The colours are the same to a viewer that reads the profile; the numbers are not."""
    into = ImageCms.ImageCmsProfile(io.BytesIO(profile(space)))
    turned = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), into)
    assert turned is not None
    return _attached(turned, space)


def _deep(image: Image.Image) -> bytes:
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    return saved(Image.fromarray(grey), "PNG", compress_level=1)


def _as(image: Image.Image, mode: str, kind: str, **options: Any) -> bytes:
    return saved(image.quantize() if mode == "P" else image.convert(mode), kind, **options)


_JPEG = partial(saved, kind="JPEG")

FORMATS: Mapping[str, Conversion] = MappingProxyType(
    {
        "PNG": partial(saved, kind="PNG", compress_level=1),
        "TIFF": partial(saved, kind="TIFF"),
        "BMP": partial(saved, kind="BMP"),
        "WebP lossless": partial(saved, kind="WEBP", lossless=True, quality=0, method=0),
        "WebP q90": partial(saved, kind="WEBP", quality=90, method=2),
        "AVIF q90": partial(saved, kind="AVIF", quality=90, speed=10),
        "HEIC q90": partial(saved, kind="HEIF", quality=90),
        "JPEG XL q90": partial(saved, kind="JXL", quality=90, effort=3),
        "GIF": partial(_as, mode="P", kind="GIF"),
        "JPEG q95": partial(_JPEG, quality=95),
        "JPEG q90": partial(_JPEG, quality=90),
        "JPEG q75": partial(_JPEG, quality=75),
        "JPEG q50": partial(_JPEG, quality=50),
        "JPEG q90 progressive": partial(_JPEG, quality=90, progressive=True),
        "JPEG q90 4:4:4": partial(_JPEG, quality=90, subsampling="4:4:4"),
    }
)

CONTAINERS: Mapping[str, Conversion] = MappingProxyType(
    {
        "opaque alpha, PNG": partial(_as, mode="RGBA", kind="PNG", compress_level=1),
        "grey, PNG": partial(_as, mode="L", kind="PNG", compress_level=1),
        "grey and opaque alpha, PNG": partial(_as, mode="LA", kind="PNG", compress_level=1),
        "grey of 16 bits, PNG": _deep,
        "palette, PNG": partial(_as, mode="P", kind="PNG", compress_level=1),
        "CMYK, JPEG q95": partial(_as, mode="CMYK", kind="JPEG", quality=95),
        "sRGB profile, same numbers": partial(_attached, space="sRGB"),
        "Display P3 profile, same numbers": partial(_attached, space="Display P3"),
        "converted to Display P3": partial(_converted, space="Display P3"),
        "converted to ProPhoto": partial(_converted, space="ProPhoto"),
    }
)


def _resized(image: Image.Image, ratio: float) -> Image.Image:
    return image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.LANCZOS)


def _cropped(image: Image.Image, share: float) -> Image.Image:
    """So much off every side."""
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def _blurred(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _bordered(image: Image.Image, share: float) -> Image.Image:
    return ImageOps.expand(image, round(min(image.size) * share), "black")


def _gamma(image: Image.Image, gamma: float) -> Image.Image:
    return image.point([round(255 * (value / 255) ** gamma) for value in range(256)] * 3)


def _captioned(image: Image.Image) -> Image.Image:
    """A line of text a tenth as high as the picture, across its lower part."""
    out = image.copy()
    font = ImageFont.load_default(size=out.height / 10)
    place = (out.width // 2, out.height * 4 // 5)
    ImageDraw.Draw(out).text(place, "look at this", "white", font, "mm", stroke_width=2, stroke_fill="black")
    return out


REENCODED: Mapping[str, int] = MappingProxyType({f"JPEG q{quality}": quality for quality in (30, 50, 70, 85, 95)})
"""Edits that are nothing but another JPEG, and its quality."""

EDITS: Mapping[str, Edit] = MappingProxyType(
    {
        **{f"resize {ratio:g}": partial(_resized, ratio=ratio) for ratio in (0.25, 0.5, 0.75, 1.5, 2.0)},
        **{f"crop {share} %": partial(_cropped, share=share / 100) for share in (1, 2, 5, 10)},
        **{f"blur {radius}": partial(_blurred, radius=radius) for radius in (1, 2)},
        **{f"noise {sigma}": partial(noisy, sigma=sigma) for sigma in (4, 8, 16)},
        **{f"gamma {gamma}": partial(_gamma, gamma=gamma) for gamma in (0.7, 0.85, 1.2, 1.5)},
        "text": _captioned,
        **{f"border {share} %": partial(_bordered, share=share / 100) for share in (2, 5, 10)},
    }
)
"""Edits that are saved as JPEG q90 at the size they have."""

PILLOWS = ("==11.3.0", "==12.0.0", "")  # the lowest pyproject.toml allows, one between, the newest
"""What pip is asked for."""


def bits_between(left: bytes, right: bytes) -> int:
    """Hamming distance."""
    return (int.from_bytes(left) ^ int.from_bytes(right)).bit_count()


def moved_by_file(
    pictures: list[Image.Image], conversions: Mapping[str, Conversion], installed: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Convert every picture in every way; gives bits moved against its own pixels, at REFERENCE and FAST."""
    rows: dict[str, dict[str, list[int]]] = {}
    references = [hash_pixels(np.asarray(image)).hash.data for image in pictures]
    for name, convert in conversions.items():
        kind = getattr(convert, "keywords", {}).get("kind")
        if installed is not None and kind not in installed:
            continue
        rows[name] = {"reference": [], "fast": []}
        for image, reference in zip(pictures, references, strict=True):
            data = convert(image)
            for accuracy in (Accuracy.REFERENCE, Accuracy.FAST):
                code = hash_picture(data, accuracy=accuracy).hash.data
                rows[name][accuracy.value].append(bits_between(code, reference))
    return rows


def moved_by_orientation(pictures: list[Image.Image]) -> dict[str, Any]:
    """Store every picture in all eight ways; gives bits moved.

    Of a PNG against the upright pixels, of a JPEG decoded scaled against its reference decode.
    """
    rows: dict[str, dict[str, list[int]]] = {}
    for orientation in UPRIGHT_TO_STORED:
        row = rows[str(orientation)] = {"png": [], "fast": [], "fast, before ignored": []}
        for image in pictures:
            png = stored(image, orientation, "PNG", compress_level=1)
            row["png"].append(bits_between(hash_picture(png).hash.data, hash_pixels(np.asarray(image)).hash.data))
            jpeg = stored(image, orientation, "JPEG", quality=90)
            reference = hash_picture(jpeg).hash.data
            picture = decode(jpeg, accuracy=Accuracy.FAST)
            if picture.scale is not None:
                row["fast"].append(bits_between(pdq_scaled(picture.pixels, picture.scale)[0], reference))
                ignored = picture.scale._replace(before=(0, 0))
                row["fast, before ignored"].append(bits_between(pdq_scaled(picture.pixels, ignored)[0], reference))
    return rows


HASH_FOLDER = """
import json, sys
from pathlib import Path
from PIL import features
from scanner import hash_picture
from scanner.media import Accuracy

rows = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    for accuracy in (Accuracy.REFERENCE, Accuracy.FAST):
        known, quality = hash_picture(path, accuracy=accuracy)
        rows[f"{path.name} {accuracy}"] = [known.data.hex(), quality]
import PIL
print(json.dumps({"pillow": PIL.__version__, "libjpeg-turbo": features.version("libjpeg_turbo"), "rows": rows}))
"""


def by_pillow(pictures: list[Image.Image], photographs: list[Path]) -> list[dict[str, Any]]:
    """Hash the same files with several releases of Pillow, each in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        files = Path(temporary, "files")
        files.mkdir()
        for number, path in enumerate(photographs):
            (files / f"{number:03} stored.jpg").write_bytes(path.read_bytes())
        for number, image in enumerate(pictures):
            for kind in ("JPEG", "WEBP", "AVIF", "GIF"):
                (files / f"{number:03}.{kind}").write_bytes(saved(image, kind))
        told = [_hashed_with(None, files)]
        for wanted in PILLOWS:
            with tempfile.TemporaryDirectory() as target:
                install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target]
                if subprocess.run([*install, f"pillow{wanted}"], check=False).returncode:
                    print(f"decoding: pillow{wanted} can't be installed and is left out", file=sys.stderr)
                    continue
                told.append(_hashed_with(target, files))
    return told


def _hashed_with(target: str | None, files: Path) -> dict[str, Any]:
    environment = {**os.environ, **({"PYTHONPATH": target} if target else {})}
    ran = subprocess.run(
        [sys.executable, "-c", HASH_FOLDER, files], env=environment, check=True, capture_output=True, text=True
    )
    told: dict[str, Any] = json.loads(ran.stdout)
    return told
