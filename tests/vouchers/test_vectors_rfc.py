"""The signatures and the sealing are those of RFC 8032 and RFC 9180, byte for byte."""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.vouchers import DeviceSealer, Policy, Terms, Voucher, cose

# RFC 8032 section 7.1: secret key, public key, message, signature.
ED25519 = {
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    "TEST 1024": (
        "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
        (
            "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98"
            "fa6e264bf09efe12ee50f8f54e9f77b1e355f6c50544e23fb1433ddf73be84d8"
            "79de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d"
            "658675fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc"
            "1a858efcb8550ee3a5e1998bd177e93a7363c344fe6b199ee5d02e82d522c4fe"
            "ba15452f80288a821a579116ec6dad2b3b310da903401aa62100ab5d1a36553e"
            "06203b33890cc9b832f79ef80560ccb9a39ce767967ed628c6ad573cb116dbef"
            "efd75499da96bd68a8a97b928a8bbc103b6621fcde2beca1231d206be6cd9ec7"
            "aff6f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed1"
            "85ce81bd84359d44254d95629e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2"
            "d17ba70eb6248e594e1a2297acbbb39d502f1a8c6eb6f1ce22b3de1a1f40cc24"
            "554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f270"
            "88d78b7e883c8759d2c4f5c65adb7553878ad575f9fad878e80a0c9ba63bcbcc"
            "2732e69485bbc9c90bfbd62481d9089beccf80cfe2df16a2cf65bd92dd597b07"
            "07e0917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128ba"
            "b27af87a71314f318c782b23ebfe808b82b0ce26401d2e22f04d83d1255dc51a"
            "ddd3b75a2b1ae0784504df543af8969be3ea7082ff7fc9888c144da2af58429e"
            "c96031dbcad3dad9af0dcbaaaf268cb8fcffead94f3c7ca495e056a9b47acdb7"
            "51fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301651339e22904cc8c"
            "42f58c30c04aafdb038dda0847dd988dcda6f3bfd15c4b4c4525004aa06eeff8"
            "ca61783aacec57fb3d1f92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34df"
            "f7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401adebf5a7e08"
            "d78ff4ef5d63653a65040cf9bfd4aca7984a74d37145986780fc0b16ac451649"
            "de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c17a3ca8e1b939ae49e4"
            "88acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d5011fd2dcc5600a3"
            "2ef5b52a1ecc820e308aa342721aac0943bf6686b64b2579376504ccc493d97e"
            "6aed3fb0f9cd71a43dd497f01f17c0e2cb3797aa2a2f256656168e6c496afc5f"
            "b93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b5"
            "0d334ba77c225bc307ba537152f3f1610e4eafe595f6d9d90d11faa933a15ef1"
            "369546868a7f3a45a96768d40fd9d03412c091c6315cf4fde7cb68606937380d"
            "b2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c"
            "0618983f8741c5ef68d3a101e8a3b8cac60c905c15fc910840b94c00a0b9d0"
        ),
        (
            "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350"
            "aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03"
        ),
    ),
    "TEST SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
}


@pytest.mark.parametrize("name", ED25519)
def test_ed25519_is_that_of_rfc_8032(name):
    """Public key and signature follow from the secret key and the message; the signature holds for no other message."""
    secret, public, message, signature = map(bytes.fromhex, ED25519[name])
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert key.public_key().public_bytes_raw() == public
    assert key.sign(message) == signature
    known = Ed25519PublicKey.from_public_bytes(public)
    known.verify(signature, message)
    with pytest.raises(InvalidSignature):
        known.verify(signature, message + b"\0")
    with pytest.raises(InvalidSignature):
        known.verify(signature[:32] + bytes(32), message)


def test_the_longest_vector_is_complete():
    """TEST 1024 has 1,023 bytes."""
    assert len(bytes.fromhex(ED25519["TEST 1024"][2])) == 1023


