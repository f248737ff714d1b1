"""Carry vouchers from the outbox to the intake.

Rules: a voucher counts as delivered only with a receipt signed by the known intake key for exactly these bytes; what
may pass is tried again, what was refused is parked; nothing but vouchers and the enrolment is ever sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
from email.utils import parsedate_to_datetime
from types import TracebackType

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scanner.errors import DeliveryError, RefusedError, VoucherError
from scanner.outbox import Outbox, Waiting
from scanner.vouchers import Receipt, device_id_of, prove_possession

VOUCHER_TYPE = 'application/cose; cose-type="cose-sign1"'
RETRIED = frozenset({408, 425, 429})
LONGEST_WAIT_HEEDED = 24 * 3600.0


class Courier:
    """Delivers for one device to one intake.

    Args:
        url: the intake, such as ``https://intake.example``.
        device_key: the device's signing key.
        account: the account the device belongs to, 16 bytes.
        intake_key: the intake's public key; known beforehand, never asked of the intake itself.
        timeout: seconds per request.
        transport: another way to reach the intake, for embedding and tests.
    """

    def __init__(
        self,
        url: str,
        device_key: Ed25519PrivateKey,
        account: bytes,
        intake_key: Ed25519PublicKey,
        *,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._device_key = device_key
        self._account = account
        self._device_id = device_id_of(device_key.public_key().public_bytes_raw())
        self._intake_key = intake_key
        self._http = httpx.Client(base_url=url, timeout=timeout, transport=transport, follow_redirects=False)
        self.bytes_sent = 0

    def enrol(self, token: str | None = None, *, outbox: Outbox | None = None, now: float = 0.0) -> None:
        """Make the device known to the intake; again is no error.

        Args:
            token: the one-time token from the provider, if the intake asks for one.
            outbox: whose ledger the request is counted in, as every other is.
            now: seconds since 1970, for the ledger.

        Raises:
            DeliveryError: it can't be reached now. RefusedError: it said no.
            StorageError: the outbox fails.
        """
        public = self._device_key.public_key().public_bytes_raw()
        body = {
            "public_key": _text(public),
            "account": _text(self._account),
            "proof": _text(prove_possession(self._device_key, self._account)),
        }
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = json.dumps(body).encode()
        if outbox is not None:
            outbox.count_request(len(content), now)
        self._put(
            f"/v1/devices/{self._device_id.hex()}", content, headers={"Content-Type": "application/json", **headers}
        )

    def deliver(self, outbox: Outbox, now: float) -> int:
        """Send what is due, once each.

        Args:
            outbox: where vouchers wait.
            now: seconds since 1970.

        Returns:
            how many were delivered. Failures are recorded in the outbox, not raised; the round ends at the first
            one that says the intake can't be reached.

        Raises:
            StorageError: the outbox fails.
        """
        delivered = 0
        for waiting in outbox.due(now):
            outbox.count_request(len(waiting.voucher), now)
            try:
                receipt = self._send(waiting)
            except RefusedError as error:
                outbox.record_refusal(waiting, str(error))
            except DeliveryError as error:
                outbox.record_failure(waiting, now, str(error), retry_after=error.retry_after)
                break
            else:
                outbox.record_receipt(waiting, receipt)
                delivered += 1
        return delivered

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Courier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, waiting: Waiting) -> bytes:
        answer = self._put(
            f"/v1/vouchers/{self._device_id.hex()}/{waiting.window}/{waiting.slot}",
            waiting.voucher,
            headers={"Content-Type": VOUCHER_TYPE},
        )
        try:
            receipt = Receipt.verified(answer.content, self._intake_key)
        except VoucherError as error:
            raise DeliveryError(f"the intake's receipt is not valid: {error}") from error
        place = (receipt.device_id, receipt.window, receipt.slot, receipt.voucher_digest)
        if place != (self._device_id, waiting.window, waiting.slot, hashlib.sha256(waiting.voucher).digest()):
            raise DeliveryError("the intake's receipt is for another voucher")
        return answer.content

    def _put(
        self,
        path: str,
        content: bytes,
        *,
        headers: dict[str, str],
    ) -> httpx.Response:
        request = self._http.build_request("PUT", path, headers=headers, content=content)
        self.bytes_sent += len(content)
        try:
            answer = self._http.send(request)
        except httpx.HTTPError as error:
            raise DeliveryError(f"the intake can't be reached ({type(error).__name__})") from error
        if answer.is_success:
            return answer
        message = f"the intake answered {answer.status_code}: {_problem(answer)}"
        if not answer.is_client_error or answer.status_code in RETRIED:  # a redirect is some portal's, not the intake's
            raise DeliveryError(message, retry_after=_retry_after(answer))
        raise RefusedError(message)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _problem(answer: httpx.Response) -> str:
    """The title of a problem+json answer (RFC 9457), or what HTTP calls the status."""
    try:
        title = answer.json().get("title")
    except (ValueError, AttributeError, RecursionError):
        title = None
    return title if isinstance(title, str) else answer.reason_phrase


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds asked for by Retry-After (RFC 9110 section 10.2.3), as a number or a date."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        seconds = float(value)
    else:
        try:
            until = parsedate_to_datetime(value)
            seconds = (until - parsedate_to_datetime(answer.headers["Date"])).total_seconds()
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT_HEEDED)
