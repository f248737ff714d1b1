"""Checkpoints against the C2SP specification, one of the Go checksum database, and a log that grows."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash
from scanner.intake.audit.notes import Signer, Verifier, sign_note
from scanner.intake.audit.places import LARGEST_TREE

# A checkpoint of the Go checksum database, and its key, from cmd/go/internal/modfetch/key.go. The size, root and
# signature are those of the example in c2sp.org/tlog-checkpoint, which prints them under another origin.
GO_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_ORIGIN = "go.sum database tree"
GO_NOTE = (
    "go.sum database tree\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)

ORIGIN = "intake.example/audit"
KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
NEXT_KEY = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32)
VERIFIER = Signer(ORIGIN, KEY).verifier
NEXT = Signer(ORIGIN, NEXT_KEY).verifier
ROOT = leaf_hash(b"an entry")
ROOT_LINE = base64.b64encode(ROOT).decode()
EMPTY_LINE = base64.b64encode(EMPTY_ROOT).decode()

lines = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(code) for code in range(32)]), min_size=1
)
checkpoints = st.builds(
    Checkpoint,
    lines,
    st.integers(1, LARGEST_TREE),
    st.binary(min_size=32, max_size=32),
    st.lists(lines, max_size=3).map(tuple),
)


def is_refused(text: str, problem: str, **options) -> bool:
    """A well-signed note of this text is refused for this reason; anything else fails the test here."""
    with pytest.raises(VoucherError) as caught:
        Checkpoint.parse(sign_note(text, Signer(ORIGIN, KEY)), VERIFIER, **options)
    assert caught.value.problem == problem
    return True


def test_a_known_checkpoint():
    """A checkpoint of the Go checksum database is read, and its text is written as it was."""
    checkpoint = Checkpoint.parse(GO_NOTE, Verifier.parse(GO_KEY), origin=GO_ORIGIN)
    root = bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62")
    assert checkpoint == Checkpoint(GO_ORIGIN, 20_852_163, root)
    assert checkpoint.text == GO_NOTE.partition("\n\n")[0] + "\n"
    assert Checkpoint.parse(GO_NOTE.encode(), Verifier.parse(GO_KEY), origin=GO_ORIGIN) == checkpoint


def test_the_text_of_a_checkpoint():
    """Origin, size and root stand on a line each; an empty tree has size 0."""
    assert Checkpoint(ORIGIN, 1, ROOT).text == f"{ORIGIN}\n1\n{ROOT_LINE}\n"
    assert Checkpoint(ORIGIN, 0, EMPTY_ROOT, ("x", "y")).text == f"{ORIGIN}\n0\n{EMPTY_LINE}\nx\ny\n"


@given(checkpoints)
def test_signed_checkpoints_are_read(checkpoint):
    """What was signed is read back, in any size, and written again to the byte."""
    message = checkpoint.sign(KEY, "log.example")
    verifier = Signer("log.example", KEY).verifier
    assert Checkpoint.parse(message, verifier, origin=checkpoint.origin) == checkpoint
    assert checkpoint.sign(KEY, "log.example") == message


def test_a_growing_log():
    """The checkpoints of a log from empty onwards are read with the root each had."""
    frontier = Frontier()
    for number in range(20):
        message = Checkpoint(ORIGIN, frontier.size, frontier.root()).sign(KEY)
        checkpoint = Checkpoint.parse(message, VERIFIER)
        assert (checkpoint.size, checkpoint.root) == (number, frontier.root())
        frontier = frontier.append(leaf_hash(b"%d" % number))


def test_only_the_log_asked_for():
    """A well-signed checkpoint of another log is refused, by its key's name if no origin is asked for."""
    other = Checkpoint("other.example", 1, ROOT)
    assert is_refused(other.text, "other-log")
    assert is_refused(other.text, "other-log", origin=ORIGIN)
    assert is_refused(Checkpoint(ORIGIN, 1, ROOT).text, "other-log", origin="other.example")
    assert is_refused(Checkpoint(ORIGIN, 1, ROOT).text, "other-log", origin="")
    with pytest.raises(VoucherError, match="another log"):
        # The name of a key that is known and did not sign is not enough.
        Checkpoint.parse(other.sign(KEY, ORIGIN), VERIFIER, Signer("other.example", NEXT_KEY).verifier)
    assert Checkpoint.parse(other.sign(KEY, ORIGIN), VERIFIER, origin="other.example") == other


def test_keys_change():
    """With the old and the new key known, a checkpoint by either or by both is read; by neither it is refused."""
    checkpoint = Checkpoint(ORIGIN, 5, ROOT)
    both = sign_note(checkpoint.text, Signer(ORIGIN, KEY), Signer(ORIGIN, NEXT_KEY))
    for message in (checkpoint.sign(KEY), checkpoint.sign(NEXT_KEY), both):
        assert Checkpoint.parse(message, VERIFIER, NEXT) == checkpoint
    assert Checkpoint.parse(both, VERIFIER) == Checkpoint.parse(both, NEXT) == checkpoint
    for verifiers in ((), (NEXT,)):
        with pytest.raises(VoucherError) as caught:
            Checkpoint.parse(checkpoint.sign(KEY), *verifiers)
        assert caught.value.problem == "bad-signature"


