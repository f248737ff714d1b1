"""The eight turns of a picture, all from one filtering, are pdqhash's."""

from __future__ import annotations

import numpy as np
import pdqhash
import pytest
from hypothesis import given

from scanner.hashing import Dihedral, pdq_dihedral
from scanner.hashing.pdq import pdq
from scanner.media import decode
from tests.hashing.test_pdq import as_rgb, noise
from tests.strategies import pixels


def published(picture: np.ndarray) -> tuple[list[bytes], int]:
    """The eight hashes, in order, and the quality by pdqhash."""
    vectors, quality = pdqhash.compute_dihedral(as_rgb(picture))
    return [np.packbits(vector).tobytes() for vector in vectors], quality


def test_photographs_turn_as_pdqhash_turns_them(photograph):
    """Order, bits and quality are the published ones."""
    picture = decode(photograph).pixels
    hashes, quality = pdq_dihedral(picture)
    assert (list(hashes), quality) == published(picture)


@pytest.mark.parametrize("shape", [(5, 5), (17, 90), (64, 65), (63, 64), (200, 131), (300, 20)])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_turns_as_pdqhash_turns_it(shape, channels):
    """The same for every kind of size but 64 x 64."""
    picture = noise(*shape, channels)
    hashes, quality = pdq_dihedral(picture)
    assert (list(hashes), quality) == published(picture)


@given(picture=pixels())
def test_the_first_is_the_hash_itself(picture):
    """The picture as it is comes first, with its quality."""
    hashes, quality = pdq_dihedral(picture)
    assert (hashes.original, quality) == pdq(picture)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_is_the_hash_itself_at_64_by_64_too(channels):
    """At the sample's own size pdqhash filters for the turns and not for the hash; here both are the hash."""
    picture = noise(64, 64, channels)
    hashes, quality = pdq_dihedral(picture)
    assert (hashes.original, quality) == pdq(picture)


TURNS = {
    "rotated_90": lambda pixels: np.rot90(pixels),
    "rotated_180": lambda pixels: np.rot90(pixels, 2),
    "rotated_270": lambda pixels: np.rot90(pixels, 3),
    "flipped_vertically": lambda pixels: pixels[::-1],
    "flipped_horizontally": lambda pixels: pixels[:, ::-1],
    "rotated_90_flipped_vertically": lambda pixels: np.rot90(pixels)[::-1],
    "rotated_90_flipped_horizontally": lambda pixels: np.rot90(pixels)[:, ::-1],
}


@pytest.mark.parametrize("name", TURNS)
def test_a_turn_is_close_to_the_hash_of_the_turned_picture(name, astronaut):
    """A name says what was done to the picture."""
    picture = decode(astronaut).pixels
    hashes, _ = pdq_dihedral(picture)
    turned, _ = pdq(np.ascontiguousarray(TURNS[name](picture)))
    distances = {
        other: (int.from_bytes(getattr(hashes, other)) ^ int.from_bytes(turned)).bit_count()
        for other in Dihedral._fields
    }
    assert min(distances, key=distances.get) == name
    assert distances[name] <= 16
