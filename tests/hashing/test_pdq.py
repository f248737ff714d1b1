"""PDQ, bit for bit and quality for quality what pdqhash gives on the same pixels."""

from __future__ import annotations

import numpy as np
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scanner.errors import HashShapeError
from scanner.hashing import hash_pixels
from scanner.hashing.pdq import SMALLEST_SIDE, pdq, pdq_512, pdq_dihedral, quality_of
from scanner.media import decode
from tests import oracle
from tests.strategies import pixels


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """Three channels, which is what pdqhash takes; grey is equal in all three."""
    return np.dstack([picture] * 3) if picture.ndim == 2 else picture


def published(picture: np.ndarray) -> tuple[bytes, int]:
    """Hash and quality by pdqhash."""
    vector, quality = pdqhash.compute(as_rgb(picture))
    return np.packbits(vector).tobytes(), quality


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """The worst picture for rounding: no two neighbours alike."""
    shape = (height, width, channels)[: 3 if channels > 1 else 2]
    return np.random.default_rng(1000 * height + width).integers(0, 256, shape, np.uint8)


def ramps(height: int, width: int, channels: int = 3) -> np.ndarray:
    """The most even picture that is not flat: a slope, another one for each channel."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * (channel + 1) + y * 2) % 256 for channel in range(channels)]
    return (
        np.squeeze(np.stack(planes, 2).astype(np.uint8), 2) if channels == 1 else np.stack(planes, 2).astype(np.uint8)
    )


def test_photographs_hash_as_pdqhash_hashes_them(photograph):
    """Hash and quality of every bundled photograph are the published ones."""
    picture = decode(photograph).pixels
    assert pdq(picture) == published(picture)


def test_grey_photographs_hash_as_pdqhash_hashes_them(photograph):
    """The same for one channel."""
    picture = np.asarray(Image.open(photograph).convert("L"))
    assert pdq(picture) == published(picture)


@pytest.mark.parametrize("draw", [noise, ramps])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_width_and_height_hashes_as_pdqhash_hashes_it(draw, channels):
    """Widths and heights from 1 to 200 each, with every remainder of the band of sixteen."""
    wrong = []
    for side in range(1, 201):
        for shape in ((side, 201 - side), (side, 1 + side * 7 % 200), (side, side)):
            picture = draw(*shape, channels)
            if pdq(picture) != published(picture):
                wrong.append(shape)
    assert wrong == []


@pytest.mark.parametrize("width", [5, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 385, 1000, 2600])
@pytest.mark.parametrize("narrow", [5, 6, 15, 16, 64, 129])
def test_long_and_narrow_pictures_hash_as_pdqhash_hashes_them(width, narrow):
    """Where windows change size and rows run out, along either axis."""
    for shape in ((narrow, width), (width, narrow)):
        assert pdq(noise(*shape)) == published(noise(*shape)), shape
        assert pdq(noise(*shape, 1)) == published(noise(*shape, 1)), shape


@settings(max_examples=150)
@given(height=st.integers(1, 420), width=st.integers(1, 420), channels=st.sampled_from([1, 3]))
def test_any_size_hashes_as_pdqhash_hashes_it(height, width, channels):
    """Sizes drawn at random."""
    picture = noise(height, width, channels)
    assert pdq(picture) == published(picture)


@given(picture=pixels(smallest=5, largest=40))
def test_small_pictures_hash_as_the_oracle_hashes_them(picture):
    """The compiled filter equals the one written from the published steps."""
    assert pdq(picture) == oracle.pdq(picture)


@pytest.mark.parametrize("shape", [(64, 64), (5, 300), (300, 5), (40, 48), (130, 257), (64, 63)])
@pytest.mark.parametrize("channels", [1, 3])
def test_windows_of_every_kind_hash_as_the_oracle_hashes_them(shape, channels):
    """Windows of 1, 2 and 3, and the size that is not filtered at all."""
    picture = noise(*shape, channels)
    assert pdq(picture) == oracle.pdq(picture)


def test_the_oracle_is_pdqhash(astronaut):
    """The slow version is the published one too."""
    picture = decode(astronaut).pixels[100:300, 50:420]
    assert oracle.pdq(picture) == published(picture)


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_flat_pictures_have_quality_0(level):
    """A picture of one colour has no gradient, and hashes as pdqhash hashes it."""
    picture = np.full((90, 140, 3), level, np.uint8)
    assert pdq(picture) == published(picture)
    assert quality_of(picture) == 0


@pytest.mark.parametrize("short", range(SMALLEST_SIDE))
@pytest.mark.parametrize("compute", [pdq, pdq_512])
def test_pictures_with_a_side_under_5_have_no_hash(short, compute):
    """Zeros and quality 0, as published, whichever side is short."""
    for shape in ((short, 100, 3), (100, short, 3), (short, short), (short, 512)):
        assert compute(np.full(shape, 200, np.uint8)) == (bytes(32), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((9, 9), np.float32),
        np.zeros((9, 9, 3), np.int8),
        np.zeros((9, 9), np.uint16),
        np.zeros((9, 9), bool),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 1), np.uint8),
        np.zeros((9, 9, 3, 1), np.uint8),
        np.zeros(81, np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=lambda wrong: f"{wrong.dtype}{wrong.shape}",
)
@pytest.mark.parametrize("compute", [pdq, pdq_512, pdq_dihedral, quality_of, hash_pixels])
def test_other_shapes_and_dtypes_are_refused(compute, wrong):
    """Pixels are 8-bit grey or RGB; anything else is told, not guessed at."""
    with pytest.raises(HashShapeError, match="pixels are uint8"):
        compute(wrong)


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2, 1::3], np.s_[3:, 5:]])
def test_views_hash_as_their_copies(view):
    """Where the pixels lie in memory does not matter, and they are not written to."""
    picture = noise(90, 130)
    before = picture.copy()
    assert pdq(picture[view]) == pdq(picture[view].copy())
    fortran = np.asfortranarray(picture)
    assert pdq(fortran) == pdq(picture)
    np.testing.assert_array_equal(picture, before)


def test_read_only_pixels_are_hashed():
    """Pixels that may not be written are only read."""
    picture = noise(30, 40)
    picture.setflags(write=False)
    assert pdq(picture) == published(picture)


def test_a_hash_of_a_textured_picture_has_half_its_bits_set(photograph):
    """Half of the coefficients are above the median: distances between PDQ hashes are even."""
    data, _ = pdq(decode(photograph).pixels)
    assert int.from_bytes(data).bit_count() == 128
