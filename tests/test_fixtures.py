"""Files written by earlier releases, and figures of other tools, stay true."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from PIL import Image

from scanner import HashSet, HashSetBuilder, hash_picture
from scanner.hashing import pdq_dihedral
from scanner.vouchers import (
    DeviceSealer,
    Payload,
    Policy,
    Receipt,
    Result,
    Terms,
    Voucher,
    check_possession,
    device_id_of,
    envelope,
    open_window,
    policies,
    prove_possession,
)
from scanner.vouchers.field import spread, to_bytes
from scanner.vouchers.sharing import next_secret, secret_for
from scanner.vouchers.terms import KeyedShare
from tests.vouchers import second_client as second

FIXTURES = Path(__file__).parent.parent / "fixtures"
HASHES = json.loads((FIXTURES / "rings.json").read_text("utf-8"))
VOUCHERS = json.loads((FIXTURES / "vouchers-v1.json").read_text("utf-8"))


@pytest.mark.parametrize("algorithm", ["pdq", "phash", "dhash", "whash"])
def test_hashes_are_those_of_the_field(algorithm):
    """Text form and bits are what pdqhash and imagehash gave."""
    known, quality = hash_picture(FIXTURES / "rings.png", algorithm)
    assert (str(known), quality) == (HASHES[algorithm], HASHES["quality"])


def test_dihedral_variants_are_those_of_the_field():
    """In pdqhash's order."""
    variants, _ = pdq_dihedral(np.asarray(Image.open(FIXTURES / "rings.png")))
    assert [one.hex() for one in variants] == HASHES["pdq_dihedral"]


def test_a_hash_set_written_before_opens(tmp_path):
    """Format version 1 reads as it did, and is written as it was."""
    builder = HashSetBuilder("fixture", epoch=3)
    with HashSet.open(FIXTURES / "rings.prescan") as known:
        assert [known.hash_at(i).hex for i in range(8)] == HASHES["pdq_dihedral"]
        assert known.match_at(5, 0).label == "rings, turned 5"
        builder.add_all(known.entries())
    builder.write(tmp_path / "again.prescan")
    assert (tmp_path / "again.prescan").read_bytes() == (FIXTURES / "rings.prescan").read_bytes()


COMMON = {name: bytes.fromhex(one["value"]) for name, one in VOUCHERS["common"].items()}
PROFILES = {
    name: {step: bytes.fromhex(one["value"]) for step, one in VOUCHERS[name].items()}
    for name in ("match-only", "covered")
}
DEVICE = Ed25519PrivateKey.from_private_bytes(COMMON["device_private_key"])
INTAKE = Ed25519PrivateKey.from_private_bytes(COMMON["intake_private_key"])
OPENER = X25519PrivateKey.from_private_bytes(COMMON["opener_private_key"])
ACCOUNT, SECRET = COMMON["account"], COMMON["secret"]
WINDOW, SLOT, CONTENT = (int.from_bytes(COMMON[name]) for name in ("window", "slot", "content_id"))
profiles = pytest.mark.parametrize("profile", PROFILES)


def policy_and_shares(profile: str):
    policy = Policy.from_bytes(PROFILES[profile]["policy"])
    return policy, Terms.of(policy).shares(SECRET, WINDOW, ACCOUNT)


def test_every_vector_has_its_command():
    """Whoever finds another value knows how ours came about."""
    for group in ("common", *PROFILES):
        assert all(one["command"] and set(one) == {"command", "value"} for one in VOUCHERS[group].values())
    assert VOUCHERS["command"] == "python fixtures/make.py --vouchers"


def test_keys_and_enrolment():
    """The device's id, the next window's secret, the proof of possession."""
    assert device_id_of(DEVICE.public_key().public_bytes_raw()) == COMMON["device_id"]
    assert next_secret(SECRET) == secret_for(SECRET, WINDOW, WINDOW + 1) == COMMON["next_secret"]
    assert prove_possession(DEVICE, ACCOUNT) == COMMON["enrolment_proof"]
    check_possession(DEVICE.public_key().public_bytes_raw(), ACCOUNT, COMMON["enrolment_proof"])


@profiles
def test_policy(profile):
    """Payload, digest and signed message; its opener's key is the one given."""
    vector, (policy, _) = PROFILES[profile], policy_and_shares(profile)
    signers = COMMON["signer_private_keys"]
    keys = [Ed25519PrivateKey.from_private_bytes(one) for one in (signers[:32], signers[32:])]
    assert (policy.profile, policy.threshold) == (profile, {"match-only": 10, "covered": 30}[profile])
    assert policy.to_bytes() == vector["policy"]
    assert policy.digest == vector["policy_digest"]
    assert policy.opener_key == OPENER.public_key().public_bytes_raw()
    assert policies.sign(policy, keys) == vector["policy_message"]
    assert policies.read(vector["policy_message"]).policy == policy


