"""The policy: one form, a floor, no way back, and nothing weakened without the quorum of those trusted now."""

from __future__ import annotations

import hashlib
import inspect
import itertools
from contextlib import suppress
from dataclasses import fields, replace

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.profiles import ALGORITHMS
from scanner.vouchers import cose, policies, policy, signed_policy
from scanner.vouchers.policies import (
    COVERED,
    LARGEST_POLICY,
    MATCH_ONLY,
    MOST_ORDINARY_STEP,
    MOST_SIGNERS,
    THRESHOLD_FLOOR,
    PinnedSigners,
    Policy,
    add_signature,
    check_successor,
    read,
    sign,
    what_needs_quorum,
)


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def key_id(key: Ed25519PrivateKey) -> bytes:
    return hashlib.sha256(raw(key)).digest()[:16]


KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 7)]
OLD, NEW = sorted(KEYS[:3], key=raw), sorted(KEYS[3:], key=raw)
SIGNERS, OTHERS = tuple(map(raw, OLD)), tuple(map(raw, NEW))
OPENER, OTHER_OPENER = (
    X25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key().public_bytes_raw() for number in (9, 10)
)
PINNED = PinnedSigners(SIGNERS, 2)
POLICY = Policy(
    serial=5,
    threshold=30,
    profile=COVERED,
    algorithm="pdq",
    radius=31,
    quality_floor=50,
    opener_key=OPENER,
    hashset_digest=bytes(range(32)),
    hashset_name="example list",
    not_before=20_600,
    signers=SIGNERS,
    quorum=2,
    ordinary=1,
)
SIGNED = sign(POLICY, OLD[:2])
TYPE = bytes.fromhex("a110781e") + b"application/vnd.prescan.policy"


def problem_of(do, *arguments) -> str:
    with pytest.raises(VoucherError) as refused:
        do(*arguments)
    assert "\n" not in str(refused.value)
    return refused.value.problem


def successor(current, policy, keys):
    return check_successor(current, PINNED, sign(policy, keys))


def payload_of(**changes) -> bytes:
    """A payload with fields exchanged, whatever they are."""
    names = [part.name for part in fields(Policy)]
    values = {name: getattr(POLICY, name) for name in names} | changes
    return cbor2.dumps({1: 1} | {n: values[name] for n, name in enumerate(names, 2)}, canonical=True)


def signed_payload(payload: bytes, keys=OLD[:2], protected: bytes = TYPE) -> bytes:
    """Sign any bytes, from the RFC's text and not with the module under test."""
    signatures = []
    for key in sorted(keys, key=key_id):
        header = bytes.fromhex("a201270450") + key_id(key)
        structure = cbor2.dumps(["Signature", protected, header, b"", payload])
        signatures.append([header, {}, key.sign(structure)])
    return message_of(payload, signatures, protected)


def message_of(payload, signatures, protected: bytes = TYPE) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(98, [protected, {}, payload, signatures]), canonical=True)


def signatures_of(message: bytes) -> list:
    return [list(entry) for entry in cbor2.loads(message).value[3]]


numbers = st.integers(1, 2**63 - 1)
signer_sets = st.sets(st.sampled_from(SIGNERS + OTHERS), min_size=1).map(lambda keys: tuple(sorted(keys)))
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=16).filter(
    lambda name: name.isprintable() and name == name.strip() and name
)