@pytest.mark.parametrize("name", ED25519)
def test_cose_signs_with_that_ed25519(name):
    """A COSE_Sign1 message's signature is RFC 8032's over the Sig_structure of RFC 9052, here put together by hand."""
    secret, public, message, _ = map(bytes.fromhex, ED25519[name])
    key = Ed25519PrivateKey.from_private_bytes(secret)
    header, _, payload, signature = cose.parse_sign1(cose.sign1(key, {}, message), "message")
    assert (header, payload) == (bytes.fromhex("a10127"), message)
    length = len(message)
    head = bytes([0x40 | length]) if length < 24 else bytes([0x58, length]) if length < 256 else b"\x59\x03\xff"
    structure = b"\x84\x6aSignature1" + b"\x43\xa1\x01\x27" + b"\x40" + head + message
    Ed25519PublicKey.from_public_bytes(public).verify(signature, structure)


# HPKE in base mode, from RFC 9180 sections 4 and 5, for the one suite vouchers use. HKDF is RFC 5869 by HMAC alone, so
# that nothing but X25519 and ChaCha20-Poly1305 is shared with what is tested.

KEM_ID, KDF_ID, AEAD_ID = 0x0020, 0x0001, 0x0003
KEM_SUITE = b"KEM" + KEM_ID.to_bytes(2)
HPKE_SUITE = b"HPKE" + KEM_ID.to_bytes(2) + KDF_ID.to_bytes(2) + AEAD_ID.to_bytes(2)


class Context(NamedTuple):
    shared_secret: bytes
    key: bytes
    base_nonce: bytes
    exporter_secret: bytes

    def nonce(self, sequence: int) -> bytes:
        return (int.from_bytes(self.base_nonce) ^ sequence).to_bytes(12)


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    assert length <= 32  # one block
    return hmac.digest(prk, length.to_bytes(2) + b"HPKE-v1" + suite + label + info + b"\1", "sha256")[:length]


def context_of(dh: bytes, enc: bytes, recipient: bytes, info: bytes) -> Context:
    eae_prk = labeled_extract(KEM_SUITE, b"", b"eae_prk", dh)
    shared_secret = labeled_expand(KEM_SUITE, eae_prk, b"shared_secret", enc + recipient, 32)
    psk_id_hash = labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
    info_hash = labeled_extract(HPKE_SUITE, b"", b"info_hash", info)
    context = b"\0" + psk_id_hash + info_hash
    secret = labeled_extract(HPKE_SUITE, shared_secret, b"secret", b"")
    key = labeled_expand(HPKE_SUITE, secret, b"key", context, 32)
    base_nonce = labeled_expand(HPKE_SUITE, secret, b"base_nonce", context, 12)
    return Context(shared_secret, key, base_nonce, labeled_expand(HPKE_SUITE, secret, b"exp", context, 32))


def sender(ephemeral: X25519PrivateKey, recipient: bytes, info: bytes) -> tuple[bytes, Context]:
    enc = ephemeral.public_key().public_bytes_raw()
    return enc, context_of(ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient)), enc, recipient, info)


def receiver(key: X25519PrivateKey, enc: bytes, info: bytes) -> Context:
    dh = key.exchange(X25519PublicKey.from_public_bytes(enc))
    return context_of(dh, enc, key.public_key().public_bytes_raw(), info)


def seal(ephemeral: X25519PrivateKey, recipient: bytes, info: bytes, plain: bytes) -> bytes:
    enc, context = sender(ephemeral, recipient, info)
    return enc + ChaCha20Poly1305(context.key).encrypt(context.nonce(0), plain, b"")


