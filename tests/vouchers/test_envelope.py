"""Vouchers: they open where and by whom they were meant to, and nowhere else."""

from __future__ import annotations

import dataclasses
import hashlib
import struct

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers import LARGEST_VOUCHER, DeviceSealer, Payload, Terms, Voucher, VoucherHeader, cose, device_id_of
from tests.vouchers import second_client as second
from tests.vouchers.accounts import (
    ACCOUNT,
    BOTH,
    COVERED,
    MATCH_ONLY,
    OPENER,
    OTHER_ACCOUNT,
    OTHER_OPENER,
    SECRET,
    WINDOW,
    Device,
    T,
    contents,
    device_key,
    opened,
    policy_of,
)
from tests.vouchers.second_client import hpke_open, protected_of, signed

both = pytest.mark.parametrize("policy", BOTH, ids=lambda policy: policy.profile)
DEVICE, OTHER_DEVICE = device_key(1), device_key(2)
DEVICES = {policy.profile: Device(policy) for policy in BOTH}
VOUCHERS = {policy.profile: Device(policy).real(77, 3) for policy in BOTH}
DEVICE_ID = device_id_of(DEVICE.public_key().public_bytes_raw())
LENGTHS = {"match-only": 605, "covered": 1053}

EXTREME_WINDOWS = (0, 1, 255, 256, 735, 65_535, 65_536, 2**32 - 1)
EXTREME_SLOTS = (0, 23, 24, 255, 256, 65_535)

number = st.integers(0, 2**64 - 1)
payloads = st.builds(
    Payload,
    content_id=number,
    leaf_index=number,
    policy_digest=st.just(COVERED.digest),
    algorithm=st.sampled_from(["pdq", "phash", "dhash", "whash"]),
    distance=number,
    quality=number,
    hash=st.binary(max_size=32),
    day=number,
    hashset_digest=st.binary(max_size=32),
    account=st.just(ACCOUNT),
    build=st.binary(max_size=32),
)


def problem_of(do, *arguments) -> str:
    with pytest.raises(VoucherError) as refused:
        do(*arguments)
    return refused.value.problem


def accept(message: bytes, policy, key: bytes) -> Payload:
    """All that an honest receiver does, in order, once it has the account's key."""
    voucher = Voucher.parse(message)
    voucher.verify(DEVICE.public_key())
    return voucher.unseal(OPENER, Terms.of(policy)).open(key)


@both
@given(payload=payloads, window=st.integers(0, 2**32 - 1), slot=st.integers(0, 2**16 - 1))
@settings(max_examples=30)
def test_what_was_sealed_is_what_is_opened(policy, payload, window, slot):
    """Payload, share, device, window, slot and policy come back as they went in."""
    device = DEVICES[policy.profile]
    shares = device.sealer.terms.shares(SECRET, window, ACCOUNT)
    message = device.sealer.seal(payload, shares, slot)
    voucher = Voucher.parse(message)
    voucher.verify(DEVICE.public_key())
    unsealed = voucher.unseal(OPENER, Terms.of(policy))
    assert unsealed.share == shares.share(payload.content_id)
    assert len(unsealed.share.shown.ys) == {"match-only": 8, "covered": 64}[policy.profile]
    assert unsealed.is_under(shares.account_key)
    assert unsealed.open(shares.account_key) == payload
    assert voucher.header == VoucherHeader(DEVICE_ID, window, slot, policy.digest, 1)
    assert voucher.digest == hashlib.sha256(message).digest()


@both
def test_sealing_twice_gives_two_ciphertexts(policy):
    """Two vouchers of one payload can't be told to hold the same."""
    device = DEVICES[policy.profile]
    again, key = device.real(77, 3), device.shares().account_key
    assert again != VOUCHERS[policy.profile]
    assert accept(again, policy, key) == accept(VOUCHERS[policy.profile], policy, key) == device.payload(77)


