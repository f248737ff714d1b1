"""``scanner intake audit verify``, on what a running intake has written."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.intake.store import schema
from scanner.keys import write_key_pair
from tests.cli.conftest import told
from tests.intake.audit import realistic
from tests.intake.audit.realistic import VERIFIER
from tests.intake.conftest import INTAKE


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    """A database to copy."""
    path = tmp_path_factory.mktemp("audit") / "intake.db"
    schema.migrate(f"sqlite:///{path}")
    realistic.build(f"sqlite:///{path}")
    return path


@pytest.fixture
def lived(made_once, tmp_path) -> Path:
    """The copy, to do anything to."""
    return Path(shutil.copy(made_once, tmp_path / "intake.db"))


@pytest.fixture
def key(tmp_path) -> Path:
    """The intake's public key."""
    return write_key_pair(tmp_path / "intake.key", INTAKE)


def newest(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT note FROM log_head").fetchone()[0]


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(statement).rowcount > 0
        db.commit()


def test_a_right_database_is_said_to_be_right(run, lived, key, tmp_path):
    """With the key in either form and checkpoints kept elsewhere; one line on standard error, exit code 0."""
    kept = tmp_path / "kept.txt"
    kept.write_text(newest(lived))
    for given in (("--key", key), ("--verifier-key", VERIFIER), ("--verifier-key", VERIFIER, "--key", key)):
        ran = run("intake", "audit", "verify", "--database", f"sqlite:///{lived}", *given, "--since", kept)
        assert (ran.code, ran.out) == (0, "")
        assert ran.err.startswith("the database is what its audit log says: ")
        assert ran.err.endswith("3 checkpoints kept here and 1 kept elsewhere\n")


def test_what_differs_is_told_a_line_each_and_by_exit_code_3(run, lived, key):
    """Tampering has an exit code of its own, so that a script can tell it from a mistake in calling."""
    change(lived, "UPDATE devices SET account = zeroblob(16) WHERE revoked_at IS NOT NULL")
    ran = run("intake", "audit", "verify", "--database", f"sqlite:///{lived}", "--key", key)
    assert ran.code == 3
    (line,) = ran.out.splitlines()
    assert line.startswith("devices ")
    assert line.endswith(": account is not what the log says")
    assert ran.err == "scanner: 1 findings: the database is not what the log says\n"


def test_of_many_findings_the_first_are_shown_and_all_counted(run, lived, key):
    """What differs in every row does not fill the screen."""
    change(lived, "UPDATE log_entries SET at = at + 1")
    ran = run("intake", "audit", "verify", "--database", f"sqlite:///{lived}", "--key", key)
    with closing(sqlite3.connect(lived)) as db:
        (number,) = db.execute("SELECT COUNT(*) FROM log_entries").fetchone()
    assert ran.code == 3
    assert len(ran.out.splitlines()) == 20
    assert ran.err == f"scanner: {number} findings, {number - 20} not shown: the database is not what the log says\n"


def test_programs_get_json(run, lived, key):
    """The same in both cases: numbers, the root, and the first findings."""
    arguments = ("intake", "audit", "verify", "--database", f"sqlite:///{lived}", "--key", key, "--json")
    good = run(*arguments)
    said = json.loads(good.out)
    assert (good.code, said["findings"], said["first"], said["checkpoints"]) == (0, 0, [], 3)
    assert len(said["root"]) == 64
    change(lived, "UPDATE hooks SET url = 'https://elsewhere.example/' WHERE disabled_at IS NOT NULL")
    bad = run(*arguments)
    said = json.loads(bad.out)
    assert (bad.code, said["findings"]) == (3, 1)
    assert said["first"] == [{"table": "hooks", "key": f"{2:032x}", "what": "url is not what the log says"}]
    assert "elsewhere" not in bad.out + bad.err


def test_a_database_put_back_is_found_by_the_checkpoint_kept(run, lived, made_once, key, tmp_path):
    """Without the checkpoint nobody can know."""
    kept = tmp_path / "kept.txt"
    run("intake", "operator", "new", "late", "--scope", "read", "--key", tmp_path / "intake.key",
        "--database", f"sqlite:///{lived}")  # fmt: skip
    kept.write_text(newest(lived))
    assert run("intake", "audit", "verify", "-d", f"sqlite:///{lived}", "-k", key, "--since", kept).code == 0
    shutil.copy(made_once, lived)
    assert run("intake", "audit", "verify", "-d", f"sqlite:///{lived}", "-k", key).code == 0
    ran = run("intake", "audit", "verify", "-d", f"sqlite:///{lived}", "-k", key, "--since", kept)
    assert (ran.code, ran.out) == (3, f"log_entries -: the log is shorter than the checkpoint {kept} says\n")


def test_mistakes_in_calling_are_told_in_a_line(run, lived, key, tmp_path):
    """No key, another key, a file that is none, no database, no checkpoint."""
    verify = ("intake", "audit", "verify", "--database", f"sqlite:///{lived}")
    other = write_key_pair(tmp_path / "other.key", Ed25519PrivateKey.generate())
    nothing = tmp_path / "nothing"
    assert told(run(*verify), "--verifier-key", "--key")
    assert told(run(*verify, "--key", other), "the audit log localhost is signed by another key")
    assert told(run(*verify, "--key", tmp_path / "intake.key"), "no public key")
    assert told(run(*verify, "--key", nothing), "can't read the key")
    assert told(run(*verify, "--verifier-key", "localhost+1+2"), "Base64")
    assert told(run(*verify, "--key", key, "--since", nothing), "can't read the checkpoint", str(nothing))
    nothing.write_text("nothing\n")
    assert told(run(*verify, "--key", key, "--since", nothing), str(nothing), "is not a checkpoint of this log")
    assert told(run("intake", "audit", "verify", "-d", f"sqlite:///{tmp_path / 'no.db'}", "-k", key), "no database")
