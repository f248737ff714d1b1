"""Debian packages fetched by name and unpacked, never installed.

Rules: nothing is run out of a package; a package is there whole or not at all; what was fetched is written down beside
it: version, licences and the digest of the archive.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from scanner.errors import StorageError

RECORD = "fetched.json"
"""File in a package's folder that tells what was fetched."""

LONGEST_FETCH = 3600
"""Seconds for one package: 1.4 GB at 400 kB/s."""

REMEDY = "run 'apt-get update' as root first, or name a mirror that has it"
_SIZE = re.compile(r"^'[^']+' \S+ (\d+)", re.MULTILINE)
_SHORT_LICENCE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Deb:
    """A package that was fetched and unpacked.

    Attributes:
        name, version: as Debian gives them.
        licence: short names in its copyright file, or where in the folder that file is.
        archive_sha256: of the archive it was unpacked from, in hex.
        archive_bytes: size of that archive.
    """

    name: str
    version: str
    licence: str
    archive_sha256: str
    archive_bytes: int

    @property
    def source(self) -> str:
        """Name and version in one word."""
        return f"{self.name}={self.version}"


def require_apt() -> None:
    """See that packages can be fetched here.

    Raises:
        StorageError: this is no Debian.
    """
    if any(shutil.which(tool) is None for tool in ("apt-get", "dpkg", "dpkg-deb")):
        raise StorageError("fetching needs Debian's apt-get and dpkg")


def archive_size(name: str) -> int:
    """Ask how many bytes there are to download.

    Raises:
        StorageError: the package is in no package list.
    """
    found = _SIZE.search(_run(["apt-get", "download", "--print-uris", "-qq", name], name, Path.cwd()))
    if found is None:
        raise StorageError(f"{name} is in no package list here; {REMEDY}")
    return int(found[1])


def fetch(name: str, cache: Path, prepare: Callable[[Path], None] | None = None) -> Deb:
    """Download and unpack a package into ``cache / name``, unless it is there already.

    Args:
        name: of the package.
        cache: folder that holds a folder a package; made if absent.
        prepare: called with the folder of what was unpacked, before it gets its name.

    Raises:
        StorageError: it can't be fetched, unpacked or written; nothing of it is left.
    """
    target, partial = cache / name, cache / f".{name}"
    if target.is_dir():
        return fetched(target)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _run(["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", name], name, partial)
        (archive,) = partial.glob("*.deb")
        _run(["dpkg", "-x", archive.name, "."], name, partial)
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        version = _run(["dpkg-deb", "-f", archive.name, "Version"], name, partial).strip()
        home = _home_of_licence(partial, name)
        licence = licence_of(partial, name) if home is None else fetch(home, cache, prepare).licence
        deb = Deb(name, version, licence, digest, archive.stat().st_size)
        archive.unlink()
        if prepare is not None:
            prepare(partial)
        (partial / RECORD).write_text(json.dumps(asdict(deb)) + "\n")
        partial.rename(target)
    except (OSError, ValueError) as error:
        raise StorageError(f"{name} can't be unpacked in {cache}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return deb


def fetched(folder: Path) -> Deb:
    """Read what was written down about an unpacked package.

    Raises:
        StorageError: nothing was, or it is damaged.
    """
    try:
        return Deb(**json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{folder} holds no whole package ({error}); remove it and fetch again") from error


def licence_of(folder: Path, name: str) -> str:
    """Say under which licences a package is, from its copyright file.

    Returns:
        the short names of a machine-readable file (DEP-5), each once, in order of name; of any other file, where it is.
    """
    place = Path("usr/share/doc", name, "copyright")
    try:
        text = (folder / place).read_text("utf-8", "replace")
    except OSError:
        return "unknown: it has no copyright file"
    names = sorted({found.strip() for found in _SHORT_LICENCE.findall(text)}) if "Format:" in text else []
    if not names:
        return f"see {place}"
    more = f" and {len(names) - _MOST_NAMED} more: see {place}" if len(names) > _MOST_NAMED else ""
    return "; ".join(names[:_MOST_NAMED]) + more


def _home_of_licence(folder: Path, name: str) -> str | None:
    """Name the package that holds a package's copyright file, if it is another one (Debian policy 12.3)."""
    place = folder / "usr/share/doc" / name
    home = place.readlink().name if place.is_symlink() else name
    return None if home == name else home


def _run(command: list[str], name: str, folder: Path) -> str:
    try:
        ran = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, errors="replace", timeout=LONGEST_FETCH
        )
    except subprocess.CalledProcessError as error:
        why = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StorageError(f"{name} can't be fetched ({why}); {REMEDY}") from None
    except subprocess.TimeoutExpired:
        raise StorageError(f"{name} was not fetched in {LONGEST_FETCH} seconds; try again") from None
    return ran.stdout