@both
def test_all_vouchers_have_one_length(policy):
    """The length of a voucher tells nothing of what is in it, or whether anything is."""
    device = DEVICES[policy.profile]
    largest = dict.fromkeys(["leaf_index", "distance", "quality", "day"], 2**64 - 1)
    fullest = device.payload(2**64 - 1, build=bytes(32), algorithm="whash", **largest)
    emptiest = Payload(0, 0, b"", "", 0, 0, b"", 0, b"", b"", b"")
    lengths = set()
    for window in EXTREME_WINDOWS:
        shares = device.sealer.terms.shares(SECRET, window, ACCOUNT)
        for slot in EXTREME_SLOTS:
            lengths |= {len(device.sealer.seal(each, shares, slot)) for each in (fullest, emptiest)}
            lengths.add(len(device.sealer.seal_dummy(window, slot)))
    assert lengths == {LENGTHS[policy.profile]}
    assert max(lengths) < LARGEST_VOUCHER


def test_the_docstring_tells_the_lengths():
    """What is written down is what is sent."""
    assert "605 bytes without cover, 1,053 with" in DeviceSealer.seal.__doc__


@both
def test_no_bit_of_the_inside_stands_in_the_voucher(policy):
    """Hash, list edition, account and share are not to be read without the opener's key."""
    device, message = DEVICES[policy.profile], VOUCHERS[policy.profile]
    payload, share = device.payload(77), device.shares().share(77)
    for secret in (payload.hash, payload.hashset_digest, ACCOUNT, *(y.to_bytes(8) for y in share.shown.ys)):
        assert secret not in message


@both
def test_not_even_the_opener_reads_a_payload_without_the_accounts_key(policy):
    """With the outer encryption off, hash, list edition and account are still encrypted."""
    message, payload = VOUCHERS[policy.profile], DEVICES[policy.profile].payload(77)
    _, inner = second.taken_apart(message, DEVICE.public_key(), OPENER)
    for secret in (payload.hash, payload.hashset_digest, ACCOUNT, (77).to_bytes(8)):
        assert secret not in inner


