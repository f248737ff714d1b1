"""What every endpoint works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from scanner.intake.ed25519 import SigningKey, VerifyKey
from scanner.intake.settings import Settings
from scanner.intake.store.change import Writer
from scanner.intake.store.commits import Commits
from scanner.intake.store.engine import Store

if TYPE_CHECKING:
    from scanner.intake.authority.limits import Limits
    from scanner.intake.authority.operators import Verified
    from scanner.intake.operations.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Known:
    """A device that was seen lately: its key, and its account."""

    key: VerifyKey
    account: bytes


@dataclass(frozen=True, slots=True)
class Service:
    """A running intake.

    Attributes:
        store: to read from.
        writer: to change with.
        commits: to store vouchers with.
        settings: limits and times.
        signing_key: signs receipts.
        public_key: its public half, 32 bytes.
        clock: seconds since 1970.
        limits: how often who may ask.
        verified: operators' tokens that were checked lately.
        metrics: what is counted.
        keys: devices that were seen lately, by id; an id is of one key and account for ever.
    """

    store: Store
    writer: Writer
    commits: Commits
    settings: Settings
    signing_key: SigningKey
    public_key: bytes
    clock: Callable[[], float]
    limits: Limits
    verified: Verified
    metrics: Metrics
    keys: dict[bytes, Known] = field(default_factory=dict)


def service_of(request: Request) -> Service:
    """The service that an endpoint's app runs (a FastAPI dependency)."""
    return cast(Service, request.app.state.service)


Serving = Annotated[Service, Depends(service_of)]
