"""Signed notes against the examples of the C2SP specification and of Go's sumdb/note."""

from __future__ import annotations

import base64
import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.intake.audit.notes import LARGEST_NOTE, MOST_SIGNATURES, Signer, Verifier, open_note, sign_note

# c2sp.org/signed-note, the example of a verifier key and a note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)

# golang.org/x/mod, sumdb/note/note_test.go. Of Peter's key the private half is published too:
# PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz, the type and then the seed.
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"  #
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
PETER, ENOCH = Verifier.parse(PETER_KEY), Verifier.parse(ENOCH_KEY)
PETER_SIGNER = Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(PETER_SEED))
GO_NOTE = f"{GO_TEXT}\n{PETER_LINE}"

SIGNER = Signer("log.example/a", Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER = Signer("log.example/b", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))
KEY = SIGNER.verifier

plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(code) for code in range(32)]))
texts = st.lists(plain).map(lambda lines: "".join(f"{line}\n" for line in [*lines, ""]))


def is_refused(message: bytes | str, problem: str, *known: Verifier) -> bool:
    """The note is refused for this reason; anything else fails the test here."""
    with pytest.raises(VoucherError) as caught:
        open_note(message, known or (KEY,))
    assert caught.value.problem == problem
    return True


def line(name: str, data: bytes) -> str:
    """A signature line, its parts taken as they are."""
    return f"— {name} {base64.b64encode(data).decode()}\n"


@pytest.mark.parametrize("written", [EXAMPLE_KEY, PETER_KEY, ENOCH_KEY])
def test_known_verifier_keys(written):
    """Published verifier keys have the id written in them, and are written back as they were."""
    verifier = Verifier.parse(written)
    assert verifier.name == written.split("+")[0]
    assert verifier.key_id.hex() == written.split("+")[1]
    assert str(verifier) == written


def test_known_notes():
    """Published notes verify, as text and as bytes, and give their text and who signed it."""
    example = Verifier.parse(EXAMPLE_KEY)
    for message in (EXAMPLE_NOTE, EXAMPLE_NOTE.encode()):
        note = open_note(message, [example])
        assert (note.text, note.signers) == ("This is an example message.\n", (example,))
    both = open_note(GO_NOTE + ENOCH_LINE, [ENOCH, PETER])
    assert (both.text, both.signers) == (GO_TEXT, (PETER, ENOCH))


def test_signing_makes_the_known_note():
    """Signing with the published private key makes the published note, to the byte."""
    assert sign_note(GO_TEXT, PETER_SIGNER) == GO_NOTE
    assert PETER_SIGNER.verifier == PETER


@given(texts, st.lists(st.sampled_from([SIGNER, OTHER]), min_size=1, max_size=5))
def test_signed_notes_open(text, signers):
    """What was signed comes back, empty lines and all, with each signer once."""
    note = open_note(sign_note(text, *signers), [OTHER.verifier, KEY])
    assert note.text == text
    assert note.signers == tuple(dict.fromkeys(signer.verifier for signer in signers))


def test_unknown_signatures_say_nothing():
    """Signatures by other keys are ignored, be they good, bad, of another type, or of a key half like a known one."""
    message = sign_note("text\n", SIGNER)
    others = [
        sign_note("text\n", OTHER).rpartition("\n\n")[2],
        line(OTHER.name, OTHER.verifier.key_id + bytes(64)),
        line(KEY.name, OTHER.verifier.key_id + bytes(64)),
        line(OTHER.name, KEY.key_id + bytes(64)),
        line("other-type.example", b"abcdE"),
    ]
    for order in itertools.permutations(others, 3):
        head, _, own = message.rpartition("\n\n")
        note = f"{head}\n\n{order[0]}{order[1]}{own}{order[2]}"
        assert open_note(note, [KEY]).signers == (KEY,)
    assert is_refused("text\n\n" + "".join(others), "bad-signature")
    assert is_refused(message, "bad-signature", OTHER.verifier)
    with pytest.raises(VoucherError, match="not signed by any key"):
        open_note(message, [])


@pytest.mark.parametrize("signature", [bytes(64), b"\x00", bytes(63), bytes(65)])
def test_one_bad_signature_spoils_the_note(signature):
    """A bad signature by a known key is refused, beside good ones by the same key or another, before them or behind."""
    good = sign_note("text\n", SIGNER, OTHER).removeprefix("text\n\n")
    bad = line(KEY.name, KEY.key_id + signature)
    for lines in (bad, bad + good, good + bad):
        assert is_refused(f"text\n\n{lines}", "bad-signature", KEY, OTHER.verifier)


