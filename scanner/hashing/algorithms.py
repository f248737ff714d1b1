"""One door to every algorithm: pixels, or a picture, to a hash and a quality.

Rules: an algorithm is a function from pixels to bytes, looked up by name; quality is measured the same way for all;
a picture is decoded as accurately as its algorithm's bits need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scanner.errors import ArgumentError
from scanner.hashing import imagehashes
from scanner.hashing.pdq import Dihedral, pdq, pdq_512, pdq_dihedral, pdq_scaled, quality_of
from scanner.media import Accuracy, Limits, Media, Picture, Source, decode
from scanner.profiles import algorithm_named
from scanner.types import HashedFrame, HashedMedia, HashedPicture, PerceptualHash

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Hasher:
    """How an algorithm is run.

    Attributes:
        run: pixels to hash bytes and quality.
        tolerates_fast_decode: whether luma-only, scaled decoding was measured to leave its bits as they are.
    """

    run: Callable[[Pixels], tuple[bytes, int]]
    tolerates_fast_decode: bool


def _with_quality(run: Callable[[Pixels], bytes]) -> Callable[[Pixels], tuple[bytes, int]]:
    def both(pixels: Pixels) -> tuple[bytes, int]:
        quality = quality_of(pixels)
        return (run(pixels) if pixels.size else bytes(8)), quality

    return both


HASHERS: Mapping[str, Hasher] = MappingProxyType(
    {
        "pdq": Hasher(pdq, tolerates_fast_decode=True),
        "pdq-512": Hasher(pdq_512, tolerates_fast_decode=False),
        "phash": Hasher(_with_quality(imagehashes.phash), tolerates_fast_decode=False),
        "dhash": Hasher(_with_quality(imagehashes.dhash), tolerates_fast_decode=False),
        "whash": Hasher(_with_quality(imagehashes.whash), tolerates_fast_decode=False),
    }
)


def hash_pixels(pixels: Pixels, algorithm: str = "pdq") -> HashedPicture:
    """Hash decoded pixels.

    Args:
        pixels: shape ``(H, W)`` grey or ``(H, W, 3)`` RGB, uint8.
        algorithm: a name from :data:`scanner.profiles.ALGORITHMS`.

    Raises:
        HashShapeError: another shape or dtype.
        UnknownNameError: no such algorithm.
    """
    settings = algorithm_named(algorithm)
    data, quality = HASHERS[settings.name].run(pixels)
    return HashedPicture(PerceptualHash(settings.name, data), quality)


def hash_picture(
    source: Source,
    algorithm: str = "pdq",
    *,
    accuracy: Accuracy = Accuracy.REFERENCE,
    limits: Limits | None = None,
) -> HashedPicture:
    """Decode a picture and hash it.

    Args:
        source: bytes, a path, or a binary file.
        algorithm: a name from :data:`scanner.profiles.ALGORITHMS`.
        accuracy: ``REFERENCE`` hashes the pixels other tools hash; ``FAST`` decodes less where the algorithm's
            bits were measured to bear it.
        limits: bounds on bytes and pixels.

    Raises:
        MediaError: the source is no picture that can and may be decoded.
        UnknownNameError: no such algorithm.
    """
    settings = algorithm_named(algorithm)
    return _hashed(decode(source, accuracy=_accuracy_for(settings.name, accuracy), limits=limits), settings.name)


def hash_media(
    source: Source,
    algorithm: str = "pdq",
    *,
    accuracy: Accuracy = Accuracy.REFERENCE,
    limits: Limits | None = None,
    progress: Callable[[float], None] | None = None,
) -> HashedMedia:
    """Hash every frame of a picture, an animation or a video that differs from the one before it.

    Args and errors before the first frame as for :func:`hash_picture`. ``progress`` is told of a video, after each
    frame, which share of it is hashed, 0 to 1.
    """
    settings = algorithm_named(algorithm)
    media = Media(source, accuracy=_accuracy_for(settings.name, accuracy), limits=limits)
    frames: dict[bytes, HashedFrame] = {}
    for frame in media.frames():
        known, quality = _hashed(frame.picture, settings.name)
        frames.setdefault(known.data, HashedFrame(known, quality, frame.seconds))
        if progress is not None and frame.share is not None:
            progress(frame.share)
    return HashedMedia(tuple(frames.values()), moving=media.moving and len(frames) > 1, complete=media.complete)


def hash_turned(source: Source, algorithm: str = "pdq", *, limits: Limits | None = None) -> tuple[HashedMedia, ...]:
    """Hash media as it is and in its seven turned and mirrored forms, at full accuracy.

    Returns:
        eight results, in the order of :class:`Dihedral`.

    Raises:
        MediaError: as for :func:`hash_picture`.
        ArgumentError: the algorithm is another than ``pdq``.
    """
    if algorithm_named(algorithm).name != "pdq":
        raise ArgumentError(f"turned forms are hashed by pdq alone, not by {algorithm}")
    media = Media(source, limits=limits)
    forms: list[dict[bytes, HashedFrame]] = [{} for _ in Dihedral._fields]
    for frame in media.frames():
        hashes, quality = pdq_dihedral(frame.picture.pixels)
        for form, data in zip(forms, hashes, strict=True):
            form.setdefault(data, HashedFrame(PerceptualHash("pdq", data), quality, frame.seconds))
    return tuple(
        HashedMedia(tuple(form.values()), moving=media.moving and len(form) > 1, complete=media.complete)
        for form in forms
    )


def _accuracy_for(algorithm: str, wanted: Accuracy) -> Accuracy:
    return wanted if HASHERS[algorithm].tolerates_fast_decode else Accuracy.REFERENCE


def _hashed(picture: Picture, algorithm: str) -> HashedPicture:
    if picture.scale is None:
        return hash_pixels(picture.pixels, algorithm)
    data, quality = pdq_scaled(picture.pixels, picture.scale)  # pdq alone is ever decoded scaled
    return HashedPicture(PerceptualHash(algorithm, data), quality)
