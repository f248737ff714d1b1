"""The hashes that are compared: each gives its own library's bits, for any picture, in any process."""

from __future__ import annotations

import pickle  # as a process pool does
import sys
import types
from fractions import Fraction
from importlib.metadata import PackageNotFoundError
from statistics import median

import imagehash
import numpy as np
import pdqhash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.accuracy import hashes
from benchmarks.accuracy.alterations import as_rgb
from benchmarks.accuracy.blockhash import blockhash
from benchmarks.accuracy.hashes import CROSS_LINEAGES, absent, available, plugin_named, quality_of
from scanner import hash_picture, hash_pixels
from scanner.errors import ArgumentError, HashShapeError, UnknownNameError
from tests.conftest import run_python, smooth

PLUGINS = available()
MODES = ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16")
NOT_A_FUNCTION = 5


def top_left(image: Image.Image) -> bytes:
    """A user's hash of 16 bits: two channels of the first pixel."""
    return bytes(image.getpixel((0, 0))[:2])


def nothing(image: Image.Image) -> None:
    """A user's hash that never has one."""


def text(image: Image.Image) -> str:
    """A user's hash in the wrong type."""
    return "ab"


def growing(image: Image.Image) -> bytes:
    """A user's hash whose length depends on the picture."""
    return bytes(image.width)


def bits_between(left: bytes, right: bytes) -> int:
    return (int.from_bytes(left) ^ int.from_bytes(right)).bit_count()


@pytest.fixture(scope="module")
def picture(astronaut) -> Image.Image:
    """A photograph of 220 x 170."""
    with Image.open(astronaut) as opened:
        return opened.convert("RGB").crop((60, 0, 500, 340)).resize((220, 170))


def test_the_asked_hashes_are_there():
    """Ours in both lineages, pdqhash, imagehash's and block means in 64 and 256 bits work wherever the tests do."""
    wanted = {"pdq", "pdq-512", "pdqhash", "colorhash-42"}
    wanted |= {f"{name}-{bits}" for name in ("phash", "dhash", "ahash", "whash", "blockhash") for bits in (64, 256)}
    assert wanted <= set(PLUGINS)
    assert not set(PLUGINS) & set(absent())
    assert all(name == plugin.name and plugin.version and plugin.note for name, plugin in PLUGINS.items())


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=lambda plugin: plugin.name)
def test_a_plugin_gives_its_bits_for_every_mode(plugin, picture):
    """Every mode hashes like its RGB form, in as many bits as are stated, and again the same."""
    for mode in MODES:
        other = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
        data = plugin.hash_of(other)
        assert len(data) == -(-plugin.bits // 8)
        assert data == plugin.hash_of(as_rgb(other)) == plugin.hash_of(other)
    assert plugin.hash_of(picture) != plugin.hash_of(picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)) or (
        plugin.name == "colorhash-42"
    )


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=lambda plugin: plugin.name)
def test_a_plugin_travels_to_another_process(plugin, picture):
    """What a process pool sends and gets back is the same plug-in."""
    assert pickle.loads(pickle.dumps(plugin)).hash_of(picture) == plugin.hash_of(picture)


@pytest.mark.parametrize("size", [(1, 1), (4, 900), (900, 3), (5, 5), (16, 17)], ids=str)
def test_no_size_is_too_odd(size, picture):
    """Small and narrow pictures have a hash of full length, or none; never an error."""
    odd = picture.resize(size)
    found = {name: plugin.hash_of(odd) for name, plugin in PLUGINS.items()}
    assert all((found[name] is None) == (min(size) < 5) for name in ("pdq", "pdq-512", "pdqhash"))
    assert all((found[f"blockhash-{side**2}"] is None) == (min(size) < side) for side in (8, 16))
    assert all(found[name] is not None for name in ("phash-64", "dhash-64", "ahash-64", "whash-64"))


def test_ours_are_the_bits_that_prescan_sends(photograph):
    """Hashing Pillow's picture gives what hashing the file gives, in both lineages, and pdqhash's in one."""
    with Image.open(photograph) as opened:
        pdq, pdq_512 = (plugin_named(name).hash_of(opened) for name in ("pdq", "pdq-512"))
        reference = plugin_named("pdqhash").hash_of(opened)
        quality = quality_of(opened)
    assert pdq == reference
    assert bits_between(pdq, hash_picture(photograph, "pdq").hash.data) == 0
    assert bits_between(pdq_512, hash_picture(photograph, "pdq-512").hash.data) == 0
    assert quality == hash_picture(photograph, "pdq").quality


