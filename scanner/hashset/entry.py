"""One known hash, as it goes into a hash set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from scanner.types import HashedMedia, PerceptualHash


@dataclass(frozen=True, slots=True)
class Entry:
    """One known hash.

    Attributes:
        hash: the hash.
        label: what to call it in a match; free text.
        cluster: number shared by entries that show the same picture; left out, it is derived from the hash, so the
            same hash keeps its cluster from epoch to epoch.
        quality: the picture's quality, if known.
        video: whether it is a frame of a video or an animation; its frames share a cluster, which no picture has.
    """

    hash: PerceptualHash
    label: str = ""
    cluster: int | None = None
    quality: int | None = None
    video: bool = False


def entries_of(media: HashedMedia, label: str = "") -> list[Entry]:
    """Make entries of media: of a picture one, of each page one, of a video or an animation one a frame."""
    if not media.moving:
        return [Entry(frame.hash, label, quality=frame.quality) for frame in media.frames]
    names = hashlib.sha256(b"video\0" + b"".join(sorted(frame.hash.data for frame in media.frames))).digest()
    cluster = int.from_bytes(names[:8])
    return [Entry(frame.hash, label, cluster, frame.quality, video=True) for frame in media.frames]


def entries_of_turned(forms: Sequence[HashedMedia], label: str = "") -> list[Entry]:
    """Make entries of media and its turned and mirrored forms, so that copies turned or mirrored match as well.

    The forms of a picture share its cluster; those of a video, whose frames are counted, have one each.
    """
    first = forms[0]
    if first.moving:
        return [entry for form in forms for entry in entries_of(form, label)]
    return [
        Entry(frame.hash, label, cluster_of(upright.hash), frame.quality)
        for form in forms
        for upright, frame in zip(first.frames, form.frames, strict=False)
    ]


def cluster_of(known: PerceptualHash) -> int:
    """The cluster of an entry that names none: 64 bits of SHA-256 over algorithm and hash.

    Among 100 million hashes the chance that any two share a cluster by accident is 3 in 10,000.
    """
    return int.from_bytes(hashlib.sha256(known.algorithm.encode() + b"\0" + known.data).digest()[:8])
