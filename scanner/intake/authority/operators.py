"""Operators: who they are by their token, and what they may do.

A token is ``prescan_<operator id>_<secret>``: 32 hexadecimal digits, and 32 random bytes in base64url. Rules: the
database holds the secret's argon2id hash alone; a secret is verified against some hash whether or not its operator is
there, so that time tells nothing; whoever is revoked is refused from then on, since the operator's row is read on each
request; a scope allows what it names and no more; there is always one who may make others.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import ArgumentError
from scanner.intake.problems import ProblemError
from scanner.intake.store.change import Writer
from scanner.intake.store.tables import OPERATORS

if TYPE_CHECKING:
    from scanner.intake.api.context import Service

HASHER = PasswordHasher()
"""argon2id with 64 MiB, 3 passes and 4 lanes: the second profile of RFC 9106, section 4."""

TOKEN = re.compile(r"prescan_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")
NAME = "[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}"

AT_ONCE = 2
MOST_WAITING = 32
"""Tokens to verify at once, and others that may wait: argon2 takes 64 MiB and about 0.1 s for each."""

MOST_KNOWN = 1_024
KNOWN_SECONDS = 300.0


class Scope(StrEnum):
    """What an operator may do."""

    ENROL = "enrol"
    READ = "read"
    EXPORT = "export"
    REVIEW = "review"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks.

    Attributes:
        operator_id: 32 hexadecimal digits.
        name: as given when the operator was made.
        scopes: what the operator may do.
    """

    operator_id: str
    name: str
    scopes: frozenset[Scope]


class OperatorError(ArgumentError):
    """Operators can't be changed so.

    Attributes:
        problem: ``name-taken``, ``other-operator``, ``unknown-operator`` or ``last-admin``.
    """

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem


class Verified:
    """Verifies tokens, a few at once, and remembers for a while which were right.

    A token that is remembered says nothing about whether its operator may still use it: who asks has read the row.

    Args:
        monotonic: gives seconds.
        most: operators that are remembered.
        seconds: for how long.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        most: int = MOST_KNOWN,
        seconds: float = KNOWN_SECONDS,
    ) -> None:
        self._monotonic = monotonic
        self._most = most
        self._seconds = seconds
        self._known: OrderedDict[str, tuple[bytes, str, float]] = OrderedDict()
        self._threads = ThreadPoolExecutor(AT_ONCE, "argon2")  # who goes away leaves a thread at work: it counts still
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys = HASHER.hash(secrets.token_urlsafe(32))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until one more may be hashed.

        Raises:
            ProblemError: 503, so many wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Too many tokens wait to be verified", retry_after=2
            )
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def knows(self, operator_id: str, secret_hash: str, secret: str) -> bool:
        """Whether the secret was found to be right for this very hash lately."""
        digest, for_hash, until = self._known.get(operator_id, (bytes(32), "", 0.0))
        same = hmac.compare_digest(digest, hashlib.sha256(secret.encode()).digest())
        return same and for_hash == secret_hash and self._monotonic() < until

    async def verify(self, operator_id: str, secret_hash: str | None, secret: str) -> bool:
        """Whether a secret is that of a hash; to be called in a turn.

        Args:
            operator_id: whose it is said to be.
            secret_hash: argon2's text, or None if there is no such operator: that takes as long.
            secret: what was given.
        """
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._threads, _matches, secret_hash or self._nobodys, secret)
        if not right or secret_hash is None:
            return False
        digest = hashlib.sha256(secret.encode()).digest()
        self._known[operator_id] = (digest, secret_hash, self._monotonic() + self._seconds)
        self._known.move_to_end(operator_id)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return True


async def operator_of(service: Service, token: str, *, address: str | None = None) -> Operator:
    """Find whose token it is.

    Args:
        service: the intake.
        token: as it was given.
        address: where it comes from; if given, failures are counted for it.

    Raises:
        ProblemError: 401, it is nobody's; 429, too many were wrong; 503, too many wait.
        StorageError: the database fails.
    """
    found = TOKEN.fullmatch(token)
    if found is None:
        if address is not None:
            service.limits.check("login", address)
        raise unauthorized()
    operator_id, secret = found[1], found[2]
    row = await _standing(service, operator_id)
    if row is not None and service.verified.knows(operator_id, row.secret_hash, secret):
        return operator_from(row)
    if address is not None:
        service.limits.check("login", address, count=False)
    async with service.verified.turn():
        right = row is not None and service.verified.knows(operator_id, row.secret_hash, secret)
        if not right:
            if address is not None:
                service.limits.check("login", address)
            right = await service.verified.verify(operator_id, None if row is None else row.secret_hash, secret)
            if right and address is not None:
                service.limits.give_back("login", address)
    row = await _standing(service, operator_id)  # it may have been revoked meanwhile
    if row is None or not right:
        raise unauthorized()
    return operator_from(row)


async def add_operator(
    writer: Writer, name: str, scopes: Iterable[Scope], at: float, *, by: str | None = None
) -> tuple[Operator, str]:
    """Make an operator; gives the token too, which nobody can find out again.

    Args:
        writer: makes the change.
        name: 1 to 64 letters, digits, spaces and ``._@+-`` of ASCII, a letter or digit first; nobody else's.
        scopes: what the operator may do, one at least.
        at: seconds since 1970.
        by: id of the operator who does it; None at the machine.

    Raises:
        OperatorError: the name is taken. ArgumentError: name or scopes are not allowed. StorageError: not stored.
    """
    operator, token = await put_operator(writer, secrets.token_hex(16), name, scopes, at, by=by)
    assert token is not None
    return operator, token


async def put_operator(
    writer: Writer, operator_id: str, name: str, scopes: Iterable[Scope], at: float, *, by: str | None = None
) -> tuple[Operator, str | None]:
    """Make an operator of a chosen id, as :func:`add_operator`; the token is None if the same one was made before.

    Raises:
        OperatorError: the name is taken, or the id is of another operator. ArgumentError, StorageError.
    """
    wanted = Operator(operator_id, name, frozenset(scopes))
    if not re.fullmatch(NAME, name):
        raise ArgumentError("an operator's name is 1 to 64 letters, digits, spaces and . _ @ + -, no sign first")
    if not wanted.scopes:
        raise ArgumentError(f"an operator has one scope at least: {', '.join(Scope)}")
    secret = secrets.token_urlsafe(32)
    secret_hash = await asyncio.to_thread(HASHER.hash, secret)
    async with writer.change(at) as change:
        query = select(OPERATORS).where((OPERATORS.c.operator_id == operator_id) | (OPERATORS.c.name == name))
        for row in (await change.db.execute(query)).all():
            if row.operator_id != operator_id:
                raise OperatorError("name-taken", "another operator has this name, or had it")
            if operator_from(row) != wanted:
                raise OperatorError("other-operator", "the id is of an operator with another name or other scopes")
            return wanted, None
        values: dict[str, Any] = {
            "operator_id": operator_id, "name": name, "scopes": " ".join(sorted(wanted.scopes)), "made_by": by,
        }  # fmt: skip
        await change.db.execute(insert(OPERATORS).values(**values, secret_hash=secret_hash, made_at=change.at))
        digest = hashlib.sha256(secret_hash.encode()).digest()
        change.log("operator", operator=operator_id, name=name, scopes=values["scopes"], secret=digest, by=by)
    return wanted, f"prescan_{operator_id}_{secret}"


async def revoke_operator(writer: Writer, operator_id: str, at: float, *, by: str | None = None) -> None:
    """Have an operator's token and sessions refused from now on; again is no error.

    Raises:
        OperatorError: there is no such operator, or it is the last who may make others. StorageError: not stored.
    """
    async with writer.change(at) as change:
        query = select(OPERATORS.c.revoked_at).where(OPERATORS.c.operator_id == operator_id)
        row = (await change.db.execute(query)).one_or_none()
        if row is None:
            raise OperatorError("unknown-operator", "there is no operator of this id")
        if row.revoked_at is not None:
            return
        if not await _is_another_admin(change.db, operator_id):
            raise OperatorError("last-admin", "it is the last operator with the scope admin; make another one first")
        this = update(OPERATORS).where(OPERATORS.c.operator_id == operator_id)
        await change.db.execute(this.values(revoked_at=change.at))
        change.log("operator-revoked", operator=operator_id, by=by)


async def _is_another_admin(db: AsyncConnection, operator_id: str) -> bool:
    """Whether someone may make operators if this one is gone, or nobody may already."""
    query = select(OPERATORS.c.operator_id, OPERATORS.c.scopes).where(OPERATORS.c.revoked_at.is_(None))
    admins = {row.operator_id for row in await db.execute(query) if Scope.ADMIN in row.scopes.split()}
    return admins != {operator_id}


async def _standing(service: Service, operator_id: str) -> Row[Any] | None:
    """The row of an operator who isn't revoked."""
    query = select(OPERATORS).where(OPERATORS.c.operator_id == operator_id, OPERATORS.c.revoked_at.is_(None))
    async with service.store.reading() as db:
        return (await db.execute(query)).one_or_none()


def operator_from(row: Row[Any]) -> Operator:
    """Whose row of ``OPERATORS`` it is."""
    return Operator(row.operator_id, row.name, frozenset(Scope(scope) for scope in row.scopes.split()))


def _matches(secret_hash: str, secret: str) -> bool:
    try:
        return HASHER.verify(secret_hash, secret)
    except VerifyMismatchError:
        return False


def unauthorized() -> ProblemError:
    """The answer to whoever brings no token of an operator, or a wrong one."""
    title = "This needs an operator's token, as a bearer token"
    return ProblemError(HTTPStatus.UNAUTHORIZED, "unauthorized", title)