@given(st.data())
def test_no_changed_note_opens_with_other_text(data):
    """A note with any one byte changed, added or gone is refused, or is the same text signed by the same key."""
    message = sign_note("one\n\ntwo — three\n", SIGNER).encode()
    at = data.draw(st.integers(0, len(message) - 1))
    piece = data.draw(st.binary(max_size=2))
    changed = message[:at] + piece + message[at + 1 :]
    try:
        note = open_note(changed, [KEY])
    except VoucherError:
        return
    assert changed == message
    assert note.text == "one\n\ntwo — three\n"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n\n\n",
        GO_NOTE[:-1],
        GO_NOTE[:-1] + "x",
        "x" + line(KEY.name, KEY.key_id + SIGNER.key.sign(b"")),
        "\n" + line(KEY.name, KEY.key_id + SIGNER.key.sign(b"")),
        GO_NOTE + "\n",
        GO_NOTE + "text\n",
        GO_NOTE.replace("\n\n", "\n"),
        GO_NOTE.replace("\n", "\r\n"),
        GO_NOTE.replace("—", "-"),
        GO_NOTE.replace("—", "--"),
        GO_NOTE.replace("— ", "—"),
        GO_NOTE.replace("— ", " — "),
        GO_NOTE.replace("— ", "—  "),
        GO_NOTE.replace("— ", "—\u00a0"),
        GO_NOTE.replace("Neumann x", "Neumann  x"),
        GO_NOTE.replace("Neumann x", "Neumann\u00a0x"),
        GO_NOTE.replace("Neumann x", "Neumann\u2028x"),
        GO_NOTE.replace("PeterNeumann", "Peter+Neumann"),
        GO_NOTE.replace("PeterNeumann", "Peter\u2003Neumann"),
        GO_NOTE.replace("PeterNeumann ", ""),
        GO_NOTE.replace("AM=", "AM"),
        GO_NOTE.replace("AM=", "AM= "),
        GO_NOTE.replace("AM=", "AN="),
        GO_NOTE.replace("AM=", "AM=="),
        GO_NOTE.replace("AM=", "AM=AAAA"),
        GO_NOTE.replace("x08go/", "x08go_"),
        GO_NOTE.replace("x08go/", "x08goé"),
        GO_NOTE.replace("problem is", "problem\tis"),
        GO_NOTE.replace("problem is", "problem\x00is"),
        GO_NOTE.replace("problem is", "problem\x1fis"),
        GO_NOTE.replace("problem is", "problem\ud800is"),
        GO_NOTE.encode().replace(b"problem is", b"problem\xffis"),
        GO_NOTE.encode().replace(b"problem is", b"problem\xed\xa0\x80is"),
        GO_NOTE.encode("utf-16"),
        GO_NOTE + line("short.example", b"abcd"),
        GO_NOTE + "— empty.example \n",
        GO_NOTE + "— alone.example\n",
        GO_NOTE + "— \n",
    ],
)
def test_what_is_not_a_note_is_malformed(message):
    """Bytes that break a rule of the format are refused as malformed, though a good signature is among them."""
    assert is_refused(message, "malformed", PETER, KEY)


def test_limits():
    """The most signatures, 16 or more, and the largest note are read; one more signature or byte is refused."""
    assert MOST_SIGNATURES >= 16
    most = sign_note("text\n", *[SIGNER] * MOST_SIGNATURES)
    assert open_note(most, [KEY]).signers == (KEY,)
    assert is_refused(most + line("one-more.example", b"abcde"), "malformed")
    room = LARGEST_NOTE - len(sign_note("\n", SIGNER).encode())
    largest = sign_note("x" * room + "\n", SIGNER)
    assert len(largest.encode()) == LARGEST_NOTE
    assert len(open_note(largest, [KEY]).text) == room + 1
    assert is_refused("x" + largest, "malformed")
    with pytest.raises(ArgumentError, match="at most"):
        sign_note("x" * (room + 1) + "\n", SIGNER)


