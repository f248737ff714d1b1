"""Hash media in this process: for tools that hold no keys and read pictures of their own."""

from __future__ import annotations

from collections.abc import Callable

from scanner.hashing import hash_media
from scanner.media import Accuracy, Limits, Source
from scanner.profiles import algorithm_named
from scanner.types import HashedMedia


class InProcessHasher:
    """The interface of :class:`scanner.sandbox.IsolatedHasher` without the isolation: a decoder's fault is this
    process's fault, and a time limit can't stop it.

    Args:
        algorithm: a name from :data:`scanner.profiles.ALGORITHMS`.

    Raises:
        UnknownNameError: no such algorithm.
    """

    def __init__(self, algorithm: str = "pdq") -> None:
        self._algorithm = algorithm_named(algorithm).name

    def hash_media(
        self,
        source: Source,
        *,
        accuracy: Accuracy = Accuracy.FAST,
        limits: Limits | None = None,
        timeout: float = 60.0,
        progress: Callable[[float], None] | None = None,
    ) -> HashedMedia:
        """Hash every frame that differs from the one before it; ``timeout`` is not kept.

        Raises:
            MediaError: as for :func:`scanner.hashing.hash_media`.
        """
        return hash_media(source, self._algorithm, accuracy=accuracy, limits=limits, progress=progress)

    def warm_up(self) -> tuple[str, ...]:
        """Load the kernels; no protections are in force."""
        import numpy as np

        from scanner.hashing import hash_pixels

        for shape in ((80, 80), (80, 80, 3)):
            hash_pixels(np.zeros(shape, np.uint8), self._algorithm)
        return ()

    def close(self) -> None:
        """Do nothing."""
