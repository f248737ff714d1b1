"""Vouchers: they open where and by whom they were meant to, and nowhere else."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import struct

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers import LARGEST_VOUCHER, DeviceSealer, Payload, Voucher, VoucherHeader, cose, device_id_of

DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
OTHER_DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
OPENER = X25519PrivateKey.from_private_bytes(bytes([3]) * 32)
OTHER_OPENER = X25519PrivateKey.from_private_bytes(bytes([4]) * 32)
POLICY = bytes(range(32))
PAYLOAD = Payload(77, 5, POLICY, "pdq", 12, 88, bytes([0xA5]) * 32, 20_600, bytes([9]) * 32)
SEALER = DeviceSealer(DEVICE, OPENER.public_key(), POLICY)
VOUCHER = SEALER.seal(PAYLOAD, 735, 3)

EXTREME_WINDOWS = (0, 1, 255, 256, 735, 65_535, 65_536, 2**32 - 1)
EXTREME_SLOTS = (0, 23, 24, 255, 256, 65_535)

number = st.integers(0, 2**64 - 1)
payloads = st.builds(
    Payload,
    content_id=number,
    leaf_index=number,
    policy_digest=st.just(POLICY),
    algorithm=st.text(max_size=8),
    distance=number,
    quality=number,
    hash=st.binary(max_size=32),
    day=number,
    hashset_digest=st.binary(max_size=32),
)


def accept(message: bytes) -> Payload:
    """All that an honest receiver does, in order."""
    voucher = Voucher.parse(message)
    voucher.verify(DEVICE.public_key())
    return voucher.open(OPENER)


def problem_of(do, *arguments) -> str:
    with pytest.raises(VoucherError) as refused:
        do(*arguments)
    return refused.value.problem


def signed(key: Ed25519PrivateKey, protected: bytes, sealed: bytes) -> bytes:
    """Make a COSE_Sign1 message with nothing but cbor2 and the key (RFC 9052 section 4.4)."""
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", sealed], canonical=True))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, sealed, signature]), canonical=True)


def protected_for(device_id: bytes, window: int, slot: int, policy: bytes = POLICY, version: int = 0) -> bytes:
    place = struct.pack(">BIH32s", version, window, slot, policy)
    return cbor2.dumps({1: -8, 4: device_id, -70001: place}, canonical=True)


@given(payload=payloads, window=st.integers(0, 2**32 - 1), slot=st.integers(0, 2**16 - 1))
@settings(derandomize=True, deadline=None)
def test_what_was_sealed_is_what_is_opened(payload, window, slot):
    """Payload, device, window, slot and policy come back as they went in."""
    message = SEALER.seal(payload, window, slot)
    voucher = Voucher.parse(message)
    voucher.verify(DEVICE.public_key())
    assert voucher.open(OPENER) == payload
    assert voucher.header == VoucherHeader(SEALER.device_id, window, slot, POLICY, 0)
    assert voucher.digest == hashlib.sha256(message).digest()


def test_sealing_twice_gives_two_ciphertexts():
    """Two vouchers of one payload can't be told to hold the same."""
    again = SEALER.seal(PAYLOAD, 735, 3)
    assert again != VOUCHER
    assert accept(again) == accept(VOUCHER) == PAYLOAD


@pytest.mark.parametrize("payload", [PAYLOAD, Payload(0, 0, POLICY, "", 0, 0, b"", 0, b"")], ids=["full", "empty"])
def test_all_vouchers_have_one_length(payload):
    """The length of a voucher tells nothing of what is in it."""
    extreme = dataclasses.replace(payload, content_id=2**64 - 1, leaf_index=2**64 - 1, day=2**64 - 1)
    lengths = {
        len(SEALER.seal(each, window, slot))
        for each in (payload, extreme)
        for window in EXTREME_WINDOWS
        for slot in EXTREME_SLOTS
    }
    assert lengths == {len(VOUCHER)}
    assert len(VOUCHER) < LARGEST_VOUCHER


