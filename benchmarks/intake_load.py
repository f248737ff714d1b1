"""Load for the intake: signed vouchers made beforehand, sent by wrk, or at a steady rate by connections of our own.

What is sent looks to the intake as real vouchers do: their size, their signature by an enrolled device, a place of
their own. What is inside is noise, which only the opener could tell.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.intake.ed25519 import SigningKey
from scanner.vouchers import VoucherHeader, cose, device_id_of, encode_batch, prove_possession, window_at

ACCOUNT = bytes(16)
SEALED_BYTES = 870  # so that a voucher has 1,000 bytes, near what one with cover has
SCRIPT = Path(__file__).parent / "intake.lua"


@dataclass(frozen=True, slots=True)
class Sent:
    """One voucher ready to be sent."""

    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of load saw.

    Attributes:
        rate: requests answered a second.
        p50, p99, longest: milliseconds.
        statuses: how many answers of each.
        errors: connections that broke or timed out.
        without_retry: answers of 400 or more that did not say when to come back.
    """

    rate: float
    p50: float
    p99: float
    longest: float
    statuses: dict[int, int]
    errors: int
    without_retry: int


class Devices:
    """Enrolled devices that make vouchers, each in a place of its own."""

    def __init__(self, url: str, number: int) -> None:
        self._keys = [Ed25519PrivateKey.generate() for _ in range(number)]
        self._signers = [SigningKey(key) for key in self._keys]
        self._ids = [device_id_of(key.public_key().public_bytes_raw()) for key in self._keys]
        self._window = window_at(time.time())
        self._made = 0
        with httpx.Client(base_url=url) as client:
            for key, device in zip(self._keys, self._ids, strict=True):
                body = {
                    "public_key": _text(key.public_key().public_bytes_raw()),
                    "account": _text(ACCOUNT),
                    "proof": _text(prove_possession(key, ACCOUNT)),
                }
                client.put(f"/v1/devices/{device.hex()}", json=body).raise_for_status()

    def make(self, number: int) -> list[Sent]:
        """Make vouchers that nobody has sent yet."""
        made = []
        for count in range(self._made, self._made + number):
            device, slot = count % len(self._ids), count // len(self._ids)
            header = VoucherHeader(self._ids[device], self._window, slot, bytes(32))
            body = cose.sign1(self._signers[device], header.to_cose(), os.urandom(SEALED_BYTES))
            made.append(Sent(f"/v1/vouchers/{self._ids[device].hex()}/{self._window}/{slot}", body))
        self._made += number
        return made


def write_puts(path: Path, vouchers: Sequence[Sent]) -> None:
    """One request a voucher, for wrk."""
    with path.open("wb") as file:
        for one in vouchers:
            file.write(f"PUT {one.path} {len(one.body)}\n".encode() + one.body)


def write_batches(path: Path, vouchers: Sequence[Sent], size: int) -> None:
    """One request for so many vouchers, for wrk."""
    with path.open("wb") as file:
        for first in range(0, len(vouchers), size):
            body = encode_batch([one.body for one in vouchers[first : first + size]])
            file.write(f"POST /v1/vouchers {len(body)}\n".encode() + body)


def wrk(url: str, requests: Path, kind: str, *, connections: int, seconds: float, core: int) -> Load:
    """Send as fast as the answers come back, from one core.

    Raises:
        RuntimeError: wrk failed.
    """
    command = [
        "taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s",
        "-s", str(SCRIPT), url, "--", str(requests), kind,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=False)
    found = re.search(
        r"RESULT requests=(\d+) microseconds=(\d+) p50=(\d+) p99=(\d+) max=(\d+) errors=(\d+) without_retry=(\d+) (.*)",
        done.stdout,
    )
    if found is None:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    requests_sent, took, p50, p99, longest, errors, without_retry = (int(part) for part in found.groups()[:7])
    statuses = {int(code): int(count) for code, count in re.findall(r"(\d+)=(\d+)", found[8])}
    return Load(requests_sent / took * 1e6, p50 / 1e3, p99 / 1e3, longest / 1e3, statuses, errors, without_retry)


async def _steady(host: str, port: int, vouchers: Sequence[Sent], rate: float, connections: int) -> Load:
    waits: list[float] = []
    statuses: dict[int, int] = {}
    began = time.perf_counter()

    async def send(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for index in range(number, len(vouchers), connections):
            due = began + index / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            one = vouchers[index]
            writer.write(
                f"PUT {one.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/cose\r\n"
                f"Content-Length: {len(one.body)}\r\n\r\n".encode()
                + one.body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
            waits.append(time.perf_counter() - due)  # from when it was due: a late answer delays what comes after it
            status = int(head[9:12])
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(send(number) for number in range(connections)))
    took = time.perf_counter() - began
    waits.sort()
    return Load(
        len(waits) / took,
        waits[len(waits) // 2] * 1e3,
        waits[int(len(waits) * 0.99)] * 1e3,
        waits[-1] * 1e3,
        statuses,
        0,
        0,
    )


def steady(url: str, vouchers: Sequence[Sent], rate: float, *, connections: int = 32) -> Load:
    """Send at a steady rate; waits count from the moment a request was due (no coordinated omission)."""
    host, port = re.fullmatch(r"http://(.*):(\d+)", url).groups()  # type: ignore[union-attr]
    return asyncio.run(_steady(host, int(port), vouchers, rate, connections))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
