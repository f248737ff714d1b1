"""``scanner ledger``: what a device did, and whether the intake signed for it."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.keys import read_private_key
from scanner.outbox import Outbox
from scanner.vouchers import Receipt
from tests.cli.conftest import told
from tests.cli.journey import SENT
from tests.policies import NOW, WINDOW

MATCHES = len(SENT["one", 1])


@pytest.fixture
def verified(run, journey):
    """Run ``scanner ledger verify``."""
    return lambda key="intake.key.pub": run("ledger", "verify", journey.one1, "--intake-key", journey.folder / key)


def execute(path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement, values).rowcount > 0


def test_it_shows_what_was_scanned_and_every_byte_sent(run, journey):
    """For people, a line for each day's outcome, day's traffic and voucher."""
    ran = run("ledger", "show", journey.one1)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    scanned = {line.split()[2]: int(line.split()[3]) for line in lines if " scanned " in line}
    assert scanned == {"match": MATCHES, "no-match": MATCHES}
    (sent,) = [line for line in lines if " sent " in line]
    assert f"sent     {MATCHES} requests, " in sent
    vouchers = [line for line in lines if line.startswith(f"window {WINDOW} slot ")]
    assert len(vouchers) == MATCHES
    assert all("delivered" in line for line in vouchers)
    assert lines[-1].startswith("0 matches wait")


def test_as_json_it_is_the_same(run, journey):
    """For programs; sizes add up to the traffic."""
    facts = json.loads(run("ledger", "show", journey.one1, "--json").out)
    assert {one["outcome"]: one["number"] for one in facts["scans"]} == {"match": MATCHES, "no-match": MATCHES}
    assert {one["day"] for one in facts["scans"]} == {"2027-01-15"}
    assert [one["slot"] for one in facts["vouchers"]] == list(range(MATCHES))
    assert all(one["receipted"] and one["state"] == "delivered" for one in facts["vouchers"])
    assert sum(one["bytes"] for one in facts["vouchers"]) == sum(one["bytes"] for one in facts["traffic"])
    assert sum(one["requests"] for one in facts["traffic"]) == MATCHES
    assert facts["waiting"] == 0


def test_it_tells_of_no_picture(run, journey):
    """Neither label nor hash nor account stand in it."""
    shown = run("ledger", "show", journey.one1).out + run("ledger", "show", journey.one1, "--json").out
    assert ".png" not in shown
    with closing(sqlite3.connect(journey.one1)) as db:
        names = {row[1] for row in db.execute("SELECT * FROM sqlite_schema")}
    assert names.isdisjoint({"hashes", "labels", "pictures"})


def test_matches_that_wait_are_counted(run, tmp_path):
    """With cover, before their slot."""
    with Outbox(tmp_path / "box") as outbox:
        outbox.enqueue(b"content", b"payload", NOW)
    assert run("ledger", "show", tmp_path / "box").out.startswith("1 matches wait")
    assert json.loads(run("ledger", "show", tmp_path / "box", "--json").out)["waiting"] == 1


def test_looking_changes_nothing(run, journey, verified):
    """The user's record is the same before and after."""
    with Outbox(journey.one1) as outbox:
        before = outbox.ledger()
    run("ledger", "show", journey.one1)
    verified()
    with Outbox(journey.one1) as outbox:
        assert outbox.ledger() == before


def test_receipts_of_the_intake_are_good(verified):
    """Every one of them."""
    ran = verified()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{MATCHES} receipts are good; 0 vouchers have none (yet)\n"


def test_vouchers_without_a_receipt_are_counted(verified, journey):
    """Those that wait, and those that were refused or dropped."""
    with Outbox(journey.one1) as outbox:
        outbox.add(WINDOW, lambda *_: b"voucher", NOW)
    assert f"{MATCHES} receipts are good; 1 vouchers have none (yet)" in verified().out


