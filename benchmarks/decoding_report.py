"""Print what ``benchmarks.decoding`` measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decoding_edits import bits_between

RADIUS = 31
AROUND = range(21, 42, 2)
"""Radii beside it, to see more trials near the edge."""

LARGEST_LOSS = 0.1
"""Percentage points of recall that decoding less may cost."""


def report(raw: dict[str, Any]) -> None:
    """Print the figures made from raw ones."""
    for name in ("stored", "enlarged"):
        print(f"\nBits moved against the reference decode of the same file, {name} photographs")
        for mode, rows in raw[name]["moved"].items():
            _line(mode, [bits for bits, _ in rows])
            _line("  those scaled", [bits for bits, scaled in rows if scaled])
        print("Moved far (over 31 bits in any way, or over 6 at luma or fast 512):")
        for far in raw[name]["far"]:
            print(
                f"  {Path(far['file']).name}, {far['size'][0]} x {far['size'][1]}, quality {far['quality']}: "
                f"{' / '.join(str(bits) for bits in far['moved'].values())} bits; {far['within_half_of_median']} "
                f"coefficients within 0.5 of the median, half of them within {far['typical_from_median']:.1f}; "
                f"luma off by {far['luma_off_by']:.2f} in the mean"
            )
    for name in ("formats", "containers"):
        print(f"\nBits moved against the same pixels, {name}")
        for kind, decodes in raw[name].items():
            if decodes["reference"] == decodes["fast"]:
                _line(f"{kind}, either decode", decodes["fast"])
                continue
            for decoded, bits in decodes.items():
                _line(f"{kind}, {decoded}", bits)
        for number, one in enumerate(raw["converted"]):
            far = {kind: max(rows[number] for rows in decodes.values()) for kind, decodes in raw[name].items()}
            if max(far.values()) > RADIUS:
                told = ", ".join(f"{kind} {bits}" for kind, bits in far.items() if bits > 10)
                print(
                    f"  {Path(one['file']).name}: {told}; {one['within_half_of_median']} coefficients within 0.5 of "
                    f"the median, half of them within {one['typical_from_median']:.1f}"
                )
    print("\nBits moved by EXIF orientation, stored as a PNG, and as a JPEG decoded fast against its reference decode")
    for orientation, decodes in raw["orientations"].items():
        for decoded, bits in decodes.items():
            _line(f"{orientation}, {decoded}", bits)
    _report_pillow(raw["pillow"])
    _report_ladder(raw["ladder"]["distances"])
    _report_turned(raw["turned"])


def _line(name: str, bits: list[int]) -> None:
    if bits:
        print(
            f"  {name:47} mean {np.mean(bits):5.2f}  p99 {np.percentile(bits, 99):3.0f}  max {max(bits):3}  "
            f"over 10: {100 * np.mean(np.array(bits) > 10):5.2f} %  "
            f"over 31: {100 * np.mean(np.array(bits) > RADIUS):5.2f} %  of {len(bits)}"
        )


def _report_pillow(told: list[dict[str, Any]]) -> None:
    print("\nOther releases of Pillow, hash and quality")
    ours = told[0]
    print(f"  this one: {ours['pillow']}, libjpeg-turbo {ours['libjpeg-turbo']}")
    for theirs in told[1:]:
        print(f"  {theirs['pillow']}, libjpeg-turbo {theirs['libjpeg-turbo']}")
        for kind in sorted({name.split(".")[1] for name in ours["rows"]}):
            pairs = [(ours["rows"][name], theirs["rows"][name]) for name in ours["rows"] if name.split(".")[1] == kind]
            away = [bits_between(bytes.fromhex(one[0]), bytes.fromhex(other[0])) for one, other in pairs]
            print(f"    {kind:15} {sum(one == other for one, other in pairs)} of {len(pairs)} equal, {max(away)} bits")


def _report_ladder(distances: dict[str, dict[str, list[int]]]) -> None:
    modes = list(next(iter(distances.values())))
    print(f"\nRecall of edits within {RADIUS} bits of the original's reference hash, %, by decode")
    print(f"  {'':14}" + "".join(f"{mode:>11}" for mode in modes))
    for name, by_mode in distances.items():
        shares = [100 * np.mean(np.array(away) <= RADIUS) for away in by_mode.values()]
        print(f"  {name:14}" + "".join(f"{share:11.1f}" for share in shares))
    away = {mode: np.array([rows[mode] for rows in distances.values()]) for mode in modes}
    hits = {mode: away[mode] <= RADIUS for mode in modes}
    print(f"  {'overall':14}" + "".join(f"{100 * hits[mode].mean():11.2f}" for mode in modes))
    whole = hits["reference"]
    for mode, found in hits.items():
        lost, gained = int((whole & ~found).sum()), int((found & ~whole).sum())
        loss = 100 * (lost - gained) / whole.size
        around = [100 * ((away["reference"] <= radius).mean() - (away[mode] <= radius).mean()) for radius in AROUND]
        shift = np.abs(away[mode] - away["reference"]).mean()
        print(
            f"  {mode}: lost {lost}, gained {gained} of {whole.size}: {loss:+.3f} points, "
            f"{'passes' if loss <= LARGEST_LOSS else 'too much'}; "
            f"mean over radii {AROUND[0]} to {AROUND[-1]}: {np.mean(around):+.3f} points, worst {max(around):+.3f}; "
            f"distances shift by {shift:.2f} bits in the mean"
        )


def _report_turned(raw: dict[str, Any]) -> None:
    print(f"\nTurned copies (JPEG q90) within {RADIUS} bits, %, by lookups")
    for name, by_lookups in raw["copies"].items():
        shares = {lookups: 100 * np.mean(np.array(away) <= RADIUS) for lookups, away in by_lookups.items()}
        print(f"  {name:14} one {shares['one']:6.2f}   eight {shares['eight']:6.2f}")
    for radius in (RADIUS, 47, 63, 79):
        near = {lookups: sum(pairs[: radius + 1]) for lookups, pairs in raw["pairs"].items()}
        print(f"  pairs of {raw['pictures']} pictures within {radius}: one {near['one']}, eight {near['eight']}")
    print("  eight lookups are eight queries of the index")