@st.composite
def any_policy(draw):
    algorithm = draw(st.sampled_from(sorted(ALGORITHMS)))
    signers = draw(signer_sets)
    quorum = draw(st.integers(1, len(signers)))
    return Policy(
        serial=draw(numbers),
        threshold=draw(st.integers(THRESHOLD_FLOOR, 65535)),
        profile=draw(st.sampled_from([MATCH_ONLY, COVERED])),
        algorithm=algorithm,
        radius=draw(st.integers(0, ALGORITHMS[algorithm].bits // 2 - 1)),
        quality_floor=draw(st.integers(0, 100)),
        opener_key=draw(st.sampled_from([OPENER, OTHER_OPENER])),
        hashset_digest=draw(st.binary(min_size=32, max_size=32)),
        hashset_name=draw(names),
        not_before=draw(st.integers(0, 2**32 - 1)),
        signers=signers,
        quorum=quorum,
        ordinary=draw(st.integers(1, quorum)),
    )


key_sets = st.sets(st.sampled_from(range(6)), min_size=1).map(lambda chosen: [KEYS[number] for number in chosen])


class TestOneForm:
    @given(policy=any_policy(), keys=key_sets)
    @settings(derandomize=True, deadline=None)
    def test_what_was_signed_is_what_is_read(self, policy, keys):
        """Policy and signers come back; the digest does not depend on the signers."""
        found = read(sign(policy, keys), SIGNERS + OTHERS)
        assert found == (policy, frozenset(map(raw, keys)))
        assert found.policy.digest == policy.digest == hashlib.sha256(policy.to_bytes()).digest()
        assert Policy.from_bytes(policy.to_bytes()) == policy

    @given(policy=any_policy(), keys=key_sets, data=st.data())
    @settings(derandomize=True, deadline=None)
    def test_signers_sign_together_or_one_after_the_other(self, policy, keys, data):
        """The bytes depend on who signed, not on the order or how often."""
        order = data.draw(st.permutations(keys))
        message = sign(policy, order[:1])
        for key in order[1:] + order[:1]:
            message = add_signature(message, key)
        assert message == sign(policy, keys) == sign(policy, order + order)

    def test_the_bytes_are_these(self):
        """Made by ``sign(POLICY, OLD[:2])``; a change of them is a new version."""
        assert hashlib.sha256(SIGNED).hexdigest() == KNOWN_MESSAGE
        assert POLICY.to_bytes().hex() == KNOWN_PAYLOAD
        assert POLICY.digest.hex() == KNOWN_DIGEST
        assert signed_payload(POLICY.to_bytes()) == SIGNED
        assert LAYOUT_HEAD + POLICY.to_bytes() + b"\x82" + b"".join(map(layout_of, signatures_of(SIGNED))) == SIGNED

    def test_a_second_decoder_reads_the_message(self):
        """Plain cbor2 and Ed25519 are enough to read a policy and check its signatures."""
        tag = cbor2.loads(SIGNED)
        protected, unprotected, payload, signatures = tag.value
        assert (tag.tag, cbor2.loads(protected), unprotected) == (98, {16: "application/vnd.prescan.policy"}, {})
        values = [1, *(getattr(POLICY, part.name) for part in fields(Policy))]
        values[11] = list(SIGNERS)
        assert cbor2.loads(payload) == dict(enumerate(values, 1))
        by_id = {hashlib.sha256(key).digest()[:16]: key for key in SIGNERS}
        for header, extra, signature in signatures:
            found = cbor2.loads(header)
            assert (found[1], set(found), extra) == (-8, {1, 4}, {})
            key = Ed25519PublicKey.from_public_bytes(by_id[found[4]])
            key.verify(signature, cbor2.dumps(["Signature", protected, header, b"", payload]))
            with pytest.raises(InvalidSignature):  # nor does it pass for a COSE_Sign1
                key.verify(signature, cbor2.dumps(["Signature1", header, b"", payload]))

    def test_every_flipped_bit_is_refused(self):
        """A message with one bit changed is none."""
        for position in range(8 * len(SIGNED)):
            changed = bytearray(SIGNED)
            changed[position // 8] ^= 1 << position % 8
            problem_of(read, bytes(changed))

    def test_every_truncation_and_extension_is_refused(self):
        """No beginning of a message is one, nor a message with more behind it."""
        for length in range(len(SIGNED)):
            assert problem_of(read, SIGNED[:length]) == "malformed"
        assert problem_of(read, SIGNED + b"\0") == "malformed"

    @given(message=st.binary(max_size=300))
    @settings(derandomize=True, deadline=None)
    def test_any_bytes_are_a_policy_or_a_named_error(self, message):
        """Reading bytes from outside raises VoucherError and nothing else."""
        for do in (read, Policy.from_bytes, lambda m: check_successor(POLICY, PINNED, m)):
            problem_of(do, message)
        problem_of(add_signature, message, OLD[0])

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=40) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(), inner, max_size=3),
        max_leaves=5,
    )

    @given(field=st.sampled_from([part.name for part in fields(Policy)]), value=values)
    @settings(derandomize=True, deadline=None, max_examples=400)
    def test_a_field_of_any_kind_is_read_whole_or_refused(self, field, value):
        """Signed or not, no value of a field gives anything but a policy of these bytes or VoucherError."""
        payload = payload_of(**{field: value})
        with suppress(VoucherError):
            assert read(signed_payload(payload)).policy.to_bytes() == payload

    @pytest.mark.parametrize(
        "message",
        [
            b"\xd9\x00\x62" + SIGNED[2:],
            cbor2.dumps(cbor2.CBORTag(18, cbor2.loads(SIGNED).value), canonical=True),
            cbor2.dumps(cbor2.loads(SIGNED).value, canonical=True),
            message_of(POLICY.to_bytes(), []),
            message_of(POLICY.to_bytes(), {1: 2}),
            message_of(POLICY.to_bytes(), [b"signature"]),
            message_of(None, signatures_of(SIGNED)),
            message_of(POLICY.to_bytes(), [[part, {4: b""}, sig] for part, _, sig in signatures_of(SIGNED)]),
            message_of(POLICY.to_bytes(), [[part, {}, sig[:63]] for part, _, sig in signatures_of(SIGNED)]),
            message_of(POLICY.to_bytes(), [[part, {}, sig, b""] for part, _, sig in signatures_of(SIGNED)]),
            message_of(POLICY.to_bytes(), [[b"", {}, sig] for _, _, sig in signatures_of(SIGNED)]),
            message_of(POLICY.to_bytes(), [[part[:-1], {}, sig] for part, _, sig in signatures_of(SIGNED)]),
            message_of(POLICY.to_bytes(), [[b"\xa2\x01\x26" + p[3:], {}, sig] for p, _, sig in signatures_of(SIGNED)]),
            message_of(POLICY.to_bytes(), signatures_of(SIGNED)[::-1]),
            signed_payload(POLICY.to_bytes(), protected=b""),
            signed_payload(POLICY.to_bytes(), protected=cose.encode({16: "application/other"})),
            cbor2.dumps(cbor2.CBORTag(98, [TYPE, {4: b""}, POLICY.to_bytes(), signatures_of(SIGNED)]), canonical=True),
            cbor2.dumps(cbor2.CBORTag(98, [TYPE, {}, POLICY.to_bytes()]), canonical=True),
            b"\x81" * 4000,
        ],
    )
    def test_other_forms_are_malformed(self, message):
        """Another tag, order, header, number of parts or encoding; no signature at all."""
        assert problem_of(read, message) == "malformed"

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"\x80",
            POLICY.to_bytes()[:1] + b"\x18\x01" + POLICY.to_bytes()[2:],  # key 1 in two bytes
            POLICY.to_bytes().replace(b"\x03\x18\x1e", b"\x03\x19\x00\x1e"),  # threshold in three bytes
            b"\xbf" + POLICY.to_bytes()[1:] + b"\xff",
            b"\xaf" + POLICY.to_bytes()[1:] + b"\x0f\x00",  # a field more
            b"\xad" + POLICY.to_bytes()[1:-2],  # one less
            cose.encode({1: 1}),
            cose.encode({**cbor2.loads(POLICY.to_bytes()), "extra": 1}),
        ],
    )
    def test_a_payload_in_another_form_is_malformed_though_signed(self, payload):
        """Signers can't make two payloads of one policy."""
        assert payload != POLICY.to_bytes()
        assert problem_of(read, signed_payload(payload)) == "malformed"

    @pytest.mark.parametrize("version", [0, 2, True, 1.0, "1", None])
    def test_another_version_is_told_as_such(self, version):
        """Whatever else is in it."""
        assert problem_of(read, signed_payload(cbor2.dumps({1: version, 99: b"new"}, canonical=True))) == (
            "unknown-version"
        )

    def test_a_message_too_large_is_not_even_decoded(self):
        """The most signers, old and new, fit."""
        many = [Ed25519PrivateKey.from_private_bytes(number.to_bytes(32)) for number in range(1, 2 * MOST_SIGNERS + 1)]
        both = sorted(map(raw, many))
        largest = replace(POLICY, serial=2**63 - 1, hashset_name="n" * 64, signers=tuple(both[:MOST_SIGNERS]))
        message = sign(largest, many)
        assert len(message) <= LARGEST_POLICY
        assert read(message, both).signed_by == set(both)
        assert problem_of(read, bytes(LARGEST_POLICY + 1)) == "too-large"
        with pytest.raises(ArgumentError):
            replace(POLICY, signers=tuple(both[: MOST_SIGNERS + 1]))


SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    b"\x01" + bytes(30) + b"\x80",
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    b"\xff" * 32,
]

OUT_OF_RANGE = [
    *(("serial", value) for value in (0, -1, 2**63, True, 1.0, "1", None)),
    *(("threshold", value) for value in (65536, 30.0, "30", None)),
    *(("profile", value) for value in ("", "Covered", "none", b"covered", 1, None)),
    *(("algorithm", value) for value in (b"pdq", 1, None, ["pdq"])),
    *(("radius", value) for value in (-1, 128, True, 31.0, None)),
    *(("quality_floor", value) for value in (-1, 101, False, 50.0, None)),
    *(("opener_key", value) for value in (b"", OPENER[:31], OPENER + b"\0", "k" * 32, bytes(32), b"\x01" + bytes(31))),
    *(("hashset_digest", value) for value in (b"", bytes(31), bytes(33), "d" * 32, None)),
    *(
        ("hashset_name", value)
        for value in ("", " list", "list ", "a\nb", "a\u202eb", "\x1b[31m", "n" * 65, "é" * 33, 1)
    ),
    *(("not_before", value) for value in (-1, 2**32, 1.0, None)),
    *(("signers", value) for value in ((), SIGNERS[::-1], SIGNERS[:1] * 2, (b"short",), (1,), SIGNERS[0], None)),
    *(("signers", tuple(sorted([*SIGNERS, key]))) for key in SMALL_ORDER),
    *(("quorum", value) for value in (0, 4, True, 2.0, None)),
    *(("ordinary", value) for value in (0, 3, True, 1.0, None)),
]