def unseal(key: X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:
    context = receiver(key, sealed[:32], info)
    return ChaCha20Poly1305(context.key).decrypt(context.nonce(0), sealed[32:], b"")


# RFC 9180 appendix A.2.1.
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
SK_E = bytes.fromhex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600")
ENC = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
SK_R = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
PK_R = bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
CONTEXT = Context(
    shared_secret=bytes.fromhex("0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7"),
    key=bytes.fromhex("ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91"),
    base_nonce=bytes.fromhex("5c4d98150661b848853b547f"),
    exporter_secret=bytes.fromhex("a3b010d4994890e2c6968a36f64470d3c824c8f5029942feb11e7a74b2921922"),
)
PLAIN = bytes.fromhex("4265617574792069732074727574682c20747275746820626561757479")
SEALED = (  # aad, nonce, ct of sequences 0 and 1
    (
        "436f756e742d30",
        "5c4d98150661b848853b547f",
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
    ),
    (
        "436f756e742d31",
        "5c4d98150661b848853b547e",
        "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e85285337cc95ba5f59992dc98c",
    ),
)

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
OPENER = X25519PrivateKey.from_private_bytes(bytes([3]) * 32)
OPENER_PUBLIC = OPENER.public_key().public_bytes_raw()


def test_this_hpke_is_that_of_rfc_9180():
    """Shared secret, key, base nonce and exporter secret of the appendix, on the sender's and the receiver's side."""
    assert X25519PrivateKey.from_private_bytes(SK_R).public_key().public_bytes_raw() == PK_R
    assert sender(X25519PrivateKey.from_private_bytes(SK_E), PK_R, INFO) == (ENC, CONTEXT)
    assert receiver(X25519PrivateKey.from_private_bytes(SK_R), ENC, INFO) == CONTEXT


@pytest.mark.parametrize("sequence", [0, 1])
def test_its_ciphertexts_are_those_of_the_rfc(sequence):
    """Nonce and ciphertext of the appendix's first two messages."""
    aad, nonce, sealed = map(bytes.fromhex, SEALED[sequence])
    _, context = sender(X25519PrivateKey.from_private_bytes(SK_E), PK_R, INFO)
    assert context.nonce(sequence) == nonce
    assert ChaCha20Poly1305(context.key).encrypt(nonce, PLAIN, aad) == sealed


@given(plain=st.binary(max_size=300), info=st.binary(max_size=64))
@settings(derandomize=True, deadline=None)
def test_it_opens_what_the_library_seals(plain, info):
    """The library's output is RFC 9180's: the encapsulated key, 32 bytes, then the ciphertext of sequence 0."""
    sealed = SUITE.encrypt(plain, OPENER.public_key(), info=info)
    assert len(sealed) == 32 + len(plain) + 16
    assert unseal(OPENER, sealed, info) == plain


@given(plain=st.binary(max_size=300), info=st.binary(max_size=64), seed=st.binary(min_size=32, max_size=32))
@settings(derandomize=True, deadline=None)
def test_the_library_opens_what_it_seals(plain, info, seed):
    """The other way round, with any ephemeral key."""
    sealed = seal(X25519PrivateKey.from_private_bytes(seed), OPENER_PUBLIC, info, plain)
    assert SUITE.decrypt(sealed, OPENER, info=info) == plain


def test_neither_opens_under_other_info():
    """``info`` is bound into the key."""
    sealed = seal(X25519PrivateKey.from_private_bytes(SK_E), OPENER_PUBLIC, b"one", b"plain")
    with pytest.raises(InvalidTag):
        SUITE.decrypt(sealed, OPENER, info=b"other")
    with pytest.raises(InvalidTag):
        unseal(OPENER, sealed, b"other")


def test_the_library_opens_the_ciphertext_of_the_rfc():
    """The appendix's sequence 0 is with associated data; the same context without it opens in the library."""
    sealed = seal(X25519PrivateKey.from_private_bytes(SK_E), PK_R, INFO, PLAIN)
    assert sealed[:32] == ENC
    assert sealed[32:-16] == bytes.fromhex(SEALED[0][2])[:-16]  # associated data changes the tag alone
    assert SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(SK_R), info=INFO) == PLAIN


def test_a_voucher_is_sealed_with_it():
    """A voucher opens with the HPKE written here, given what the protocol says of ``info``."""
    device = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    signer = device.public_key().public_bytes_raw()
    policy = Policy(1, 10, "match-only", "pdq", 31, 50, OPENER_PUBLIC, bytes(32), "list", 0, (signer,), 1, 1)
    message = DeviceSealer(device, policy, bytes(16)).seal_dummy(735, 3)
    header, _, sealed, _ = cose.parse_sign1(message, "voucher")
    info = b"prescan/v1/hpke" + hashlib.sha256(header).digest()
    inner = unseal(OPENER, sealed, info)
    assert len(inner) == len(sealed) - 48
    assert Voucher.parse(message).unseal(OPENER, Terms.of(policy)).share.to_bytes() == inner[: 8 * 14]