@profiles
def test_shares(profile):
    """Contexts, keys, first coefficients, the account's key, and a content's share."""
    vector, (policy, shares) = PROFILES[profile], policy_and_shares(profile)
    count = Terms.of(policy).polynomials
    assert vector["context_shown"] == struct.pack(">I16sHH", WINDOW, ACCOUNT, policy.threshold, count)
    assert vector["context_keyed"] == struct.pack(">I16sHH", WINDOW, ACCOUNT, policy.threshold + 1, 5)
    shown, keyed = shares._shown, shares._keyed
    assert bytes(shown._x_key) == vector["k_x"] == second.hkdf(SECRET, b"prescan/v1/share-x" + vector["context_shown"])
    constants = vector["first_coefficients_shown"]
    assert b"".join(map(to_bytes, shown._coefficients[0, : len(constants) // 8].tolist())) == constants
    assert b"".join(map(to_bytes, keyed._coefficients[0].tolist())) == vector["first_coefficients_keyed"]
    assert shares.account_key == vector["account_key"]
    assert second.key_of(list(struct.unpack(">5Q", vector["first_coefficients_keyed"]))) == vector["account_key"]
    share = shares.share(CONTENT)
    assert to_bytes(share.shown.x) == vector["x"]
    assert share.to_bytes() == vector["share"]
    assert KeyedShare.from_bytes(vector["share"], Terms.of(policy)) == share


@profiles
def test_intermediate_keys_of_shares(profile):
    """What the code keeps to itself, derived by the second client."""
    vector = PROFILES[profile]
    label, count = b"prescan/v1/share-polynomials", vector["context_shown"][-2:]
    assert second.hkdf(SECRET, label + vector["context_shown"]) == vector["k_p_shown"]
    assert second.hkdf(SECRET, b"prescan/v1/share-key" + count) == vector["key_secret"]
    assert second.hkdf(vector["key_secret"], label + vector["context_keyed"]) == vector["k_p_keyed"]
    for kind in ("shown", "keyed"):
        constants = vector[f"first_coefficients_{kind}"]
        stream = hashlib.shake_256(vector[f"k_p_{kind}"]).digest(2 * len(constants))
        assert b"".join(map(to_bytes, spread(stream).tolist())) == constants
    account = second.Account(SECRET, WINDOW, ACCOUNT, {"match-only": 10, "covered": 30}[profile], profile)
    assert struct.pack(f">{len(vector['share']) // 8}Q", *account.share(CONTENT)) == vector["share"]


@profiles
def test_payload_and_its_encryption(profile, monkeypatch):
    """Payload, keys, commitment, ciphertext; the sealer puts exactly these inside."""
    vector, (policy, shares) = PROFILES[profile], policy_and_shares(profile)
    payload = Payload.from_bytes(vector["payload"])
    assert payload.to_bytes() == vector["payload"]
    assert (payload.content_id, payload.account, payload.policy_digest) == (CONTENT, ACCOUNT, policy.digest)
    assert hashlib.sha256(vector["protected"]).digest() == vector["header_hash"]
    assert envelope._payload_keys(vector["account_key"], vector["protected"]) == (
        vector["payload_key"],
        vector["commitment"],
    )
    assert second.ciphertext_of(vector["payload_key"], vector["protected"], vector["payload"]) == vector["ciphertext"]
    assert vector["share"] + vector["commitment"] + vector["ciphertext"] == vector["inner"]
    inside = []
    monkeypatch.setattr(
        DeviceSealer, "_enveloped", lambda _, protected, inner, *place: inside.append((protected, inner))
    )
    DeviceSealer(DEVICE, policy, ACCOUNT).seal(payload, shares, SLOT)
    assert inside == [(vector["protected"], vector["inner"])]


@profiles
def test_hpke_and_voucher(profile):
    """A voucher made once verifies, unseals and opens with the keys beside it, by the code and by the second client."""
    vector, (policy, shares) = PROFILES[profile], policy_and_shares(profile)
    assert vector["hpke_info"] == b"prescan/v1/hpke" + vector["header_hash"]
    assert second.hpke_open(OPENER, vector["sealed"], vector["hpke_info"]) == vector["inner"]
    assert second.signed(DEVICE, vector["protected"], vector["sealed"]) == vector["voucher"]
    voucher = Voucher.parse(vector["voucher"])
    voucher.verify(DEVICE.public_key())
    assert (voucher.header.device_id, voucher.header.window, voucher.header.slot, voucher.header.policy_digest) == (
        COMMON["device_id"],
        WINDOW,
        SLOT,
        policy.digest,
    )
    assert voucher.digest == vector["voucher_digest"]
    unsealed = voucher.unseal(OPENER, Terms.of(policy))
    assert unsealed.share == shares.share(CONTENT)
    assert unsealed.open(vector["account_key"]) == Payload.from_bytes(vector["payload"])


@profiles
def test_receipt(profile):
    """Signed by the intake, naming the voucher; the same bytes when signed again."""
    vector = PROFILES[profile]
    receipt = Receipt.verified(vector["receipt"], INTAKE.public_key())
    assert receipt == Receipt(COMMON["device_id"], WINDOW, SLOT, vector["voucher_digest"], 20_001)
    assert receipt.sign(INTAKE) == vector["receipt"]


def test_ten_vouchers_open_and_nine_do_not():
    """What another opener can be written against."""
    policy, _ = policy_and_shares("match-only")
    vouchers = [Voucher.parse(bytes.fromhex(one)) for one in VOUCHERS["opens"]["vouchers"]]
    for voucher in vouchers:
        voucher.verify(DEVICE.public_key())
    opened = open_window(vouchers, OPENER, Terms.of(policy), ACCOUNT)
    assert [one.payload.content_id for one in opened.opened] == list(range(10))
    assert open_window(vouchers[1:], OPENER, Terms.of(policy), ACCOUNT).result is Result.BELOW_THRESHOLD
