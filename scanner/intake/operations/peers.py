"""Whose word about a client counts: the proxies named in the settings, and nobody else's."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from starlette.types import Scope

from scanner.intake.operations.values import Network

UNKNOWN = "unknown"


class TrustedPeers:
    """Tells trusted proxies from clients, and finds the client behind them.

    Args:
        networks: where trusted proxies are. A peer on a Unix socket has no address and is trusted only with others.
    """

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        self.trusts = lru_cache(maxsize=4096)(self._trusts)

    @property
    def networks(self) -> tuple[Network, ...]:
        """Where they are."""
        return self._networks

    def is_trusted(self, scope: Scope) -> bool:
        """Whether the connection itself comes from a trusted proxy."""
        peer = scope.get("client")
        return bool(self._networks) and (peer is None or self.trusts(peer[0]))

    def client_of(self, scope: Scope) -> str:
        """The address of the client: the last one in X-Forwarded-For that no trusted proxy has.

        Each proxy appends whom it heard from, so what stands before the first untrusted address from the right is the
        client's own claim and is not read (MDN, X-Forwarded-For, "Selecting an IP address").

        Returns:
            an address in one spelling, or ``unknown``.
        """
        peer = scope.get("client")
        nearest = peer[0] if peer else UNKNOWN
        if not self.is_trusted(scope):
            return _spelled(nearest)
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        for each in reversed([part.strip() for part in said.split(",") if part.strip()]):
            nearest = _spelled(each)
            if nearest == UNKNOWN or not self.trusts(nearest):
                break
        return _spelled(nearest)

    def _trusts(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


def _spelled(text: str) -> str:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    return str(getattr(address, "ipv4_mapped", None) or address)
