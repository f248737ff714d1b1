"""The ladder of benign edits: what senders, apps and paper do to a picture, from hardly visible to heavy.

Rules: a rung is a value, found by its name in any process; its result follows from the picture, the seed and the
ladder's version alone; whoever changes what a rung does, or which there are, raises ``LADDER_VERSION``.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, features

from benchmarks.accuracy import alterations as alter
from benchmarks.accuracy import compositions as compose
from benchmarks.accuracy import printing
from benchmarks.accuracy.alterations import BLACK, WHITE, Size, as_rgb
from scanner.errors import UnknownNameError

LADDER_VERSION = 1


@dataclass(frozen=True, slots=True)
class Rung:
    """One edit at one strength.

    Attributes:
        family: the kind of edit, as ``"crop"``.
        name: unique, as ``"crop-left-5"``.
        strength: how much, a number of ``unit``.
        unit: what the strength counts.
        change: the function that edits an upright RGB picture.
        sized: the function that says which size comes out.
        settings: names and values that both are called with.
        codec: Pillow's name of the feature without which it can't be done, or empty.
    """

    family: str
    name: str
    strength: float
    unit: str
    change: Callable[..., Image.Image]
    sized: Callable[..., Size]
    settings: tuple[tuple[str, Any], ...]
    codec: str = ""

    @property
    def by_chance(self) -> bool:
        """Whether the seed matters."""
        return "rng" in inspect.signature(self.change).parameters

    @property
    def needs_others(self) -> bool:
        """Whether it takes other pictures."""
        return "others" in inspect.signature(self.change).parameters

    def size_after(self, size: Size) -> Size:
        """Say the width and height that come out for those that go in."""
        return self.sized(size, **dict(self.settings))

    def apply(self, image: Image.Image, seed: int, others: Sequence[Image.Image] = ()) -> Image.Image:
        """Edit a picture.

        Args:
            image: the picture, of any mode and size from one pixel on; it stays as it is.
            seed: what chance is drawn from, together with the rung's name and the ladder's version.
            others: pictures to put beside it; a rung that needs none ignores them.

        Returns:
            a new picture: RGB, upright, on white, without metadata, of :meth:`size_after`.

        Raises:
            ArgumentError: the rung needs other pictures and there are none.
            MediaError: the picture's mode has no agreed meaning.
        """
        given: dict[str, Any] = dict(self.settings)
        if self.by_chance:
            place = hashlib.sha256(f"{LADDER_VERSION}/{self.name}/{seed}".encode()).digest()
            given["rng"] = np.random.default_rng(int.from_bytes(place[:16]))
        if self.needs_others:
            given["others"] = others
        return self.change(as_rgb(image), **given)

    def described(self) -> dict[str, Any]:
        """Everything that makes the rung, for a report."""
        return {
            "family": self.family,
            "name": self.name,
            "strength": self.strength,
            "unit": self.unit,
            "change": self.change.__name__,
            "settings": dict(self.settings),
        }


def rung_named(name: str) -> Rung:
    """Find a rung.

    Raises:
        UnknownNameError: no rung of that name.
    """
    try:
        return LADDER[name]
    except KeyError:
        raise UnknownNameError("edit", name, tuple(LADDER)) from None


def missing() -> Mapping[str, str]:
    """Name the rungs that this machine's Pillow can't do, and why; in the others every Pillow is equal."""
    return {
        name: f"this Pillow was built without {rung.codec}"
        for name, rung in LADDER.items()
        if rung.codec and not features.check(rung.codec)
    }


def ladder_digest() -> str:
    """SHA-256 over the version and every rung's description, in order; hexadecimal."""
    whole = [LADDER_VERSION, *(rung.described() for rung in LADDER.values())]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _rungs() -> Iterator[Rung]:
    yield from _encodings()
    yield from _frames()
    yield from _turns()
    yield from _tones()
    yield from _additions()
    yield from _journeys()


def _rung(
    name: str,
    strength: float,
    unit: str,
    change: Callable[..., Image.Image],
    sized: Callable[..., Size] = alter.same_size,
    *,
    family: str = "",
    codec: str = "",
    **settings: Any,
) -> Rung:
    return Rung(family or name.split("-")[0], name, strength, unit, change, sized, tuple(settings.items()), codec)


