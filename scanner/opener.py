"""Open what can be opened of an export. Offline: reads a file, needs no network, tells what it found and nothing else.

Rules: a device counts only with a key that its id is of, a voucher only with that key's signature, in a place of its
own, of the window it is exported for, under a policy that was given; whatever is not so is told by its problem's name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from scanner.errors import VoucherError
from scanner.exports import ExportedWindow
from scanner.vouchers import Policy, Result, Terms, Voucher, open_window
from scanner.vouchers.payload import Payload


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one account's window.

    Attributes:
        account: the account's id, 16 bytes.
        window: number of the window.
        result: opened, below the threshold, or ambiguous.
        vouchers: how many there were.
        opened: what those that opened tell, one for each different content.
        malformed: how many had which problem.
    """

    account: bytes
    window: int
    result: Result
    vouchers: int
    opened: tuple[Payload, ...]
    malformed: Mapping[str, int]


def open_export(
    windows: Iterable[ExportedWindow], opener_key: X25519PrivateKey, policies: Mapping[bytes, Policy]
) -> Iterator[Report]:
    """Open each account's window in turn.

    Args:
        windows: as :func:`scanner.exports.read_export` gives them.
        opener_key: the opener's private key.
        policies: by their digests; vouchers of others are told as ``unknown-policy``.
    """
    for exported in windows:
        yield _open(exported, opener_key, policies)


def _open(exported: ExportedWindow, opener_key: X25519PrivateKey, policies: Mapping[bytes, Policy]) -> Report:
    problems: defaultdict[str, int] = defaultdict(int)
    by_terms: defaultdict[Terms, list[Voucher]] = defaultdict(list)
    places = set()
    for message in exported.vouchers:
        try:
            voucher = _checked(message, exported)
            header = voucher.header
            if header.policy_digest not in policies:
                raise VoucherError("unknown-policy", "the voucher's policy was not given")
            if (header.device_id, header.slot) in places:
                raise VoucherError("repeated", "the place has a voucher already")
            places.add((header.device_id, header.slot))
        except VoucherError as error:
            problems[error.problem] += 1
        else:
            by_terms[Terms.of(policies[header.policy_digest])].append(voucher)
    result = Result.BELOW_THRESHOLD
    contents: dict[int, Payload] = {}
    for terms, vouchers in by_terms.items():
        window = open_window(vouchers, opener_key, terms, exported.account)
        for _, problem in window.malformed:
            problems[problem] += 1
        for one in window.opened:
            contents.setdefault(one.payload.content_id, one.payload)
        if window.result is Result.OPENED or result is Result.BELOW_THRESHOLD:
            result = window.result
    return Report(
        exported.account, exported.window, result, len(exported.vouchers), tuple(contents.values()), dict(problems)
    )


def _checked(message: bytes, exported: ExportedWindow) -> Voucher:
    voucher = Voucher.parse(message)
    public_key = exported.devices.get(voucher.header.device_id)
    if public_key is None or len(public_key) != 32:
        raise VoucherError("unknown-device", "the export has no key for the voucher's device")
    voucher.verify(Ed25519PublicKey.from_public_bytes(public_key))
    if voucher.header.window != exported.window:
        raise VoucherError("wrong-window", "the voucher is of another window than it is exported for")
    return voucher
