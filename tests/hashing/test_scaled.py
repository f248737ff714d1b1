"""A picture decoded scaled down hashes by the filter of its stored size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import HashShapeError
from scanner.hashing import _scaled_kernels as kernels
from scanner.hashing.pdq import pdq, pdq_scaled
from scanner.media import Scale
from tests import oracle
from tests.conftest import run_python

SIDE = oracle.SIDE


def tents(size: int) -> np.ndarray:
    """What every stored pixel of a line adds to every sample, float64 (64, size): both box passes and the sampling,
    done to each unit vector."""
    window = (size + 127) // 128
    ahead = (window + 2) // 2 - 1
    lines = np.eye(size)
    for _ in range(2):
        lines = np.array([lines[max(0, k + ahead - window + 1) : k + ahead + 1].mean(axis=0) for k in range(size)])
    return lines[[int((i + 0.5) * size / SIDE) for i in range(SIDE)]]


def summed(weights: np.ndarray, block: int, before: int) -> np.ndarray:
    """The weights (64, size) added up under each block, the first of which begins before the line does."""
    size = weights.shape[1]
    blocks = [range(begin, begin + block) for begin in range(-before, size, block)]
    return np.array([sum(weights[:, k] for k in one if 0 <= k < size) for one in blocks]).T


def sample_by_oracle(pixels: np.ndarray, scale: Scale) -> np.ndarray:
    """The 64 x 64 sample, float64."""
    rows = summed(tents(scale.height), scale.block, scale.before[0])
    columns = summed(tents(scale.width), scale.block, scale.before[1])
    return rows @ pixels @ columns.T


def sample_by_kernels(pixels: np.ndarray, scale: Scale) -> np.ndarray:
    """The same as pdq_scaled has it computed."""
    sides = []
    for size, before in zip((scale.height, scale.width), scale.before, strict=True):
        first = np.empty(SIDE, np.int64)
        weights = np.zeros((SIDE, kernels.reach(size, scale.block)), np.float32)
        kernels.weights_into(size, scale.block, before, first, weights)
        sides += [first, weights]
    sample = np.empty((SIDE, SIDE), np.float32)
    kernels.project_into(pixels, *sides, np.zeros((SIDE, pixels.shape[1]), np.float32), sample)
    return sample


def scaled(scale: Scale, seed: int = 0) -> np.ndarray:
    """Scaled pixels, uint8 (h, w), blotchy like a photograph: noise over coarser noise."""
    random = np.random.default_rng(seed)
    height, width = (
        -(-(size + before) // scale.block)
        for size, before in zip((scale.height, scale.width), scale.before, strict=True)
    )
    coarse = random.integers(0, 200, (-(-height // 5), -(-width // 5))).repeat(5, 0).repeat(5, 1)[:height, :width]
    return (coarse + random.integers(0, 56, (height, width))).astype(np.uint8)


def stored(pixels: np.ndarray, scale: Scale) -> np.ndarray:
    """The stored picture of which every block has one level."""
    down, along = scale.before
    whole = pixels.repeat(scale.block, 0).repeat(scale.block, 1)
    return np.ascontiguousarray(whole[down : down + scale.height, along : along + scale.width])


AWKWARD = [
    Scale(1024, 1024, 2, (0, 0)),
    Scale(1025, 1537, 2, (0, 0)),
    Scale(1025, 1537, 2, (1, 1)),
    Scale(517, 643, 4, (3, 0)),
    Scale(643, 517, 4, (0, 3)),
    Scale(771, 1283, 8, (5, 5)),
    Scale(771, 1283, 8, (0, 0)),
    Scale(1290, 127, 8, (6, 1)),
    Scale(128, 129, 2, (0, 1)),
    Scale(33, 60, 4, (0, 0)),
]


@st.composite
def scales(draw: st.DrawFn) -> Scale:
    """Sizes that leave enough to filter, with blocks that reach over either edge of a side, or neither."""
    block = draw(st.sampled_from([2, 4, 8]))
    sides = []
    for _ in range(2):
        size = draw(st.integers(5 * block, 400))
        sides.append((size, draw(st.sampled_from([0, -size % block]))))
    return Scale(sides[0][0], sides[1][0], block, (sides[0][1], sides[1][1]))


def test_the_tents_are_the_published_filter():
    """Applied to a whole picture they give the sample of the float32 steps."""
    picture = np.random.default_rng(1).integers(0, 256, (301, 430), np.uint8)
    by_tents = tents(301) @ picture @ tents(430).T
    np.testing.assert_allclose(by_tents, oracle.sampled(picture), atol=0.01)


@pytest.mark.parametrize("scale", AWKWARD, ids=str)
def test_samples_are_the_oracles(scale):
    """Every one of the 64 x 64 samples, to within float32's rounding."""
    pixels = scaled(scale)
    np.testing.assert_allclose(sample_by_kernels(pixels, scale), sample_by_oracle(pixels, scale), atol=0.001)


@settings(max_examples=40)
@given(scale=scales(), seed=st.integers(0, 9))
def test_samples_of_any_size_are_the_oracles(scale, seed):
    """The same for sizes drawn at random."""
    pixels = scaled(scale, seed)
    np.testing.assert_allclose(sample_by_kernels(pixels, scale), sample_by_oracle(pixels, scale), atol=0.001)


