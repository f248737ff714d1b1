"""A device keeps to its policy and changes it only by the rules."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.errors import StorageError, VoucherError
from scanner.policy_store import PolicyStore
from scanner.vouchers.policies import PinnedSigners, sign
from tests.policies import POLICY

DAY = 24 * 3600.0
TODAY = 20_000
KEYS = sorted(
    (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (41, 42, 43)),
    key=lambda key: key.public_key().public_bytes_raw(),
)
SIGNERS = tuple(key.public_key().public_bytes_raw() for key in KEYS)
FIRST = dataclasses.replace(POLICY, serial=5, not_before=0, signers=SIGNERS, quorum=2, ordinary=1)


@pytest.fixture
def store(tmp_path):
    """A store that has its first policy."""
    store = PolicyStore(tmp_path / "policies", PinnedSigners(SIGNERS, 2))
    assert store.in_force(TODAY * DAY) is None
    assert store.accept(sign(FIRST, KEYS[:2]), TODAY * DAY) == FIRST
    return store


def test_a_policy_is_kept(store, tmp_path):
    """Across restarts, and the same message again changes nothing."""
    again = PolicyStore(tmp_path / "policies", PinnedSigners(SIGNERS, 2))
    assert again.in_force(TODAY * DAY) == FIRST
    written = (tmp_path / "policies").read_bytes()
    assert again.accept(sign(FIRST, KEYS), TODAY * DAY) == FIRST
    assert (tmp_path / "policies").read_bytes() == written


@pytest.mark.parametrize(
    ("change", "signatures", "problem"),
    [
        ({"serial": 4}, 3, "rollback"),
        ({"hashset_name": "another"}, 3, "rollback"),
        ({"serial": 6, "hashset_digest": bytes([7]) * 32}, 0, "not-enough-signatures"),
        ({"serial": 6, "opener_key": bytes([9]) * 32}, 1, "not-enough-signatures"),
        ({"serial": 6, "radius": FIRST.radius + 1}, 1, "not-enough-signatures"),
    ],
)
def test_what_the_rules_forbid_is_refused(store, change, signatures, problem):
    """And the policy before it stays."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes([77]) * 32)
    new = dataclasses.replace(FIRST, **change)
    if signatures == 0:  # signed by somebody it names itself
        new = dataclasses.replace(new, signers=(stranger.public_key().public_bytes_raw(),), quorum=1, ordinary=1)
        message = sign(new, [stranger])
    else:
        message = sign(new, KEYS[:signatures])
    with pytest.raises(VoucherError) as refused:
        store.accept(message, TODAY * DAY)
    assert refused.value.problem == problem
    assert store.in_force(TODAY * DAY) == FIRST


def test_a_list_update_needs_one_signature(store):
    """As often as lists change."""
    new = dataclasses.replace(FIRST, serial=6, hashset_digest=bytes([7]) * 32)
    assert store.accept(sign(new, KEYS[:1]), TODAY * DAY) == new
    assert store.in_force(TODAY * DAY) == new


def test_a_policy_counts_from_its_day_on(store):
    """Until then the one before it, also if a third is accepted in the meantime."""
    second = dataclasses.replace(FIRST, serial=6, not_before=TODAY + 3)
    third = dataclasses.replace(FIRST, serial=7, not_before=TODAY + 5)
    store.accept(sign(second, KEYS[:1]), TODAY * DAY)
    assert [store.in_force((TODAY + days) * DAY) for days in (0, 2, 3)] == [FIRST, FIRST, second]
    store.accept(sign(third, KEYS[:1]), (TODAY + 1) * DAY)
    assert [store.in_force((TODAY + days) * DAY) for days in (1, 4, 5)] == [FIRST, FIRST, third]


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"\x82\x01\x80"])
def test_a_damaged_file_is_told(store, tmp_path, damage):
    """Never taken for no policy: the pinned signers would count again."""
    (tmp_path / "policies").write_bytes(damage)
    with pytest.raises(StorageError, match="damaged"):
        store.in_force(0.0)
    with pytest.raises(StorageError, match="damaged"):
        store.accept(sign(FIRST, KEYS[:2]), TODAY * DAY)


def test_a_file_that_can_not_be_read_is_told(tmp_path):
    """One line."""
    with pytest.raises(StorageError, match="can't read the policies"):
        PolicyStore(tmp_path, PinnedSigners(SIGNERS, 2)).in_force(0.0)
