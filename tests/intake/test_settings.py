"""Settings by environment: strict, one line a fault, no secret shown."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ArgumentError
from scanner.intake.operations.values import HIDDEN, database, seconds, seconds_text, without_password
from scanner.intake.settings import (
    PREFIX,
    VARIABLES,
    Deployment,
    Rate,
    Settings,
    describe,
    environment_of,
    from_environment,
)
from scanner.vouchers import LARGEST_VOUCHER
from scanner.vouchers.header import WINDOW_SECONDS

LEAST = {"PRESCAN_INTAKE_DATABASE": "sqlite:///intake.db", "PRESCAN_INTAKE_SIGNING_KEY": "intake.key"}
PASSWORD = "pass-nobody-may-read"
BY_FIELD = {variable.field: variable for variable in VARIABLES}

# a value for every variable that is not its default
OTHERS = {
    "database_url": f"postgresql://user:{PASSWORD}@db.example/intake?sslmode=verify-full",
    "signing_key_path": "keys/other.key",
    "host": "::1",
    "port": "0",
    "workers": "4",
    "origin": "https://intake.example:8443",
    "tls_certificate": "chain.pem",
    "tls_key": "key.pem",
    "access_log": "no",
    "log_format": "text",
    "trusted_proxies": "10.0.0.0/8, ::1",
    "otlp_endpoint": "http://127.0.0.1:4318/v1/traces",
    "largest_body": "2MiB",
    "batch_limit": "128",
    "max_waiting": "1000",
    "grace": "14d",
    "case_retention": "365d",
    "session_seconds": "1.5h",
    "device_rate": "10/1s",
    "account_rate": "20/30s",
    "address_rate": "40/2m",
    "login_rate": "5/1h",
    "page_size": "20",
    "largest_page": "100",
    "export_size": "500",
    "hook_timeout": "5s",
    "hook_schedule": "0s,10,1.5m",
    "drain_notice": "0s",
    "drain_limit": "45",
    "unsafe_private_hooks": "yes",
    "unsafe_open_enrolment": "TRUE",
}
EVERY = {BY_FIELD[name].name: text for name, text in OTHERS.items()}


def refused(environ: dict[str, str]) -> str:
    """The one line that such an environment is refused with."""
    with pytest.raises(ArgumentError) as caught:
        from_environment(environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_least_environment_gives_every_default():
    """Two variables are enough; all else is what the classes say."""
    deployment = from_environment(LEAST)
    assert deployment == Deployment(database_url="sqlite:///intake.db", signing_key_path=deployment.signing_key_path)
    assert deployment.settings == Settings()
    assert str(deployment.signing_key_path) == "intake.key"


def test_every_value_can_be_set():
    """Each field of both classes has a variable, and setting it changes that field and no other."""
    names = {each.name for kind in (Settings, Deployment) for each in dataclasses.fields(kind)} - {"settings", "given"}
    assert set(BY_FIELD) == names == set(OTHERS)
    deployment, default = from_environment(EVERY), from_environment(LEAST)
    for name in names:
        owners = [each.settings if hasattr(each.settings, name) else each for each in (deployment, default)]
        assert getattr(owners[0], name) != getattr(owners[1], name), name
    assert deployment.settings.device_rate == Rate(10, 1.0)
    assert deployment.settings.hook_schedule == (0.0, 10.0, 90.0)
    assert deployment.settings.largest_body == 2 << 20
    assert [str(network) for network in deployment.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_what_is_described_reads_back_the_same():
    """``check-config`` shows values as they may be written, but for the password."""
    deployment = from_environment(EVERY)
    shown = {name: value for name, value, _ in describe(deployment)}
    assert from_environment(shown | {f"{PREFIX}DATABASE": EVERY[f"{PREFIX}DATABASE"]}) == deployment
    defaults = {name: value for name, value, source in describe(from_environment(LEAST)) if source != "unset"}
    assert from_environment(defaults) == from_environment(LEAST)


@pytest.mark.parametrize("environ", [LEAST, EVERY], ids=["least", "every"])
def test_another_process_can_be_given_the_same_deployment(environ):
    """The variables of a deployment, with the password in them, read back as it."""
    deployment = from_environment(environ)
    assert from_environment(environment_of(deployment)) == deployment


def test_a_description_says_where_values_come_from():
    """Set, default or neither, for every variable in the table's order."""
    lines = describe(from_environment(LEAST | {f"{PREFIX}PORT": "8080"}))
    assert [line[0] for line in lines] == [variable.name for variable in VARIABLES]
    sources = {name.removeprefix(PREFIX): source for name, _, source in lines}
    assert (sources["PORT"], sources["HOST"], sources["ORIGIN"]) == ("environment", "default", "unset")
    assert all(variable.meaning and variable.allowed for variable in VARIABLES)


