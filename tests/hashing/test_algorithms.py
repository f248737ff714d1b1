"""Every algorithm through one door: bits are those of the field's own tools."""

from __future__ import annotations

import imagehash
import numpy as np
import pdqhash
import pytest
from PIL import Image

from scanner.errors import MediaError, UnknownNameError
from scanner.hashing import HASHERS, hash_picture, hash_pixels
from scanner.hashing.pdq import pdq, pdq_512, pdq_scaled, quality_of
from scanner.media import Accuracy, Limits, decode
from scanner.profiles import ALGORITHMS
from tests.conftest import encoded
from tests.hashing.test_pdq import as_rgb, noise, published

IMAGEHASHES = ["phash", "dhash", "whash"]


def test_hex_is_what_threatexchange_exchanges(photograph):
    """The text form is the number that pdqhash's vector spells, as threatexchange's pdq_hasher writes it."""
    picture = decode(photograph).pixels
    vector, quality = pdqhash.compute(as_rgb(picture))
    exchanged = "{:064x}".format(int("".join(str(bit) for bit in vector), 2))
    known = hash_pixels(picture)
    assert (known.hash.hex, known.quality) == (exchanged, quality)


@pytest.mark.parametrize("algorithm", IMAGEHASHES)
def test_imagehash_algorithms_give_what_imagehash_prints(algorithm, photograph):
    """The text form of a 64-bit hash is that of imagehash; quality is PDQ's."""
    image = Image.open(photograph)
    image = image if image.mode in {"L", "RGB"} else image.convert("RGB")
    known = hash_pixels(np.asarray(image), algorithm)
    assert known.hash.hex == str(getattr(imagehash, algorithm)(image))
    assert known.hash.algorithm == algorithm
    assert known.quality == quality_of(np.asarray(image))


@pytest.mark.parametrize("algorithm", IMAGEHASHES)
@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (33, 20), (64, 64), (120, 17)])
def test_imagehash_algorithms_give_what_imagehash_prints_for_small_pictures(algorithm, shape):
    """The same for odd sizes and for grey."""
    for channels in (1, 3):
        picture = noise(*shape, channels)
        expected = str(getattr(imagehash, algorithm)(Image.fromarray(picture)))
        assert hash_pixels(picture, algorithm).hash.hex == expected


@pytest.mark.parametrize("algorithm", IMAGEHASHES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 3), (5, 5, 3)])
def test_pictures_smaller_than_a_hash_still_have_one(algorithm, shape):
    """Few pixels give eight bytes, not an error."""
    known = hash_pixels(np.full(shape, 90, np.uint8), algorithm)
    assert known.hash.bits == 64
    assert known.quality == 0


@pytest.mark.parametrize("algorithm", HASHERS)
def test_hashes_have_their_algorithms_name_and_length(algorithm, astronaut):
    """What comes out says what it is; the settings hold."""
    known = hash_picture(astronaut, algorithm)
    assert (known.hash.algorithm, known.hash.bits) == (algorithm, ALGORITHMS[algorithm].bits)
    assert known.quality == 100


@pytest.mark.parametrize("shape", [(513, 100), (100, 513), (1024, 700), (513, 513), (2000, 1500), (6, 5000)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_512_lineage_hashes_the_nearest_neighbour_picture(shape, channels):
    """A side over 512 takes the whole picture to 512 x 512, pixel floor(i side / 512) each."""
    picture = noise(*shape, channels)
    rows = [i * shape[0] // 512 for i in range(512)]
    columns = [i * shape[1] // 512 for i in range(512)]
    assert pdq_512(picture) == published(np.ascontiguousarray(picture[rows][:, columns]))


@pytest.mark.parametrize("shape", [(512, 512), (512, 20), (5, 5), (300, 451)])
def test_the_lineages_agree_up_to_512(shape):
    """A picture that fits is not resized."""
    picture = noise(*shape)
    assert pdq_512(picture) == pdq(picture)


@pytest.mark.parametrize("algorithm", ["", "PDQ", "pdq512", "md5"])
def test_unknown_algorithms_are_refused(algorithm, astronaut):
    """A name is exact; nothing is decoded for one that does not exist."""
    with pytest.raises(UnknownNameError, match="no algorithm named"):
        hash_pixels(np.zeros((9, 9), np.uint8), algorithm)
    with pytest.raises(UnknownNameError, match="no algorithm named"):
        hash_picture(astronaut, algorithm)


def test_ink_hashes_as_light(photograph):
    """A CMYK JPEG of a photograph is within 10 bits of its RGB twin: ink is not taken for colour."""
    image = Image.open(photograph).convert("RGB")
    light = hash_picture(encoded(image, "JPEG", quality=95))
    ink = hash_picture(encoded(image.convert("CMYK"), "JPEG", quality=95))
    assert light.hash.distance(ink.hash) <= 10


def test_fast_decoding_moves_the_hash_by_few_bits(photograph):
    """A photograph as JPEG, its luma alone, is within 10 bits of the whole picture."""
    data = photograph.read_bytes()
    if photograph.suffix == ".png":
        data = encoded(Image.open(photograph).convert("RGB"), "JPEG", quality=90)
    whole = hash_picture(data)
    fast = hash_picture(data, accuracy=Accuracy.FAST)
    assert whole.hash.distance(fast.hash) <= 10


@pytest.mark.parametrize("algorithm", HASHERS)
def test_only_algorithms_that_bear_it_are_decoded_fast(algorithm, astronaut):
    """For the others FAST is REFERENCE: hash and quality do not move at all."""
    data = encoded(Image.open(astronaut).convert("RGB").resize((2100, 2100)), "JPEG")
    fast = decode(data, accuracy=Accuracy.FAST)
    known = hash_picture(data, algorithm, accuracy=Accuracy.FAST)
    if HASHERS[algorithm].tolerates_fast_decode:
        assert (known.hash.data, known.quality) == pdq_scaled(fast.pixels, fast.scale)
    else:
        assert known == hash_pixels(decode(data).pixels, algorithm)


def test_limits_reach_the_decoder(astronaut):
    """Bounds hold through this door too."""
    with pytest.raises(MediaError, match="limit"):
        hash_picture(astronaut, limits=Limits(max_pixels=10))
