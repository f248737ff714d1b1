"""What an intake is run with: limits and times, and where it stands. Pure: the environment is given, not read.

Rules: every value has a default here or must be said; what is unsafe says so in its name; a variable nobody knows is an
error, not ignored; no secret is in a message, a repr or a description.

A window lasts 28 days (:data:`scanner.vouchers.header.WINDOW_SECONDS`). That is the protocol's, not a setting.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from scanner.errors import ArgumentError
from scanner.intake.operations.values import (
    Network,
    boolean,
    database,
    file,
    host,
    is_loopback,
    listed,
    networks,
    one_of,
    origin,
    seconds,
    seconds_text,
    size,
    web_address,
    whole,
    without_password,
    yes_no,
)

DAY = 86_400.0
LogFormat = Literal["json", "text"]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen.

    Attributes:
        count: at most so many times, at once or spread out.
        seconds: in so many seconds.
    """

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count}/{seconds_text(self.seconds)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits, rates and times of keeping. The values are ours unless a line names a source.

    Attributes:
        largest_body: bytes of any one request's body; a full batch of the largest vouchers fits with its framing.
        batch_limit: vouchers in one upload.
        max_waiting: vouchers that wait for a commit, at most 16 MiB of them, before the intake answers 503.
        grace: seconds after a window's end until windows that did not reach the threshold are deleted; devices that
            were offline deliver late, so one window's length.
        case_retention: seconds that a closed case is kept. 180 days; 18 U.S.C. 2258A(h) asks a provider in the United
            States for one year after a report: set what the law where you are asks.
        session_seconds: seconds an operator stays logged in without a request. OWASP's Session Management Cheat Sheet
            gives 2 to 5 minutes for high-value applications and 15 to 30 for others; a reviewer reads long, so 15.
        device_rate, account_rate: requests that a device, and all of an account's together, may make.
        address_rate: requests without a known device that an address may make; one address may stand for a whole
            carrier's network.
        login_rate: failed logins from an address.
        page_size, largest_page: entries of a page when the caller names no number, and at most.
        export_size: accounts' windows in one piece of an export.
        hook_timeout: seconds a webhook's receiver has to answer; Svix, docs.svix.com/retries.
        hook_schedule: seconds to wait before each attempt, 27.6 hours in all; the same source.
        drain_notice: seconds in which ``/readyz`` says 503 and requests are still taken, so that a balancer sees it.
        drain_limit: seconds that running requests have after that.
        unsafe_private_hooks: let webhooks go to addresses that are not public; anyone who may set a webhook can then
            reach what the intake reaches.
        unsafe_open_enrolment: let devices enrol without a token; anyone can then make devices.
    """

    largest_body: int = 1_064_960
    batch_limit: int = 256
    max_waiting: int = 4_096
    grace: float = 28 * DAY
    case_retention: float = 180 * DAY
    session_seconds: float = 900.0
    device_rate: Rate = Rate(120, 60.0)
    account_rate: Rate = Rate(600, 60.0)
    address_rate: Rate = Rate(1_200, 60.0)
    login_rate: Rate = Rate(10, 300.0)
    page_size: int = 50
    largest_page: int = 500
    export_size: int = 1_000
    hook_timeout: float = 15.0
    hook_schedule: tuple[float, ...] = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
    drain_notice: float = 5.0
    drain_limit: float = 30.0
    unsafe_private_hooks: bool = False
    unsafe_open_enrolment: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where and how one intake stands.

    Attributes:
        database_url: ``sqlite:///FILE`` or ``postgresql://…``; may hold a password, so no repr shows it.
        signing_key_path: file of the key that signs receipts and checkpoints.
        host, port: where to listen; port 0 takes a free one.
        workers: processes on the one database.
        origin: how browsers and devices reach the intake, such as ``https://intake.example``; None when it is reached
            only from this machine, at the address it listens on.
        tls_certificate, tls_key: files in PEM, both or neither; without them a proxy ends TLS.
        access_log: one line a request.
        log_format: ``json`` for machines, ``text`` for people.
        trusted_proxies: networks whose word about client addresses and request ids is taken.
        otlp_endpoint: where traces go, or None for no traces.
        settings: limits and times.
        given: names of the variables that were set.
    """

    database_url: str = field(repr=False)
    signing_key_path: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    origin: str | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    access_log: bool = True
    log_format: LogFormat = "json"
    trusted_proxies: tuple[Network, ...] = ()
    otlp_endpoint: str | None = None
    settings: Settings = Settings()
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether clients reach the intake over TLS, ended here or at a proxy."""
        return self.tls_certificate is not None or (self.origin or "").startswith("https://")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the environment.

    Attributes:
        field: of :class:`Settings` or :class:`Deployment`.
        read: text to value; raises ValueError.
        allowed: what may stand there, for messages and the documentation.
        meaning: one line.
        show: value to text; hides what is secret.
        required: whether it must be set.
    """

    field: str
    read: Callable[[str], Any]
    allowed: str
    meaning: str
    show: Callable[[Any], str] = str
    required: bool = False

    @property
    def name(self) -> str:
        """Its whole name."""
        return PREFIX + ("DATABASE" if self.field == "database_url" else self.field.removesuffix("_path").upper())


PREFIX = "PRESCAN_INTAKE_"
_SPAN = "a duration such as 30s, 15m, 12h or 28d"
_RATE = "a number and a duration, such as 120/60s"
_YES_NO = "yes or no"
_FILE = "the path of a file"
_DATABASE = "sqlite:///FILE or postgresql://…, with / ? # @ in a password written as %2F and so on"
_YEARS = seconds(DAY, 3_650 * DAY)


def _rate(text: str) -> Rate:
    count, _, span = text.partition("/")
    return Rate(whole(1, 10**9)(count), seconds(1, 31 * DAY)(span))


def _schedule(text: str) -> tuple[float, ...]:
    waits = tuple(seconds(0, 31 * DAY)(part.strip()) for part in text.split(","))
    if len(waits) > 20:
        raise ValueError
    return waits


VARIABLES: tuple[Variable, ...] = (
    Variable("database_url", database, _DATABASE, "the database", without_password, required=True),
    Variable("signing_key_path", file, _FILE, "key that signs receipts and checkpoints", required=True),
    Variable("host", host, "an address or a name, without a port", "address to listen on"),
    Variable("port", whole(0, 65_535), "0 to 65535; 0 takes a free one", "port to listen on"),
    Variable("workers", whole(1, 64), "1 to 64", "processes on the one database"),
    Variable("origin", origin, "such as https://intake.example, without a path", "how the intake is reached"),
    Variable("tls_certificate", file, _FILE, "certificate chain in PEM; none if a proxy ends TLS"),
    Variable("tls_key", file, _FILE, "the certificate's key in PEM"),
    Variable("access_log", boolean, _YES_NO, "one line a request", yes_no),
    Variable("log_format", one_of("json", "text"), "json or text", "for machines or for people"),
    Variable("trusted_proxies", networks, "networks such as 10.0.0.0/8,::1", "whose word is believed", listed),
    Variable("otlp_endpoint", web_address, "an http or https URL without a password", "where traces go"),
    Variable("largest_body", size(4_096, 1 << 26), "4KiB to 64MiB", "bytes of a request's body"),
    Variable("batch_limit", whole(1, 4_096), "1 to 4096", "vouchers in one upload"),
    Variable("max_waiting", whole(1, 1 << 20), "1 to 1048576", "vouchers that may wait for a commit"),
    Variable("grace", _YEARS, f"{_SPAN}; 1d to 3650d", "until small windows are deleted", seconds_text),
    Variable("case_retention", _YEARS, f"{_SPAN}; 1d to 3650d", "a closed case is kept", seconds_text),
    Variable("session_seconds", seconds(60, DAY), f"{_SPAN}; 1m to 1d", "until a login ends unused", seconds_text),
    Variable("device_rate", _rate, _RATE, "requests of a device"),
    Variable("account_rate", _rate, _RATE, "requests of an account's devices"),
    Variable("address_rate", _rate, _RATE, "requests of an address"),
    Variable("login_rate", _rate, _RATE, "failed logins from an address"),
    Variable("page_size", whole(1, 10_000), "1 to 10000", "entries of a page"),
    Variable("largest_page", whole(1, 10_000), "1 to 10000", "entries that may be asked for"),
    Variable("export_size", whole(1, 100_000), "1 to 100000", "accounts' windows in a piece of an export"),
    Variable("hook_timeout", seconds(1, 120), f"{_SPAN}; 1s to 2m", "a webhook's receiver has", seconds_text),
    Variable("hook_schedule", _schedule, "up to 20 durations, such as 0s,5s,5m", "waits before each attempt", listed),
    Variable("drain_notice", seconds(0, 600), f"{_SPAN}; up to 10m", "not ready, still serving", seconds_text),
    Variable("drain_limit", seconds(1, 3_600), f"{_SPAN}; 1s to 1h", "running requests have at the end", seconds_text),
    Variable("unsafe_private_hooks", boolean, _YES_NO, "webhooks may go to private addresses", yes_no),
    Variable("unsafe_open_enrolment", boolean, _YES_NO, "devices need no token to enrol", yes_no),
)

_OF_SETTINGS = frozenset(each.name for each in fields(Settings))


def from_environment(environ: Mapping[str, str]) -> Deployment:
    """Read a deployment from variables named ``PRESCAN_INTAKE_…``; others are not looked at.

    Raises:
        ArgumentError: a variable is unknown, missing or not allowed, or two don't fit each other. The message is one
            line, names the variable and what is allowed, and does not repeat the value.
    """
    known = {variable.name: variable for variable in VARIABLES}
    given = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    for name in sorted(given.keys() - known.keys()):
        near = difflib.get_close_matches(name, known, 1, 0.0)[0]
        raise ArgumentError(f"there is no variable {name!r}; the nearest is {near}")
    values: dict[str, Any] = {}
    for name, variable in known.items():
        if name in given:
            try:
                values[variable.field] = variable.read(given[name])
            except ValueError:
                raise ArgumentError(f"{name} is not allowed; it must be {variable.allowed}") from None
        elif variable.required:
            raise ArgumentError(f"{name} is not set; it must be {variable.allowed}")
    settings = Settings(**{name: value for name, value in values.items() if name in _OF_SETTINGS})
    standing = {name: value for name, value in values.items() if name not in _OF_SETTINGS}
    deployment = Deployment(**standing, settings=settings, given=frozenset(given))
    _check_together(deployment)
    return deployment


def environment_of(deployment: Deployment) -> dict[str, str]:
    """The variables that give this deployment again: what :func:`from_environment` reads in another process."""
    values = {variable: _value(deployment, variable) for variable in VARIABLES}
    shown = {each.name: each.show(value) for each, value in values.items() if value not in (None, ())}
    return shown | {f"{PREFIX}DATABASE": deployment.database_url}


def describe(deployment: Deployment) -> list[tuple[str, str, str]]:
    """Give every variable's name, value and source (``environment``, ``default`` or ``unset``), secrets hidden."""
    lines = []
    for variable in VARIABLES:
        value = _value(deployment, variable)
        source = "environment" if variable.name in deployment.given else "unset" if value in (None, ()) else "default"
        lines.append((variable.name, "" if value in (None, ()) else variable.show(value), source))
    return lines


def _value(deployment: Deployment, variable: Variable) -> Any:
    return getattr(deployment.settings if variable.field in _OF_SETTINGS else deployment, variable.field)


def _check_together(deployment: Deployment) -> None:
    """Refuse what can't be meant together."""
    settings = deployment.settings
    wrong: str | None = None
    if (deployment.tls_certificate is None) != (deployment.tls_key is None):
        wrong = f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY are set both or neither"
    elif deployment.tls_certificate is not None and (deployment.origin or "https:").startswith("http:"):
        wrong = f"{PREFIX}ORIGIN must begin with https:// when {PREFIX}TLS_CERTIFICATE is set"
    elif not deployment.encrypted and not is_loopback(deployment.host):
        wrong = (
            f"{PREFIX}HOST is reached from other machines, so TLS must be said: set {PREFIX}TLS_CERTIFICATE and "
            f"{PREFIX}TLS_KEY, or {PREFIX}ORIGIN to the https:// address of the proxy that ends TLS"
        )
    elif settings.page_size > settings.largest_page:
        wrong = f"{PREFIX}PAGE_SIZE must be at most {PREFIX}LARGEST_PAGE, {settings.largest_page}"
    elif settings.batch_limit > settings.max_waiting:
        wrong = f"{PREFIX}BATCH_LIMIT must be at most {PREFIX}MAX_WAITING, {settings.max_waiting}"
    if wrong is not None:
        raise ArgumentError(wrong)
