"""A second client and opener, written from the docstrings with cbor2 and the primitives alone: slow and obvious.

Nothing of scanner is imported, so that both agree only if what is written down says enough.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

P = 2**61 - 1
SHOWING = {"match-only": 8, "covered": 64}
KEYING = 5


def hkdf(secret: bytes, info: bytes, length: int = 32) -> bytes:
    """HKDF-SHA256 without salt (RFC 5869)."""
    key, block, out = hmac.digest(bytes(32), secret, "sha256"), b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def labelled(label: bytes, ikm: bytes, salt: bytes, suite: bytes) -> bytes:
    """LabeledExtract (RFC 9180 section 4)."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def expanded(key: bytes, label: bytes, info: bytes, length: int, suite: bytes) -> bytes:
    """LabeledExpand (RFC 9180 section 4) for at most one block of SHA-256."""
    return hmac.digest(key, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\x01", "sha256")[:length]


def _hpke(dh: bytes, share: bytes, public: bytes, info: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    shared = expanded(labelled(b"eae_prk", dh, b"", kem), b"shared_secret", share + public, 32, kem)
    schedule = b"\0" + labelled(b"psk_id_hash", b"", b"", suite) + labelled(b"info_hash", info, b"", suite)
    secret = labelled(b"secret", b"", shared, suite)
    key = expanded(secret, b"key", schedule, 32, suite)
    return ChaCha20Poly1305(key), expanded(secret, b"base_nonce", schedule, 12, suite)


def hpke_open(private: X25519PrivateKey, sealed: bytes, info: bytes, aad: bytes = b"") -> bytes:
    """HPKE base mode, sequence number 0 (RFC 9180 sections 4.1, 5.1, 5.2)."""
    dh = private.exchange(X25519PublicKey.from_public_bytes(sealed[:32]))
    cipher, nonce = _hpke(dh, sealed[:32], private.public_key().public_bytes_raw(), info)
    return cipher.decrypt(nonce, sealed[32:], aad)


def hpke_seal(public: bytes, plain: bytes, info: bytes, ephemeral: X25519PrivateKey | None = None) -> bytes:
    """The other way; the ephemeral key may be given."""
    ephemeral = ephemeral or X25519PrivateKey.generate()
    share = ephemeral.public_key().public_bytes_raw()
    cipher, nonce = _hpke(ephemeral.exchange(X25519PublicKey.from_public_bytes(public)), share, public, info)
    return share + cipher.encrypt(nonce, plain, b"")


def polynomials(secret: bytes, context: bytes, terms: int, count: int) -> list[list[int]]:
    """Coefficients, the constant term first, of each polynomial."""
    stream = hashlib.shake_256(hkdf(secret, b"prescan/v1/share-polynomials" + context)).digest(16 * terms * count)
    numbers = [int.from_bytes(stream[at : at + 16]) % P for at in range(0, len(stream), 16)]
    return [numbers[k::count] for k in range(count)]


def value(coefficients: list[int], x: int) -> int:
    """A polynomial's value."""
    return sum(c * pow(x, j, P) for j, c in enumerate(coefficients)) % P


def through(points: list[tuple[int, int]], place: int) -> int:
    """Value at a place of the polynomial of least degree through points (Lagrange)."""
    total = 0
    for i, (xi, yi) in enumerate(points):
        above, below = yi, 1
        for j, (xj, _) in enumerate(points):
            if i != j:
                above, below = above * (place - xj) % P, below * (xi - xj) % P
        total += above * pow(below, -1, P)
    return total % P


def key_of(constants: list[int]) -> bytes:
    """The account's key."""
    return hashlib.sha512(b"prescan/v1/account-key" + b"".join(c.to_bytes(8) for c in constants)).digest()[:32]


class Account:
    """What an account's devices derive from K_w."""

    def __init__(self, secret: bytes, window: int, account: bytes, threshold: int, profile: str) -> None:
        self.window, self.account, count = window, account, SHOWING[profile]
        context = struct.pack(">I16sHH", window, account, threshold, count)
        self.x_key = hkdf(secret, b"prescan/v1/share-x" + context)
        self.showing = polynomials(secret, context, threshold - 1, count)
        key_secret = hkdf(secret, b"prescan/v1/share-key" + struct.pack(">H", count))
        key_context = struct.pack(">I16sHH", window, account, threshold + 1, KEYING)
        self.keying = polynomials(key_secret, key_context, threshold, KEYING)
        self.key = key_of([each[0] for each in self.keying])

    def x(self, content: int) -> int:
        """The place of a content."""
        return int.from_bytes(hmac.digest(self.x_key, content.to_bytes(8), "sha512")) % P or 1

    def share(self, content: int) -> list[int]:
        """The place and all values there."""
        x = self.x(content)
        return [x, *(value(each, x) for each in self.showing + self.keying)]


def device_id(public: bytes) -> bytes:
    """A device's id."""
    return hashlib.sha256(public).digest()[:16]


def protected_of(device: bytes, window: int, slot: int, policy_digest: bytes, version: int = 1) -> bytes:
    """A voucher's protected header."""
    place = struct.pack(">BIH32s", version, window, slot, policy_digest)
    return cbor2.dumps({1: -8, 4: device, -70001: place}, canonical=True)


def payload_keys(account_key: bytes, protected: bytes) -> tuple[bytes, bytes]:
    """A payload's key and the commitment to it."""
    both = hkdf(account_key, b"prescan/v1/payload" + hashlib.sha256(protected).digest(), 64)
    return both[:32], both[32:]


def payload_of(values: list[object]) -> bytes:
    """A payload's 256 bytes from its eleven values."""
    body = cbor2.dumps(dict(enumerate(values, 1)), canonical=True)
    return (len(body).to_bytes(2) + body).ljust(256, b"\0")


def ciphertext_of(key: bytes, protected: bytes, payload: bytes) -> bytes:
    """A payload encrypted."""
    return ChaCha20Poly1305(key).encrypt(bytes(12), payload, hashlib.sha256(protected).digest())


def signed(key: Ed25519PrivateKey, protected: bytes, sealed: bytes) -> bytes:
    """COSE_Sign1 (RFC 9052 section 4.4)."""
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", sealed], canonical=True))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {}, sealed, signature]), canonical=True)


def wrapped(device: Ed25519PrivateKey, opener: bytes, protected: bytes, inner: bytes) -> bytes:
    """A voucher around any bytes: what who holds the device's key can make."""
    info = b"prescan/v1/hpke" + hashlib.sha256(protected).digest()
    return signed(device, protected, hpke_seal(opener, inner, info))


def inner_of(share: list[int], account_key: bytes, protected: bytes, payload: bytes) -> bytes:
    """Share, commitment and ciphertext."""
    key, commitment = payload_keys(account_key, protected)
    return struct.pack(f">{len(share)}Q", *share) + commitment + ciphertext_of(key, protected, payload)


def taken_apart(message: bytes, device: Ed25519PublicKey, opener: X25519PrivateKey) -> tuple[bytes, bytes]:
    """Protected header and inner bytes of a voucher, its signature checked."""
    tagged = cbor2.loads(message)
    protected, unprotected, sealed, signature = tagged.value
    if (tagged.tag, dict(unprotected)) != (18, {}):
        raise ValueError("not COSE_Sign1")
    device.verify(signature, cbor2.dumps(["Signature1", protected, b"", sealed]))
    return protected, hpke_open(opener, sealed, b"prescan/v1/hpke" + hashlib.sha256(protected).digest())
