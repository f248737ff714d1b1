"""Only trusted proxies are believed about who the client is."""

from __future__ import annotations

import pytest

from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.values import networks

PEERS = TrustedPeers(networks("10.0.0.0/8,fd00::/8"))


def scope(client: str | None, *forwarded: str) -> dict:
    """A request from an address, with X-Forwarded-For headers."""
    return {
        "client": None if client is None else (client, 1),
        "headers": [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)],
    }


@pytest.mark.parametrize(
    ("client", "forwarded", "found"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("198.51.100.7",), "192.0.2.1"),  # not a proxy: its word is not taken
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("203.0.113.9, 198.51.100.7",), "198.51.100.7"),  # what a client claims stands further left
        ("10.0.0.1", ("203.0.113.9", "198.51.100.7"), "198.51.100.7"),
        ("10.0.0.1", ("198.51.100.7, 10.0.0.2,, 10.0.0.3",), "198.51.100.7"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("198.51.100.7, nonsense",), "unknown"),
        ("fd00::1", ("2001:DB8::0007",), "2001:db8::7"),
        ("::ffff:10.0.0.1", ("::ffff:198.51.100.7",), "198.51.100.7"),
        ("fe80::1%eth0", (), "fe80::1"),
        (None, ("198.51.100.7",), "198.51.100.7"),  # a proxy on a Unix socket
        (None, (), "unknown"),
        ("testclient", (), "unknown"),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_has(client, forwarded, found):
    """Claims of clients are never read, and one address has one spelling."""
    assert PEERS.client_of(scope(client, *forwarded)) == found


@pytest.mark.parametrize("client", [None, "10.0.0.1", "::1", "192.0.2.1"])
def test_without_proxies_nobody_is_trusted(client):
    """The connection's own address counts, whatever is said."""
    nobody = TrustedPeers(())
    assert not nobody.is_trusted(scope(client))
    assert nobody.client_of(scope(client, "198.51.100.7")) == (client or "unknown")


@pytest.mark.parametrize(
    ("client", "trusted"),
    [("10.255.0.1", True), ("11.0.0.1", False), ("fd12::1", True), (None, True), ("testclient", False)],
)
def test_a_network_is_trusted_to_its_edge(client, trusted):
    """And no further."""
    assert PEERS.is_trusted(scope(client)) is trusted
    assert PEERS.networks == networks("10.0.0.0/8,fd00::/8")