@given(st.one_of(st.binary(), st.text(), st.text("t\n— AZ=+"), st.binary().map(lambda data: GO_NOTE.encode() + data)))
def test_any_bytes_open_or_are_refused(message):
    """Whatever is given, the answer is a note that known keys signed, or VoucherError."""
    try:
        note = open_note(message, [PETER, KEY])
    except VoucherError:
        return
    assert (note.text, note.signers) == (GO_TEXT, (PETER,))


@pytest.mark.parametrize("text", ["", "text", "text\n\ttext\n", "\x00\n", "text\r\n", "\ud800\n"])
def test_what_can_not_be_read_is_not_signed(text):
    """A text that a reader would refuse is refused by the writer."""
    with pytest.raises(ArgumentError):
        sign_note(text, SIGNER)


def test_a_note_has_a_signer():
    """With nobody to sign it, or more than a reader would take, there is no note."""
    with pytest.raises(ArgumentError):
        sign_note("text\n")
    with pytest.raises(ArgumentError):
        sign_note("text\n", *[SIGNER] * (MOST_SIGNATURES + 1))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n", "a\tb", "a\u00a0b", "a\x00", "a\x1f", "\ud800"])
def test_names_with_spaces_or_plus_signs_are_none(name):
    """Neither half of a key can have such a name."""
    with pytest.raises(ArgumentError):
        Verifier(name, KEY.public_key)
    with pytest.raises(ArgumentError):
        Signer(name, SIGNER.key)


def test_a_public_key_has_its_length():
    """A verifier with a shorter or longer key can't be made."""
    for key in (b"", bytes(31), bytes(33)):
        with pytest.raises(ArgumentError):
            Verifier("name", key)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "+",
        "++",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a3+",
        PETER_KEY + "\n",
        " " + PETER_KEY,
        PETER_KEY[:-1],
        PETER_KEY + "=",
        PETER_KEY.replace("+c", "+C"),
        PETER_KEY.replace("c74f20a3", "c74f20a4"),
        PETER_KEY.replace("c74f20a3", "c74f20a"),
        PETER_KEY.replace("PeterNeumann", "EnochRoot"),
        PETER_KEY.replace("PeterNeumann", ""),
        PETER_KEY.replace("PeterNeumann", "Peter Neumann"),
        PETER_KEY.replace("+ARpc", "+AhpC"),
        PETER_KEY.replace("TW", "é"),
        "name+00000000+" + base64.b64encode(b"\x01" + bytes(31)).decode(),
        f"{KEY.name}+{KEY.key_id.hex()}+{base64.b64encode(bytes([2]) + KEY.public_key).decode()}",
        # A verifier key for a witness's cosignatures: another type of signature.
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    ],
)
def test_what_is_not_a_verifier_key_is_malformed(written):
    """A key with another id, type, length or writing than the one right one is refused."""
    with pytest.raises(VoucherError) as caught:
        Verifier.parse(written)
    assert caught.value.problem == "malformed"


@given(st.text(min_size=1, max_size=20), st.binary(min_size=32, max_size=32))
def test_verifier_keys_survive_being_written(name, key):
    """A key with any name that may be is read back the same, though base64 has plus signs of its own."""
    try:
        verifier = Verifier(name, key)
    except ArgumentError:
        return
    assert Verifier.parse(str(verifier)) == verifier


@given(st.one_of(st.text(), st.text("a+10=AB")))
def test_any_text_is_a_verifier_key_or_refused(written):
    """Whatever is given, the answer is a key written that way, or VoucherError."""
    try:
        verifier = Verifier.parse(written)
    except VoucherError:
        return
    assert str(verifier) == written


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=70))
def test_any_key_and_signature_are_answered(key, signature):
    """Keys that are no points of the curve, and signatures of any length, raise nothing; a good one has 64 bytes."""
    good = Verifier("name", key).verifies(b"text", signature)
    assert good is False or len(signature) == 64


def test_two_keys_of_one_name_and_id_are_not_told_apart():
    """An id is short enough for two keys to share: given both, the caller is told, and nothing is guessed."""
    seen: dict[bytes, Verifier] = {}
    for number in itertools.count():
        verifier = Verifier("name", number.to_bytes(32))
        if verifier.key_id in seen:
            break
        seen[verifier.key_id] = verifier
    message = sign_note("text\n", SIGNER)
    with pytest.raises(ArgumentError, match="the same id"):
        open_note(message, [verifier, KEY, seen[verifier.key_id]])
    assert open_note(message, [verifier, KEY, verifier, KEY]).signers == (KEY,)