class TestRanges:
    @pytest.mark.parametrize(("field", "value"), OUT_OF_RANGE)
    def test_values_out_of_range_are_refused_on_both_sides(self, field, value):
        """Nobody makes such a policy here, and none signed elsewhere is read."""
        with pytest.raises(ArgumentError):
            replace(POLICY, **{field: value})
        assert problem_of(read, signed_payload(payload_of(**{field: value}))) == "malformed"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("serial", 1),
            ("serial", 2**63 - 1),
            ("threshold", THRESHOLD_FLOOR),
            ("threshold", 65535),
            ("profile", MATCH_ONLY),
            ("radius", 0),
            ("radius", 127),
            ("quality_floor", 0),
            ("quality_floor", 100),
            ("hashset_name", "n" * 64),
            ("hashset_name", "é" * 32),
            ("not_before", 0),
            ("not_before", 2**32 - 1),
            ("quorum", 3),
            ("ordinary", 2),
        ],
    )
    def test_the_ends_of_the_ranges_are_in_them(self, field, value):
        """The first and last value allowed."""
        policy = replace(POLICY, **{field: value})
        assert read(signed_payload(payload_of(**{field: value}))).policy == policy

    @pytest.mark.parametrize("threshold", [THRESHOLD_FLOOR - 1, 1, 0, -1, -(2**70)])
    def test_a_threshold_under_the_floor_is_refused_whoever_signed(self, threshold):
        """Neither reading, adding a signature nor accepting is possible, even with all signatures there could be."""
        message = signed_payload(payload_of(threshold=threshold, serial=9), OLD)
        for do in (read, lambda m: add_signature(m, OLD[0])):
            assert problem_of(do, message) == "threshold-too-low"
        for current in (None, POLICY):
            assert problem_of(check_successor, current, PINNED, message) == "threshold-too-low"
        with pytest.raises(ArgumentError):
            replace(POLICY, threshold=threshold)

    def test_the_floor_is_ten(self):
        """Lowering it must fail a test."""
        assert THRESHOLD_FLOOR == 10

    def test_an_algorithm_of_a_later_program_is_told_as_such(self):
        """It is no malformed policy; this program is too old for it."""
        assert problem_of(read, signed_payload(payload_of(algorithm="pdq-2"))) == "unknown-algorithm"
        with pytest.raises(ArgumentError):
            replace(POLICY, algorithm="pdq-2")

    @pytest.mark.parametrize("key", SMALL_ORDER)
    def test_pinned_signers_keep_to_the_same_rules(self, key):
        """No key anyone can sign for, no key twice, no quorum nobody reaches."""
        for keys, quorum in (((key,), 1), (SIGNERS[::-1], 1), (SIGNERS, 0), (SIGNERS, 4), ((), 0)):
            with pytest.raises(ArgumentError):
                PinnedSigners(keys, quorum)

    def test_anyone_could_sign_for_a_key_of_small_order(self):
        """Why such keys are refused: one signature, made without any secret, holds for every message."""
        Ed25519PublicKey.from_public_bytes(SMALL_ORDER[1]).verify(b"\x01" + bytes(63), b"any message")


