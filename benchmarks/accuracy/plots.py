"""Charts as SVG text for a page: readable at 360 pixels, in light and dark, without colour and read aloud.

Rules: a chart is drawn 360 units wide, so its letters keep their size on a small screen; colours are the page's own
(classes ``s0`` to ``s11``), and every series has its own dashes and marks too; what a log axis can't show is left out
and counted in the chart's description.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 360, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 38
BOTTOM_OF_NAMES = 26
LETTER = 3.8
"""Height that a letter of a turned label takes."""
STYLES = 12
DASHES = ("", "6 3", "2 2", "8 2 2 2", "4 4", "10 3", "1 3", "6 2 1 2", "3 1", "12 4", "5 1 1 1", "2 6")
TICKS_BELOW, TICKS_BESIDE = 42, 26
"""Least distance of two, so that they can be read."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour.

    Attributes:
        name: as in the legend.
        points: in order of x.
        style: number of its colour and dashes; the same for one hash in every chart.
        whiskers: x, low and high of each interval; none if left out.
        marked: whether points have a mark.
    """

    name: str
    points: Sequence[Point]
    style: int
    whiskers: Sequence[tuple[float, float, float]] = ()
    marked: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values along one side.

    Attributes:
        label: what is counted, with its unit.
        low, high: ends; both over 0 if logarithmic.
        log: whether it is.
        names: of places 0, 1, 2 ... that are written instead of numbers; none for numbers.
    """

    label: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    @property
    def room(self) -> int:
        """Height that its labels take below a chart."""
        return BOTTOM_OF_NAMES + int(LETTER * max(map(len, self.names))) if self.names else BOTTOM

    def place(self, value: float, length: float) -> float:
        """Where a value lies, from 0 to ``length``; values outside lie on the end."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return length * (at - low) / (high - low)

    def ticks(self, length: float, gap: float) -> list[float]:
        """Round values to write at the axis, not nearer than they can be read."""
        if self.names:
            return [float(number) for number in range(len(self.names))]
        most = max(2, int(length // gap))
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, -(-(last - first + 1) // most))
            if last - first < 2:
                within = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5)]
                return [value for value in within if self.low <= value * 1.0001 and value <= self.high * 1.0001]
            return [10.0**power for power in range(first, last + 1, step)]
        width = _round_step((self.high - self.low) / most)
        first = math.ceil(self.low / width - 1e-9)
        return [number * width for number in range(first, math.floor(self.high / width + 1e-9) + 1)]


def log_axis(label: str, values: Sequence[float]) -> Axis:
    """A log axis over all values over 0, from 1, 2 or 5 of a decade to another; a decade at least."""
    some = [value for value in values if value > 0] or [1.0]
    low, high = _round_down(min(some)), 1 / _round_down(1 / max(some))
    while high < 9.99 * low:
        low = _round_down(low * 0.99)
    return Axis(label, low, high, log=True)


def named_axis(label: str, names: Sequence[str]) -> Axis:
    """An axis of so named places, one after the other."""
    return Axis(label, -0.5, len(names) - 0.5, names=tuple(names))


def span(label: str, values: Sequence[float]) -> Axis:
    """A plain axis over all values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return Axis(label, low, high if high > low else low + 1)


