"""How often who may ask: a token bucket for each device, account and address, in memory.

Rules: a bucket holds as many requests as the rate counts and fills evenly over its seconds; a worker allows its share,
so that all of them together allow no more than the rate; there are at most so many buckets, and the one unused for the
longest makes room; who asks too often is told when to come again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Literal

from scanner.intake.problems import ProblemError
from scanner.intake.settings import Rate, Settings

Kind = Literal["device", "account", "address", "login"]
"""What is limited: requests of a device, of an account's devices, of an address; failed logins of an address."""

MOST_BUCKETS = 65_536
"""Of each kind. A bucket has about 300 bytes with its key: together 80 MB at most."""

_TITLES: dict[Kind, str] = {
    "device": "The device sends too often",
    "account": "The account's devices send too often",
    "address": "Too many requests come from this address",
    "login": "Too many logins from this address failed",
}


class Limits:
    """The buckets of one worker.

    Args:
        settings: the rates.
        monotonic: gives seconds.
        workers: processes that share the rates. Each has at least one request at a time, however many they are.
        most: buckets of each kind.
    """

    def __init__(
        self, settings: Settings, monotonic: Callable[[], float], workers: int = 1, *, most: int = MOST_BUCKETS
    ) -> None:
        self._buckets: dict[Kind, _Buckets] = {
            "device": _Buckets(settings.device_rate, workers, most),
            "account": _Buckets(settings.account_rate, workers, most),
            "address": _Buckets(settings.address_rate, workers, most),
            "login": _Buckets(settings.login_rate, workers, most),
        }
        self._monotonic = monotonic

    def check(self, kind: Kind, key: str | bytes, *, count: bool = True) -> None:
        """Count one request.

        Args:
            kind: what is limited.
            key: which one of them; of addresses in IPv6 the network of 64 bits, since a client has all of it.
            count: or else only look whether there is room for one.

        Raises:
            ProblemError: 429, with the seconds to wait; the request isn't counted.
        """
        wait = self._buckets[kind].take(_bucket_of(kind, key), self._monotonic(), count=count)
        if wait > 0:
            raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", _TITLES[kind], retry_after=wait)

    def give_back(self, kind: Kind, key: str | bytes) -> None:
        """Take back the count of one request."""
        self._buckets[kind].give_back(_bucket_of(kind, key))


class _Buckets:
    """All of one kind: how full each was when it was last looked at."""

    def __init__(self, rate: Rate, workers: int, most: int) -> None:
        self._size = max(1.0, rate.count / workers)
        self._each = rate.seconds * workers / rate.count  # seconds until there is one more
        self._most = most
        self._levels: OrderedDict[str | bytes, tuple[float, float]] = OrderedDict()

    def take(self, key: str | bytes, now: float, *, count: bool) -> float:
        """Take one if it counts, or give the seconds until there is one."""
        level, since = self._levels.get(key, (self._size, now))
        level = min(self._size, level + (now - since) / self._each)
        enough = level > 1 - 1e-9  # sums of fractions miss a whole number by a little
        self._levels[key] = (max(0.0, level - 1) if enough and count else level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return 0.0 if enough else (1 - level) * self._each

    def give_back(self, key: str | bytes) -> None:
        """Put one back; a bucket that is gone is full anyway."""
        if key in self._levels:
            level, since = self._levels[key]
            self._levels[key] = (min(self._size, level + 1), since)


def _bucket_of(kind: Kind, key: str | bytes) -> str | bytes:
    if kind in ("device", "account") or isinstance(key, bytes):
        return key
    try:
        address = ip_address(key)
    except ValueError:
        return key
    return address.packed[:8] if isinstance(address, IPv6Address) else key
