"""``scanner intake``: settings, tables, health, backups, as whoever runs the service meets them."""

from __future__ import annotations

import pytest

from scanner.intake.store import schema
from tests.cli.conftest import told
from tests.intake.conftest import open_app, serving


@pytest.fixture
def database(tmp_path) -> str:
    """The URL of a database that isn't there yet."""
    return f"sqlite:///{tmp_path / 'intake.db'}"


@pytest.fixture
def key(run, tmp_path) -> str:
    """The file of an intake's key."""
    path = tmp_path / "intake.key"
    assert run("keys", "new", "intake", path).code == 0
    return str(path)


@pytest.fixture
def environment(monkeypatch, database, key) -> pytest.MonkeyPatch:
    """Settings as they are given in practice."""
    monkeypatch.setenv("PRESCAN_INTAKE_DATABASE", database)
    monkeypatch.setenv("PRESCAN_INTAKE_SIGNING_KEY", key)
    return monkeypatch


def test_tables_are_made_once(run, database):
    """The versions are told; again is no error; down and up is possible."""
    assert run("intake", "migrate", "-d", database).err == "the database's tables: version none to 0001\n"
    assert run("intake", "migrate", "-d", database).err == "the database's tables are of version 0001 already\n"
    assert run("intake", "migrate", "-d", database, "--to", "base").err == (
        "the database's tables: version 0001 to none\n"
    )
    assert told(run("intake", "migrate", "-d", database, "--to", "7777"), "can't migrate")


def test_settings_are_shown_with_their_sources(run, environment, database):
    """Each variable, its value and where it is from; what is unsafe is a warning."""
    schema.migrate(database)
    environment.setenv("PRESCAN_INTAKE_WORKERS", "4")
    environment.setenv("PRESCAN_INTAKE_UNSAFE_OPEN_ENROLMENT", "yes")
    ran = run("intake", "check-config")
    assert ran.code == 0
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert lines["PRESCAN_INTAKE_WORKERS"] == "4  (environment)"
    assert lines["PRESCAN_INTAKE_HOST"] == "127.0.0.1  (default)"
    assert "devices enrol without a token" in ran.err
    assert "use PostgreSQL" in ran.err
    assert ran.err.endswith("the settings are good\n")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PRESCAN_INTAKE_WORKER", "4", "the nearest is PRESCAN_INTAKE_WORKERS"),
        ("PRESCAN_INTAKE_PORT", "http", "PRESCAN_INTAKE_PORT is not allowed"),
        ("PRESCAN_INTAKE_SIGNING_KEY", "/nowhere/intake.key", "/nowhere/intake.key"),
        ("PRESCAN_INTAKE_HOST", "0.0.0.0", "TLS must be said"),
        ("PRESCAN_INTAKE_DATABASE", "mysql://x/y", "PRESCAN_INTAKE_DATABASE is not allowed"),
    ],
)
def test_a_wrong_setting_is_told(run, environment, database, name, value, words):
    """In one line that names the variable."""
    schema.migrate(database)
    environment.setenv(name, value)
    ran = run("intake", "check-config")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert words in ran.err


def test_a_certificate_that_can_t_be_used_is_told(run, environment, database, tmp_path):
    """Before the service is tried."""
    schema.migrate(database)
    for name in ("certificate", "key"):
        (tmp_path / name).write_text("no PEM")
        environment.setenv(f"PRESCAN_INTAKE_TLS_{name.upper()}", str(tmp_path / name))
    ran = run("intake", "check-config")
    assert ran.code == 2
    assert "PRESCAN_INTAKE_TLS_CERTIFICATE and PRESCAN_INTAKE_TLS_KEY can't be used together" in ran.err


def test_settings_for_a_database_without_tables_are_told(run, environment):
    """With the command that makes them."""
    ran = run("intake", "check-config")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "scanner intake migrate" in ran.err


def test_serving_needs_a_key(run, database):
    """And says how to make one."""
    assert told(run("intake", "serve", "-d", database), "scanner keys new intake")


def test_health_is_that_of_the_service(run, database):
    """Ready, not there, and not ready."""
    schema.migrate(database)
    with serving(open_app(database)) as url:
        assert run("intake", "health", url).out == "ready\n"
        schema.migrate(database, "base")
        assert told(run("intake", "health", url), "is not ready: it answers 503")
    assert told(run("intake", "health", url), "can't be reached")
    assert told(run("intake", "health", "nonsense"), "can't be reached")


def test_a_backup_comes_back(run, database, tmp_path):
    """Through both commands, and mistakes are one line."""
    assert told(run("intake", "backup", tmp_path / "b", "-d", database), "scanner intake migrate")
    schema.migrate(database)
    assert run("intake", "backup", tmp_path / "b", "-d", database).err == f"{tmp_path / 'b'}: 1 rows\n"
    assert told(run("intake", "backup", tmp_path / "b", "-d", database), "never overwritten")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    schema.migrate(other)
    assert run("intake", "restore", tmp_path / "b", "-d", other).err == "1 rows restored\n"
    (tmp_path / "b").write_bytes(b"rubbish")
    assert told(run("intake", "restore", tmp_path / "b", "-d", other), "no backup")