@both
def test_every_flipped_bit_is_refused(policy):
    """A voucher with one bit changed does not get past the signature; what it then is called depends on where."""
    message = VOUCHERS[policy.profile]
    voucher = Voucher.parse(message)
    device_at, place_at = message.index(DEVICE_ID), message.index(struct.pack(">BIH32s", 1, WINDOW, 3, policy.digest))
    sealed_at = message.index(voucher._sealed)
    expected = ["malformed"] * len(message)
    expected[device_at : device_at + 16] = ["wrong-device"] * 16
    expected[place_at] = "unknown-version"
    expected[place_at + 1 : place_at + 39] = ["bad-signature"] * 38
    expected[sealed_at : sealed_at + len(voucher._sealed)] = ["bad-signature"] * len(voucher._sealed)
    expected[-64:] = ["bad-signature"] * 64
    for position in range(8 * len(message)):
        changed = bytearray(message)
        changed[position // 8] ^= 1 << position % 8
        problem = problem_of(lambda data: Voucher.parse(data).verify(DEVICE.public_key()), bytes(changed))
        assert problem == expected[position // 8], position // 8


@both
def test_every_flipped_bit_of_the_ciphertext_is_refused_even_if_signed_anew(policy):
    """The encryption stands by itself: the device can't be made to sign what someone else changed."""
    voucher, terms = Voucher.parse(VOUCHERS[policy.profile]), Terms.of(policy)
    for position in range(8 * len(voucher._sealed)):
        changed = bytearray(voucher._sealed)
        changed[position // 8] ^= 1 << position % 8
        moved = dataclasses.replace(voucher, _sealed=bytes(changed))
        assert problem_of(moved.unseal, OPENER, terms) == "does-not-open"


@both
def test_every_flipped_bit_of_commitment_and_payload_is_refused_even_if_sealed_anew(policy):
    """What an inside can be changed to by who may seal it: another key's, or nothing that opens."""
    device, terms = DEVICES[policy.profile], Terms.of(policy)
    protected, inner = second.taken_apart(VOUCHERS[policy.profile], DEVICE.public_key(), OPENER)
    assert len(inner) == terms.share_bytes + 32 + 272
    for position in range(8 * terms.share_bytes, 8 * len(inner), 3):
        changed = bytearray(inner)
        changed[position // 8] ^= 1 << position % 8
        voucher = Voucher.parse(second.wrapped(DEVICE, policy.opener_key, protected, bytes(changed)))
        unsealed = voucher.unseal(OPENER, terms)
        expected = "other-key" if position // 8 < terms.share_bytes + 32 else "does-not-open"
        assert problem_of(unsealed.open, device.shares().account_key) == expected


@pytest.mark.parametrize("label", [True, 1.0])
def test_a_label_that_only_equals_one_is_refused(label):
    """1, 1.0 and true are one number to Python and three encodings: only the first names the algorithm."""
    (_, fields, sealed, _) = cose.parse_sign1(VOUCHERS["covered"], "voucher")
    protected = cose.encode({label: fields[1], **{key: value for key, value in fields.items() if key != 1}})
    assert problem_of(Voucher.parse, signed(DEVICE, protected, sealed)) == "malformed"


def test_an_algorithm_that_only_equals_eddsa_is_refused():
    """The same for the algorithm's number."""
    (_, fields, sealed, _) = cose.parse_sign1(VOUCHERS["covered"], "voucher")
    assert problem_of(Voucher.parse, signed(DEVICE, cose.encode({**fields, 1: -8.0}), sealed)) == "malformed"


@pytest.mark.parametrize(("window", "slot"), [(-1, 0), (0, -1), (2**32, 0)])
def test_a_place_that_can_not_be_is_the_callers_mistake(window, slot):
    """Said by the named error, before anything is encrypted."""
    device = DEVICES["covered"]
    with pytest.raises(ArgumentError):
        device.sealer.seal_dummy(window, slot)
    if slot < 0:
        with pytest.raises(ArgumentError):
            device.real(1, slot)


@both
def test_shares_of_other_terms_are_the_callers_mistake(policy):
    """A voucher is never sealed with shares that its policy's opener could not count."""
    device = DEVICES[policy.profile]
    for other in (policy_of(policy.profile, T + 1), COVERED if policy is MATCH_ONLY else MATCH_ONLY):
        with pytest.raises(ArgumentError, match="other terms"):
            device.sealer.seal(device.payload(1), Device(other).shares(), 0)


def test_a_threshold_over_the_slots_of_cover_is_refused():
    """It would never open."""
    DeviceSealer(DEVICE, policy_of("covered", 64), ACCOUNT)
    DeviceSealer(DEVICE, policy_of("match-only", 65), ACCOUNT)
    with pytest.raises(ArgumentError, match="never opens"):
        DeviceSealer(DEVICE, policy_of("covered", 65), ACCOUNT)


@both
def test_every_truncation_is_refused(policy):
    """No beginning of a voucher is a voucher."""
    for length in range(len(VOUCHERS[policy.profile])):
        assert problem_of(Voucher.parse, VOUCHERS[policy.profile][:length]) == "malformed"


@given(more=st.binary(min_size=1, max_size=64))
def test_appended_bytes_are_refused(more):
    """Nothing may follow a voucher."""
    assert problem_of(Voucher.parse, VOUCHERS["covered"] + more) == "malformed"


@pytest.mark.parametrize("sealed_bytes", [0, 1, 31, 32, 47, 48, 463, 464, 465])
def test_ciphertext_of_any_length_is_refused_by_the_one_name(sealed_bytes):
    """A signed voucher around too little, too much or no ciphertext does not open."""
    message = signed(DEVICE, protected_of(DEVICE_ID, WINDOW, 3, MATCH_ONLY.digest), bytes(sealed_bytes))
    voucher = Voucher.parse(message)
    voucher.verify(DEVICE.public_key())
    assert problem_of(voucher.unseal, OPENER, Terms.of(MATCH_ONLY)) == "does-not-open"


@pytest.mark.parametrize("length", [0, 1, 415, 417, 863, 865])
def test_an_inside_of_another_length_is_malformed(length):
    """What opens and is not as long as a voucher of its policy is said to be so."""
    protected = protected_of(DEVICE_ID, WINDOW, 3, COVERED.digest)
    voucher = Voucher.parse(second.wrapped(DEVICE, COVERED.opener_key, protected, bytes(length)))
    assert problem_of(voucher.unseal, OPENER, Terms.of(COVERED)) == "malformed"


def test_a_voucher_larger_than_any_is_refused_unread():
    """One byte beyond the limit is too large, whatever it holds."""
    assert problem_of(Voucher.parse, bytes(LARGEST_VOUCHER + 1)) == "too-large"
    assert problem_of(Voucher.parse, bytes(LARGEST_VOUCHER)) == "malformed"


PLACES = {
    "window": {"window": 736},
    "slot": {"slot": 4},
    "policy": {"policy_digest": bytes(32)},
    "device": {"device": device_id_of(OTHER_DEVICE.public_key().public_bytes_raw())},
}


@both
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_ciphertext_moved_elsewhere_does_not_open(policy, place):
    """Window, slot, policy and device are bound into the outer encryption, whoever signs the new header."""
    moved = {"device": DEVICE_ID, "window": WINDOW, "slot": 3, "policy_digest": policy.digest} | place
    for signer in (DEVICE, OTHER_DEVICE):
        message = signed(signer, protected_of(**moved), Voucher.parse(VOUCHERS[policy.profile])._sealed)
        assert problem_of(Voucher.parse(message).unseal, OPENER, Terms.of(policy)) == "does-not-open"


@both
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_an_inside_sealed_anew_elsewhere_does_not_open(policy, place):
    """And into the inner one: who took the outer off, the opener, can't move a payload either."""
    moved = {"device": DEVICE_ID, "window": WINDOW, "slot": 3, "policy_digest": policy.digest} | place
    _, inner = second.taken_apart(VOUCHERS[policy.profile], DEVICE.public_key(), OPENER)
    key = DEVICES[policy.profile].shares().account_key
    protected = protected_of(**moved)
    voucher = Voucher.parse(second.wrapped(OTHER_DEVICE, policy.opener_key, protected, inner))
    assert problem_of(voucher.unseal(OPENER, Terms.of(policy)).open, key) == "other-key"
    end = Terms.of(policy).share_bytes  # even with the commitment that belongs there
    inner = inner[:end] + second.payload_keys(key, protected)[1] + inner[end + 32 :]
    voucher = Voucher.parse(second.wrapped(OTHER_DEVICE, policy.opener_key, protected, inner))
    assert problem_of(voucher.unseal(OPENER, Terms.of(policy)).open, key) == "does-not-open"


def test_the_payloads_encryption_is_bound_by_its_associated_data_too():
    """The same key under another header would not open: the header's digest is authenticated as well."""
    protected, inner = second.taken_apart(VOUCHERS["covered"], DEVICE.public_key(), OPENER)
    key, _ = second.payload_keys(DEVICES["covered"].shares().account_key, protected)
    sealed = ChaCha20Poly1305(key).encrypt(bytes(12), bytes(256), b"")
    end = Terms.of(COVERED).share_bytes + 32
    voucher = Voucher.parse(second.wrapped(DEVICE, COVERED.opener_key, protected, inner[:end] + sealed))
    unsealed = voucher.unseal(OPENER, Terms.of(COVERED))
    assert problem_of(unsealed.open, DEVICES["covered"].shares().account_key) == "does-not-open"


def test_another_accounts_or_windows_key_does_not_open():
    """A key opens the vouchers of its account, window and terms, and is told apart from damage."""
    unsealed = Voucher.parse(VOUCHERS["covered"]).unseal(OPENER, Terms.of(COVERED))
    keys = (
        Device(COVERED).shares(WINDOW + 1).account_key,
        Device(COVERED, account=OTHER_ACCOUNT).shares().account_key,
        Device(COVERED, secret=bytes([8]) * 32).shares().account_key,
        Device(MATCH_ONLY).shares().account_key,
        Device(policy_of("covered", T + 1)).shares().account_key,
    )
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert not unsealed.is_under(key)
        assert problem_of(unsealed.open, key) == "other-key"


def test_a_dummy_opens_with_no_key_we_know():
    """It is sealed as well as a match is, around nothing."""
    device = DEVICES["covered"]
    voucher = Voucher.parse(device.sealer.seal_dummy(WINDOW, 9))
    voucher.verify(DEVICE.public_key())
    unsealed = voucher.unseal(OPENER, Terms.of(COVERED))
    assert problem_of(unsealed.open, device.shares().account_key) == "other-key"


def test_the_same_header_signed_by_an_attacker_is_refused():
    """Whoever holds a voucher's parts can't sign for the device."""
    voucher = Voucher.parse(VOUCHERS["covered"])
    message = signed(OTHER_DEVICE, voucher._protected, voucher._sealed)
    assert problem_of(Voucher.parse(message).verify, DEVICE.public_key()) == "bad-signature"
    assert problem_of(Voucher.parse(message).verify, OTHER_DEVICE.public_key()) == "wrong-device"


def test_another_devices_key_is_the_wrong_device():
    """A voucher is only of the device it names."""
    assert problem_of(Voucher.parse(VOUCHERS["covered"]).verify, OTHER_DEVICE.public_key()) == "wrong-device"


@both
def test_another_openers_key_does_not_open(policy):
    """Only the opener the voucher was sealed for gets its share."""
    voucher = Voucher.parse(VOUCHERS[policy.profile])
    assert problem_of(voucher.unseal, OTHER_OPENER, Terms.of(policy)) == "does-not-open"


@pytest.mark.parametrize("version", [0, 2, 127, 255])
def test_other_versions_are_named(version):
    """Another version is told apart from damage."""
    message = signed(DEVICE, protected_of(DEVICE_ID, WINDOW, 3, COVERED.digest, version), bytes(912))
    assert problem_of(Voucher.parse, message) == "unknown-version"


@both
def test_a_window_has_65536_slots(policy):
    """The last slot is used, the one after it is refused by name."""
    device = DEVICES[policy.profile]
    assert Voucher.parse(device.real(1, 65_535)).header.slot == 65_535
    assert problem_of(device.real, 1, 65_536) == "window-full"
    assert problem_of(device.sealer.seal_dummy, WINDOW, 65_536) == "window-full"


def test_nothing_secret_is_shown():
    """Logs of an unsealed voucher hold no share."""
    unsealed = Voucher.parse(VOUCHERS["match-only"]).unseal(OPENER, Terms.of(MATCH_ONLY))
    shown = repr(unsealed)
    assert not any(str(value) in shown for value in DEVICES["match-only"].values(77))


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


@given(flips=st.lists(st.tuples(st.integers(0, 1052), st.integers(1, 255)), min_size=1, max_size=4))
def test_damage_is_always_named(flips):
    """A voucher damaged in several places raises VoucherError or parses to something that isn't signed."""
    damaged = bytearray(VOUCHERS["covered"])
    for position, mask in flips:
        damaged[position] ^= mask
    if bytes(damaged) != VOUCHERS["covered"]:
        with pytest.raises(VoucherError):
            Voucher.parse(bytes(damaged)).verify(DEVICE.public_key())


@both
@given(inside=st.binary(max_size=900))
@settings(max_examples=40)
def test_any_inside_is_unsealed_or_malformed(policy, inside):
    """Whatever a device seals, unsealing raises VoucherError or nothing."""
    terms = Terms.of(policy)
    protected = protected_of(DEVICE_ID, WINDOW, 3, policy.digest)
    for inner in (inside, (inside * 1000)[: terms.share_bytes + 304]):
        voucher = Voucher.parse(second.wrapped(DEVICE, policy.opener_key, protected, inner))
        try:
            unsealed = voucher.unseal(OPENER, terms)
        except VoucherError as refused:
            problem = refused.problem
        else:
            problem = problem_of(unsealed.open, bytes(32))
        assert problem in {"malformed", "other-key"}


def test_hpke_by_hand_reads_the_vector_of_rfc_9180():
    """The second decoder is right: RFC 9180 appendix A.2.1, sequence number 0."""
    private = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
    share = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
    ciphertext = bytes.fromhex(
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    )
    key = X25519PrivateKey.from_private_bytes(private)
    plain = hpke_open(key, share + ciphertext, b"Ode on a Grecian Urn", b"Count-0")
    assert plain == b"Beauty is truth, truth beauty"


@both
def test_a_second_decoder_reads_the_whole_voucher(policy):
    """A voucher is what the docstrings say, read with cbor2, hashlib, hmac and the primitives alone."""
    protected, inner = second.taken_apart(VOUCHERS[policy.profile], DEVICE.public_key(), OPENER)
    fields = cbor2.loads(protected)
    assert set(fields) == {1, 4, -70001}
    assert (fields[1], fields[4]) == (-8, second.device_id(DEVICE.public_key().public_bytes_raw()))
    assert fields[-70001] == b"\x01" + struct.pack(">IH", WINDOW, 3) + policy.digest
    account = second.Account(SECRET, WINDOW, ACCOUNT, T, policy.profile)
    end = 8 * (1 + len(account.showing) + 5)
    assert list(struct.unpack(f">{end // 8}Q", inner[:end])) == account.share(77)
    key, commitment = second.payload_keys(account.key, protected)
    assert inner[end : end + 32] == commitment
    plain = ChaCha20Poly1305(key).decrypt(bytes(12), inner[end + 32 :], hashlib.sha256(protected).digest())
    assert len(plain) == 256
    body = plain[2 : 2 + int.from_bytes(plain[:2])]
    values = (77, 5, policy.digest, "pdq", 12, 88, bytes([0xA5]) * 32, 20_600, bytes([9]) * 32, ACCOUNT, b"build")
    assert cbor2.loads(body) == dict(enumerate(values, 1))
    assert not any(plain[2 + len(body) :])


@both
def test_vouchers_of_a_second_client_open_among_ours(policy):
    """The other way round: t vouchers, half by a client written from the docstrings, count together."""
    account = second.Account(SECRET, WINDOW, ACCOUNT, T, policy.profile)
    theirs = []
    for slot in range(T // 2, T):
        protected = protected_of(DEVICE_ID, WINDOW, slot, policy.digest)
        payload = second.payload_of(list(dataclasses.astuple(DEVICES[policy.profile].payload(slot))))
        inner = second.inner_of(account.share(slot), account.key, protected, payload)
        theirs.append(second.wrapped(DEVICE, policy.opener_key, protected, inner))
    for message in theirs:
        Voucher.parse(message).verify(DEVICE.public_key())
    assert {len(message) for message in theirs} == {LENGTHS[policy.profile]}
    window = opened([*DEVICES[policy.profile].reals(range(T // 2)), *theirs], policy)
    assert contents(window) == list(range(T))
    assert window.malformed == ()


@both
def test_a_second_opener_opens_ours(policy):
    """t of our vouchers, known to be real, give the key by plain Lagrange on the last five values."""
    points = []
    for content in range(T):
        _, inner = second.taken_apart(DEVICES[policy.profile].real(content, content), DEVICE.public_key(), OPENER)
        count = Terms.of(policy).share_bytes // 8
        points.append(struct.unpack(f">{count}Q", inner[: 8 * count]))
    key = second.key_of([second.through([(each[0], each[k]) for each in points], 0) for k in range(-5, 0)])
    assert key == DEVICES[policy.profile].shares().account_key


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