def _encodings() -> Iterator[Rung]:
    for quality in (85, 75, 50, 30, 15):
        yield _rung(
            f"jpeg-q{quality}", quality, "quality", alter.reencode, alter.reencode_size,
            kind="JPEG", quality=quality, subsampling="4:2:0",
        )  # fmt: skip
    yield _rung("jpeg-saved-10-times", 10, "times at quality 70 and 75", alter.resave, quality=70, times=10)
    webp: dict[str, Any] = {"method": 2}
    avif: dict[str, Any] = {"speed": 8, "max_threads": 1}
    for kind, qualities, options in (("WEBP", (75, 50, 25), webp), ("AVIF", (60, 30), avif)):
        for quality in qualities:
            yield _rung(
                f"{kind.lower()}-q{quality}", quality, "quality", alter.reencode, alter.reencode_size,
                codec=kind.lower(), kind=kind, quality=quality, **options,
            )  # fmt: skip


def _frames() -> Iterator[Rung]:
    for factor in (0.25, 0.5, 1.5, 2.0):
        yield _rung(f"resize-{factor:g}", factor, "times each side", alter.scale, alter.scale_size, x=factor, y=factor)
    yield _rung("resize-0.25-and-back", 0.25, "times each side and back", alter.shrink_and_enlarge, factor=0.25)
    for x, y in ((0.9, 1.0), (1.0, 0.75)):
        yield _rung(f"resize-{x:g}x{y:g}", x * y, "times the area", alter.scale, alter.scale_size, x=x, y=y)
    for per_cent in (1, 2, 5, 10, 20):
        sides: dict[str, Any] = dict.fromkeys(("left", "top", "right", "bottom"), per_cent / 100)
        unit = "% off each side"
        yield _rung(f"crop-all-{per_cent}", per_cent, unit, alter.crop, alter.crop_size, **sides)
    for side in ("left", "top", "right", "bottom"):
        off: dict[str, Any] = {side: 0.1}
        yield _rung(f"crop-{side}-10", 10, "% off one side", alter.crop, alter.crop_size, **off)
    for name, x, y, colour in (
        ("black-above-below", 0.0, 0.17, BLACK),
        ("white-left-right", 0.17, 0.0, WHITE),
        ("blurred-above-below", 0.0, 0.39, None),
    ):
        unit = "% of a side, twice"
        yield _rung(f"pad-{name}", 100 * (x + y), unit, alter.pad, alter.pad_size, x=x, y=y, colour=colour)
    for name, tone, shares in (("black", BLACK, (2, 5, 10)), ("white", WHITE, (5,))):
        for share in shares:
            yield _rung(
                f"border-{name}-{share}", share, "% of the shorter side", alter.border, alter.border_size,
                share=share / 100, colour=tone,
            )  # fmt: skip


def _turns() -> Iterator[Rung]:
    for degrees in (90, 180, 270):
        how = f"ROTATE_{degrees}"
        yield _rung(f"rotate-{degrees}", degrees, "degrees", alter.transpose, alter.transpose_size, how=how)
    for degrees in (1, 2, 5):
        yield _rung(f"rotate-{degrees}", degrees, "degrees", alter.tilt, degrees=degrees)
    for degrees in (-2, 5):
        yield _rung(
            f"rotate-{degrees}-straightened", degrees, "degrees", alter.straighten, alter.straighten_size,
            degrees=degrees,
        )  # fmt: skip
    for name, how in (("left-right", "FLIP_LEFT_RIGHT"), ("top-bottom", "FLIP_TOP_BOTTOM")):
        yield _rung(f"mirror-{name}", 1, "mirrored", alter.transpose, alter.transpose_size, how=how)


def _tones() -> Iterator[Rung]:
    for share in (0.25, 0.5, 1):
        yield _rung(f"blur-{share:g}", share, "sigma, % of the shorter side", alter.blur, share=share / 100)
    yield _rung("blur-sharpened", 150, "% of unsharp mask", alter.sharpen, percent=150)
    for sigma in (4, 8, 16, 32):
        yield _rung(f"noise-{sigma}", sigma, "sigma, levels", alter.noise, sigma=sigma, coloured=False)
    yield _rung("noise-coloured-16", 16, "sigma, levels", alter.noise, sigma=16, coloured=True)
    for gamma in (0.5, 0.7, 1.4, 2.0):
        yield _rung(f"gamma-{gamma:g}", gamma, "power", alter.levels, gamma=gamma)
    for what in ("brightness", "contrast"):
        for factor in (0.7, 1.3):
            change: dict[str, Any] = {what: factor}
            yield _rung(f"colour-{what}-{factor:g}", factor, "times", alter.levels, **change)
    for factor in (0.0, 1.5):
        yield _rung(f"colour-saturation-{factor:g}", factor, "times", alter.saturate, factor=factor)
    yield _rung("colour-warm", 15, "% more red, less blue", alter.tint, red=1.15, green=1.0, blue=0.85)
    yield _rung("colour-autocontrast", 1, "% cut off", alter.autocontrast, cutoff=1.0)


