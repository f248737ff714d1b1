"""Read a folder of pictures and videos as entries."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from scanner.errors import MediaError, StorageError
from scanner.hashing import hash_media, hash_turned
from scanner.hashset.entry import Entry, entries_of, entries_of_turned

Refuse = Callable[[str], None]


def find_files(folder: Path) -> list[Path]:
    """List every regular file below a folder, in order of its path; hidden files and folders are left out.

    Raises:
        StorageError: the folder can't be read.
    """
    found: list[Path] = []

    def fail(error: OSError) -> None:
        raise StorageError(f"can't read the folder {error.filename}: {error.strerror}") from error

    if "\0" in os.fspath(folder):
        raise StorageError("a folder's name has no NUL in it")
    for place, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def read_pictures(
    files: list[Path], folder: Path, algorithm: str, refuse: Refuse, *, turned: bool = False
) -> Iterator[list[Entry]]:
    """Hash pictures, animations and videos at full accuracy, labelled with their paths below the folder.

    Args:
        files: the files, as :func:`find_files` gives them.
        folder: what labels are relative to.
        algorithm: a name from :data:`scanner.profiles.ALGORITHMS`.
        refuse: called with the reason for each file that is no picture.
        turned: list their seven turned and mirrored forms too; ``pdq`` alone.

    Yields:
        the entries of each file, none of a refused one.
    """
    for path in files:
        try:
            label = path.relative_to(folder).as_posix()
            if turned:
                entries = entries_of_turned(hash_turned(path, algorithm), label)
            else:
                entries = entries_of(hash_media(path, algorithm), label)
        except MediaError as error:
            refuse(error.fault.value)
            yield []
        else:
            yield entries