def test_no_bit_of_the_payload_stands_in_the_voucher():
    """Hash and list edition are not to be read without the opener's key."""
    assert PAYLOAD.hash not in VOUCHER
    assert PAYLOAD.hashset_digest not in VOUCHER


def test_every_flipped_bit_is_refused():
    """A voucher with one bit changed does not get past the signature."""
    for position in range(8 * len(VOUCHER)):
        changed = bytearray(VOUCHER)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(VoucherError):
            Voucher.parse(bytes(changed)).verify(DEVICE.public_key())


def test_every_flipped_bit_of_the_ciphertext_is_refused_even_if_signed_anew():
    """The encryption stands by itself: the device can't be made to sign what someone else changed."""
    voucher = Voucher.parse(VOUCHER)
    for position in range(8 * len(voucher._sealed)):
        changed = bytearray(voucher._sealed)
        changed[position // 8] ^= 1 << position % 8
        assert problem_of(dataclasses.replace(voucher, _sealed=bytes(changed)).open, OPENER) == "does-not-open"


@pytest.mark.parametrize("label", [True, 1.0])
def test_a_label_that_only_equals_one_is_refused(label):
    """1, 1.0 and true are one number to Python and three encodings: only the first names the algorithm."""
    (_, fields, sealed, _) = cose.parse_sign1(SEALER.seal(PAYLOAD, 7, 3), "voucher")
    protected = cose.encode({label: fields[1], **{key: value for key, value in fields.items() if key != 1}})
    assert problem_of(Voucher.parse, signed(DEVICE, protected, sealed)) == "malformed"


def test_an_algorithm_that_only_equals_eddsa_is_refused():
    """The same for the algorithm's number."""
    (_, fields, sealed, _) = cose.parse_sign1(SEALER.seal(PAYLOAD, 7, 3), "voucher")
    protected = cose.encode({**fields, 1: -8.0})
    assert problem_of(Voucher.parse, signed(DEVICE, protected, sealed)) == "malformed"


@pytest.mark.parametrize(("window", "slot"), [(-1, 0), (0, -1), (2**32, 0)])
def test_a_place_that_can_not_be_is_the_callers_mistake(window, slot):
    """Said by the named error, before anything is encrypted."""
    with pytest.raises(ArgumentError):
        SEALER.seal(PAYLOAD, window, slot)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_policy_digest_of_another_length_is_refused(length):
    """It would be cut or padded in the header, and the voucher would never open."""
    with pytest.raises(ArgumentError):
        DeviceSealer(DEVICE, OPENER.public_key(), bytes(length))


def test_every_truncation_is_refused():
    """No beginning of a voucher is a voucher."""
    for length in range(len(VOUCHER)):
        assert problem_of(Voucher.parse, VOUCHER[:length]) == "malformed"


@given(more=st.binary(min_size=1, max_size=64))
@settings(derandomize=True, deadline=None)
def test_appended_bytes_are_refused(more):
    """Nothing may follow a voucher."""
    assert problem_of(Voucher.parse, VOUCHER + more) == "malformed"


@pytest.mark.parametrize("sealed_bytes", [0, 1, 31, 32, 47, 48, 303, 305])
def test_ciphertext_of_any_length_is_refused_by_the_one_name(sealed_bytes):
    """A signed voucher around too little or too much ciphertext does not open."""
    message = signed(DEVICE, protected_for(SEALER.device_id, 735, 3), bytes(sealed_bytes))
    voucher = Voucher.parse(message)
    voucher.verify(DEVICE.public_key())
    assert problem_of(voucher.open, OPENER) == "does-not-open"


def test_a_voucher_larger_than_any_is_refused_unread():
    """One byte beyond the limit is too large, whatever it holds."""
    assert problem_of(Voucher.parse, bytes(LARGEST_VOUCHER + 1)) == "too-large"
    assert problem_of(Voucher.parse, bytes(LARGEST_VOUCHER)) == "malformed"


@pytest.mark.parametrize("signer", [DEVICE, OTHER_DEVICE], ids=["the-device", "an-attacker"])
@pytest.mark.parametrize(
    "place",
    [
        {"window": 736},
        {"slot": 4},
        {"policy": bytes(32)},
        {"device_id": device_id_of(OTHER_DEVICE.public_key().public_bytes_raw())},
    ],
    ids=["window", "slot", "policy", "device"],
)
def test_a_ciphertext_moved_elsewhere_does_not_open(place, signer):
    """Window, slot, policy and device are bound into the encryption, whoever signs the new header."""
    moved = {"device_id": SEALER.device_id, "window": 735, "slot": 3} | place
    message = signed(signer, protected_for(**moved), Voucher.parse(VOUCHER)._sealed)
    assert problem_of(Voucher.parse(message).open, OPENER) == "does-not-open"


def test_the_same_header_signed_by_an_attacker_is_refused():
    """Whoever holds a voucher's parts can't sign for the device."""
    voucher = Voucher.parse(VOUCHER)
    message = signed(OTHER_DEVICE, voucher._protected, voucher._sealed)
    assert problem_of(Voucher.parse(message).verify, DEVICE.public_key()) == "bad-signature"
    assert problem_of(Voucher.parse(message).verify, OTHER_DEVICE.public_key()) == "wrong-device"


def test_another_devices_key_is_the_wrong_device():
    """A voucher is only of the device it names."""
    assert problem_of(Voucher.parse(VOUCHER).verify, OTHER_DEVICE.public_key()) == "wrong-device"


def test_another_openers_key_does_not_open():
    """Only the opener the voucher was sealed for reads it."""
    assert problem_of(Voucher.parse(VOUCHER).open, OTHER_OPENER) == "does-not-open"


@pytest.mark.parametrize("version", [1, 2, 127, 255])
def test_other_versions_are_named(version):
    """A later version is told apart from damage."""
    message = signed(DEVICE, protected_for(SEALER.device_id, 735, 3, version=version), bytes(304))
    assert problem_of(Voucher.parse, message) == "unknown-version"


def test_one_policy_outside_and_another_inside_is_refused():
    """A device can't seal a payload under a policy its header does not name."""
    inside = dataclasses.replace(PAYLOAD, policy_digest=bytes(32))
    assert problem_of(Voucher.parse(SEALER.seal(inside, 735, 3)).open, OPENER) == "malformed"


def test_a_window_has_65536_slots():
    """The last slot is used, the one after it is refused by name."""
    assert Voucher.parse(SEALER.seal(PAYLOAD, 735, 65_535)).header.slot == 65_535
    assert problem_of(SEALER.seal, PAYLOAD, 735, 65_536) == "window-full"


@given(message=st.binary(max_size=600))
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_a_voucher_or_a_named_error(message):
    """Parsing bytes from outside raises VoucherError or nothing."""
    with pytest.raises(VoucherError):
        Voucher.parse(message)


loose = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=70) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.integers(-9, 9) | st.text(max_size=3), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.integers(0, 300), inner)
    ),
    max_leaves=12,
)


