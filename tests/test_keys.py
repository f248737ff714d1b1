"""Key files: private ones stay private, and nothing is overwritten."""

from __future__ import annotations

import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from scanner.errors import KeyFileError
from scanner.keys import public_pem, read_any_private_key, read_private_key, read_public_key, write_key_pair

KINDS = {
    "ed25519": (Ed25519PrivateKey, Ed25519PublicKey),
    "x25519": (X25519PrivateKey, X25519PublicKey),
}


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_private(path, data: bytes, permissions: int = 0o600):
    path.write_bytes(data)
    path.chmod(permissions)
    return path


@pytest.fixture(params=KINDS)
def kinds(request):
    """A private and the matching public key type, each in turn."""
    return KINDS[request.param]


def test_a_written_pair_reads_back(tmp_path, kinds):
    """Both halves come back as they were, each of its kind."""
    private, public = kinds
    key = private.generate()
    public_path = write_key_pair(tmp_path / "a.key", key)
    assert public_path == tmp_path / "a.key.pub"
    read = read_private_key(tmp_path / "a.key", private)
    assert read.private_bytes_raw() == key.private_bytes_raw()
    assert read_any_private_key(tmp_path / "a.key").private_bytes_raw() == key.private_bytes_raw()
    assert read_public_key(public_path, public).public_bytes_raw() == key.public_key().public_bytes_raw()
    assert public_path.read_bytes() == public_pem(key.public_key())


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_the_private_file_is_for_its_owner_alone(tmp_path, umask):
    """Mode 600 whatever the umask; the public half never gets more than 644."""
    before = os.umask(umask)
    try:
        public_path = write_key_pair(tmp_path / "a.key", Ed25519PrivateKey.generate())
    finally:
        os.umask(before)
    assert mode(tmp_path / "a.key") == 0o600
    assert mode(public_path) == 0o644 & ~umask


@pytest.mark.parametrize("existing", ["a.key", "a.key.pub"])
def test_no_file_is_ever_overwritten(tmp_path, existing):
    """If either file exists, both stay as they are and no other appears."""
    (tmp_path / existing).write_bytes(b"precious")
    with pytest.raises(KeyFileError, match=f"{existing} exists already"):
        write_key_pair(tmp_path / "a.key", Ed25519PrivateKey.generate())
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_bytes() == b"precious"


def test_a_missing_folder_is_named(tmp_path):
    """Writing where there is no folder says where."""
    with pytest.raises(KeyFileError, match=r"can't write the key .*nowhere"):
        write_key_pair(tmp_path / "nowhere" / "a.key", Ed25519PrivateKey.generate())


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610, 0o601, 0o666])
def test_a_private_key_others_can_reach_is_refused(tmp_path, permissions):
    """Any right of group or others is too much; the message gives the command that mends it."""
    write_key_pair(tmp_path / "a.key", Ed25519PrivateKey.generate())
    (tmp_path / "a.key").chmod(permissions)
    with pytest.raises(KeyFileError, match=f"chmod 600 {tmp_path / 'a.key'}"):
        read_private_key(tmp_path / "a.key", Ed25519PrivateKey)


@pytest.mark.parametrize("permissions", [0o600, 0o400, 0o700])
def test_a_private_key_for_its_owner_alone_is_read(tmp_path, permissions):
    """The owner's own rights are their own business."""
    write_key_pair(tmp_path / "a.key", Ed25519PrivateKey.generate())
    (tmp_path / "a.key").chmod(permissions)
    assert isinstance(read_private_key(tmp_path / "a.key", Ed25519PrivateKey), Ed25519PrivateKey)


def test_the_other_kind_is_refused(tmp_path, kinds):
    """A signing key is no opener's key and the other way round, private or public."""
    other = X25519PrivateKey if kinds[0] is Ed25519PrivateKey else Ed25519PrivateKey
    public_path = write_key_pair(tmp_path / "a.key", other.generate())
    wanted = "Ed25519" if kinds[0] is Ed25519PrivateKey else "X25519"
    with pytest.raises(KeyFileError, match=f"does not hold an {wanted} private key"):
        read_private_key(tmp_path / "a.key", kinds[0])
    with pytest.raises(KeyFileError, match=f"does not hold an {wanted} public key"):
        read_public_key(public_path, kinds[1])


def test_a_key_of_neither_kind_is_refused(tmp_path):
    """Keys of other algorithms are no keys here."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(KeyFileError, match="neither an Ed25519 nor an X25519"):
        read_any_private_key(write_private(tmp_path / "p256.key", pem))


def test_an_encrypted_key_is_refused(tmp_path):
    """A key with a password is told apart in one line; nobody is asked for the password."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
    )
    with pytest.raises(KeyFileError, match="without a password"):
        read_private_key(write_private(tmp_path / "locked.key", pem), Ed25519PrivateKey)


def test_public_and_private_are_not_mixed_up(tmp_path):
    """The public file is no private key, and the private one no public key: the message says which to take."""
    public_path = write_key_pair(tmp_path / "a.key", Ed25519PrivateKey.generate())
    public_path.chmod(0o600)
    with pytest.raises(KeyFileError, match="no private key in PEM"):
        read_private_key(public_path, Ed25519PrivateKey)
    with pytest.raises(KeyFileError, match=r"\.pub"):
        read_public_key(tmp_path / "a.key", Ed25519PublicKey)


@pytest.mark.parametrize("data", [b"", b"garbage", bytes(range(256)), b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_garbage_is_refused(tmp_path, data):
    """Bytes that are no key raise the one named error."""
    path = write_private(tmp_path / "a.key", data)
    with pytest.raises(KeyFileError, match="no private key in PEM"):
        read_private_key(path, Ed25519PrivateKey)
    with pytest.raises(KeyFileError, match="no public key in PEM"):
        read_public_key(path, Ed25519PublicKey)


@pytest.mark.parametrize("length", [1, 20, 60, 90])
def test_a_key_cut_short_is_refused(tmp_path, length):
    """Half a key file is no key."""
    write_key_pair(tmp_path / "a.key", Ed25519PrivateKey.generate())
    path = write_private(tmp_path / "cut.key", (tmp_path / "a.key").read_bytes()[:length])
    with pytest.raises(KeyFileError, match="no private key in PEM"):
        read_any_private_key(path)


@pytest.mark.parametrize("name", ["missing.key", "."])
def test_a_missing_file_or_a_folder_is_named(tmp_path, name):
    """What can't be read is named with the reason."""
    with pytest.raises(KeyFileError, match="can't read the key"):
        read_private_key(tmp_path / name, Ed25519PrivateKey)
    with pytest.raises(KeyFileError, match="can't read the key"):
        read_public_key(tmp_path / name, Ed25519PublicKey)


def test_messages_hold_no_key(tmp_path):
    """An error about a key file never shows what is in it."""
    write_key_pair(tmp_path / "a.key", Ed25519PrivateKey.generate())
    secret = (tmp_path / "a.key").read_text().splitlines()[1]
    with pytest.raises(KeyFileError) as refused:
        read_private_key(tmp_path / "a.key", X25519PrivateKey)
    assert secret not in str(refused.value)
