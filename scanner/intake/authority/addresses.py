"""From which address a request comes."""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import HTTPConnection

from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.values import Network


def address_of(request: HTTPConnection) -> str:
    """The client's address: the connection's, or what the proxies named in ``app.state.trusted_proxies`` say it is.

    Returns:
        an address in one spelling, or ``unknown``.
    """
    return _peers(tuple(getattr(request.app.state, "trusted_proxies", ()))).client_of(request.scope)


@lru_cache(maxsize=4)
def _peers(networks: tuple[Network, ...]) -> TrustedPeers:
    return TrustedPeers(networks)