class TestSignatures:
    def test_a_signature_by_a_stranger_is_refused(self):
        """Even beside enough good ones."""
        assert problem_of(read, sign(POLICY, [*OLD, NEW[0]])) == "bad-signature"
        assert problem_of(read, sign(POLICY, NEW)) == "bad-signature"
        assert problem_of(successor, None, POLICY, [*OLD, NEW[0]]) == "bad-signature"

    def test_a_signature_of_something_else_is_refused(self):
        """Of another policy, another key's, or none; even beside enough good ones."""
        other = signatures_of(sign(replace(POLICY, serial=6), OLD))
        good = signatures_of(sign(POLICY, OLD))
        for bad in (other[0][2], good[1][2], bytes(64)):
            changed = [[good[0][0], {}, bad], *good[1:]]
            assert problem_of(read, message_of(POLICY.to_bytes(), changed)) == "bad-signature"

    def test_a_signature_under_another_type_is_refused(self):
        """What a signer signed for another purpose does not pass here: the type is signed."""
        other = signatures_of(signed_payload(POLICY.to_bytes(), protected=cose.encode({16: "application/other"})))
        assert problem_of(read, message_of(POLICY.to_bytes(), other)) == "bad-signature"
        single = OLD[0].sign(cbor2.dumps(["Signature1", TYPE, b"", POLICY.to_bytes()]))
        header = bytes.fromhex("a201270450") + key_id(OLD[0])
        assert problem_of(read, message_of(POLICY.to_bytes(), [[header, {}, single]])) == "bad-signature"

    def test_the_same_signer_twice_is_refused(self):
        """One signer can't make a quorum."""
        once = signatures_of(sign(POLICY, OLD[:1]))
        for entries in (once * 2, once * 3):
            assert problem_of(read, message_of(POLICY.to_bytes(), entries)) == "bad-signature"

    def test_signatures_in_another_order_are_refused(self):
        """A message has one form."""
        for order in itertools.permutations(signatures_of(sign(POLICY, OLD))):
            message = message_of(POLICY.to_bytes(), list(order))
            if message != sign(POLICY, OLD):
                assert problem_of(read, message) == "malformed"

    @pytest.mark.parametrize("gone", range(3))
    def test_taking_a_signature_away_lowers_the_count(self, gone):
        """What is left is read, but by one signer less, and no more is accepted on its strength."""
        lower = replace(POLICY, serial=6, threshold=20, quorum=3)
        strict = replace(POLICY, quorum=3)
        message = sign(lower, OLD)
        assert check_successor(strict, PINNED, message) == lower
        left = signatures_of(message)
        del left[gone]
        stripped = message_of(lower.to_bytes(), left)
        assert len(read(stripped).signed_by) == 2
        assert problem_of(check_successor, strict, PINNED, stripped) == "not-enough-signatures"

    def test_signing_needs_a_key(self):
        """An unsigned policy is no message."""
        with pytest.raises(ArgumentError):
            sign(POLICY, [])

    def test_reading_well_means_nothing_yet(self):
        """Anybody can write a policy that names and bears their own signatures; accepting it is another matter."""
        own = replace(POLICY, serial=6, signers=OTHERS)
        assert read(sign(own, NEW)) == (own, frozenset(OTHERS))
        for current in (None, POLICY):
            assert problem_of(successor, current, own, NEW) == "not-enough-signatures"


