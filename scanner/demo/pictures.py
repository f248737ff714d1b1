"""Real photographs out of installed packages, and everyday edits of them.

scikit-image's are in the public domain or CC0 (scikit-image/data/README.txt), scikit-learn's two CC BY 2.0.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from scanner.errors import StorageError

KNOWN = (
    "astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "china.jpg",
    "camera.png", "coins.png", "flower.jpg", "rocket.jpg", "ihc.png", "retina.jpg",
)  # fmt: skip
INNOCENT = (
    "brick.png", "cell.png", "clock_motion.png", "color.png", "grass.png", "gravel.png", "logo.png", "moon.png",
    "page.png", "text.png",
)  # fmt: skip


def find(name: str) -> Path:
    """Find a bundled photograph by file name.

    Raises:
        StorageError: the package is not installed or no longer holds it.
    """
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        for place in spec.submodule_search_locations or () if spec else ():
            if (path := Path(place, folder, name)).is_file():
                return path
    raise StorageError(f"the photograph {name} was not found; install prescan[demo]")


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _reencoded(picture: Image.Image) -> bytes:
    return _saved(picture, "JPEG", quality=60)


def _halved(picture: Image.Image) -> bytes:
    return _saved(picture.resize((picture.width // 2, picture.height // 2)), "JPEG", quality=85)


def _cropped(picture: Image.Image) -> bytes:
    """One percent off every side."""
    x, y = picture.width // 100, picture.height // 100
    return _saved(picture.crop((x, y, picture.width - x, picture.height - y)), "WEBP", quality=85)


def _for_print(picture: Image.Image) -> bytes:
    return _saved(picture.convert("CMYK"), "JPEG", quality=90)


def _sideways(picture: Image.Image) -> bytes:
    """Pixels turned, and an EXIF mark that says so: it looks the same."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=85, exif=exif)


EDITS: Mapping[str, Callable[[Image.Image], bytes]] = MappingProxyType(
    {
        "JPEG q60": _reencoded,
        "half size": _halved,
        "crop, WebP": _cropped,
        "CMYK": _for_print,
        "EXIF turn": _sideways,
    }
)


def edited(path: Path) -> dict[str, bytes]:
    """Every edit of a photograph, by name."""
    with Image.open(path) as picture:
        upright = picture.convert("RGB")
    return {name: edit(upright) for name, edit in EDITS.items()}