@pytest.mark.parametrize("change", [{"size": 6}, {"root": leaf_hash(b"another")}, {"extensions": ("more",)}])
def test_a_changed_checkpoint_is_refused(change):
    """Under the signature of another checkpoint, no size, root or further line is believed."""
    checkpoint = Checkpoint(ORIGIN, 5, ROOT)
    signatures = checkpoint.sign(KEY).rpartition("\n\n")[2]
    with pytest.raises(VoucherError) as caught:
        Checkpoint.parse(f"{dataclasses.replace(checkpoint, **change).text}\n{signatures}", VERIFIER)
    assert caught.value.problem == "bad-signature"


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n5\n",
        f"{ORIGIN}\n5\n\n",
        f"\n5\n{ROOT_LINE}\n",
        f"5\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\n{ROOT_LINE}\n",
        f"{ORIGIN}\n5\n{ROOT_LINE}\n\n",
        f"{ORIGIN}\n5\n{ROOT_LINE}\nmore\n\nmore\n",
        f"\n{ORIGIN}\n5\n{ROOT_LINE}\n",
        *(
            f"{ORIGIN}\n{size}\n{ROOT_LINE}\n"
            for size in ("05", "00", "+5", "-5", "-0", " 5", "5 ", "5_0", "5.0", "0x5", "٥", "５", "²", "x", "1e3")
        ),
        f"{ORIGIN}\n{LARGEST_TREE + 1}\n{ROOT_LINE}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT_LINE}\n",
        f"{ORIGIN}\n0\n{ROOT_LINE}\n",
        f"{ORIGIN}\n5\n{ROOT_LINE[:-1]}\n",
        f"{ORIGIN}\n5\n{ROOT_LINE}=\n",
        f"{ORIGIN}\n5\n {ROOT_LINE}\n",
        f"{ORIGIN}\n5\n{ROOT_LINE} \n",
        f"{ORIGIN}\n5\n{ROOT.hex()}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(ROOT[1:]).decode()}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(ROOT + b'x').decode()}\n",
        f"{ORIGIN}\n5\nx{ROOT_LINE[1:-2]}B=\n",
    ],
)
def test_what_is_not_a_checkpoint_is_malformed(text):
    """A well-signed note that breaks a rule of the format is refused."""
    assert is_refused(text, "malformed")


@given(st.one_of(st.text(), st.text("0159\n="), st.text("0159\n=").map(lambda end: f"{ORIGIN}\n5\n{ROOT_LINE}{end}")))
def test_any_signed_text_is_a_checkpoint_or_refused(text):
    """Whatever is signed, the answer is a checkpoint with that very text, or VoucherError."""
    try:
        message = sign_note(text + "\n", Signer(ORIGIN, KEY))
    except ArgumentError:
        return
    try:
        checkpoint = Checkpoint.parse(message, VERIFIER, origin=text.partition("\n")[0])
    except VoucherError:
        return
    assert checkpoint.text == text + "\n"


@given(st.one_of(st.binary(), st.text()))
def test_any_bytes_are_a_checkpoint_or_refused(message):
    """Whatever comes unsigned is refused by the one error."""
    with pytest.raises(VoucherError):
        Checkpoint.parse(message, VERIFIER)


@pytest.mark.parametrize(
    "fields",
    [
        ("", 1, ROOT),
        ("two\nlines", 1, ROOT),
        ("a\ttab", 1, ROOT),
        ("\ud800", 1, ROOT),
        (ORIGIN, -1, ROOT),
        (ORIGIN, LARGEST_TREE + 1, ROOT),
        (ORIGIN, 1, ROOT[1:]),
        (ORIGIN, 0, ROOT),
        (ORIGIN, 1, ROOT, ("",)),
        (ORIGIN, 1, ROOT, ("x", "y\n")),
    ],
)
def test_no_checkpoint_of_the_wrong_shape(fields):
    """What could not be read back can't be made."""
    with pytest.raises(ArgumentError):
        Checkpoint(*fields)


def test_a_key_needs_a_name():
    """An origin that is no key's name asks for another name to sign under."""
    checkpoint = Checkpoint(GO_ORIGIN, 1, ROOT)
    for name in (None, "", "a b"):
        with pytest.raises(ArgumentError):
            checkpoint.sign(KEY, name)
    assert checkpoint.sign(KEY, "name").startswith(checkpoint.text)


def test_a_checkpoint_does_not_change():
    """Its fields can't be set."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Checkpoint(ORIGIN, 1, ROOT).size = 2
