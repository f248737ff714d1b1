"""The signed policy a device acts under, and which signatures it takes to change it. Pure: no clock, no file.

What a policy is stands in :mod:`scanner.vouchers.policy`, its message in :mod:`scanner.vouchers.signed_policy`; what
callers need of both can be imported from here too.

Rules: editions only go forward; a change that lets anyone see more than before takes the quorum of those the device
trusts *now*, whom a new policy can't choose for itself.

What needs which signatures, counted among the signers of the *last accepted* policy:

    =====================================================================  ================================
    the same payload again                                                 none: nothing changes
    list digest, not_before, serial; threshold up, radius down,            ``ordinary``
    quality floor up
    threshold down, radius up, quality floor down, another algorithm,      ``quorum``
    another list name, another opener key, serial up by more than
    MOST_ORDINARY_STEP, another profile: without cover counts show, with
    it t - 1 vouchers are hidden less well (see scanner.vouchers.terms)
    signers, quorum or ordinary                                            ``quorum``, and the new policy's
                                                                           ``quorum`` of its own signers
    the first policy                                                       the pinned signers' quorum, and
                                                                           the same of its own signers
    lower serial; the same serial with another payload                     none is enough: ``rollback``
    threshold under THRESHOLD_FLOOR                                        none: ``threshold-too-low``
    =====================================================================  ================================
"""

from __future__ import annotations

from scanner.errors import VoucherError
from scanner.vouchers.policy import COVERED as COVERED
from scanner.vouchers.policy import MATCH_ONLY as MATCH_ONLY
from scanner.vouchers.policy import MOST_SIGNERS as MOST_SIGNERS
from scanner.vouchers.policy import THRESHOLD_FLOOR as THRESHOLD_FLOOR
from scanner.vouchers.policy import VERSION as VERSION
from scanner.vouchers.policy import PinnedSigners as PinnedSigners
from scanner.vouchers.policy import Policy as Policy
from scanner.vouchers.signed_policy import LARGEST_POLICY as LARGEST_POLICY
from scanner.vouchers.signed_policy import SignedPolicy as SignedPolicy
from scanner.vouchers.signed_policy import add_signature as add_signature
from scanner.vouchers.signed_policy import read as read
from scanner.vouchers.signed_policy import sign as sign
from scanner.vouchers.signed_policy import take_apart

MOST_ORDINARY_STEP = 1 << 20
"""Editions an ordinary change may skip: with more, one signer could use up the serials and freeze every device."""


def check_successor(current: Policy | None, pinned: PinnedSigners, message: bytes) -> Policy:
    """Decide whether a device accepts a policy after the one it accepted last.

    Args:
        current: the last accepted, whether or not its ``not_before`` has come; None if there never was one. Keep its
            :meth:`Policy.to_bytes` safe: who can delete or exchange it can start the device over.
        pinned: whom to trust if there is none; not used otherwise.
        message: the signed policy.

    Returns:
        the accepted policy; ``current`` itself if it is the same again.

    Raises:
        VoucherError: ``rollback``, ``not-enough-signatures``, or as for :func:`read`.
    """
    if current is None:
        new, signed_by = read(message, pinned.keys)
        _count(new, signed_by, pinned.keys, pinned.quorum, "the pinned signers", "it is the first")
        _count(new, signed_by, new.signers, new.quorum, "its own signers", "it is the first")
        return new
    # An old edition may bear signatures of keys no longer known. That it is old can be told, and refused, without them.
    offered = Policy.from_bytes(take_apart(message)[0])
    if offered == current:
        return current
    if offered.serial <= current.serial:
        raise VoucherError(
            "rollback",
            f"edition {offered.serial} of the policy came after edition {current.serial} was accepted; get a later one",
        )
    new, signed_by = read(message, current.signers)
    why = what_needs_quorum(current, new)
    needed = current.quorum if why else current.ordinary
    _count(new, signed_by, current.signers, needed, "the current signers", ", ".join(why) or "an ordinary change")
    if _authority(new) != _authority(current):
        _count(new, signed_by, new.signers, new.quorum, "its own signers", "it changes who signs")
    return new


def what_needs_quorum(current: Policy, new: Policy) -> tuple[str, ...]:
    """The changes for which ``ordinary`` signatures are not enough, in words; empty if there are none."""
    same_algorithm = new.algorithm == current.algorithm
    changes = {
        "it changes who signs": _authority(new) != _authority(current),
        "another opener key": new.opener_key != current.opener_key,
        "a lower threshold": new.threshold < current.threshold,
        "another algorithm": not same_algorithm,
        "a larger radius": same_algorithm and new.radius > current.radius,
        "a lower quality floor": new.quality_floor < current.quality_floor,
        "another profile": new.profile != current.profile,
        "a list of another name": new.hashset_name != current.hashset_name,
        f"more than {MOST_ORDINARY_STEP} editions on": new.serial - current.serial > MOST_ORDINARY_STEP,
    }
    return tuple(change for change, happened in changes.items() if happened)


def _authority(policy: Policy) -> tuple[tuple[bytes, ...], int, int]:
    return policy.signers, policy.quorum, policy.ordinary


def _count(
    new: Policy, signed_by: frozenset[bytes], signers: tuple[bytes, ...], needed: int, whose: str, why: str
) -> None:
    count = len(signed_by.intersection(signers))
    if count < needed:
        raise VoucherError(
            "not-enough-signatures",
            f"edition {new.serial} of the policy needs {needed} signatures by {whose} ({why}), it has {count}; get it "
            "signed by more of them, or accept the editions before it first",
        )
