"""Attach a calibration to a hash set: the list stays as it is, byte for byte, and so does its digest."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from scanner.errors import HashSetError
from scanner.files import replace_file
from scanner.hashset import format as layout
from scanner.hashset.calibration import Calibration
from scanner.hashset.reader import HashSet

_CHUNK = 1 << 20


def attach_calibration(
    path: str | os.PathLike[str], calibration: Calibration, out: str | os.PathLike[str], *, today: dt.date
) -> bytes:
    """Write a hash set or a delta again with a calibration; one that was there before gives way.

    Args:
        path: the set, whose every byte is checked.
        calibration: of this set; of a delta, measured with its base below it.
        out: the file to write, which may be the same.
        today: a date more than a day later is refused; a day, since time zones differ.

    Returns:
        the set's digest, 32 bytes, the same as before.

    Raises:
        StorageError: a file can't be read or written; what was at ``out`` is untouched.
        HashSetError: the set is corrupt, or the calibration is of another list or from the future.
    """
    if calibration.date > today + dt.timedelta(days=1):
        raise HashSetError(f"the calibration certificate is dated {calibration.date}, and today is {today}")
    with HashSet.open_any(path) as known:
        calibration.check_fits(known.header, known.digest)
        certificate = calibration.to_json().encode("utf-8")
        bare = known.header.without_calibration()
        section = layout.Section(bare.end(), len(certificate), hashlib.sha256(certificate).hexdigest())
        header = replace(bare, sections={**bare.sections, "calibration": section})
        replace_file(Path(out), _parts(known, certificate, header))
        return known.digest


def _parts(known: HashSet, certificate: bytes, header: layout.Header) -> Iterator[bytes]:
    unchanged = known.list_bytes()
    for start in range(0, len(unchanged), _CHUNK):
        yield unchanged[start : start + _CHUNK].tobytes()
    yield certificate
    yield layout.padding(len(certificate))
    written = header.to_bytes()
    yield written
    yield layout.footer(header.end(), written)
