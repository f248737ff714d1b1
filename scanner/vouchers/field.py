"""The prime field of 2^61 - 1, in which shares are computed.

Rules: an element is an int from 0 to ``PRIME - 1`` and has one encoding, 8 bytes big-endian; operations take any ints
and give elements; a value from outside that is no element is refused, never reduced. None of it runs in constant time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scanner.errors import ArgumentError, VoucherError

PRIME = 2**61 - 1
"""A Mersenne prime: a product is reduced by a shift and an addition, and an element fits a u64."""
ELEMENT_BYTES = 8
WIDE_BYTES = 16
"""Random bytes taken for one element."""

Elements = npt.NDArray[np.uint64]


def add(a: int, b: int) -> int:
    """The sum a + b."""
    return (a + b) % PRIME


def subtract(a: int, b: int) -> int:
    """The difference a - b."""
    return (a - b) % PRIME


def multiply(a: int, b: int) -> int:
    """The product a b."""
    return a * b % PRIME


def inverse(a: int) -> int:
    """The element whose product with a is 1.

    Raises:
        ArgumentError: a is 0 in the field.
    """
    if a % PRIME == 0:
        raise ArgumentError("0 has no inverse")
    return pow(a, -1, PRIME)


def evaluate(coefficients: Sequence[int], x: int) -> int:
    """The polynomial with these coefficients, the constant term first, at x."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value


def to_bytes(element: int) -> bytes:
    """Write an element: 8 bytes, big-endian.

    Raises:
        ArgumentError: it is not from 0 to ``PRIME - 1``.
    """
    if not 0 <= element < PRIME:
        raise ArgumentError("an element of the field is from 0 to 2^61 - 2")
    return element.to_bytes(ELEMENT_BYTES)


def from_bytes(data: bytes) -> int:
    """Read an element.

    Raises:
        VoucherError: ``malformed``: not 8 bytes, or a value of ``PRIME`` or more.
    """
    element = int.from_bytes(data)
    if len(data) != ELEMENT_BYTES or element >= PRIME:
        raise VoucherError("malformed", "an element of the field has 8 bytes and is below 2^61 - 1")
    return element


def spread(data: bytes) -> Elements:
    """Turn random bytes into random elements: each 16 bytes, as a big-endian number, modulo the prime.

    A 128-bit number modulo a 61-bit prime is within p / 2^130 < 2^-68 of uniform (statistical distance), and no value
    takes longer than another, as it would if some were rejected.

    Args:
        data: ``16 n`` bytes.

    Returns:
        shape ``(n,)``, uint64.
    """
    prime = np.uint64(PRIME)
    high, low = np.frombuffer(data, ">u8").astype(np.uint64).reshape(-1, 2).T
    # 2^64 = 8: the number is 8 high + low, and 8 (2^61 - 2) fits 64 bits.
    return ((high % prime * np.uint64(8)) % prime + low % prime) % prime