NEXT = replace(POLICY, serial=6)

ORDINARY = {
    "nothing but the serial": NEXT,
    "list": replace(NEXT, hashset_digest=bytes(32)),
    "later": replace(NEXT, not_before=30_000),
    "earlier": replace(NEXT, not_before=0),
    "higher threshold": replace(NEXT, threshold=31),
    "smaller radius": replace(NEXT, radius=30),
    "higher floor": replace(NEXT, quality_floor=51),
    "jump": replace(NEXT, serial=POLICY.serial + MOST_ORDINARY_STEP),
}
QUORUM = {
    "lower threshold": replace(NEXT, threshold=29),
    "larger radius": replace(NEXT, radius=32),
    "lower floor": replace(NEXT, quality_floor=49),
    "opener": replace(NEXT, opener_key=OTHER_OPENER),
    "no cover": replace(NEXT, profile=MATCH_ONLY),
    "algorithm": replace(NEXT, algorithm="phash", radius=10),
    "other lineage": replace(NEXT, algorithm="pdq-512", radius=0),
    "list name": replace(NEXT, hashset_name="another list"),
    "quorum": replace(NEXT, quorum=3),
    "lower quorum": replace(NEXT, quorum=1),
    "ordinary": replace(NEXT, ordinary=2),
    "fewer signers": replace(NEXT, signers=SIGNERS[:2]),
    "long jump": replace(NEXT, serial=POLICY.serial + MOST_ORDINARY_STEP + 1),
    "weaker and stronger": replace(NEXT, threshold=29, radius=0, quality_floor=100),
}


