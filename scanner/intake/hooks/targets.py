"""Where a webhook may go: to public addresses, over https.

Rules: every address of a name is checked, and the checked address is the one that is connected to, so that a name which
changes its answer (DNS rebinding) gains nothing; the name stays what TLS and the receiver see.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpcore

_PORT = "6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
URL_PATTERN = rf"^https?://{_LABEL}(?:\.{_LABEL})*(?::(?:{_PORT}))?(?:/[!$-~]*)?$"
"""What a hook's URL looks like: no user, no fragment, printable ASCII; a host is a name or an IPv4 address."""

_PARTS = re.compile(r"(https?)://([^:/]+)(?::([0-9]+))?(/.*)?", re.ASCII)
_CONNECT_SECONDS = 5.0
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, for a port."""


class NotPublicError(Exception):
    """A hook's name stands for an address that is not public, or its URL is not https."""


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a hook's URL.

    Attributes:
        scheme: ``https``, or ``http``.
        host: a name or an IPv4 address.
        port: the URL's, or that of the scheme.
        path: with the query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Take apart a URL that :data:`URL_PATTERN` matches."""
        parts = _PARTS.fullmatch(url)
        assert parts is not None
        scheme, host, port, path = parts.groups()
        return cls(scheme, host.lower(), int(port or {"https": 443, "http": 80}[scheme]), path or "/")

    def check(self) -> None:
        """Refuse what can be seen not to be public before any name is resolved.

        Raises:
            NotPublicError: it is http, an address that is not public, or a name that only a local network has.
        """
        if self.scheme != "https" or "." not in self.host or self.host.endswith(".localhost"):
            raise NotPublicError
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return
        if not is_public(address):
            raise NotPublicError


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one host on the public internet.

    Of IPv6 only global unicast (RFC 4291) without 6to4, and NAT64 (RFC 6052) of a public IPv4 address.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and address in _GLOBAL_V6 and address not in _SIX_TO_FOUR


class SystemNames:
    """Asks the system for addresses, in threads of its own: a slow name server holds nothing else up.

    Args:
        threads: names that are asked for at once.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "hook-names")

    async def resolve(self, host: str, port: int) -> list[str]:
        """Give a host's addresses.

        Raises:
            OSError: it has none now.
        """
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except UnicodeError as error:  # longer than a name can be
            raise OSError("the name is not valid") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Let the threads end; what is asked for still is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to a host's addresses only when every one of them is public, and to those that were checked.

    Args:
        resolve: gives a host's addresses.
        unsafe_private: let it go anywhere.
    """

    def __init__(self, resolve: Resolve, *, unsafe_private: bool) -> None:
        self._resolve = resolve
        self._unsafe_private = unsafe_private
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers.

        Raises:
            NotPublicError: one of them is not public.
            httpcore.ConnectError: it has none, or none answers.
        """
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError("the name has no address") from error
        if not self._unsafe_private and not all(is_public(ipaddress.ip_address(address)) for address in addresses):
            raise NotPublicError
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, _CONNECT_SECONDS, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        raise httpcore.ConnectError("no address answers")