def test_a_receipt_forged_with_another_key_is_found(verified, journey):
    """The place of it is told."""
    with Outbox(journey.one1) as outbox:
        kept = outbox.ledger().vouchers[2]
    key = read_private_key(journey.intake_key, Ed25519PrivateKey)
    receipt = Receipt.verified(kept.receipt, key.public_key())
    forged = receipt.sign(Ed25519PrivateKey.generate())
    execute(journey.one1, "UPDATE vouchers SET receipt = ? WHERE slot = 2", forged)
    assert told(verified(), f"window {WINDOW} slot 2", "signature")


@pytest.mark.parametrize(
    "changes",
    [{"slot": 3}, {"window": WINDOW - 1}, {"voucher_digest": bytes(32)}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_receipt_of_the_intake_for_another_voucher_is_found(verified, journey, changes):
    """Signed rightly, but not for this one."""
    key = read_private_key(journey.intake_key, Ed25519PrivateKey)
    with Outbox(journey.one1) as outbox:
        receipt = Receipt.verified(outbox.ledger().vouchers[2].receipt, key.public_key())
    other = dataclasses.replace(receipt, **changes).sign(key)
    execute(journey.one1, "UPDATE vouchers SET receipt = ? WHERE slot = 2", other)
    assert told(verified(), f"window {WINDOW} slot 2", "for another voucher")


@pytest.mark.parametrize("receipt", [b"", b"thank you", bytes(200)])
def test_what_is_no_receipt_is_found(verified, journey, receipt):
    """Damage, or a joke."""
    execute(journey.one1, "UPDATE vouchers SET receipt = ? WHERE slot = 0", receipt)
    assert told(verified(), f"window {WINDOW} slot 0")


def test_delivered_without_a_receipt_is_found(verified, journey):
    """Nothing counts as delivered without the intake's word."""
    execute(journey.one1, "UPDATE vouchers SET receipt = NULL WHERE slot = 1")
    assert told(verified(), f"window {WINDOW} slot 1", "has no receipt")


def test_another_intakes_key_is_found(run, verified, journey):
    """Then no receipt is good."""
    run("keys", "new", "intake", journey.other_key)
    assert told(verified("other.key.pub"), "signature")


@pytest.mark.parametrize("name", ["absent.pub", "intake.key", "opener.key.pub", "policy"])
def test_what_is_no_intake_key_is_one_line(verified, name):
    """Missing, the private half, another role's, no key at all."""
    assert told(verified(name), name)


@pytest.mark.parametrize("name", ["absent", "", "policy", "intake.db", "known"])
@pytest.mark.parametrize("command", ["show", "verify"])
def test_what_is_no_outbox_is_one_line_and_left_alone(run, journey, command, name):
    """Missing, a folder, another file: none is made or changed."""
    path = journey.folder / name
    before = path.read_bytes() if path.is_file() else None
    arguments = ("--intake-key", journey.folder / "intake.key.pub") if command == "verify" else ()
    assert told(run("ledger", command, path, *arguments), "outbox")
    assert (path.read_bytes() if path.is_file() else None) == before
    assert path.exists() == (name != "absent")


@pytest.mark.parametrize("command", ["show", "verify"])
def test_an_empty_file_is_no_outbox(run, journey, command):
    """It is not made one by looking at it."""
    journey.empty.touch()
    arguments = ("--intake-key", journey.folder / "intake.key.pub") if command == "verify" else ()
    assert told(run("ledger", command, journey.empty, *arguments), "outbox")
    assert journey.empty.read_bytes() == b""


def test_an_outbox_of_another_release_is_one_line(run, journey):
    """With both versions."""
    with closing(sqlite3.connect(journey.one1)) as db:
        db.execute("PRAGMA user_version = 1")
    assert told(run("ledger", "show", journey.one1), "version 1", "reads 2")


def test_a_damaged_outbox_is_one_line(run, journey):
    """Its first page is there, the rest is not."""
    data = journey.one1.read_bytes()
    journey.one1.write_bytes(data[:4096] + bytes(len(data) - 4096))
    assert told(run("ledger", "show", journey.one1), "outbox")
