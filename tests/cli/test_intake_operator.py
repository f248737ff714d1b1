"""``scanner intake operator``: the first operators, and the last."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.intake.audit.entries import Entry
from scanner.intake.authority.operators import HASHER, TOKEN
from scanner.intake.store import schema
from scanner.keys import write_key_pair
from tests.cli.conftest import told

KEY = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32)


@pytest.fixture
def database(tmp_path):
    """A migrated database's file."""
    schema.migrate(f"sqlite:///{tmp_path / 'intake.db'}")
    return tmp_path / "intake.db"


@pytest.fixture
def operator(run, database, tmp_path, monkeypatch):
    """Run ``scanner intake operator`` on that database with its key, set as a service's are."""
    write_key_pair(tmp_path / "intake.key", KEY)
    write_key_pair(tmp_path / "other.key", OTHER_KEY)
    monkeypatch.setenv("PRESCAN_INTAKE_DATABASE", f"sqlite:///{database}")
    monkeypatch.setenv("PRESCAN_INTAKE_SIGNING_KEY", str(tmp_path / "intake.key"))
    return lambda *arguments: run("intake", "operator", *arguments)


def rows(database, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(statement).fetchall()


def test_a_new_operators_token_is_on_standard_output_and_nowhere_else(operator, database):
    """One line, which is right for the stored hash; the audit log says it was made at the machine."""
    ran = operator("new", "first", "--scope", "admin", "--scope", "read")
    assert ran.code == 0
    operator_id, secret = TOKEN.fullmatch(ran.out.removesuffix("\n")).groups()
    assert secret not in ran.err
    assert f"operator {operator_id} (first) is made" in ran.err
    ((stored_id, name, secret_hash, scopes, made_by),) = rows(
        database, "SELECT operator_id, name, secret_hash, scopes, made_by FROM operators"
    )
    assert (stored_id, name, scopes, made_by) == (operator_id, "first", "admin read", None)
    assert HASHER.verify(secret_hash, secret)
    ((body,),) = rows(database, "SELECT body FROM log_entries")
    entry = Entry.from_bytes(body)
    assert (entry.kind, entry.fields["operator"], entry.fields["by"]) == ("operator", operator_id, None)


def test_operators_are_listed_for_people_and_for_programs(operator):
    """Those revoked too; no hash is shown."""
    operator("new", "first", "--scope", "admin")
    operator("new", "second", "--scope", "review", "-s", "read")
    assert operator("revoke", "second").code == 0
    ran = operator("list")
    assert (ran.code, ran.err) == (0, "")
    first, second = ran.out.splitlines()
    day = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
    assert re.fullmatch(f"[0-9a-f]{{32}}  first  admin  made {day}", first)
    assert re.fullmatch(f"[0-9a-f]{{32}}  second  read review  made {day}, revoked {day}", second)
    listed = [json.loads(line) for line in operator("list", "--json").out.splitlines()]
    assert [(one["name"], one["scopes"], one["revoked_at"] is None) for one in listed] == [
        ("first", ["admin"], True),
        ("second", ["read", "review"], False),
    ]
    assert all("secret_hash" not in one for one in listed)


def test_an_operator_is_revoked_by_id_or_name_and_again(operator, database):
    """Once in the log, however often it is asked for."""
    operator("new", "first", "--scope", "admin")
    token = operator("new", "second", "--scope", "read").out
    for name in ("second", token[8:40], "second"):
        ran = operator("revoke", name)
        assert (ran.code, ran.out, ran.err) == (0, "", f"operator {token[8:40]} is revoked\n")
    kinds = [kind for (kind,) in rows(database, "SELECT kind FROM log_entries ORDER BY position")]
    assert kinds == ["operator", "operator", "operator-revoked"]


def test_the_last_admin_and_a_stranger_can_not_be_revoked(operator):
    """One line says why."""
    operator("new", "first", "--scope", "admin")
    assert told(operator("revoke", "first"), "last operator with the scope admin")
    assert told(operator("revoke", "nobody"), "no operator of this id")


def test_a_name_is_plain_and_nobody_elses(operator):
    """One line says so."""
    operator("new", "first", "--scope", "admin")
    assert told(operator("new", "first", "--scope", "read"), "another operator has this name")
    assert told(operator("new", "fir\x1bst", "--scope", "read"), "an operator's name is")


def test_a_scope_is_one_of_five_and_there_is_one(operator):
    """What is none is refused before anything is done."""
    for arguments in (("--scope", "all"), ()):
        ran = operator("new", "first", *arguments)
        assert (ran.code, ran.out) == (2, "")
    assert operator("list").out == ""


def test_the_scopes_are_those_of_the_intake():
    """The command knows them without loading the intake."""
    from scanner.cli.intake_operator import ScopeName
    from scanner.intake.authority.operators import Scope

    assert {scope.value for scope in ScopeName} == {scope.value for scope in Scope}


def test_another_key_than_the_logs_is_refused(operator, tmp_path):
    """It would sign checkpoints that nobody who knows the log's key believes."""
    operator("new", "first", "--scope", "admin")
    for arguments in (("new", "second", "--scope", "read"), ("revoke", "first")):
        assert told(operator(*arguments, "--key", tmp_path / "other.key"), "signed by another key")
    assert told(operator("new", "second", "--scope", "read", "--key", tmp_path / "no.key"), "no.key")


def test_the_logs_name_stays(operator, database):
    """It is taken from the log once that is begun; another one is refused."""
    origin = ("--origin", "https://intake.example")
    assert operator("new", "first", "--scope", "admin", *origin).code == 0
    assert operator("new", "second", "--scope", "read").code == 0
    assert operator("new", "third", "--scope", "read", *origin).code == 0
    wrong = operator("new", "fourth", "--scope", "read", "--origin", "https://other.example")
    assert told(wrong, "the audit log is named intake.example, not other.example")
    ((note,),) = rows(database, "SELECT note FROM log_head")
    assert note.splitlines()[:2] == ["intake.example", "3"]


@pytest.mark.parametrize(
    "arguments", [("new", "first", "--scope", "read"), ("list",), ("revoke", "first")], ids=lambda given: given[0]
)
def test_a_database_without_tables_is_told(operator, tmp_path, arguments):
    """With the command that makes them."""
    ran = operator(*arguments, "--database", f"sqlite:///{tmp_path / 'none.db'}")
    assert told(ran, "none.db", "scanner intake migrate")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "arguments", [("new", "first", "--scope", "read"), ("list",), ("revoke", "first")], ids=lambda given: given[0]
)
def test_without_the_intakes_packages_it_is_told(operator, monkeypatch, arguments):
    """With what to install."""
    monkeypatch.setitem(sys.modules, "scanner.intake.authority.operators", None)
    assert told(operator(*arguments), "install prescan[intake]")
