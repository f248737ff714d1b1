"""A database of a whole life, made once on each kind of database and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import postgres
from tests.intake.audit import realistic


@pytest.fixture(scope="session")
def realistic_sqlite(tmp_path_factory, sqlite_template) -> Path:
    """The file."""
    path = tmp_path_factory.mktemp("realistic") / "intake.db"
    realistic.build(f"sqlite:///{shutil.copy(sqlite_template, path)}")
    return path


@pytest.fixture(scope="session")
def realistic_postgresql(postgresql, postgresql_template) -> str:
    """The database's name."""
    postgresql.run(f"CREATE DATABASE realistic TEMPLATE {postgresql_template}")
    realistic.build(postgresql.url("realistic"))
    return "realistic"


@pytest.fixture
def lived_sqlite(tmp_path, realistic_sqlite) -> Path:
    """A copy of the file."""
    return Path(shutil.copy(realistic_sqlite, tmp_path / "lived.db"))


@pytest.fixture(params=postgres.databases())
def lived_url(request) -> str:
    """The URL of a copy, on each of the two."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('lived_sqlite')}"
    template = request.getfixturevalue("realistic_postgresql")
    return request.getfixturevalue("postgresql").fresh_database(template)