def chart(series: Sequence[Series], x: Axis, y: Axis, title: str, told: str) -> str:
    """Draw lines with marks and whiskers.

    Args:
        series: in the order in which they are drawn.
        x: the axis below.
        y: the axis at the left.
        title: what is to be seen, in a few words, for who can't see it.
        told: the same in a sentence, with what matters in it.

    Returns:
        an ``svg`` element.
    """
    parts = [_frame(x, y)]
    left_out = 0
    for one in series:
        shown = [(a, b) for a, b in one.points if (a > 0 or not x.log) and (b > 0 or not y.log)]
        left_out += len(one.points) - len(shown)
        parts.append(_drawn(one, shown, x, y))
    if left_out:
        told += f" {left_out} points of value 0 have no place on a log axis."
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}. {escape(told)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def legend(names: Sequence[tuple[str, int]]) -> str:
    """A list of names, each with its line."""
    items = [
        f'<li><svg class="key" viewBox="0 0 28 10" aria-hidden="true"><path class="line s{style % STYLES}" '
        f'd="M0 5H28"{_dash(style)}/>{_mark(14, 5, style)}</svg>{escape(name)}</li>'
        for name, style in names
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def written(value: float) -> str:
    """A number as it is written at an axis."""
    if value == 0:
        return "0"
    if abs(value) >= 100_000 or abs(value) < 0.01:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        factor = value / 10.0**power
        return f"1e{power}" if abs(factor - 1) < 1e-6 else f"{factor:.3g}e{power}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _drawn(one: Series, shown: Sequence[Point], x: Axis, y: Axis) -> str:
    places = [_at(a, b, x, y) for a, b in shown]
    style = one.style % STYLES
    parts = []
    for at, low, high in one.whiskers:
        if (at > 0 or not x.log) and (high > 0 or not y.log):
            across, top = _at(at, high, x, y)
            bottom = _at(at, max(low, y.low), x, y)[1]
            parts.append(f"M{across:.1f} {top:.1f}V{bottom:.1f}")
    found = f'<path class="whisker s{style}" d="{"".join(parts)}"/>' if parts else ""
    if places:
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        found += f'<path class="line s{style}" d="M{line}"{_dash(one.style)}/>'
    if one.marked:
        found += "".join(_mark(a, b, one.style) for a, b in places)
    return f"<g><title>{escape(one.name)}</title>{found}</g>"


def _frame(x: Axis, y: Axis) -> str:
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - x.room
    parts = []
    for value in x.ticks(across, TICKS_BELOW):
        at = LEFT + x.place(value, across)
        parts.append(f'<path class="gridline" d="M{at:.1f} {TOP}v{down}"/>')
        if x.names:
            turned = f'transform="translate({at + 3:.1f} {TOP + down + 10}) rotate(-40)"'
            parts.append(f'<text {turned} text-anchor="end">{escape(x.names[int(value)])}</text>')
        else:
            anchor = "end" if at > WIDTH - 20 else "middle"
            place = min(at, WIDTH - 2.0) if anchor == "end" else at
            parts.append(f'<text x="{place:.1f}" y="{TOP + down + 14}" text-anchor="{anchor}">{written(value)}</text>')
    for value in y.ticks(down, TICKS_BESIDE):
        at = TOP + down - y.place(value, down)
        parts.append(f'<path class="gridline" d="M{LEFT} {at:.1f}h{across}"/>')
        up = min(at + 3.5, TOP + down - 1)
        parts.append(f'<text x="{LEFT - 4}" y="{up:.1f}" text-anchor="end">{written(value)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}v{down}h{across}"/>')
    middle = TOP + down / 2
    parts.append(f'<text x="{LEFT + across / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.label)}</text>')
    parts.append(f'<text transform="translate(10 {middle}) rotate(-90)" text-anchor="middle">{escape(y.label)}</text>')
    return f'<g aria-hidden="true">{"".join(parts)}</g>'


def _at(a: float, b: float, x: Axis, y: Axis) -> Point:
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - x.room
    return LEFT + x.place(a, across), TOP + down - y.place(b, down)


def _mark(x: float, y: float, style: int) -> str:
    shape = (style + style // STYLES) % 4
    at = f'class="mark s{style % STYLES}"'
    if shape == 0:
        return f'<circle {at} cx="{x:.1f}" cy="{y:.1f}" r="2.4"/>'
    if shape == 1:
        return f'<rect {at} x="{x - 2.2:.1f}" y="{y - 2.2:.1f}" width="4.4" height="4.4"/>'
    if shape == 2:
        return f'<path {at} d="M{x:.1f} {y - 3:.1f}l3 5.2h-6z"/>'
    return f'<path {at} d="M{x:.1f} {y - 3.2:.1f}l3.2 3.2-3.2 3.2-3.2-3.2z"/>'


def _dash(style: int) -> str:
    dash = DASHES[style % STYLES]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _round_down(value: float) -> float:
    """1, 2 or 5 times a power of ten, not over the value."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return next(factor * power for factor in (5, 2, 1) if factor * power <= value * (1 + 1e-9))


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least - 1e-12)