def _additions() -> Iterator[Rung]:
    for share, lines in ((5, 1), (10, 1), (10, 3)):
        yield _rung(
            f"text-{lines}x{share}", share * lines, "% of the height", compose.captioned,
            height=share / 100, lines=lines, outlined=True,
        )  # fmt: skip
    yield _rung("text-on-bar-10", 10, "% of the height", compose.captioned, height=0.1, lines=1, outlined=False)
    yield _rung("text-sticker-20", 20, "% of the shorter side", compose.sticker, share=0.2)
    yield _rung("watermark-corner", 0.6, "opacity", compose.signed, height=0.06, opacity=0.6)
    for opacity in (0.15, 0.35):
        yield _rung(f"watermark-tiled-{opacity:g}", opacity, "opacity", compose.tiled, opacity=opacity)
    for above, below in ((0.12, 0.0), (0.25, 0.0), (0.15, 0.15)):
        name = f"meme-{above * 100:g}-{below * 100:g}"
        unit = "% of the height added"
        strength = 100 * (above + below)
        yield _rung(name, strength, unit, compose.meme, compose.meme_size, above=above, below=below)
    for columns, rows in ((2, 1), (2, 2), (3, 3)):
        yield _rung(
            f"collage-{columns}x{rows}", columns * rows, "pictures", compose.collage, compose.collage_size,
            columns=columns, rows=rows, gap=0.01,
        )  # fmt: skip
    yield _rung("collage-inset-30", 30, "% of each side covered", compose.inset, share=0.3)


def _journeys() -> Iterator[Rung]:
    yield _rung(
        "screenshot-trimmed", 1, "screen", compose.screenshot_trimmed, compose.screenshot_trimmed_size,
        screen=(1080, 2340), bar=90, dark=True,
    )  # fmt: skip
    for name, screen, bar, dark, room in (
        ("viewer", (1080, 2340), 90, True, (0.0, 0.0, 1.0, 1.0)),
        ("chat", (1080, 2340), 90, False, (0.2, 0.1, 0.97, 0.85)),
        ("desktop", (1920, 1080), 40, False, (0.0, 0.0, 1.0, 1.0)),
    ):
        yield _rung(
            f"screenshot-{name}", 1, "screen", compose.screenshot, compose.screenshot_size,
            screen=screen, bar=bar, dark=dark, room=room,
        )  # fmt: skip
    for name, skew, cell, gain, grain in (
        ("fine", 0.004, 1 / 300, 1.05, 2.0),
        ("office", 0.01, 1 / 200, 1.2, 4.0),
        ("coarse", 0.02, 1 / 100, 1.35, 8.0),
    ):
        yield _rung(
            f"print-scan-{name}", skew, "share of a side a corner is off", printing.print_and_scan,
            family="print-scan", skew=skew, cell=cell, gain=gain, grain=grain,
        )  # fmt: skip
    for longest, quality in ((1600, 85), (1600, 75), (1280, 80), (1280, 75)):
        yield _rung(
            f"messenger-{longest}-q{quality}", longest, "pixels of the longer side", alter.messenger,
            alter.messenger_size, longest=longest, quality=quality,
        )  # fmt: skip
    yield _rung(
        "messenger-forwarded-3-times", 3, "times", alter.messenger, alter.messenger_size,
        longest=1280, quality=75, times=3,
    )  # fmt: skip
    yield _rung(
        "messenger-preview", 320, "pixels of the longer side", alter.messenger, alter.messenger_size,
        longest=320, quality=40,
    )  # fmt: skip


LADDER: Mapping[str, Rung] = MappingProxyType({rung.name: rung for rung in _rungs()})
"""Every rung by its name, in order of families and rising or falling strength."""
