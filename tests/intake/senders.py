"""Devices as the tests of the whole intake need them: keys made from a number, vouchers sealed once and kept."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from functools import cached_property

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.vouchers import DeviceSealer, encode_batch, prove_possession, window_at
from tests.policies import POLICY, seal

VOUCHER_TYPE = "application/cose"
BATCH_TYPE = "application/cbor"


def this_window() -> int:
    """The window that a service which reads the clock takes vouchers of."""
    return window_at(time.time())


def text(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Sender:
    """One device; equal numbers are equal devices."""

    number: int

    @cached_property
    def key(self) -> Ed25519PrivateKey:
        """Its signing key."""
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"sender %d" % self.number).digest())

    @cached_property
    def account(self) -> bytes:
        """Its account: three devices have one together."""
        return hashlib.sha256(b"account %d" % (self.number // 3)).digest()[:16]

    @cached_property
    def sealer(self) -> DeviceSealer:
        """What makes its vouchers."""
        return DeviceSealer(self.key, POLICY, self.account)

    @cached_property
    def id(self) -> bytes:
        """Its device id."""
        return self.sealer.device_id

    @cached_property
    def enrolment(self) -> dict[str, str]:
        """The body of its enrolment."""
        return {
            "public_key": text(self.key.public_key().public_bytes_raw()),
            "account": text(self.account),
            "proof": text(prove_possession(self.key, self.account)),
        }

    def voucher(self, window: int, slot: int) -> bytes:
        """A new voucher for a place, other than the last: it holds fresh randomness."""
        return seal(self.sealer, window, slot)

    def path(self, window: int, slot: int) -> str:
        """Where a voucher is put."""
        return f"/v1/vouchers/{self.id.hex()}/{window}/{slot}"

    def enrol(self, client: httpx.Client) -> httpx.Response:
        """Make it known."""
        return client.put(f"/v1/devices/{self.id.hex()}", json=self.enrolment)

    def put(self, client: httpx.Client, voucher: bytes, window: int, slot: int) -> httpx.Response:
        """Deliver one voucher."""
        return client.put(self.path(window, slot), content=voucher, headers={"Content-Type": VOUCHER_TYPE})


def post(client: httpx.Client, vouchers: list[bytes]) -> httpx.Response:
    """Deliver many."""
    return client.post("/v1/vouchers", content=encode_batch(vouchers), headers={"Content-Type": BATCH_TYPE})
