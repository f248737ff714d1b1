"""What bounds an intake on this machine: a bare endpoint, checked signatures, durable commits, the disk's fsync."""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request, Response

from scanner.intake.ed25519 import VerifyKey

SECONDS = 2.0
ROW = 1300  # bytes of a voucher and its receipt


def bare_app() -> FastAPI:
    """An app that reads a body and answers with as many bytes as a receipt has."""
    app = FastAPI(openapi_url=None)
    answer = bytes(190)

    @app.put("/{rest:path}")
    async def put(request: Request) -> Response:
        await request.body()
        return Response(answer, 201, media_type="application/cose")

    return app


def serve_bare() -> None:
    """Serve the bare app on a free loopback port, and print the port; run as ``python -m benchmarks.intake_limits``."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(bare_app(), log_level="critical", access_log=False)
        uvicorn.Server(config).run(sockets=[listening])


def verifications(size: int) -> float:
    """Ed25519 signatures checked a second, by the verifier that the intake uses, over so many bytes."""
    key = Ed25519PrivateKey.generate()
    verify, message = VerifyKey(key.public_key().public_bytes_raw()), os.urandom(size)
    signature = key.sign(message)
    return _rate(lambda: verify.verify(signature, message))


def sqlite_commits(folder: Path) -> float:
    """Durable commits a second of one row of a voucher's size in SQLite, as the intake sets it."""
    with closing(sqlite3.connect(folder / "limit.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE rows (row BLOB)")
        row = os.urandom(ROW)
        return _rate(lambda: db.execute("INSERT INTO rows VALUES (?)", (row,)))


def postgresql_commits(url: str) -> float:
    """Durable commits a second of one row of a voucher's size in PostgreSQL."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE IF NOT EXISTS limit_rows (row bytea)")
        row = os.urandom(ROW)
        return _rate(lambda: db.execute("INSERT INTO limit_rows VALUES (%s)", (row,)))


def fsync_milliseconds(folder: Path) -> float:
    """What one write of 4 KiB and its fsync takes here, in the median."""
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return sorted(took)[len(took) // 2] * 1e3


def _rate(call: object) -> float:
    assert callable(call)
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < SECONDS:
        call()
        count += 1
    return count / took


if __name__ == "__main__":
    serve_bare()