def test_no_description_shows_a_password():
    """Neither the description, nor a repr, nor a refusal holds it."""
    deployment = from_environment(EVERY)
    assert PASSWORD not in repr(deployment) + str(deployment) + repr(describe(deployment))
    assert HIDDEN in repr(describe(deployment))
    for wrong in ("mysql", "postgresql+", "", "POSTGRESQL"):
        assert PASSWORD not in refused(LEAST | {f"{PREFIX}DATABASE": f"{wrong}://user:{PASSWORD}@db/intake"})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///intake.db", "sqlite:///intake.db"),
        ("sqlite:////var/intake.db?mode=rw", "sqlite:////var/intake.db?mode=rw"),
        ("postgresql://user@db/intake", "postgresql://user@db/intake"),
        ("postgresql://user:a%40b:c@[::1]:5432/intake", "postgresql://user:***@[::1]:5432/intake"),
        ("postgresql:///x?host=/run&password=a&user=b", "postgresql:///x?host=/run&password=***&user=b"),
        ("postgresql:///x?Passwor%64=a&sslpassword=b", "postgresql:///x?Passwor%64=***&sslpassword=***"),
    ],
)
def test_a_url_is_shown_without_its_secret(url, shown):
    """What is not secret stays as it was written."""
    assert without_password(database(url)) == shown


@given(password=st.text("abcXYZ019:@/?#&=%-_", min_size=1, max_size=12).map(lambda text: f"sEcReT{text}"))
@settings(derandomize=True)
def test_no_url_that_is_taken_shows_its_password(password):
    """Whatever the password, the URL is refused or shown without it."""
    try:
        url = database(f"postgresql://user:{password}@db/intake")
    except ValueError:
        return
    assert "sEcReT" not in without_password(url)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
@pytest.mark.parametrize("text", ["\0", "nonsense value", "-1", "٣", "1,,2", "http://u:p@x", " x"])
def test_a_value_that_is_not_allowed_is_named(variable, text):
    """The message names the variable and what is allowed, and never repeats the value."""
    if variable.read.__name__ == "file" and text != "\0":
        return
    message = refused(LEAST | {variable.name: text})
    assert message == f"{variable.name} is not allowed; it must be {variable.allowed}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GRACE", "1e6"), ("GRACE", "nan"), ("GRACE", " 2d"),
        ("PORT", "65536"), ("WORKERS", "0"), ("WORKERS", "65"), ("LARGEST_BODY", "4095"), ("LARGEST_BODY", "65MiB"),
        ("LARGEST_BODY", "1GiB"), ("GRACE", "23h"), ("DEVICE_RATE", "0/1s"), ("DEVICE_RATE", "1"),
        ("DEVICE_RATE", "1/0s"), ("HOOK_SCHEDULE", ",".join("1" * 21)), ("HOOK_SCHEDULE", ""), ("SIGNING_KEY", ""),
        ("ORIGIN", "https://x/"), ("ORIGIN", "https://x?y"), ("ORIGIN", "https://a@x"), ("ORIGIN", "https://x:0"),
        ("ORIGIN", "https://x:"), ("ORIGIN", "ftp://x"), ("ORIGIN", "https://x:port"), ("HOST", "a:1"),
        ("HOST", "[::1]"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("DATABASE", "sqlite://"), ("DATABASE", "intake.db"),
        ("OTLP_ENDPOINT", "grpc://x"), ("OTLP_ENDPOINT", "https://user:secret@x"), ("ACCESS_LOG", ""),
    ],
)  # fmt: skip
def test_a_value_past_its_limits_is_refused(name, text):
    """Each limit holds at its edge."""
    assert PREFIX + name in refused(LEAST | {PREFIX + name: text})


