"""Files written by earlier releases, and figures of other tools, stay true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from PIL import Image

from scanner import HashSet, HashSetBuilder, hash_picture
from scanner.hashing import pdq_dihedral
from scanner.vouchers import Payload, Receipt, Voucher

FIXTURES = Path(__file__).parent.parent / "fixtures"
HASHES = json.loads((FIXTURES / "rings.json").read_text("utf-8"))
VOUCHER = json.loads((FIXTURES / "voucher.json").read_text("utf-8"))


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


def test_a_voucher_sealed_before_opens():
    """Version 0 verifies and opens with the keys beside it, and its receipt verifies."""
    device = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VOUCHER["device_private_key"]))
    intake = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VOUCHER["intake_private_key"]))
    opener = X25519PrivateKey.from_private_bytes(bytes.fromhex(VOUCHER["opener_private_key"]))
    voucher = Voucher.parse(bytes.fromhex(VOUCHER["voucher"]))
    voucher.verify(device.public_key())
    assert voucher.open(opener) == Payload.from_bytes(bytes.fromhex(VOUCHER["payload"]))
    place = (voucher.header.device_id.hex(), voucher.header.window, voucher.header.slot)
    assert place == (VOUCHER["device_id"], VOUCHER["window"], VOUCHER["slot"])
    receipt = Receipt.verified(bytes.fromhex(VOUCHER["receipt"]), intake.public_key())
    assert receipt.voucher_digest == voucher.digest
