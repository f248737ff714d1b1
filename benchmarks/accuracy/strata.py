"""Which stratum a picture is in: by what its source holds and by how it looks, both stated here.

Rules: the rule never looks at a hash; a source that holds no photographs gives none, whatever the statistics say,
unless a camera signed the file; what can't be told is a drawing, the stratum that is claimed least about. Photographs
of paintings are photographs.

    kind of source   in order
    any              camera in EXIF and not flat: photograph; long side up to 256, square, see-through: icon
    photographs      many colours and few flat neighbours, opaque: photograph; else drawing
    mixed            the same; else mostly flat or pale: document; else drawing
    pages            mostly flat or pale: document; else drawing
    textures         opaque: texture; else drawing
    art              drawing
    icons            icon
"""

from __future__ import annotations

from enum import StrEnum

from benchmarks.accuracy.looks import Look
from benchmarks.accuracy.manifest import Stratum

MOST_FLAT_OF_PHOTOGRAPH = 0.7
"""Share of equal neighbours: a sensor's noise leaves few, a night sky many. Of scikit-image's and scikit-learn's 22
photographs, 18 have no more."""

FEWEST_COLOURS_OF_PHOTOGRAPH = 150
"""Of 5 bits a channel, in the middle part."""

GREY = frozenset({"L", "LA", "1", "I;16"})
FEWEST_GREYS_OF_PHOTOGRAPH = 16
"""Of the 32 that 5 bits leave."""

LEAST_FLAT_OF_DOCUMENT = 0.6
LEAST_PALE_OF_DOCUMENT = 0.5
MOST_SEE_THROUGH = 0.01
LONGEST_ICON = 256


class Kind(StrEnum):
    """What a source holds."""

    PHOTOGRAPHS = "photographs"
    MIXED = "mixed"
    PAGES = "pages"
    TEXTURES = "textures"
    ART = "art"
    ICONS = "icons"


def stratum_of(look: Look, kind: Kind) -> Stratum:
    """Decide by the table above."""
    opaque = look.alpha <= MOST_SEE_THROUGH
    if look.camera and opaque and look.flat <= MOST_FLAT_OF_PHOTOGRAPH:
        return Stratum.PHOTOGRAPH
    if kind is Kind.ICONS or (not opaque and look.width == look.height <= LONGEST_ICON):
        return Stratum.ICON
    if kind in {Kind.PHOTOGRAPHS, Kind.MIXED} and opaque and looks_photographic(look):
        return Stratum.PHOTOGRAPH
    if kind in {Kind.MIXED, Kind.PAGES} and (
        look.flat >= LEAST_FLAT_OF_DOCUMENT or look.pale >= LEAST_PALE_OF_DOCUMENT
    ):
        return Stratum.DOCUMENT
    if kind is Kind.TEXTURES and opaque:
        return Stratum.TEXTURE
    return Stratum.DRAWING


def looks_photographic(look: Look) -> bool:
    """Say whether a picture has the many colours and the noise of a photograph."""
    fewest = FEWEST_GREYS_OF_PHOTOGRAPH if look.mode in GREY else FEWEST_COLOURS_OF_PHOTOGRAPH
    return look.flat <= MOST_FLAT_OF_PHOTOGRAPH and look.colours >= fewest and look.pale < LEAST_PALE_OF_DOCUMENT