def test_the_lineages_differ_on_large_pictures_alone(photographs):
    """Up to 512 pixels a side both are one; above, some photograph's bits move."""
    listed, sent = (plugin_named(name) for name in CROSS_LINEAGES[0])
    moved = []
    for path in photographs:
        with Image.open(path) as opened:
            picture = as_rgb(opened)
        small = picture.copy()
        small.thumbnail((512, 512))
        assert listed.hash_of(small) == sent.hash_of(small)
        if max(picture.size) > 512:
            moved.append(bits_between(listed.hash_of(picture), sent.hash_of(picture)))
    assert len(moved) >= 5
    assert max(moved) > 0
    assert {names[::-1] for names in CROSS_LINEAGES} == set(CROSS_LINEAGES)


def test_pdqhash_is_the_librarys_call(picture):
    """The vector that pdqhash gives, packed first bit first."""
    vector, _ = pdqhash.compute(np.asarray(picture))
    assert plugin_named("pdqhash").hash_of(picture) == np.packbits(vector).tobytes()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("phash-64", imagehash.phash),
        ("phash-256", lambda image: imagehash.phash(image, 16)),
        ("dhash-64", imagehash.dhash),
        ("dhash-256", lambda image: imagehash.dhash(image, 16)),
        ("ahash-64", imagehash.average_hash),
        ("ahash-256", lambda image: imagehash.average_hash(image, 16)),
        ("whash-64", imagehash.whash),
        ("whash-256", lambda image: imagehash.whash(image, 16)),
    ],
)
def test_imagehash_is_the_librarys_call(name, call, picture):
    """Bytes are the digits that imagehash prints."""
    assert plugin_named(name).hash_of(picture).hex() == str(call(picture))


def test_colorhash_is_the_librarys_call(picture):
    """Its 42 bits come first, then six zeros."""
    bits = np.unpackbits(np.frombuffer(plugin_named("colorhash-42").hash_of(picture), np.uint8))
    assert np.array_equal(bits[:42], imagehash.colorhash(picture, 3).hash.ravel())
    assert not bits[42:].any()


# node -e "const {bmvbhash} = require('blockhash-core'); ..." (npm blockhash-core 0.1.0) on smooth(height, width),
# opaque, with 8 and 16 fields along each axis.
BLOCKHASHES = {
    ((64, 64), 8): "0f0f0f0f0f0f0f0f",
    ((64, 64), 16): "007f00ff00ff01ff007f00ff00ff01ff007f00ff00ff01ff007f00ff00ff01ff",
    ((50, 61), 8): "0f0f0f0f0f0f0f0f",
    ((50, 61), 16): "007f00ff00ff01ff007f00ff00ff01ff007f00ff00ff01ff007f00ff00ff01ff",
    ((131, 47), 8): "071f071f071f071f",
    ((131, 47), 16): "001f007f01ff07ff001f007f01ff07ff003f007f01ff03ff003f007f01ff03ff",
}


@pytest.mark.parametrize(("size", "side"), BLOCKHASHES, ids=str)
def test_blockhash_is_that_in_use(size, side):
    """Bits are those of the JavaScript program, for sizes that the grid divides and for others."""
    assert blockhash(smooth(*size), side).hex() == BLOCKHASHES[size, side]