@given(
    parts=st.lists(loose, min_size=3, max_size=5), fields=loose, place=st.integers(0, 5), tag=st.sampled_from([17, 18])
)
@settings(derandomize=True, deadline=None)
def test_any_cbor_is_a_voucher_or_a_named_error(parts, fields, place, tag):
    """Well-formed CBOR of the wrong shape raises VoucherError and nothing else, however near the right one."""
    parts[min(place, len(parts) - 1)] = cbor2.dumps(fields, canonical=True)
    for message in (cbor2.dumps(parts), cbor2.dumps(cbor2.CBORTag(tag, parts), canonical=True)):
        with pytest.raises(VoucherError):
            Voucher.parse(message)


@given(flips=st.lists(st.tuples(st.integers(0, len(VOUCHER) - 1), st.integers(1, 255)), min_size=1, max_size=4))
@settings(derandomize=True, deadline=None)
def test_damage_is_always_named(flips):
    """A voucher damaged in several places raises VoucherError or parses to something that isn't signed."""
    damaged = bytearray(VOUCHER)
    for position, mask in flips:
        damaged[position] ^= mask
    if bytes(damaged) != VOUCHER:
        with pytest.raises(VoucherError):
            Voucher.parse(bytes(damaged)).verify(DEVICE.public_key())


