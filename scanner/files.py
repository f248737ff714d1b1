"""Write files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from scanner.errors import StorageError


@contextmanager
def new_file(path: Path, what: str, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Write a file that is not there yet: on disk when the block ends, gone if it fails.

    Args:
        path: the file.
        what: what such files hold, in the plural, for the message.
        mode: who may read it, less the process's mask.

    Raises:
        StorageError: there is a file of that name, which stays as it is, or it can't be written.
    """
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise StorageError(f"{path} exists already; {what} are never overwritten") from None
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Have a folder's names on disk.

    Raises:
        OSError: as the system does.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def replace_file(path: Path, parts: Iterable[bytes | bytearray]) -> None:
    """Write a file whole, flush it to disk, and only then give it its name.

    Raises:
        StorageError: it can't be written; a file of that name stays as it was.
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".prescan-", delete=False) as file:
            temporary = Path(file.name)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StorageError(f"can't write {path}: {why}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
