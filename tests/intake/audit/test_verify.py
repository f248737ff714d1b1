"""A whole database is proven to be what its log says, on both kinds; checkpoints kept elsewhere hold the log to it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import cbor2
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.intake.audit import regrowing
from scanner.intake.audit import verify as verifying
from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.decoding import decoded
from scanner.intake.audit.entries import KINDS, VERSION
from scanner.intake.audit.findings import MOST_KEPT, MOST_OF_TABLE, Findings
from scanner.intake.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash
from scanner.intake.audit.notes import Verifier
from scanner.intake.audit.verify import Verdict, verifier_of, verify
from scanner.intake.store.engine import open_store, sync_engine
from scanner.intake.store.tables import (
    CASE_NOTES,
    CASES,
    CHECKPOINTS,
    EXPORTED_WINDOWS,
    LOG_ENTRIES,
    LOG_HEAD,
    LOG_TILES,
    OPENINGS,
    VOUCHERS,
    WINDOWS,
)
from tests.intake.audit.realistic import BELOW, CLOSED, EXPIRED, ORIGIN, VERIFIER, WINDOW, device
from tests.intake.conftest import INTAKE, NOW, open_writer

OTHER = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)


def verdict_on(url: str, *verifiers: Verifier, since: dict[str, Checkpoint] | None = None) -> Verdict:
    """Check a database."""

    async def run() -> Verdict:
        async with open_store(url) as store:
            return await verify(store, verifiers or [VERIFIER], since)

    return asyncio.run(run())


def told(verdict: Verdict) -> list[str]:
    return [str(one) for one in verdict.findings.first]


@contextmanager
def changing(url: str) -> Iterator[sa.Connection]:
    """The database as whoever can write to it changes it."""
    with sync_engine(url) as engine, engine.begin() as db:
        yield db


def head_of(url: str) -> Checkpoint:
    """The newest checkpoint, as anyone gets it."""
    with changing(url) as db:
        return Checkpoint.parse(db.execute(sa.select(LOG_HEAD.c.note)).scalar_one(), VERIFIER)


def bodies_of(url: str) -> list[bytes]:
    with changing(url) as db:
        return list(db.scalars(sa.select(LOG_ENTRIES.c.body).order_by(LOG_ENTRIES.c.position)))


def test_what_an_intake_did_is_what_its_log_says(lived_url):
    """Everything an intake does leaves a database in which nothing is found, with all there is counted."""
    verdict = verdict_on(lived_url)
    assert told(verdict) == []
    assert verdict.findings.count == 0
    with changing(lived_url) as db:
        for table, number in (
            (LOG_ENTRIES, verdict.entries), (VOUCHERS, verdict.vouchers), (CHECKPOINTS, verdict.checkpoints),
        ):  # fmt: skip
            assert db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == number > 0
        kinds = set(db.scalars(sa.select(LOG_ENTRIES.c.kind)))
    assert kinds == set(KINDS)
    assert verdict.root == head_of(lived_url).root


def test_an_intake_that_did_nothing_is_right_too(store_url):
    """An empty database has nothing signed and nothing in it."""
    verdict = verdict_on(store_url)
    assert (told(verdict), verdict.entries, verdict.root) == ([], 0, EMPTY_ROOT)


@pytest.mark.parametrize(
    ("table", "where", "values"),
    [
        (VOUCHERS, VOUCHERS.c.state == "opened", {"voucher": b"another"}),
        (VOUCHERS, VOUCHERS.c.state == "closed", {"state": "exported"}),
        (WINDOWS, WINDOWS.c.window_number == WINDOW, {"vouchers": 99}),
        (EXPORTED_WINDOWS, EXPORTED_WINDOWS.c.account == BELOW, {"vouchers": 2}),
        (OPENINGS, OPENINGS.c.account == BELOW, {"result": "opened"}),
        (CASES, CASES.c.account == CLOSED, {"outcome": "dismiss"}),
        (CASE_NOTES, CASE_NOTES.c.text != "", {"text": "nothing"}),
        (LOG_ENTRIES, LOG_ENTRIES.c.kind == "login", {"kind": "logout"}),
        (LOG_TILES, LOG_TILES.c.level == 0, {"hashes": bytes(32)}),
    ],
)
def test_changes_are_found_on_both_databases(lived_url, table, where, values):
    """What a person would change to hide or make something up is named by table."""
    with changing(lived_url) as db:
        assert db.execute(sa.update(table).where(where).values(**values)).rowcount
    assert any(one.table == table.name for one in verdict_on(lived_url).findings.first)


def test_a_rollback_is_found_by_a_checkpoint_kept_elsewhere(lived_sqlite, realistic_sqlite, tmp_path):
    """Put back whole, an older database is right in itself; the checkpoint that someone has kept says otherwise."""
    old = f"sqlite:///{shutil.copy(realistic_sqlite, tmp_path / 'old.db')}"
    url = f"sqlite:///{lived_sqlite}"
    before = head_of(old)

    async def go_on() -> None:
        async with open_writer(url) as writer, writer.change(NOW) as change:
            change.log("operator-revoked", operator="0" * 32, by=None)

    asyncio.run(go_on())
    after = head_of(url)
    assert told(verdict_on(old)) == []
    assert told(verdict_on(old, since={"kept": before})) == []
    assert told(verdict_on(old, since={"may.txt": before, "june.txt": after})) == [
        "log_entries -: the log is shorter than the checkpoint june.txt says"
    ]
    assert told(verdict_on(url, since={"may.txt": before, "june.txt": after})) == [
        f"log_entries {before.size}: it does not follow on the entries before it"
    ]


def test_every_earlier_checkpoint_is_one_the_log_grew_out_of(lived_sqlite, monkeypatch):
    """Of any size: inside of a piece, at its end, of nothing, of all."""
    monkeypatch.setattr(verifying, "PIECE", 100)
    url = f"sqlite:///{lived_sqlite}"
    leaves = [leaf_hash(body) for body in bodies_of(url)]
    sizes = [0, 1, 2, 99, 100, 101, 255, 256, 257, len(leaves) - 1, len(leaves)]
    kept = {f"at {n}": Checkpoint(ORIGIN, n, Frontier().extend(leaves[:n]).root()) for n in sizes}
    assert told(verdict_on(url, since=kept)) == []


def test_another_log_of_the_same_key_is_found(lived_sqlite):
    """Whoever holds the key can write another log; who has kept a checkpoint of the first one sees it."""
    url = f"sqlite:///{lived_sqlite}"
    checkpoint = Checkpoint(ORIGIN, 100, bytes(32))
    assert told(verdict_on(url, since={"kept.txt": checkpoint})) == [
        "log_entries -: the log does not begin as the checkpoint kept.txt says",
        "log_entries -: the log did not grow out of the checkpoint kept.txt",
    ]


def test_entries_cut_off_with_their_hashes_are_found(lived_sqlite):
    """The last entries go, and tiles, size and frontier are made to fit: the signature is missing."""
    url = f"sqlite:///{lived_sqlite}"
    tree = Frontier().extend(leaf_hash(body) for body in bodies_of(url)[:-1])
    with changing(url) as db:
        db.execute(sa.delete(LOG_ENTRIES).where(LOG_ENTRIES.c.position >= tree.size))
        db.execute(sa.update(LOG_HEAD).values(size=tree.size, frontier=tree.to_bytes()))
    found = told(verdict_on(url))
    assert "log_head 1: note is not the checkpoint of these entries" in found


def test_a_forged_entry_is_found_though_its_tables_agree(lived_sqlite):
    """An operator who never was is put in with an entry of its own: nobody has signed that."""
    url = f"sqlite:///{lived_sqlite}"
    body = cbor2.dumps([VERSION, "operator-revoked", 1, {"operator": "0" * 32, "by": None}], canonical=True)
    size = len(bodies_of(url))
    with changing(url) as db:
        db.execute(sa.insert(LOG_ENTRIES).values(position=size, kind="operator-revoked", at=1, body=body))
    found = told(verdict_on(url))
    assert f"log_entries {size}: it does not follow on the entries before it" in found
    assert f"log_entries {size}: this entry, and what is behind it, is past the newest checkpoint" in found


def test_a_checkpoint_of_another_key_is_no_checkpoint(lived_sqlite):
    """Whoever writes the log anew has to sign with another key: those kept here are found, the newest is an error."""
    url = f"sqlite:///{lived_sqlite}"
    checkpoint = head_of(url)
    with changing(url) as db:
        db.execute(sa.update(CHECKPOINTS).values(note=checkpoint.sign(OTHER)))
    assert "note is not a checkpoint that the log's key signed" in told(verdict_on(url))[0]
    with changing(url) as db:
        db.execute(sa.update(LOG_HEAD).values(note=checkpoint.sign(OTHER)))
    with pytest.raises(ArgumentError, match="localhost is signed by another key"):
        verdict_on(url)


def test_an_old_key_and_the_new_one_are_believed_together(lived_sqlite):
    """After a change of keys both are given; receipts of either are good, and a third key changes nothing."""
    url = f"sqlite:///{lived_sqlite}"
    assert told(verdict_on(url, Verifier(ORIGIN, OTHER.public_key().public_bytes_raw()), VERIFIER)) == []


def test_a_public_key_alone_is_enough(lived_sqlite, sqlite_url):
    """The log says its own name, which counts only as its key has signed it."""

    async def of(url: str) -> Verifier:
        async with open_store(url) as store:
            return await verifier_of(store, INTAKE.public_key().public_bytes_raw())

    url = f"sqlite:///{lived_sqlite}"
    assert asyncio.run(of(url)) == VERIFIER
    with changing(url) as db:
        db.execute(sa.update(LOG_HEAD).values(note="two words\n"))
    assert verdict_on(url, asyncio.run(of(url))).findings.count
    assert told(verdict_on(sqlite_url, asyncio.run(of(sqlite_url)))) == []


def test_pieces_do_not_matter(lived_sqlite, monkeypatch):
    """The same is found whether the log and the vouchers are read many rows at once or few."""
    url = f"sqlite:///{lived_sqlite}"
    with changing(url) as db:
        db.execute(sa.update(VOUCHERS).where(VOUCHERS.c.slot == 1).values(receipt=b""))
        db.execute(sa.update(LOG_TILES).values(hashes=b""))
    before = sorted(told(verdict_on(url)))
    monkeypatch.setattr(verifying, "PIECE", 3)
    monkeypatch.setattr("scanner.intake.audit.holding._PIECE", 2)
    monkeypatch.setattr("scanner.intake.audit.holding._CHECKED_AT_ONCE", 2)
    monkeypatch.setattr("scanner.intake.audit.holding._MOST_WAITING", 1)
    monkeypatch.setattr(regrowing, "_AT_ONCE", 1)
    assert sorted(told(verdict_on(url))) == before


def test_what_was_deleted_is_not_put_back(lived_url):
    """A window that is gone by the log, and a voucher, an opening or an export's word of it in the database: found."""
    logged = list(map(decoded, bodies_of(lived_url)))
    position = [one.kind for one in logged].index("receipt")
    told_of = logged[position].fields
    with changing(lived_url) as db:
        voucher = {"device_id": told_of["device"], "window_number": told_of["window"], "slot": told_of["slot"]}
        content = {"digest": told_of["digest"], "voucher": b"v", "receipt": b"r", "position": position}
        db.execute(sa.insert(VOUCHERS).values(**voucher, **content, state="exported"))
        place = {"account": EXPIRED, "window_number": WINDOW}
        db.execute(sa.insert(WINDOWS).values(**place, vouchers=7, counted_at=1))
        db.execute(sa.insert(EXPORTED_WINDOWS).values(export_id=f"{1:032x}", **place, vouchers=7))
        opening = {"opening_id": f"{3:032x}", "reported_at": 1, "result": "below-threshold", "vouchers": 7}
        db.execute(sa.insert(OPENINGS).values(**place, **opening, report=b"{}"))
    assert sorted({(one.table, one.what) for one in verdict_on(lived_url).findings.first}) == [
        ("exported_windows", "the log says that its vouchers were deleted"),
        ("openings", "the log does not know this row, or says it was deleted"),
        ("vouchers", "the log says that it was deleted"),
        ("windows", "the log does not know this row, or says it was deleted"),
    ]


