"""How often who may ask."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.authority.addresses import address_of
from scanner.intake.authority.limits import Limits
from scanner.intake.problems import ProblemError
from scanner.intake.settings import Rate, Settings
from tests.intake.authority.running import Clock

KINDS = ("device", "account", "address", "login")


def limits_of(count: int, seconds: float, clock: Clock, workers: int = 1, **options) -> Limits:
    rate = Rate(count, seconds)
    settings = Settings(device_rate=rate, account_rate=rate, address_rate=rate, login_rate=rate)
    return Limits(settings, clock, workers, **options)


def allowed(limits: Limits, kind: str, key: str | bytes) -> bool:
    try:
        limits.check(kind, key)
    except ProblemError as refused:
        return not is_refusal(refused)
    return True


def is_refusal(refused: ProblemError) -> bool:
    assert (int(refused.status), refused.name) == (429, "too-many-requests")
    assert refused.retry_after > 0
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_the_count_is_exact(kind):
    """As many as the rate says, and not one more; another one's are not touched."""
    limits = limits_of(5, 60.0, Clock())
    assert [allowed(limits, kind, "one") for _ in range(7)] == [True] * 5 + [False] * 2
    assert allowed(limits, kind, "two")


@given(count=st.integers(1, 50), seconds=st.integers(1, 600), asked=st.integers(0, 200))
def test_after_the_time_told_one_more_is_allowed(count, seconds, asked):
    """Retry-After in whole seconds is late enough; just before the exact time it is still refused."""
    clock = Clock()
    limits = limits_of(count, float(seconds), clock)
    for _ in range(count + asked):
        allowed(limits, "device", b"one")
    with pytest.raises(ProblemError) as refused:
        limits.check("device", b"one")
    began = clock.now
    clock.now = began + refused.value.retry_after * 0.99
    assert not allowed(limits, "device", b"one")
    clock.now = began + int(refused.value.response().headers["Retry-After"])
    assert allowed(limits, "device", b"one")


@given(count=st.integers(1, 30), workers=st.integers(1, 8), steps=st.lists(st.floats(0, 20), max_size=30))
def test_workers_together_allow_no_more_than_the_rate(count, workers, steps):
    """Over any time: the rate's count and what flowed in since; a worker's one at a time is the only excess."""
    clock = Clock(0.0)
    together = [limits_of(count, 60.0, clock, workers) for _ in range(workers)]
    passed = 0
    for step in [0.0, *steps]:
        clock.now += step
        for limits in together:
            while allowed(limits, "account", b"one"):
                passed += 1
    assert passed <= max(count, workers) + clock.now * count / 60 + 1e-6


def test_looking_counts_nothing_and_a_count_can_be_taken_back():
    """So that only failures are counted in the end."""
    limits = limits_of(2, 60.0, Clock())
    for _ in range(9):
        limits.check("login", "192.0.2.1", count=False)
    for _ in range(9):
        limits.check("login", "192.0.2.1")
        limits.give_back("login", "192.0.2.1")
    limits.give_back("login", "192.0.2.2")
    assert [allowed(limits, "login", "192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [allowed(limits, "login", "192.0.2.2") for _ in range(3)] == [True, True, False]
    with pytest.raises(ProblemError):
        limits.check("login", "192.0.2.1", count=False)


def test_there_are_at_most_so_many_and_the_longest_unused_goes():
    """Memory is bounded, and who asks again and again stays limited."""
    limits = limits_of(1, 60.0, Clock(), most=3)
    assert allowed(limits, "device", b"busy")
    for number in range(100):
        assert allowed(limits, "device", bytes([number]))
        assert not allowed(limits, "device", b"busy")
    assert len(limits._buckets["device"]._levels) == 3
    assert allowed(limits, "device", bytes([1]))


def test_of_addresses_in_ipv6_the_network_is_limited():
    """A client has 2^64 of them; in IPv4 each stands alone, and what is no address too."""
    limits = limits_of(1, 60.0, Clock())
    assert allowed(limits, "address", "2001:db8:0:1::1")
    assert not allowed(limits, "address", "2001:db8:0:1:ffff::2")
    assert allowed(limits, "address", "2001:db8:0:2::1")
    assert allowed(limits, "address", "192.0.2.1")
    assert allowed(limits, "address", "192.0.2.2")
    assert allowed(limits, "address", "unknown")
    assert not allowed(limits, "address", "unknown")


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "address"),
    [
        ((), "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        (None, "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        (("10.0.0.0/8",), "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        (("10.0.0.0/8",), "10.1.2.3", "198.51.100.7", "198.51.100.7"),
        (("10.0.0.0/8",), "10.1.2.3", "203.0.113.9, 198.51.100.7, 10.9.9.9", "198.51.100.7"),
        (("10.0.0.0/8",), "10.1.2.3", "nonsense", "unknown"),
        (("10.0.0.0/8",), "10.1.2.3", None, "10.1.2.3"),
    ],
)
def test_the_address_is_what_trusted_proxies_say_and_else_the_connections(trusted, peer, forwarded, address):
    """A client that claims another address through no proxy of ours is not believed."""
    app = FastAPI()
    if trusted is not None:
        app.state.trusted_proxies = [ip_network(network) for network in trusted]
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    request = Request({"type": "http", "app": app, "client": (peer, 1), "headers": headers})
    assert address_of(request) == address
