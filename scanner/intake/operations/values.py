"""Settings as text: durations, sizes, rates, networks and addresses, read strictly and written back.

Rules: a reader takes one text and gives one value or raises ValueError without repeating the text, which may be a
secret; what a writer writes, its reader reads as the same value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Network = IPv4Network | IPv6Network

HIDDEN = "***"
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_BYTES = {"MiB": 1 << 20, "KiB": 1 << 10, "": 1}
_SECRETS = frozenset({"password", "sslpassword"})
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def whole(least: int, most: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from ``least`` to ``most``."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return read


def size(least: int, most: int) -> Callable[[str], int]:
    """Make a reader of bytes, such as ``4096``, ``64KiB`` or ``1MiB``."""
    number = whole(0, most)

    def read(text: str) -> int:
        match = re.fullmatch("([0-9]+)(KiB|MiB|)", text)
        value = number(match[1]) * _BYTES[match[2]] if match else -1
        if not least <= value <= most:
            raise ValueError
        return value

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Make a reader of durations, such as ``30s``, ``1.5h`` or ``28d``; a bare number counts seconds."""

    def read(text: str) -> float:
        match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd]?)", text)
        value = float(match[1]) * _SECONDS[match[2] or "s"] if match else math.nan
        if not least <= value <= most:
            raise ValueError
        return value

    return read


def seconds_text(value: float) -> str:
    """Write a duration in the largest unit that makes it a whole number."""
    for unit, length in _SECONDS.items():
        if value and not value % length:
            return f"{value / length:.0f}{unit}"
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def boolean(text: str) -> bool:
    """Read ``yes`` or ``no``, or the like."""
    values = {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}
    if text.lower() not in values:
        raise ValueError
    return values[text.lower()]


def yes_no(value: bool) -> str:
    """Write ``yes`` or ``no``."""
    return "yes" if value else "no"


def one_of(*allowed: str) -> Callable[[str], str]:
    """Make a reader of one of some words."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    return read


def listed(values: tuple[Any, ...]) -> str:
    """Write several values, durations as such, with commas between."""
    return ",".join(seconds_text(value) if isinstance(value, float) else str(value) for value in values)


def host(text: str) -> str:
    """Read an address or name to listen on, without a port."""
    if not _is_host(text):
        raise ValueError
    return text


def file(text: str) -> Path:
    """Read the path of a file."""
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


def networks(text: str) -> tuple[Network, ...]:
    """Read networks such as ``10.0.0.0/8,::1``; an empty text is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",")) if text.strip() else ()


def origin(text: str) -> str:
    """Read a scheme and authority, such as ``https://intake.example``: no path, no user, no query."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError
    if "@" in parts.netloc or not _is_host(parts.hostname) or parts.port == 0 or parts.netloc.endswith(":"):
        raise ValueError
    return text.lower()


def web_address(text: str) -> str:
    """Read an http or https URL without a user or password in it."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError
    return text


def database(text: str) -> str:
    """Read the URL of a database: ``sqlite:///FILE`` or ``postgresql://…``."""
    scheme, slashes, rest = text.partition("://")
    if not slashes or not re.fullmatch(r"(sqlite|postgresql|postgres)(\+[a-z0-9]+)?", scheme) or not rest.strip("/"):
        raise ValueError
    if "#" in rest or "@" in "".join(re.split("([/?])", rest, maxsplit=1)[1:]):
        raise ValueError  # an unescaped sign in a password would hide where it ends
    urlsplit(text)
    return text


def without_password(url: str) -> str:
    """Write a database's URL with what is secret in it replaced by ``***``."""
    scheme, _, rest = url.partition("://")
    place, mark, query = rest.partition("?")
    authority, slash, path = place.partition("/")
    user, at, where = authority.rpartition("@")
    name, colon, _ = user.partition(":")
    pairs = [part.partition("=") for part in query.split("&")]
    shown = "&".join(key + sign + (HIDDEN if unquote(key).lower() in _SECRETS else value) for key, sign, value in pairs)
    return f"{scheme}://{name}{colon}{HIDDEN if colon else ''}{at}{where}{slash}{path}{mark}{shown}"


def is_loopback(name: str) -> bool:
    """Whether only this machine reaches the address."""
    return name == "localhost" or (_is_address(name) and ip_address(name).is_loopback)


def _is_host(text: str) -> bool:
    return _is_address(text) or _NAME.fullmatch(text) is not None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
