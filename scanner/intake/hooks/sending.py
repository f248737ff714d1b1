"""Send one webhook once.

Rules: one POST, within one time limit for all of it; a redirect is an answer like any other, not followed; no proxy, no
cookie, nothing from the environment but where certificates are trusted; of the answer the status and Retry-After count.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpcore
import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.intake.hooks.signing import signed_headers
from scanner.intake.hooks.targets import CheckedBackend, NotPublicError, Resolve, Target

NO_ANSWER = 0
NOT_PUBLIC = -1
LONGEST_WAIT_HEEDED = 24 * 3600.0
_MOST_READ = 1024
_AGENT = "prescan-intake"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    Attributes:
        status: of HTTP; ``NO_ANSWER``, or ``NOT_PUBLIC`` if nothing was sent because of the address.
        retry_after: seconds the receiver asked to be left alone, if it did; at most a day.
    """

    status: int
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver has the message."""
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver wants nothing more, ever."""
        return self.status == 410


class Sender:
    """Sends webhooks, each over a connection of its own.

    Args:
        key: signs them.
        resolve: gives a host's addresses.
        timeout: seconds an attempt may take, from the name's resolving to the end of the answer.
        unsafe_private: let them go over http and to addresses that are not public.
        tls: whom to trust; None: whom SSL_CERT_FILE names, or else certifi.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey,
        *,
        resolve: Resolve,
        timeout: float,
        unsafe_private: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._key = key
        self._timeout = timeout
        self._unsafe_private = unsafe_private
        self._backend = CheckedBackend(resolve, unsafe_private=unsafe_private)
        self._tls = tls or httpx.create_ssl_context()

    async def send(self, url: str, message_id: str, body: bytes, at: float) -> Answer:
        """Send a message; never raises because of the receiver.

        Args:
            url: of the hook.
            message_id: goes into the headers, signed.
            body: as it was written in the outbox.
            at: the time, in seconds since 1970; signed.
        """
        target = Target.of(url)
        headers = _headers(target, len(body)) | signed_headers(self._key, message_id, at, body)
        answer = Answer(NO_ANSWER)
        try:
            if not self._unsafe_private:
                target.check()
            async with (
                asyncio.timeout(self._timeout),
                httpcore.AsyncConnectionPool(self._tls, network_backend=self._backend, http2=False) as pool,
                pool.stream(
                    "POST",
                    httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
                    headers=[*headers.items()],
                    content=body,
                ) as response,
            ):
                answer = Answer(response.status, retry_after(response.headers))
                await _read_some(response)
        except NotPublicError:
            return Answer(NOT_PUBLIC)
        except (TimeoutError, OSError, *_FAILURES):  # after the status came, that still counts
            return answer
        return answer


_FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


def retry_after(headers: Sequence[tuple[bytes, bytes]]) -> float | None:
    """Seconds asked for by Retry-After (RFC 9110 section 10.2.3), a number or a date beside the answer's own Date."""
    named = {name.lower(): value.decode("latin-1").strip() for name, value in headers}
    text = named.get(b"retry-after", "")
    seconds: float | None = None
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        with suppress(ValueError, TypeError, KeyError, OverflowError):
            until = parsedate_to_datetime(text)
            seconds = (until - parsedate_to_datetime(named[b"date"])).total_seconds()
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT_HEEDED)


def _headers(target: Target, length: int) -> dict[str, str]:
    usual = {"https": 443, "http": 80}[target.scheme]
    return {
        "Host": target.host if target.port == usual else f"{target.host}:{target.port}",
        "User-Agent": _AGENT,
        "Content-Type": "application/json",
        "Content-Length": str(length),
        "Connection": "close",
    }


async def _read_some(response: httpcore.Response) -> None:
    """Read a little, so that a receiver with a short answer sees a proper end."""
    read = 0
    async for chunk in response.aiter_stream():
        read += len(chunk)
        if read >= _MOST_READ:
            break
