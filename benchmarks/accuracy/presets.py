"""Published figures beside what is measured here, each with its source and how the two differ.

Rules: a published figure is written as it was published, or derived from it in a stated way; where none could be read
at its source that is said; a difference is shown, never judged, as corpora, programs and counting differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from scanner.errors import UnknownNameError

Document = Mapping[str, Any]
Measured = Callable[[Document], float | None]


@dataclass(frozen=True, slots=True)
class Published:
    """A figure of a publication.

    Attributes:
        what: it is, in words.
        value: as published.
        measured: finds the figure beside it in an evaluation; None where it was not measured.
        differs: how the two differ.
    """

    what: str
    value: float
    measured: Measured
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """A publication.

    Attributes:
        name: of the preset.
        source: where the figures stand.
        corpus: what they were measured on.
        how: they were read, or derived.
        figures: in order.
    """

    name: str
    source: str
    corpus: str
    how: str
    figures: tuple[Published, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """A published figure and the one measured here."""

    what: str
    published: float
    measured: float | None
    differs: str


def preset_named(name: str) -> Preset:
    """Find a preset.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, tuple(PRESETS))
    return PRESETS[name]


def beside(preset: Preset, document: Document) -> list[Beside]:
    """Put each published figure beside the measured one."""
    return [Beside(one.what, one.value, one.measured(document), one.differs) for one in preset.figures]


def _population(name: str, field: str) -> Measured:
    """A figure of all pairs of every picture: nothing published here leaves pictures of low quality out."""

    def find(document: Document) -> float | None:
        held = document["hashes"].get(name, {}).get("populations", {}).get("every")
        return None if held is None else float(held[field])

    return find


def _false_matches(name: str, radius: int) -> Measured:
    def find(document: Document) -> float | None:
        held = document["hashes"].get(name, {}).get("populations", {}).get("every")
        return None if held is None else sum(held["histogram"][: radius + 1]) / held["pairs"]

    return find


def _edit(name: str, edit: str, field: str) -> Measured:
    def find(document: Document) -> float | None:
        return next((row[field] for row in _rows(document, name) if row["edit"] == edit), None)

    return find


def _recall(name: str, edit: str, share: float) -> Measured:
    """Recall in per cent at a distance of a share of the bits."""

    def find(document: Document) -> float | None:
        bits = document["hashes"].get(name, {}).get("bits", 0)
        for row in _rows(document, name):
            if row["edit"] == edit:
                hits = sum(count for at, count in row["distances"] if at <= share * bits + 1e-3)
                return float(100 * hits / row["pictures"])
        return None

    return find


def _rows(document: Document, name: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = document["hashes"].get(name, {}).get("fnir", [])
    return found


def _thorn(edit: str, ours: str, differs: str, rows: tuple[tuple[float, float], ...]) -> tuple[Published, ...]:
    """Threshold and recall of each of three hashes."""
    return tuple(
        Published(
            f"{said}, {edit}: recall in %, at a normalised distance of {at:.4f}",
            recall,
            _recall(name, ours, at),
            differs,
        )
        for (said, name), (at, recall) in zip(_THORN_HASHES, rows, strict=True)
    )


def _ukbench(name: str, precision: float) -> Published:
    """FMR from a precision: 2,550 true pairs among those of 5,100 pictures."""
    pairs, true = 5_100 * 5_099 // 2, 2_550
    return Published(
        f"{name}: FMR at 10 of 64 bits, from a class-1 precision of {precision:g}",
        true * (1 / precision - 1) / (pairs - true),
        _false_matches(f"{name}-64", 10),
        "the hash's program is imagededup's own; the precision is rounded to three digits",
    )


MCKEOWN = Preset(
    "mckeown2023",
    "McKeown and Buchanan 2023, Hamming Distributions of Popular Perceptual Hashing Techniques, FSI: Digital "
    "Investigation 44, 301509 (arXiv 2212.08035)",
    "Flickr 1 Million: photographs; 50 million pairs drawn, data at zenodo.org/record/7426034",
    "as quoted in this project's plan; the paper's tables could not be read here to check them",
    (
        Published("pHash, 64 bits: mean distance of unrelated pictures", 0.4904, _population("phash-64", "mean")),
        Published("pHash, 64 bits: its standard deviation", 0.0649, _population("phash-64", "sd")),
        Published("PDQ, 256 bits: mean distance of unrelated pictures", 0.5000, _population("pdq", "mean")),
        Published("PDQ, 256 bits: its standard deviation", 0.0321, _population("pdq", "sd")),
        Published(
            "PDQ: mean distance after a crop by 5 %",
            0.3255,
            _edit("pdq", "crop-all-5", "mean"),
            "here 5 % are cut off each side, of pictures that can be listed",
        ),
    ),
)

_THORN_HASHES = (("pdq", "pdq"), ("phash", "perception-phash-256"), ("dhash", "perception-dhash-256"))

THORN = Preset(
    "thorn",
    "perception, docs/examples/benchmarking.rst at github.com/thorn-oss/perception, commit 0f9bf78: photographs, "
    "thresholds of 99.99 % precision",
    "thorn-perceptual-benchmark-v0: 1,650 photographs",
    "read there; the threshold is theirs, found on their pictures, and recall here is at the same normalised distance",
    (
        *_thorn(
            "crop0.05",
            "crop-all-5",
            "both cut 5 % off each side",
            ((0.304688, 30.606), (0.320312, 63.697), (0.0976562, 1.091)),
        ),
        *_thorn(
            "gamma2",
            "gamma-2",
            "both raise to the power of 2",
            ((0.210938, 100.0), (0.234375, 100.0), (0.101562, 90.303)),
        ),
        *_thorn(
            "resize0.5",
            "resize-0.5",
            "the filter of the resize may differ",
            ((0.328125, 99.818), (0.234375, 100.0), (0.0898438, 98.485)),
        ),
        *_thorn(
            "pad0.2",
            "pad-black-above-below",
            "theirs adds 20 % above and below, ours 17 %",
            ((0.28125, 1.455), (0.289062, 3.515), (0.105469, 0.545)),
        ),
    ),
)

UKBENCH = Preset(
    "imagededup-ukbench",
    "imagededup, mkdocs/docs/user_guide/benchmarks.md at github.com/idealo/imagededup, commit 32b6e1b: exact "
    "duplicates, threshold 10",
    "UKBench: one photograph of each of 2,550 objects, each twice",
    "derived: false pairs follow from the class-1 precision published, as each true pair was found",
    (_ukbench("phash", 0.98), _ukbench("dhash", 0.223), _ukbench("ahash", 0.044), _ukbench("whash", 0.029)),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in (MCKEOWN, THORN, UKBENCH)})
"""Every publication, by the preset's name."""