class TestSuccession:
    @pytest.mark.parametrize("new", ORDINARY.values(), ids=ORDINARY)
    def test_an_ordinary_change_takes_ordinary_signatures(self, new):
        """One of three here; with two ordinary, one is not enough."""
        assert what_needs_quorum(POLICY, new) == ()
        for key in OLD:
            assert successor(POLICY, new, [key]) == new
        two = replace(POLICY, ordinary=2)
        assert problem_of(successor, two, replace(new, ordinary=2), OLD[:1]) == "not-enough-signatures"
        assert successor(two, replace(new, ordinary=2), OLD[1:]).ordinary == 2

    @pytest.mark.parametrize("new", QUORUM.values(), ids=QUORUM)
    def test_a_weaker_policy_takes_the_quorum(self, new):
        """Any two of three here, and no single one."""
        assert what_needs_quorum(POLICY, new)
        for key in OLD:
            assert problem_of(successor, POLICY, new, [key]) == "not-enough-signatures"
        need = max(2, new.quorum)
        assert successor(POLICY, new, OLD[:need]) == new

    def test_cover_is_switched_on_by_the_quorum_too(self):
        """It hides counts, but t - 1 vouchers less well."""
        plain = replace(POLICY, profile=MATCH_ONLY)
        assert problem_of(successor, plain, NEXT, OLD[:1]) == "not-enough-signatures"
        assert successor(plain, NEXT, OLD[:2]) == NEXT

    @given(data=st.data())
    @settings(derandomize=True, deadline=None, max_examples=300)
    def test_what_the_rules_allow_is_accepted_and_nothing_else(self, data):
        """Against an oracle that says the rules in another way; most fields stay as they are."""
        current, other = data.draw(any_policy()), data.draw(any_policy())
        changed = data.draw(st.sets(st.sampled_from([part.name for part in fields(Policy)]), max_size=3))
        changes = {name: getattr(other, name) for name in changed}
        if data.draw(st.booleans()):
            changes["serial"] = min(current.serial + data.draw(st.integers(-1, 3)), 2**63 - 1)
        try:
            new = replace(current, **changes)
        except ArgumentError:  # the fields of two policies need not go together
            new = other
        known = [key for key in KEYS if raw(key) in current.signers + new.signers]
        strangers = data.draw(st.integers(0, 9)) == 0
        keys = data.draw(st.lists(st.sampled_from(KEYS if strangers else known), min_size=1, max_size=6))
        signed = set(map(raw, keys))
        message = sign(new, keys)
        weaker = (
            (new.signers, new.quorum, new.ordinary, new.opener_key, new.algorithm, new.hashset_name)
            != (
                current.signers, current.quorum, current.ordinary, current.opener_key, current.algorithm,
                current.hashset_name,
            )
            or new.threshold < current.threshold
            or new.radius > current.radius
            or new.quality_floor < current.quality_floor
            or new.profile != current.profile
            or new.serial > current.serial + MOST_ORDINARY_STEP
        )  # fmt: skip
        changed_hands = (new.signers, new.quorum, new.ordinary) != (current.signers, current.quorum, current.ordinary)
        allowed = new == current or (
            new.serial > current.serial
            and signed <= {*current.signers, *new.signers}
            and len(signed & {*current.signers}) >= (current.quorum if weaker else current.ordinary)
            and (not changed_hands or len(signed & {*new.signers}) >= new.quorum)
        )
        if allowed:
            assert check_successor(current, PINNED, message) == new
        else:
            problem_of(check_successor, current, PINNED, message)

    @pytest.mark.parametrize("serial", [1, 4, 5])
    def test_there_is_no_way_back(self, serial):
        """An older edition, or another of the same number, is refused whoever signed it."""
        other = replace(POLICY, serial=serial, hashset_digest=bytes(32))
        assert problem_of(successor, POLICY, other, OLD) == "rollback"

    def test_the_same_policy_again_changes_nothing(self):
        """With the same signatures or others."""
        for keys in (OLD[:2], OLD, OLD[2:]):
            assert successor(POLICY, POLICY, keys) is POLICY

    def test_signers_hand_over_to_others(self):
        """Old and new quorum sign; the message is the same again afterwards, and the old signers decide no more."""
        handed = replace(NEXT, signers=OTHERS)
        message = sign(handed, [*OLD[:2], *NEW[:2]])
        current = check_successor(POLICY, PINNED, message)
        assert current == handed
        assert check_successor(current, PINNED, message) is current
        assert problem_of(check_successor, current, PINNED, SIGNED) == "rollback"
        after = replace(handed, serial=7)
        assert problem_of(successor, current, after, OLD) == "bad-signature"
        assert problem_of(successor, current, replace(POLICY, serial=7), OLD) == "not-enough-signatures"
        assert successor(current, after, NEW[:1]) == after

    @pytest.mark.parametrize("keys", [OLD, NEW, [*OLD[:1], *NEW], [*OLD, *NEW[:1]]])
    def test_a_handover_needs_both_sides(self, keys):
        """Neither can the new seize a device nor the old lock it to keys that nobody holds."""
        assert problem_of(successor, POLICY, replace(NEXT, signers=OTHERS), keys) == "not-enough-signatures"

    def test_a_jump_over_a_handover_is_refused_until_it_is_made_up_for(self):
        """A device that was off takes the editions in between first."""
        handed, after = replace(NEXT, signers=OTHERS), replace(NEXT, serial=900, signers=OTHERS)
        assert problem_of(successor, POLICY, after, NEW) == "not-enough-signatures"
        current = successor(POLICY, handed, OLD + NEW)
        assert successor(current, after, NEW[:1]) == after

    def test_a_change_is_not_split_to_escape_the_quorum(self):
        """Ordinary steps one after the other never end weaker than they began."""
        stronger = successor(POLICY, replace(NEXT, threshold=60), OLD[:1])
        back = replace(POLICY, serial=7)
        assert problem_of(successor, stronger, back, OLD[:1]) == "not-enough-signatures"

    @pytest.mark.parametrize("count", [0, 1])
    def test_the_first_policy_takes_the_pinned_quorum(self, count):
        """Any two of the three pinned."""
        if count:
            assert problem_of(successor, None, POLICY, OLD[:count]) == "not-enough-signatures"
        for keys in itertools.combinations(OLD, 2):
            assert successor(None, POLICY, keys) == POLICY

    def test_the_first_policy_may_name_others_than_those_pinned(self):
        """Then its own signers sign too."""
        other = replace(POLICY, signers=OTHERS)
        for keys in (OLD, NEW, [*OLD[:1], *NEW], [*OLD, *NEW[:1]]):
            assert problem_of(successor, None, other, keys) == "not-enough-signatures"
        assert successor(None, other, [*OLD[:2], *NEW[1:]]) == other

    def test_pinned_signers_mean_nothing_once_there_is_a_policy(self):
        """Their keys are strangers' if the policy does not name them."""
        current = replace(POLICY, signers=OTHERS)
        assert problem_of(successor, current, replace(current, serial=6), [*NEW[:2], OLD[0]]) == "bad-signature"

    def test_refusals_say_what_was_missing(self):
        """Which signatures, why so many, and what to do."""
        with pytest.raises(VoucherError) as refused:
            successor(POLICY, QUORUM["lower threshold"], OLD[:1])
        assert str(refused.value) == (
            "edition 6 of the policy needs 2 signatures by the current signers (a lower threshold), it has 1; get it "
            "signed by more of them, or accept the editions before it first"
        )


