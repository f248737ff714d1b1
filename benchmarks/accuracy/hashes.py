"""The hashes that are compared: each a plug-in from a picture to bytes.

Rules: every plug-in is given the same upright RGB picture on white; its bits are those of its library's own call; a
plug-in works in any process that can import it; one that is absent has a reason, never a stand-in.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.accuracy.alterations import as_rgb
from benchmarks.accuracy.blockhash import blockhash
from scanner import hash_pixels
from scanner.errors import ArgumentError, HashShapeError, UnknownNameError

CROSS_LINEAGES = (("pdq", "pdq-512"), ("pdq-512", "pdq"))
"""Pairs of plug-ins of one length that stem from different programs: a list by the first, a picture by the second."""

SMALLEST_PDQ_SIDE = 5


@dataclass(frozen=True, slots=True)
class HashPlugin:
    """A perceptual hash to measure.

    Attributes:
        name: unique.
        bits: length of a hash; the last byte is filled up with zeros.
        call: picture of any mode to ``ceil(bits / 8)`` bytes, first bit highest, or None if it has no hash of it.
        version: of the program that makes the bits.
        note: what it is, in a line.
    """

    name: str
    bits: int
    call: Callable[[Image.Image], bytes | None]
    version: str
    note: str

    def hash_of(self, image: Image.Image) -> bytes | None:
        """Hash a picture, and see that a hash came out.

        Raises:
            HashShapeError: the plug-in gave something else.
        """
        data = self.call(image)
        if data is not None and (not isinstance(data, bytes) or len(data) != -(-self.bits // 8)):
            got = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
            raise HashShapeError(f"{self.name} gave {got} where its {self.bits} bits or None were due")
        return data


_Plugin = tuple[str, int, Callable[[Image.Image], bytes | None], str]


@dataclass(frozen=True, slots=True)
class _Library:
    """Plug-ins that come and go together.

    Attributes:
        modules: what must be importable, the first of it named like the package that has the version.
        plugins: name, bits, call and note of each.
        remedy: what to do where it is absent.
    """

    modules: tuple[str, ...]
    plugins: tuple[_Plugin, ...]
    remedy: str = "pip install '.[bench]'"


def available() -> Mapping[str, HashPlugin]:
    """Every plug-in that works here, by name."""
    return {
        name: HashPlugin(name, bits, call, _version(library.modules[0]), note)
        for library in LIBRARIES
        if _why_absent(library) is None
        for name, bits, call, note in library.plugins
    }


def absent() -> Mapping[str, str]:
    """Every plug-in that does not work here, by name, and why in a line."""
    return {
        name: f"{why}; {library.remedy}"
        for library in LIBRARIES
        if (why := _why_absent(library)) is not None
        for name, *_ in library.plugins
    }


def plugin_named(name: str) -> HashPlugin:
    """Find a plug-in by its name, or make one of ``module:function``.

    The function is given an RGB picture (``PIL.Image.Image``) and gives bytes, as many for every picture, or None.

    Raises:
        ArgumentError: it is absent here, can't be imported, or does not give bytes.
        UnknownNameError: there is none of that name.
    """
    if ":" in name:
        return _of_the_user(name)
    known = available()
    if name in known:
        return known[name]
    missing = absent()
    if name in missing:
        raise ArgumentError(f"the hash {name} is absent here: {missing[name]}")
    raise UnknownNameError("hash", name, (*known, *missing, "module:function"))


def quality_of(image: Image.Image) -> int:
    """Measure how much there is to see in a picture, 0 to 100, the same for every hash: PDQ's quality.

    Prescan lists and matches no picture under its algorithm's floor (``scanner.profiles.ALGORITHMS``); the plug-ins
    hash them all, so that whoever measures can tell the two apart.
    """
    return hash_pixels(np.asarray(as_rgb(image)), "pdq").quality


def _ours(image: Image.Image, algorithm: str) -> bytes | None:
    pixels = np.asarray(as_rgb(image))
    return hash_pixels(pixels, algorithm).hash.data if min(pixels.shape[:2]) >= SMALLEST_PDQ_SIDE else None


def _pdqhash(image: Image.Image) -> bytes | None:
    import pdqhash

    pixels = np.asarray(as_rgb(image))
    if min(pixels.shape[:2]) < SMALLEST_PDQ_SIDE:
        return None
    return np.packbits(pdqhash.compute(pixels)[0]).tobytes()


def _imagehash(image: Image.Image, function: str, **options: int) -> bytes:
    import imagehash

    return np.packbits(getattr(imagehash, function)(as_rgb(image), **options).hash.ravel()).tobytes()


def _blockhash(image: Image.Image, side: int) -> bytes | None:
    return blockhash(np.asarray(as_rgb(image)), side)


def _perception(image: Image.Image, hasher: str, **options: int) -> bytes | None:
    vector = _perception_hasher(hasher, **options).compute(np.asarray(as_rgb(image)), hash_format="vector")
    return None if vector is None else np.packbits(vector).tobytes()


@cache
def _perception_hasher(hasher: str, **options: int) -> Any:
    return getattr(import_module("perception.hashers"), hasher)(**options)


def _squares(name: str, said: str, call: Callable[..., bytes | None]) -> Iterator[_Plugin]:
    """One hash of 64 and one of 256 bits."""
    for side in (8, 16):
        yield f"{name}-{side * side}", side * side, partial(call, hash_size=side), f"{said}, {side} x {side}"


PERCEPTION_REMEDY = (
    "it asks for rich < 14 and Prescan for rich >= 14, so: "
    "pip install --no-deps perception 'opencv-contrib-python-headless<5' validators tqdm"
)

LIBRARIES = (
    _Library(
        ("scanner",),
        (
            ("pdq", 256, partial(_ours, algorithm="pdq"), "Prescan's PDQ, the lineage that filters the picture whole"),
            (
                "pdq-512",
                256,
                partial(_ours, algorithm="pdq-512"),
                "Prescan's PDQ, the lineage that takes pictures to 512 x 512 first",
            ),
            ("blockhash-64", 64, partial(_blockhash, side=8), "block mean values, 8 x 8 (Yang, Gu and Niu 2006)"),
            ("blockhash-256", 256, partial(_blockhash, side=16), "block mean values, 16 x 16 (Yang, Gu and Niu 2006)"),
        ),
    ),
    _Library(("pdqhash",), (("pdqhash", 256, _pdqhash, "Facebook's C++ program, by its Python binding"),)),
    _Library(
        ("imagehash", "scipy.fftpack", "pywt"),
        (
            *_squares("phash", "signs of DCT coefficients against their median", partial(_imagehash, function="phash")),
            *_squares("dhash", "signs of horizontal differences", partial(_imagehash, function="dhash")),
            *_squares("ahash", "lighter than the mean", partial(_imagehash, function="average_hash")),
            *_squares("whash", "Haar wavelet against its median", partial(_imagehash, function="whash")),
            (
                "colorhash-42",
                42,
                partial(_imagehash, function="colorhash", binbits=3),
                "shares of black, grey and twelve colours, 3 bits each: there is none of 64 or 256 bits",
            ),
        ),
    ),
    _Library(
        ("perception", "perception.hashers"),
        (
            *_squares("perception-phash", "DCT by OpenCV", partial(_perception, hasher="PHash")),
            *_squares("perception-dhash", "differences by OpenCV", partial(_perception, hasher="DHash")),
            *_squares(
                "perception-ahash", "lighter than the mean by OpenCV", partial(_perception, hasher="AverageHash")
            ),
            *_squares("perception-whash", "Haar wavelet by OpenCV", partial(_perception, hasher="WaveletHash")),
        ),
        PERCEPTION_REMEDY,
    ),
    _Library(
        ("perception", "perception.hashers", "cv2.img_hash"),
        (
            (
                "perception-blockmean-968",
                968,
                partial(_perception, hasher="BlockMean"),
                "overlapping block means, OpenCV's img_hash",
            ),
            (
                "perception-marrhildreth-576",
                576,
                partial(_perception, hasher="MarrHildreth"),
                "edges by the Marr-Hildreth operator, OpenCV's img_hash",
            ),
        ),
        PERCEPTION_REMEDY,
    ),
)
"""Where the plug-ins come from, in the order in which they are reported."""


def _why_absent(library: _Library) -> str | None:
    for module in library.modules:
        try:
            import_module(module)
        except ImportError as error:
            return f"{module} can't be imported ({error})"
    return None


def _version(package: str) -> str:
    try:
        return version("prescan" if package == "scanner" else package)
    except PackageNotFoundError:  # a source folder on the path
        return "unknown"


def _of_the_user(place: str) -> HashPlugin:
    call = partial(_call_of_the_user, place=place)
    y, x = np.mgrid[:64, :64]
    sample = Image.fromarray(np.stack((4 * x, 4 * y, (x * y) % 256), 2).astype(np.uint8))
    data = call(sample)
    if not isinstance(data, bytes) or not data:
        raise ArgumentError(f"{place} gave {data!r:.40} for a sample picture of 64 x 64; it has to give bytes")
    function = _function(place)
    source = inspect.getsourcefile(inspect.unwrap(function)) if inspect.isfunction(function) else None
    digest = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else "unknown"
    return HashPlugin(place, 8 * len(data), call, f"source {digest[:16]}", "the user's own")


def _call_of_the_user(image: Image.Image, place: str) -> bytes | None:
    data: bytes | None = _function(place)(as_rgb(image))
    return data


def _function(place: str) -> Callable[[Image.Image], Any]:
    module, _, name = place.partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentError(f"there is no function {place}: {error}") from None
    if not callable(function):
        raise ArgumentError(f"{place} is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]
