"""A picture printed and scanned, or photographed from its sheet.

Rules: those of ``alterations``. The screen keeps the middle tones, so that only ``gain`` and the paper change them.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.accuracy.alterations import curves, noise, reencode

PAPER, INK = 0.96, 0.07
"""How light blank paper and full ink look, of 1."""

_TURN = np.cos((np.arange(256) + 0.5) * (2 * np.pi / 256))
_INKED = np.linspace(0, 1, 257)
_WAVES = np.quantile(_TURN[:, None] + _TURN, _INKED)  # the share of a cell on which two waves add up to no more

SCREEN_ANGLES = (15, 75, 0)
"""Degrees of the halftone screens of red, green and blue light, as of cyan, magenta and yellow ink (ISO 12647-2)."""


def print_and_scan(
    image: Image.Image, *, rng: np.random.Generator, skew: float, cell: float, gain: float, grain: float
) -> Image.Image:
    """Print in halftone on white paper and scan or photograph the sheet: the size stays.

    Args:
        image: the picture.
        rng: for the corners and the sensor's noise.
        skew: the largest share of a side by which a corner is off.
        cell: the halftone cell as a share of the shorter side, three pixels at least.
        gain: the power by which ink spreads; over 1 darkens the middle tones.
        grain: sigma of the sensor's noise, in levels of 255.
    """
    size = max(3.0, cell * min(image.size))
    paper = Image.merge(
        "RGB", [_halftone(band, size, angle) for band, angle in zip(image.split(), SCREEN_ANGLES, strict=True)]
    )
    seen = paper.filter(ImageFilter.GaussianBlur(size * 0.45))  # the scanner's aperture hides most of the screen
    light = INK + (PAPER - INK) * (np.arange(256) / 255) ** gain
    seen = _askew(curves(seen, light, light * 0.995, light * 0.97), rng, skew)
    return reencode(noise(seen, rng=rng, sigma=grain, coloured=True), kind="JPEG", quality=90)


def _halftone(band: Image.Image, cell: float, degrees: float) -> Image.Image:
    """Dots whose share of their cell is the ink wanted; their edges are a pixel soft."""
    angle = 2 * math.pi / cell
    sine, cosine = math.sin(math.radians(degrees)) * angle, math.cos(math.radians(degrees)) * angle
    light = np.array(band)
    along = np.arange(light.shape[1], dtype=np.float32)
    for top in range(0, len(light), 128):
        strip = light[top : top + 128]
        down = np.arange(top, top + len(strip), dtype=np.float32)[:, None]
        wave = np.cos(along * cosine + down * sine) + np.cos(down * cosine - along * sine)
        threshold = np.interp(wave, _WAVES, _INKED)
        strip[:] = np.rint(255 * ((strip / np.float32(255) - threshold) * cell + 0.5).clip(0, 1))
    return Image.fromarray(light)


def _askew(image: Image.Image, rng: np.random.Generator, skew: float) -> Image.Image:
    """Look at the sheet from a little aside: each corner is seen elsewhere."""
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * image.size
    seen = corners + rng.uniform(-skew, skew, (4, 2)) * image.size
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, corners, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    numbers = np.linalg.solve(np.array(rows), np.array(values))
    ground = tuple(round(255 * PAPER * part) for part in (1, 0.995, 0.97))
    how = Image.Transform.PERSPECTIVE
    return image.transform(image.size, how, numbers.tolist(), Image.Resampling.BICUBIC, fillcolor=ground)