def labelled(label: bytes, ikm: bytes, salt: bytes, suite: bytes) -> bytes:
    """LabeledExtract (RFC 9180 section 4)."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def expanded(key: bytes, label: bytes, info: bytes, length: int, suite: bytes) -> bytes:
    """LabeledExpand (RFC 9180 section 4) for at most one block of SHA-256."""
    return hmac.digest(key, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\x01", "sha256")[:length]


def decrypted_by_hand(private: X25519PrivateKey, sealed: bytes, info: bytes, aad: bytes) -> bytes:
    """HPKE base mode, sequence number 0 (RFC 9180 sections 4.1, 5.1, 5.2) from its primitives."""
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    share, ciphertext = sealed[:32], sealed[32:]
    dh = private.exchange(X25519PublicKey.from_public_bytes(share))
    context = share + private.public_key().public_bytes_raw()
    shared = expanded(labelled(b"eae_prk", dh, b"", kem), b"shared_secret", context, 32, kem)
    schedule = b"\0" + labelled(b"psk_id_hash", b"", b"", suite) + labelled(b"info_hash", info, b"", suite)
    secret = labelled(b"secret", b"", shared, suite)
    key = expanded(secret, b"key", schedule, 32, suite)
    return ChaCha20Poly1305(key).decrypt(expanded(secret, b"base_nonce", schedule, 12, suite), ciphertext, aad)


def test_hpke_by_hand_reads_the_vector_of_rfc_9180():
    """The second decoder is right: RFC 9180 appendix A.2.1, sequence number 0."""
    private = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
    share = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
    ciphertext = bytes.fromhex(
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    )
    key = X25519PrivateKey.from_private_bytes(private)
    plain = decrypted_by_hand(key, share + ciphertext, b"Ode on a Grecian Urn", b"Count-0")
    assert plain == b"Beauty is truth, truth beauty"


def test_a_second_decoder_reads_the_whole_voucher():
    """A voucher is what its docstring says, read with cbor2, hashlib, Ed25519 and HPKE's primitives alone."""
    tagged = cbor2.loads(VOUCHER)
    assert tagged.tag == 18
    protected, unprotected, sealed, signature = tagged.value
    assert unprotected == {}
    DEVICE.public_key().verify(signature, cbor2.dumps(["Signature1", protected, b"", sealed]))
    fields = cbor2.loads(protected)
    assert set(fields) == {1, 4, -70001}
    assert fields[1] == -8
    assert fields[4] == hashlib.sha256(DEVICE.public_key().public_bytes_raw()).digest()[:16]
    place = fields[-70001]
    assert (place[0], int.from_bytes(place[1:5]), int.from_bytes(place[5:7]), place[7:]) == (0, 735, 3, POLICY)
    info = b"prescan/v1/hpke" + hashlib.sha256(protected).digest()
    plain = decrypted_by_hand(OPENER, sealed, info, b"")
    assert len(plain) == 256
    body = plain[2 : 2 + int.from_bytes(plain[:2])]
    values = (77, 5, POLICY, "pdq", 12, 88, bytes([0xA5]) * 32, 20_600, bytes([9]) * 32)
    assert cbor2.loads(body) == dict(enumerate(values, 1))
    assert not any(plain[2 + len(body) :])


def test_ed25519_is_that_of_rfc_8032():
    """The key type that signs vouchers gives the signature of RFC 8032 section 7.1, test 2."""
    secret = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    assert key.public_key().public_bytes_raw().hex() == public
    assert key.sign(b"\x72").hex() == signature
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), b"\x72")
