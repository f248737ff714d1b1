"""Where webhooks may go."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from contextlib import closing

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.hooks.targets import URL_PATTERN, CheckedBackend, NotPublicError, SystemNames, Target, is_public
from tests.intake.hooks.receivers import receiving


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1", "192.0.2.1",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::a00:1", "64:ff9b::7f00:1",
        "64:ff9b:1::808:808", "100::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "2002:808:808::1", "fc00::1",
        "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1", "5f00::1", "2606:4700::1111%eth0",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    """This machine, local and shared networks, documentation, multicast, and every form that holds one of them."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "2a00:1450::1"])
def test_addresses_that_are_public(address):
    """Hosts on the internet, through NAT64 too."""
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_a_public_address_is_global_by_pythons_table_too(address):
    """And NAT64 says the same of it."""
    nat64 = ipaddress.IPv6Address(f"64:ff9b::{address}")
    assert is_public(address) <= address.is_global
    assert is_public(nat64) == is_public(address)


@given(st.ip_addresses(v=6))
def test_ipv6_outside_of_global_unicast_is_not_public(address):
    """2000::/3 is all there is (RFC 4291), but for NAT64."""
    if is_public(address):
        assert int(address) >> 125 == 1 or address in ipaddress.IPv6Network("64:ff9b::/96")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://a.example", ("https", "a.example", 443, "/")),
        ("https://A.Example:8443/x?token=1", ("https", "a.example", 8443, "/x?token=1")),
        ("http://127.0.0.1/", ("http", "127.0.0.1", 80, "/")),
        ("https://a.example/@b:1/", ("https", "a.example", 443, "/@b:1/")),
    ],
)
def test_a_url_has_one_reading(url, parts):
    """The parts are those that are connected to."""
    assert re.fullmatch(URL_PATTERN, url)
    target = Target.of(url)
    assert (target.scheme, target.host, target.port, target.path) == parts


@pytest.mark.parametrize(
    "url",
    [
        "", "https://", "ftp://a.example/", "https:/a.example", "https://u:p@a.example/", "https://a.example#x",
        "https://a.example/#x", "https://a.example/ ", "https://a.example/\n", "https://a.example:0/",
        "https://a.example:65536/", "https://a.example:/", "https://a..example/", "https://-a.example/",
        "https://[::1]/", "https://a.example\\@b.example/", "https://ä.example/", "https://a.example/ä", "//a.example/",
        "https://a.example?x",
    ],
)  # fmt: skip
def test_urls_that_are_not_taken(url):
    """No user, no fragment, no other scheme, nothing that two parsers read differently."""
    assert not re.fullmatch(URL_PATTERN, url)


@given(st.from_regex(URL_PATTERN, fullmatch=True))
def test_every_allowed_url_has_parts(url):
    """What the pattern takes can be sent to."""
    target = Target.of(url.rstrip("\n"))
    assert 1 <= target.port <= 65_535
    assert httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/", "https://localhost/", "https://intranet/", "https://a.localhost/", "https://127.0.0.1/",
        "https://10.0.0.1:8443/", "https://169.254.169.254/latest/meta-data/", "https://2130706433/",
    ],
)  # fmt: skip
def test_what_can_be_seen_not_to_be_public(url):
    """It is refused before a name is resolved."""
    with pytest.raises(NotPublicError):
        Target.of(url).check()


@pytest.mark.parametrize("url", ["https://a.example/", "https://8.8.8.8/", "https://a.example:444/x"])
def test_what_may_be_public(url):
    """A name is looked at when it is connected to."""
    Target.of(url).check()


def connect(answers: list[list[str]], port: int = 9, *, unsafe: bool = False, times: int = 1) -> None:
    """Connect through a resolver that gives one answer after the other."""

    async def run() -> None:
        async def changing(_host: str, _port: int) -> list[str]:
            return answers.pop(0)

        backend = CheckedBackend(changing, unsafe_private=unsafe)
        for _ in range(times):
            stream = await backend.connect_tcp("a.example", port, 2.0)
            await stream.aclose()

    asyncio.run(run())


def test_one_address_that_is_not_public_spoils_all():
    """A name with a public and a private address is not connected to."""
    for answer in (["8.8.8.8", "127.0.0.1"], ["::1", "2606:4700::1111"]):
        with pytest.raises(NotPublicError):
            connect([answer])


def test_a_name_without_an_address_is_no_answer():
    """And so is one that the system can't resolve."""

    async def fail(_host: str, _port: int) -> list[str]:
        raise OSError

    with pytest.raises(httpcore.ConnectError):
        connect([[]])
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(CheckedBackend(fail, unsafe_private=True).connect_tcp("a.example", 9))


def test_the_second_address_is_tried():
    """An address that does not answer does not hide the one that does."""

    async def run() -> None:
        async def two(_host: str, _port: int) -> list[str]:
            return ["127.0.0.2", "127.0.0.1"]

        async with receiving() as receiver:
            backend = CheckedBackend(two, unsafe_private=True)
            stream = await backend.connect_tcp("a.example", receiver.port, 2.0)
            assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
            await stream.aclose()

    asyncio.run(run())


def resolved(host: str) -> list[str]:
    """What the system says."""
    with closing(SystemNames(1)) as names:
        return asyncio.run(names.resolve(host, 443))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433"])
def test_every_form_of_a_loopback_address_resolves_to_it(host):
    """What the system reads as an address is checked as the address it means."""
    assert resolved(host) == ["127.0.0.1"]


def test_a_name_that_is_too_long_is_no_answer():
    """Not an error of another kind."""
    with pytest.raises(OSError, match="not valid"):
        resolved("a" * 64 + ".example")