def test_a_window_is_not_taken_out_of_an_export(lived_url):
    """Nor if its vouchers are said to be not exported: the log has the digest of what the export named."""
    with changing(lived_url) as db:
        named = (EXPORTED_WINDOWS.c.account == BELOW) & (EXPORTED_WINDOWS.c.window_number == WINDOW)
        exports = list(db.scalars(sa.select(EXPORTED_WINDOWS.c.export_id).where(named)))
        db.execute(sa.delete(EXPORTED_WINDOWS).where(named))
        mine = (VOUCHERS.c.device_id == device(BELOW)[0]) & (VOUCHERS.c.window_number == WINDOW)
        db.execute(sa.update(VOUCHERS).where(mine, VOUCHERS.c.state == "exported").values(state="counted"))
    assert exports
    assert told(verdict_on(lived_url)) == [
        f"exported_windows {export_id}: the windows of this export are not what the log says" for export_id in exports
    ]


def test_a_receipt_of_another_type_is_no_receipt(lived_sqlite):
    """SQLite would keep a text for it."""
    with closing(sqlite3.connect(lived_sqlite)) as db:
        db.execute("UPDATE vouchers SET receipt = 'text' WHERE state = 'received' AND slot = 5")
        db.commit()
    (finding,) = told(verdict_on(f"sqlite:///{lived_sqlite}"))
    assert finding.endswith(": receipt is not the intake's signed word on what the log says")