@given(size=st.integers(20, 5000), block=st.sampled_from([1, 2, 4, 8]), at_the_end=st.booleans())
def test_weights_of_a_sample_add_up_to_one(size, block, at_the_end):
    """A flat picture keeps its level, at the edges too."""
    before = 0 if at_the_end else -size % block
    first, weights = np.empty(SIDE, np.int64), np.zeros((SIDE, kernels.reach(size, block)), np.float32)
    if -(-(size + before) // block) >= weights.shape[1]:
        kernels.weights_into(size, block, before, first, weights)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        assert first.min() >= 0
        assert (first + weights.shape[1]).max() <= -(-(size + before) // block)


@pytest.mark.parametrize("scale", AWKWARD, ids=str)
def test_bits_are_the_oracles(scale):
    """A bit differs from the oracle's only where the coefficient is so near the median that rounding decides."""
    pixels = scaled(scale)
    sample = sample_by_oracle(pixels, scale)
    coefficients = oracle.coefficients(sample.astype(np.float32)).ravel()
    decided = np.abs(coefficients - np.sort(coefficients)[127]) > 0.01
    data, quality = pdq_scaled(pixels, scale)
    turned = np.unpackbits(np.frombuffer(data, np.uint8) ^ np.frombuffer(oracle.bits(coefficients), np.uint8))[::-1]
    assert not turned[decided].any()
    assert decided.sum() > 250
    assert abs(quality - oracle.quality(sample.astype(np.float32))) <= 1


@pytest.mark.parametrize("scale", AWKWARD, ids=str)
def test_pictures_of_even_blocks_hash_as_if_they_were_whole(scale):
    """Where nothing is lost by scaling, the hash is that of the stored picture, but for rounding at the median."""
    pixels = scaled(scale)
    data, quality = pdq_scaled(pixels, scale)
    whole, whole_quality = pdq(stored(pixels, scale))
    assert oracle.hamming(data, whole) <= 2
    assert abs(quality - whole_quality) <= 1


@settings(max_examples=40)
@given(scale=scales(), seed=st.integers(0, 9))
def test_pictures_of_even_blocks_of_any_size_hash_as_if_they_were_whole(scale, seed):
    """The same for sizes drawn at random."""
    if (scale.height, scale.width) == (SIDE, SIDE):
        return  # the one size that pdq does not filter
    pixels = scaled(scale, seed)
    assert oracle.hamming(pdq_scaled(pixels, scale)[0], pdq(stored(pixels, scale))[0]) <= 2


@pytest.mark.parametrize("scale", [Scale(1025, 1537, 2, (1, 1)), Scale(771, 1283, 8, (5, 5))], ids=str)
def test_where_the_blocks_begin_matters(scale):
    """A picture that was turned is not hashed as if its first blocks lay inside it."""
    pixels = scaled(scale)
    apart = np.abs(sample_by_kernels(pixels, scale) - sample_by_kernels(pixels, scale._replace(before=(0, 0))))
    assert apart.max() > 1


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((512, 512), np.float32),
        np.zeros((512, 512), np.int8),
        np.zeros((512, 512), bool),
        np.zeros((512, 512, 3), np.uint8),
        np.zeros((512, 512, 1), np.uint8),
        np.zeros(512 * 512, np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_other_shapes_and_dtypes_are_refused(pixels):
    """Scaled pixels are 8-bit luma."""
    with pytest.raises(HashShapeError, match="scaled pixels are uint8"):
        pdq_scaled(pixels, Scale(1024, 1024, 2, (0, 0)))


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((512, 512), Scale(1025, 1024, 2, (0, 0))),
        ((512, 512), Scale(1024, 1022, 2, (0, 0))),
        ((512, 512), Scale(1024, 1024, 4, (0, 0))),
        ((512, 512), Scale(1024, 1024, 2, (1, 0))),
        ((512, 512), Scale(1024, 1024, 2, (0, -1))),
        ((512, 512), Scale(1022, 1024, 2, (2, 0))),
        ((513, 512), Scale(1024, 1024, 2, (0, 0))),
        ((0, 512), Scale(0, 1024, 2, (0, 0))),
        ((3, 512), Scale(6, 1024, 2, (0, 0))),
        ((512, 2), Scale(4096, 16, 8, (0, 0))),
    ],
    ids=str,
)
def test_pixels_that_are_not_of_the_scale_are_refused(shape, scale):
    """The shape must be what the scale makes of the size, with enough pixels to filter."""
    with pytest.raises(HashShapeError, match="no picture scaled by"):
        pdq_scaled(np.zeros(shape, np.uint8), scale)


def test_pixels_are_only_read():
    """Read-only pixels do, and others stay as they are."""
    scale = AWKWARD[3]
    pixels = scaled(scale)
    before = pixels.copy()
    expected = pdq_scaled(pixels, scale)
    np.testing.assert_array_equal(pixels, before)
    assert pixels.flags.writeable
    pixels.setflags(write=False)
    assert pdq_scaled(pixels, scale) == expected


def results() -> list[object]:
    """Hash, quality and sample of small pictures."""
    out: list[object] = []
    for scale in (Scale(257, 300, 2, (0, 0)), Scale(259, 130, 4, (1, 2)), Scale(300, 700, 8, (4, 4))):
        data, quality = pdq_scaled(scaled(scale), scale)
        out.append([data.hex(), quality, sample_by_kernels(scaled(scale), scale).tobytes().hex()])
    return out


SCRIPT = """
import json
import numba
from tests.hashing.test_scaled import results

assert numba.config.DISABLE_JIT
print(json.dumps(results()))
"""


def test_kernels_give_the_same_with_the_compiler_off():
    """Samples, bits and quality are equal with the JIT on and off."""
    assert json.loads(run_python(SCRIPT, NUMBA_DISABLE_JIT="1")) == results()