def blockhash_by_the_book(pixels: np.ndarray, side: int) -> bytes:
    """Each pixel's part in each field, in exact fractions; slow."""
    height, width = pixels.shape[:2]
    fields = [[Fraction(0)] * side for _ in range(side)]

    def parts(at: int, length: int) -> list[tuple[int, Fraction]]:
        step = Fraction(length, side)
        found = ((field, min((field + 1) * step, at + 1) - max(field * step, at)) for field in range(side))
        return [(field, part) for field, part in found if part > 0]

    for y in range(height):
        for x in range(width):
            for row, high in parts(y, height):
                for column, wide in parts(x, width):
                    fields[row][column] += int(pixels[y, x].sum()) * high * wide
    half = Fraction(height * width, side * side) * 384
    bits = ""
    for band in range(4):
        sums = [value for row in fields[band * side // 4 : (band + 1) * side // 4] for value in row]
        middle = median(sums)
        bits += "".join("01"[value > middle or (abs(value - middle) < 1 and middle > half)] for value in sums)
    return int(bits, 2).to_bytes(side * side // 8)


@given(
    size=st.tuples(st.integers(8, 23), st.integers(8, 23)),
    seed=st.integers(0, 99),
    flat=st.sampled_from((None, 0, 90, 128, 255)),
)
def test_blockhash_is_what_its_paper_says(size, seed, flat):
    """Sums and medians in exact fractions give the same bits, ties of flat pictures included."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    if flat is not None:
        pixels[:] = flat
    assert blockhash(pixels, 8) == blockhash_by_the_book(pixels, 8)


def test_perception_is_the_librarys_call_or_absent_for_a_reason(picture):
    """Where perception is installed its own vectors come out; elsewhere a line says what to do."""
    names = {"PHash": "phash", "DHash": "dhash", "AverageHash": "ahash", "WaveletHash": "whash"}
    if "perception-phash-64" not in PLUGINS:
        for name in names.values():
            assert "rich < 14" in absent()[f"perception-{name}-64"]
            assert "\n" not in absent()[f"perception-{name}-256"]
        return
    hashers = __import__("perception.hashers").hashers
    for hasher, name in names.items():
        for side in (8, 16):
            vector = getattr(hashers, hasher)(hash_size=side).compute(np.asarray(picture), hash_format="vector")
            assert plugin_named(f"perception-{name}-{side**2}").hash_of(picture) == np.packbits(vector).tobytes()


def test_perceptions_vectors_are_packed(picture, monkeypatch):
    """A vector of truth values becomes bytes, first value highest, and no vector no hash."""

    class PHash:
        def __init__(self, hash_size: int) -> None:
            self.side = hash_size

        def compute(self, image: np.ndarray, hash_format: str) -> np.ndarray | None:
            assert (image.shape[2], hash_format) == (3, "vector")
            return np.arange(self.side**2) % 4 == 0 if image.shape[0] > 1 else None

    def unpackaged(package: str) -> str:
        raise PackageNotFoundError(package)

    module = types.ModuleType("perception.hashers")
    module.PHash = PHash
    monkeypatch.setitem(sys.modules, "perception", types.ModuleType("perception"))
    monkeypatch.setitem(sys.modules, "perception.hashers", module)
    hashes._perception_hasher.cache_clear()
    try:
        monkeypatch.setattr(hashes, "version", unpackaged)
        assert plugin_named("perception-phash-64").version == "unknown"
        assert plugin_named("perception-phash-64").hash_of(picture) == b"\x88" * 8
        assert plugin_named("perception-phash-256").hash_of(picture.resize((9, 1))) is None
    finally:
        hashes._perception_hasher.cache_clear()


def test_an_absent_hash_says_why(monkeypatch):
    """A library that can't be imported takes its plug-ins off the list and leaves the reason."""
    monkeypatch.setitem(sys.modules, "pdqhash", None)
    assert "pdqhash" not in available()
    assert absent()["pdqhash"].startswith("pdqhash can't be imported (")
    with pytest.raises(ArgumentError, match="the hash pdqhash is absent here: pdqhash can't be imported"):
        plugin_named("pdqhash")


def test_an_unknown_hash_lists_the_known():
    """A typing mistake is told apart from an absent library."""
    with pytest.raises(UnknownNameError, match=r"no hash named 'pqd'; known: pdq, pdq-512, .*, module:function"):
        plugin_named("pqd")


def test_a_users_function_is_a_plugin(picture):
    """A function of any importable module works, here and in another process; its source is its version."""
    place = f"{__name__}:top_left"
    plugin = plugin_named(place)
    assert (plugin.name, plugin.bits) == (place, 16)
    assert plugin.version.startswith("source ")
    assert plugin.hash_of(picture) == bytes(picture.getpixel((0, 0))[:2])
    assert plugin.hash_of(Image.new("RGBA", (3, 3), (1, 2, 3, 0))) == b"\xff\xff"
    assert pickle.loads(pickle.dumps(plugin)).hash_of(picture) == plugin.hash_of(picture)
    script = (
        "from PIL import Image; from benchmarks.accuracy.hashes import plugin_named\n"
        f"print(plugin_named({place!r}).hash_of(Image.new('RGB', (1, 1), (7, 8, 9))).hex())"
    )
    assert run_python(script).strip() == "0708"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (f"{__name__}:missing", "there is no function"),
        ("no_such_module:hash", "there is no function"),
        (":hash", "there is no function"),
        (f"{__name__}:NOT_A_FUNCTION", "is a int, not a function"),
        (f"{__name__}:text", "it has to give bytes"),
        (f"{__name__}:nothing", "it has to give bytes"),
    ],
)
def test_what_is_no_users_hash_is_refused_at_once(place, why):
    """Before a picture is measured it is clear that there is a function and that it gives bytes."""
    with pytest.raises(ArgumentError, match=why):
        plugin_named(place)


def test_a_hash_of_another_length_is_an_error():
    """A plug-in that changes its length or type does so loudly."""
    plugin = plugin_named(f"{__name__}:growing")
    assert plugin.bits == 8 * 64
    assert plugin.hash_of(Image.new("RGB", (64, 1))) == bytes(64)
    with pytest.raises(HashShapeError, match="growing gave 3 bytes where its 512 bits or None were due"):
        plugin.hash_of(Image.new("RGB", (3, 1)))
    with pytest.raises(HashShapeError, match="gave str where"):
        hashes.HashPlugin("odd", 16, text, "1", "").hash_of(Image.new("RGB", (3, 1)))


def test_quality_is_that_of_pdq(picture):
    """A flat picture has none; a photograph has what hash_pixels says."""
    assert quality_of(Image.new("L", (100, 100), 90)) == 0
    assert quality_of(picture) == hash_pixels(np.asarray(picture)).quality > 50
