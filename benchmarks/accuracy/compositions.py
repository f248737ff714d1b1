"""Benign edits that put a picture together with something else: words, a screen, other pictures, paper.

Rules: those of ``alterations``. The letters are those that Pillow brings with it, so no machine's fonts matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from benchmarks.accuracy.alterations import BLACK, WHITE, Size, as_rgb, fitted
from scanner.errors import ArgumentError

WORDS = (
    "good morning",
    "look at this",
    "happy birthday",
    "best day ever",
    "see you there",
    "so true",
    "wish you were here",
)


def captioned(
    image: Image.Image, *, rng: np.random.Generator, height: float, lines: int, outlined: bool
) -> Image.Image:
    """Write lines over the picture, each a share of its height, at a place of chance; outlined letters, or on a bar."""
    out = image.copy()
    draw = ImageDraw.Draw(out)
    line = max(1, round(image.height * height))
    first = int(rng.integers(0, max(1, image.height - line * lines)))
    for number in range(lines):
        box = (0, first + line * number, image.width, first + line * (number + 1))
        if not outlined:
            draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), BLACK)
        _write(draw, _words(rng), box, WHITE, outlined=outlined)
    return out


def sticker(image: Image.Image, *, rng: np.random.Generator, share: float) -> Image.Image:
    """Put a yellow face on the picture, as wide as a share of its shorter side, at a place of chance."""
    out = image.copy()
    side = max(1, round(min(image.size) * share))
    x, y = (int(rng.integers(0, length - side + 1)) for length in image.size)
    draw = ImageDraw.Draw(out)
    draw.ellipse((x, y, x + side - 1, y + side - 1), (255, 204, 51))
    for eye in (0.34, 0.66):
        draw.circle((x + side * eye, y + side * 0.4), side * 0.06, BLACK)
    draw.arc((x + side * 0.25, y + side * 0.3, x + side * 0.75, y + side * 0.8), 20, 160, BLACK, max(1, side // 20))
    return out


def signed(image: Image.Image, *, rng: np.random.Generator, height: float, opacity: float) -> Image.Image:
    """Put a half-transparent line in a corner of chance: a photographer's name or an app's."""
    mask = Image.new("L", image.size)
    line, wide = max(1, round(image.height * height)), max(1, image.width // 2)
    x = int(rng.integers(0, 2)) * (image.width - wide)
    y = int(rng.integers(0, 2)) * (image.height - line)
    _write(ImageDraw.Draw(mask), "© " + _words(rng), (x, y, x + wide, y + line), 255)
    return _laid_on(image, mask, opacity)


def tiled(image: Image.Image, *, opacity: float) -> Image.Image:
    """Cover with a slanting, half-transparent mark again and again, as picture agencies do."""
    side = math.ceil(math.hypot(*image.size)) + 2
    line = max(1, side // 24)
    mark = Image.new("L", (8 * line, 3 * line))
    _write(ImageDraw.Draw(mark), "preview", (0, line, 7 * line, 2 * line), 255)
    mask = Image.new("L", (side, side))
    for row in range(math.ceil(side / mark.height)):
        for column in range(-1, math.ceil(side / mark.width)):
            mask.paste(mark, (column * mark.width + row % 2 * 4 * line, row * mark.height))
    x, y = (side - image.width) // 2, (side - image.height) // 2
    mask = mask.rotate(30, Image.Resampling.BILINEAR).crop((x, y, x + image.width, y + image.height))
    return _laid_on(image, mask, opacity)


def meme(image: Image.Image, *, rng: np.random.Generator, above: float, below: float) -> Image.Image:
    """Put white strips with black words above and below, each a share of the picture's height."""
    width, height = meme_size(image.size, above=above, below=below)
    out = Image.new("RGB", (width, height), WHITE)
    top = round(image.height * above)
    out.paste(image, (0, top))
    draw = ImageDraw.Draw(out)
    for box in ((0, 0, width, top), (0, top + image.height, width, height)):
        _write(draw, _words(rng), box, BLACK)
    return out


def meme_size(size: Size, *, above: float, below: float) -> Size:
    """Higher by both strips."""
    return size[0], size[1] + round(size[1] * above) + round(size[1] * below)