@pytest.mark.parametrize(("name", "near"), [("PORTS", "PORT"), ("LARGEST_BODI", "LARGEST_BODY"), ("", "HOST")])
def test_an_unknown_variable_is_refused_with_the_nearest(name, near):
    """A typing mistake never turns into a default."""
    message = refused(LEAST | {PREFIX + name: "1"})
    assert repr(PREFIX + name) in message
    assert message.split()[-1] in {variable.name for variable in VARIABLES}
    assert not name or message.endswith(PREFIX + near)


def test_other_programs_variables_are_not_looked_at():
    """Only the prefix is ours."""
    assert from_environment(LEAST | {"PATH": "/bin", "PRESCAN_OTHER": "x"}) == from_environment(LEAST)


@pytest.mark.parametrize("name", sorted(LEAST))
def test_what_must_be_said_is_asked_for(name):
    """A missing database or key is named."""
    assert refused({key: value for key, value in LEAST.items() if key != name}).startswith(f"{name} is not set")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"TLS_KEY": "k"}, "TLS_CERTIFICATE"),
        ({"TLS_CERTIFICATE": "c"}, "TLS_KEY"),
        ({"TLS_CERTIFICATE": "c", "TLS_KEY": "k", "ORIGIN": "http://localhost"}, "ORIGIN"),
        ({"HOST": "0.0.0.0"}, "TLS"),
        ({"HOST": "intake.example", "ORIGIN": "http://intake.example"}, "TLS"),
        ({"HOST": "::"}, "TLS"),
        ({"PAGE_SIZE": "501"}, "LARGEST_PAGE"),
        ({"BATCH_LIMIT": "256", "MAX_WAITING": "255"}, "MAX_WAITING"),
    ],
)
def test_what_does_not_fit_together_is_refused(given, named):
    """Half a TLS setting, an open port without TLS, a page larger than the largest."""
    assert named in refused(LEAST | {PREFIX + name: text for name, text in given.items()})


@pytest.mark.parametrize(
    ("given", "encrypted"),
    [
        ({}, False),
        ({"HOST": "localhost"}, False),
        ({"HOST": "127.9.9.9"}, False),
        ({"ORIGIN": "http://localhost:8080"}, False),
        ({"HOST": "0.0.0.0", "ORIGIN": "https://intake.example"}, True),
        ({"HOST": "0.0.0.0", "TLS_CERTIFICATE": "c", "TLS_KEY": "k"}, True),
    ],
)
def test_tls_is_known_from_certificate_or_origin(given, encrypted):
    """``encrypted`` says whether HSTS and secure cookies are right."""
    assert from_environment(LEAST | {PREFIX + name: text for name, text in given.items()}).encrypted is encrypted


@given(st.floats(0, 1e8).map(lambda value: round(value, 6)))
@settings(derandomize=True)
def test_a_duration_reads_as_it_was_written(value):
    """Writing and reading are each other's inverse."""
    assert seconds(0, 1e9)(seconds_text(value)) == pytest.approx(value, abs=1e-9)


def test_a_full_batch_fits_into_the_largest_body():
    """256 of the largest vouchers, with 64 bytes of framing each; and windows are the protocol's 28 days."""
    assert Settings().largest_body == Settings().batch_limit * (LARGEST_VOUCHER + 64)
    assert Settings().grace == WINDOW_SECONDS