@pytest.mark.parametrize("module", [policy, signed_policy, policies], ids=lambda module: module.__name__)
def test_the_module_reads_no_clock_and_no_file(module):
    """Pure: what is accepted follows from the arguments alone."""
    source = inspect.getsource(module)
    assert not any(word in source for word in ("import time", "import os", "open(", "datetime", "Path("))


def layout_of(entry) -> bytes:
    header, _, signature = entry
    return b"\x83\x55" + header + b"\xa0\x58\x40" + signature


LAYOUT_HEAD = b"\xd8\x62\x84\x58\x22" + TYPE + b"\xa0\x58" + bytes([len(POLICY.to_bytes())])
KNOWN_MESSAGE = "aec8bc07c050580f0b5a286eacd29569efe7462f5e085d462b3466d2e21eb214"
KNOWN_PAYLOAD = (
    "ae0101020503181e0467636f7665726564056370647106181f07183208582057db4b359f23ae5e146e4e2512056704722506"
    "348c150c14753d0c933d04d421095820000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0a6c"
    "6578616d706c65206c6973740b1950780c8358208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9"
    "b39458208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c5820ed4928c628d1c2c6eae90338"
    "905995612959273a5c63f93636c14614ac8737d10d020e01"
)
KNOWN_DIGEST = "1a2d655ec8af68fca9886a7f9e8cbb17cd751bfaa03082525d9b03eac1f4209e"