def entry(kind: str, **told: Any) -> tuple[str, dict[str, Any]]:
    """An entry whose fields are what they must be, but for those given."""
    plain: dict[str, Any] = dict.fromkeys(("device", "account", "public_key", "digest", "secret", "url"), b"1")
    plain |= dict.fromkeys(("window", "slot", "through", "windows", "vouchers", "round", "expires"), 1)
    plain |= dict.fromkeys(("export", "opening", "result", "case", "note", "outcome", "operator", "hook", "by"), "1")
    plain |= {
        "listed": b"1",
        "exports": [],
        "token": None,
        "name": "1",
        "scopes": "",
        "before": None,
        "matches": [],
        "why": "gone",
    } | told
    return kind, {name: plain[name] for name in KINDS[kind]}


RECEIPTS = [entry("enrolment"), entry("receipt"), entry("receipt", slot=2)]
DOUBTFUL = {
    "it is of a device that was not enrolled": [entry("receipt")],
    "it says that more was deleted than was received": [*RECEIPTS, entry("expiry", vouchers=3)],
    "other vouchers were deleted than were received": [*RECEIPTS, entry("expiry", vouchers=2)],
    "it makes a row that is there already": [entry("operator"), entry("operator")],
    "its token was used up": [
        entry("token", token=b"t"), entry("enrolment", token=b"t"), entry("enrolment", token=b"t", device=b"2"),
    ],
    "the account's window has a case": [entry("case"), entry("case", case="2")],
    "nobody decided so": [entry("case"), entry("closing")],
    "it does not follow on the entries before it": [entry("case"), entry("decision", outcome="perhaps")],
}  # fmt: skip


