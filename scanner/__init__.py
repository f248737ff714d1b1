"""Prescan: check outgoing pictures on the sender's device, before encryption, against a list of known hashes.

    from scanner import HashSet, Scanner
    verdict = Scanner(HashSet.open("known.prescan")).scan(picture_bytes)

Public names are loaded on first use, so ``import scanner`` alone brings in neither numba, faiss nor FastAPI.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.checkpoint import Checkpoint as Checkpoint
    from scanner.delivery import Courier as Courier
    from scanner.errors import MediaError as MediaError
    from scanner.errors import ScannerError as ScannerError
    from scanner.hashing import hash_picture as hash_picture
    from scanner.hashing import hash_pixels as hash_pixels
    from scanner.hashset import HashSet as HashSet
    from scanner.hashset import HashSetBuilder as HashSetBuilder
    from scanner.index import Index as Index
    from scanner.index import open_index as open_index
    from scanner.media import decode as decode
    from scanner.outbox import Outbox as Outbox
    from scanner.pipeline import Scanner as Scanner
    from scanner.profiles import Profile as Profile
    from scanner.types import Action as Action
    from scanner.types import HashedPicture as HashedPicture
    from scanner.types import Match as Match
    from scanner.types import Outcome as Outcome
    from scanner.types import PerceptualHash as PerceptualHash
    from scanner.types import Verdict as Verdict

__version__ = "0.1.0"

_HOMES = {
    "checkpoint": ("Checkpoint",),
    "delivery": ("Courier",),
    "errors": ("MediaError", "ScannerError"),
    "hashing": ("hash_picture", "hash_pixels"),
    "hashset": ("HashSet", "HashSetBuilder"),
    "index": ("Index", "open_index"),
    "media": ("decode",),
    "outbox": ("Outbox",),
    "pipeline": ("Scanner",),
    "profiles": ("Profile",),
    "types": ("Action", "HashedPicture", "Match", "Outcome", "PerceptualHash", "Verdict"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'scanner' has no attribute {name!r}") from None
    value = getattr(import_module(f"scanner.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
