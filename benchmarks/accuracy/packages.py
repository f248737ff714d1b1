"""Debian packages that hold pictures, and what sort of pictures: looked at, not guessed.

Rules: a package is named here or not used; its kind says which strata its pictures may fall in, the picture's own look
decides among them (``strata.py``); the small preset is part of the full one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.accuracy.strata import Kind


@dataclass(frozen=True, slots=True)
class Source:
    """A package and what its pictures are.

    Attributes:
        kind: of its pictures.
        parts: another kind for pictures with this text in their path; the first that fits counts.
    """

    kind: Kind
    parts: tuple[tuple[str, Kind], ...] = ()

    def kind_of(self, path: str) -> Kind:
        """Say what sort of picture lies at this path."""
        return next((kind for part, kind in self.parts if part in path), self.kind)


_ART, _TEXTURES, _PAGES, _PHOTOGRAPHS, _MIXED, _ICONS = (
    Kind.ART,
    Kind.TEXTURES,
    Kind.PAGES,
    Kind.PHOTOGRAPHS,
    Kind.MIXED,
    Kind.ICONS,
)

_SMALL = {
    "gcompris-qt-data": Source(_ART, (("/explore_", _PHOTOGRAPHS), ("/resource/", _PHOTOGRAPHS))),
    "gimp-help-en": Source(
        _PAGES, (("/filters/examples/", _MIXED), ("/images/tutorials/", _MIXED), ("/images/using/", _MIXED))
    ),
    "lomiri-wallpapers-16.04": Source(_PHOTOGRAPHS),
    "colobot-common-textures": Source(_TEXTURES),
}

_MORE = {
    "gnome-backgrounds": Source(_PHOTOGRAPHS),
    "plasma-workspace-wallpapers": Source(_PHOTOGRAPHS),
    "lomiri-wallpapers-20.04": Source(_PHOTOGRAPHS),
    "ukui-wallpapers": Source(_PHOTOGRAPHS),
    "sway-backgrounds": Source(_PHOTOGRAPHS),
    "lxqt-themes": Source(_PHOTOGRAPHS),
    "opencv-doc": Source(_MIXED),
    "tuxpaint-stamps-default": Source(_MIXED),
    "openclipart-png": Source(_ART),
    "unknown-horizons": Source(_ART),
    "widelands-data": Source(_ART),
    "stellarium-data": Source(
        _TEXTURES, (("/nebulae/", _PHOTOGRAPHS), ("/landscapes/", _PHOTOGRAPHS), ("/skycultures/", _ART))
    ),
    "mate-backgrounds": Source(_PHOTOGRAPHS),
    "debian-handbook": Source(_PAGES),
    "python-skimage-doc": Source(_PAGES),
    "python-sklearn-doc": Source(_PAGES),
    "openshot-qt": Source(_ART, (("/transitions/", _TEXTURES),)),
    "texlive-publishers-doc": Source(_PAGES),
    "marble-data": Source(_ART),
    "wesnoth-1.16-data": Source(_ART),
    "wesnoth-1.16-httt": Source(_ART),
    "wesnoth-1.16-utbs": Source(_ART),
    "endless-sky-data": Source(_ART, (("/land/", _PHOTOGRAPHS), ("/scene/", _PHOTOGRAPHS))),
    "kstars-data": Source(_ART, (("/images", _MIXED),)),
    "lebiniou-data": Source(_MIXED),
    "hedgewars-data": Source(_ART),
    "freeorion-data": Source(_ART),
    "flare-game": Source(_ART),
    "lincity-ng-data": Source(_ART),
    "boswars-data": Source(_ART),
    "fillets-ng-data": Source(_ART),
    "warmux-data": Source(_ART),
    "extremetuxracer-data": Source(_TEXTURES),
    "lilypond-doc": Source(_PAGES),
    "grass-doc": Source(_PAGES),
    "python-scipy-doc": Source(_PAGES),
    "python-astropy-doc": Source(_PAGES),
    "qtbase5-doc-html": Source(_PAGES),
    "libgegl-doc": Source(_MIXED),
    "krita-data": Source(_ART),
    "scorched3d-data": Source(_TEXTURES),
    "freeciv-data": Source(_ART),
    "kgeography-data": Source(_ART),
    "neverball-data": Source(_TEXTURES),
    "tuxmath-data": Source(_ART),
    "kicad-doc-en": Source(_PAGES),
    "python-silx-doc": Source(_PAGES),
    "python-qutip-doc": Source(_PAGES),
    "python-statsmodels-doc": Source(_PAGES),
    "brainparty-data": Source(_ART),
    "btanks-data": Source(_ART),
    "caveexpress-data": Source(_ART),
    "foobillardplus-data": Source(_TEXTURES),
    "lugaru-data": Source(_TEXTURES),
    "plee-the-bear-data": Source(_ART),
    "mandelbulber2-data": Source(_ART),
    "oxygen-icon-theme": Source(_ICONS),
    "ukui-themes": Source(_ICONS),
    "openarena-data": Source(_TEXTURES),
    "openarena-081-textures": Source(_TEXTURES),
    "redeclipse-data": Source(_TEXTURES),
    "supertuxkart-data": Source(_TEXTURES),
    "ufoai-textures": Source(_TEXTURES),
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A corpus that packages make.

    Attributes:
        sources: the packages, in the order in which they are fetched.
        largest_download: bytes; a package that would go beyond is told and left out.
        smallest_side: pixels of the shorter side of a picture; smaller ones are left out.
    """

    sources: Mapping[str, Source]
    largest_download: int
    smallest_side: int = 200


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "small": Preset(MappingProxyType(_SMALL), 150 * 10**6, 160),
        "full": Preset(MappingProxyType({**_SMALL, **_MORE}), 6 * 10**9),
    }
)
