"""Many vouchers in one request, for gateways that collect them; and the answer, in the same order.

A batch is a deterministic CBOR array of vouchers as byte strings. The answer is one of as many items: a receipt as a
byte string, or the stable name of the problem as text. One bad voucher spoils no other.
"""

from __future__ import annotations

from collections.abc import Sequence

from scanner.errors import VoucherError
from scanner.vouchers import cose


def encode_batch(vouchers: Sequence[bytes]) -> bytes:
    """Write a batch; an intake says in its configuration how many vouchers it takes at once."""
    return cose.encode(list(vouchers))


def decode_batch(body: bytes, most: int) -> list[bytes]:
    """Take a batch of at most so many vouchers apart; the vouchers in it are not looked at.

    Raises:
        VoucherError: ``malformed``, ``too-large`` or ``empty``.
    """
    items = cose.decode(body, "batch")
    if not isinstance(items, list) or not all(isinstance(one, bytes) for one in items):
        raise VoucherError("malformed", "a batch is an array of vouchers as byte strings")
    if not items:
        raise VoucherError("empty", "the batch has no voucher")
    if len(items) > most:
        raise VoucherError("too-large", f"a batch has at most {most} vouchers here, this has {len(items)}")
    return items


def encode_answers(answers: Sequence[bytes | str]) -> bytes:
    """Write the answer to a batch: receipts, or names of problems."""
    return cose.encode(list(answers))


def decode_answers(body: bytes, vouchers: int) -> list[bytes | str]:
    """Read the answer to a batch of so many vouchers.

    Raises:
        VoucherError: ``malformed``.
    """
    items = cose.decode(body, "answer to a batch")
    if not isinstance(items, list) or not all(isinstance(one, (bytes, str)) for one in items) or len(items) != vouchers:
        raise VoucherError("malformed", "the answer to a batch has a receipt or a problem's name for each voucher")
    return items