def screenshot(
    image: Image.Image, *, rng: np.random.Generator, screen: Size, bar: int, dark: bool, room: tuple[float, ...]
) -> Image.Image:
    """Show the picture on a screen: a status bar above, and the picture fitted into the middle of its room.

    Args:
        image: the picture.
        rng: for the time and the charge shown.
        screen: width and height in pixels.
        bar: height of the status bar in pixels.
        dark: light letters on black, or dark ones on white.
        room: left, top, right and bottom of where the picture goes, as shares of what the bar leaves.
    """
    ground, letters = (BLACK, WHITE) if dark else (WHITE, BLACK)
    out = Image.new("RGB", screen, ground)
    wide, high = screen[0], screen[1] - bar
    left, top, right, bottom = room
    space = (round(wide * (right - left)), round(high * (bottom - top)))
    size = fitted(image.size, space)
    place = (round(wide * left) + (space[0] - size[0]) // 2, bar + round(high * top) + (space[1] - size[1]) // 2)
    out.paste(image.resize(size, Image.Resampling.LANCZOS), place)
    _status_bar(out, bar, ground, letters, rng)
    if top > 0:
        _write(ImageDraw.Draw(out), _words(rng), (bar, bar, wide, bar + max(1, round(high * top / 2))), letters)
    if bottom < 1:
        rest = screen[1] - round(high * (1 - bottom) / 2)
        ImageDraw.Draw(out).rounded_rectangle((bar, rest - bar, wide - bar, rest), bar // 2, outline=letters, width=3)
    return out


def screenshot_size(size: Size, *, screen: Size, **_: object) -> Size:
    """The screen's own size."""
    return screen


def screenshot_trimmed(
    image: Image.Image, *, rng: np.random.Generator, screen: Size, bar: int, dark: bool
) -> Image.Image:
    """The same, cut by hand to the picture and the bar above it."""
    width, height = screenshot_trimmed_size(image.size, screen=screen, bar=bar)
    ground, letters = (BLACK, WHITE) if dark else (WHITE, BLACK)
    out = Image.new("RGB", (width, height), ground)
    out.paste(image.resize((width, height - bar), Image.Resampling.LANCZOS), (0, bar))
    _status_bar(out, bar, ground, letters, rng)
    return out


def screenshot_trimmed_size(size: Size, *, screen: Size, bar: int, **_: object) -> Size:
    """The picture fitted into the screen below the bar, and the bar."""
    width, height = fitted(size, (screen[0], screen[1] - bar))
    return width, height + bar


def collage(
    image: Image.Image, *, rng: np.random.Generator, others: Sequence[Image.Image], columns: int, rows: int, gap: float
) -> Image.Image:
    """Lay the picture in one field of a grid, by chance, and others in the rest, cut to the field's proportions.

    Raises:
        ArgumentError: there is no other picture.
    """
    _need(others)
    width, height = collage_size(image.size, columns=columns, rows=rows)
    own = int(rng.integers(0, columns * rows))
    first = int(rng.integers(0, len(others)))
    margin = round(gap * min(width, height) / 2)
    out = Image.new("RGB", (width, height), WHITE)
    for field in range(columns * rows):
        column, row = field % columns, field // columns
        left, right = (width * edge // columns for edge in (column, column + 1))
        top, bottom = (height * edge // rows for edge in (row, row + 1))
        size = (max(1, right - left - 2 * margin), max(1, bottom - top - 2 * margin))
        if field == own:
            part = image.resize(size, Image.Resampling.LANCZOS)
        else:
            part = _cut_to(others[(first + field) % len(others)], size)
        out.paste(part, (left + margin, top + margin))
    return out


def collage_size(size: Size, *, columns: int, rows: int, **_: object) -> Size:
    """Fields of the picture's proportions, the longer side of the grid as many pixels as the picture has there."""
    most = max(columns, rows)
    return max(1, round(size[0] * columns / most)), max(1, round(size[1] * rows / most))


def inset(image: Image.Image, *, rng: np.random.Generator, others: Sequence[Image.Image], share: float) -> Image.Image:
    """Put another picture into a corner of chance, as a camera app with two lenses does.

    Raises:
        ArgumentError: there is no other picture.
    """
    _need(others)
    out = image.copy()
    other = others[int(rng.integers(0, len(others)))]
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    corner = tuple(int(rng.integers(0, 2)) * (length - part) for length, part in zip(image.size, size, strict=True))
    out.paste(_cut_to(other, size), (corner[0], corner[1]))
    return out


def _need(others: Sequence[Image.Image]) -> None:
    if not others:
        raise ArgumentError("this edit puts other pictures beside the one; give at least one")


def _cut_to(image: Image.Image, size: Size) -> Image.Image:
    """Fill a size with the middle of a picture."""
    return ImageOps.fit(as_rgb(image), size, Image.Resampling.LANCZOS)


def _laid_on(image: Image.Image, mask: Image.Image, opacity: float) -> Image.Image:
    return Image.composite(Image.new("RGB", image.size, WHITE), image, mask.point([opacity * v for v in range(256)]))


def _words(rng: np.random.Generator) -> str:
    return WORDS[int(rng.integers(0, len(WORDS)))]


def _status_bar(
    out: Image.Image, bar: int, ground: tuple[int, int, int], letters: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """Time on the left, charge on the right."""
    draw = ImageDraw.Draw(out)
    draw.rectangle((0, 0, out.width - 1, bar - 1), ground)
    hour, minute, charge = (int(rng.integers(0, most)) for most in (24, 60, 101))
    inner = (bar // 4, bar - bar // 4)
    _write(draw, f"{hour:02}:{minute:02}", (0, inner[0], out.width // 4, inner[1]), letters)
    _write(draw, f"5G {charge} %", (out.width * 3 // 4, inner[0], out.width, inner[1]), letters)


def _write(
    draw: ImageDraw.ImageDraw,
    words: str,
    box: tuple[int, int, int, int],
    colour: tuple[int, int, int] | int,
    *,
    outlined: bool = False,
) -> None:
    """Write in the middle of a box, as large as fits; nothing where not a pixel of height is left."""
    width, height = box[2] - box[0], box[3] - box[1]
    size = min(height * 0.8, width / (0.55 * len(words)))
    if size < 1:
        return
    font = ImageFont.load_default(size)
    place = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    edge = max(1, round(size / 14)) if outlined else 0
    draw.text(place, words, colour, font, "mm", stroke_width=edge, stroke_fill=BLACK if outlined else None)