@pytest.mark.parametrize("what", DOUBTFUL)
def test_a_log_that_says_what_can_not_be_is_found(store_url, what):
    """Whoever holds the key can sign anything; what contradicts itself is found all the same."""

    async def write() -> None:
        async with open_writer(store_url) as writer, writer.change(1) as change:
            for kind, fields in DOUBTFUL[what]:
                change.log(kind, **fields)

    asyncio.run(write())
    last = len(DOUBTFUL[what]) - 1
    assert f"log_entries {last}: {what}" in told(verdict_on(store_url))


def test_findings_are_all_counted_and_the_first_kept():
    """Many of one table hide nothing of another; never more than a hundred."""
    findings = Findings()
    for number in range(1_000):
        findings.add("vouchers", (b"\x01", number), "is missing")
    findings.add("cases", (), "are missing")
    assert findings.count == 1_001
    assert len(findings.first) == MOST_OF_TABLE + 1
    assert str(findings.first[0]) == "vouchers 01 0: is missing"
    assert str(findings.first[-1]) == "cases -: are missing"
    for table in range(100):
        for _ in range(3):
            findings.add(str(table), (), "")
    assert len(findings.first) == MOST_KEPT


values = st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=40) | st.text(max_size=20)
fields = values | st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=2)


any_entries = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.fixed_dictionaries(dict.fromkeys(KINDS[kind], fields)))
)


@given(any_entries)
def test_an_entry_of_wrong_kinds_of_fields_is_no_entry(entry):
    """Whatever stands in an entry's fields: it is read as an intake writes it, or refused."""
    kind, told = entry
    body = cbor2.dumps([VERSION, kind, 1, told], canonical=True)
    if any(isinstance(value, (bool, float, dict)) for value in told.values()):
        with pytest.raises(VoucherError, match=r"of the wrong kind|not the fields|not valid"):
            decoded(body)
    else:
        with suppress(VoucherError):
            assert decoded(body).fields == told
