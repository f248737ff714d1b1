"""``scanner intake export`` and ``scanner intake import``: to the opener and back, on one machine."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.exports import read_export
from scanner.intake.store import schema
from scanner.intake.store.change import Writer
from scanner.intake.store.engine import open_store
from scanner.intake.store.tables import CASES, EXPORTS, LOG_ENTRIES, OPENINGS
from scanner.keys import read_private_key, write_key_pair
from tests.cli.conftest import told
from tests.intake.windows.places import arrive, enrol, received, rows
from tests.policies import SIGNER
from tests.vouchers import accounts as real

WINDOW = 40_000  # long from now, whenever that is
KEY = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32)
MATCHES = [
    {"content_id": number, "leaf_index": 5, "distance": 12, "quality": 88, "algorithm": "pdq", "hash": "a5" * 32,
     "day": 20_600, "hashset_digest": "09" * 32, "policy_digest": "07" * 32, "build": "00"}
    for number in range(real.T)
]  # fmt: skip


@dataclass
class Machine:
    """The intake's: a database with two accounts' vouchers of a window, one of them enough, and a key."""

    folder: Path

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'intake.db'}"

    @property
    def options(self) -> tuple[str, ...]:
        return "-d", self.database, "-k", str(self.folder / "intake.key")

    def work(self, what):
        """Do something in the database."""

        async def run():
            async with open_store(self.database) as store:
                return await what(Writer(store, "localhost", KEY))

        return asyncio.run(run())

    def rows(self, table):
        return self.work(lambda writer: rows(writer.store, table))


@pytest.fixture
def machine(tmp_path) -> Machine:
    """One with real vouchers."""
    here = Machine(tmp_path)
    schema.migrate(here.database)
    write_key_pair(tmp_path / "intake.key", KEY)
    devices = [real.Device(real.MATCH_ONLY), real.Device(real.MATCH_ONLY, 2, real.OTHER_ACCOUNT, bytes([8]) * 32)]
    ids = [device.sealer.device_id for device in devices]

    async def fill(writer) -> None:
        keys = {each: device.public.public_bytes_raw() for each, device in zip(ids, devices, strict=True)}
        await enrol(writer, keys, {each: device.account for each, device in zip(ids, devices, strict=True)})
        for each, device, number in zip(ids, devices, (real.T, real.T - 1), strict=True):
            messages = device.reals(range(number), window=WINDOW)
            await arrive(writer, [received((each, WINDOW, slot), one) for slot, one in enumerate(messages)])

    here.work(fill)
    return here


def lines(path: Path, *values: object) -> Path:
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return path


def case(account: bytes = real.ACCOUNT, **changes: object) -> dict:
    return {"account": account.hex(), "window": WINDOW, "matches": MATCHES, **changes}


def of_account(account: bytes = real.ACCOUNT, result: str = "opened", vouchers: int = real.T, **changes) -> dict:
    opened = real.T if result == "opened" else 0
    return {"account": account.hex(), "window": WINDOW, "result": result, "vouchers": vouchers, "opened": opened,
            "malformed": {}, **changes}  # fmt: skip


BELOW = of_account(real.OTHER_ACCOUNT, "below-threshold", real.T - 1)


class TestExport:
    """``scanner intake export``."""

    def test_it_writes_what_is_new_and_says_how_much(self, run, machine):
        """The file is its owner's alone; what was exported comes again with all, or by its id, in the same bytes."""
        out = machine.folder / "out"
        ran = run("intake", "export", out, *machine.options)
        assert (ran.code, ran.out) == (0, "")
        said = rf"{re.escape(str(out))}: 19 vouchers in 2 accounts' windows; export ([0-9a-f]{{32}})\n"
        export_id = re.fullmatch(said, ran.err)[1]
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        assert [len(one.vouchers) for one in read_export(out)] == [real.T, real.T - 1]
        assert "0 vouchers in 0 accounts' windows" in run("intake", "export", f"{out}2", *machine.options).err
        assert run("intake", "export", f"{out}3", "--all", *machine.options).code == 0
        ran = run("intake", "export", f"{out}4", "--again", export_id, *machine.options)
        assert f"19 vouchers in 2 accounts' windows; export {export_id}" in ran.err
        for number in (3, 4):
            assert Path(f"{out}{number}").read_bytes() == out.read_bytes()
        assert len(machine.rows(EXPORTS)) == 3

    @pytest.mark.parametrize(("before", "windows"), [(0, 0), (WINDOW, 0), (WINDOW + 1, 2)])
    def test_windows_that_go_on_may_be_left_out(self, run, machine, before, windows):
        """Only those before one are given."""
        ran = run("intake", "export", machine.folder / "out", *machine.options, "--before", before)
        assert f"in {windows} accounts' windows" in ran.err

    def test_everything_may_come_from_the_environment(self, run, machine, monkeypatch):
        """As for ``intake serve``; a window whose grace is over there is over here."""
        monkeypatch.setenv("PRESCAN_INTAKE_DATABASE", machine.database)
        monkeypatch.setenv("PRESCAN_INTAKE_SIGNING_KEY", str(machine.folder / "intake.key"))
        monkeypatch.setenv("PRESCAN_INTAKE_GRACE", "2d")
        for after, windows in ((-1.0, 2), (1.0, 0)):
            end = (WINDOW + 1) * 28 * 86_400 + 2 * 86_400
            with monkeypatch.context() as later:
                later.setattr("scanner.cli.intake_windows.time.time", lambda at=end + after: at)
                ran = run("intake", "export", machine.folder / f"out{windows}", "--all")
            assert f"in {windows} accounts' windows" in ran.err

    def test_it_holds_no_key_that_opens_anything(self, run, machine):
        """What the intake could give away."""
        run("intake", "export", machine.folder / "out", *machine.options)
        secret = read_private_key(machine.folder / "intake.key", Ed25519PrivateKey).private_bytes_raw()
        assert secret not in (machine.folder / "out").read_bytes()

    def test_mistakes_are_one_line(self, run, machine):
        """A file that is there, a database that is none, another's key: no file, no database and no export is made."""
        folder = machine.folder
        key, database = ("-k", folder / "intake.key"), ("-d", machine.database)
        there, out = folder / "there", folder / "out"
        there.write_bytes(b"something")
        (folder / "text").write_bytes(b"this is a text and no database " * 100)
        (folder / "empty").touch()
        write_key_pair(folder / "other.key", SIGNER)
        assert told(run("intake", "export", there, *machine.options), "exists already; exports are never overwritten")
        assert there.read_bytes() == b"something"
        absent = f"sqlite:///{folder / 'absent.db'}"
        nowhere = "postgresql://nobody@127.0.0.1:1/x?connect_timeout=5"
        for url, words in (
            (absent, "there is no database"), ("nonsense", "PRESCAN_INTAKE_DATABASE"), (nowhere, "database failed"),
            (f"sqlite:///{folder / 'text'}", "not a database"), (f"sqlite:///{folder / 'empty'}", "no intake has used"),
        ):  # fmt: skip
            assert told(run("intake", "export", out, *key, "-d", url), words)
        assert told(run("intake", "export", folder / "no" / "out", *machine.options), "can't write", "No such file")
        assert told(run("intake", "export", out, *database, "-k", folder / "other.key"), "signed by another key")
        assert told(run("intake", "export", out, *machine.options, "--origin", "https://x.example"), "named localhost")
        assert told(run("intake", "export", out, *machine.options, "--again", "0" * 32), "there is no export")
        assert told(run("intake", "export", out, *machine.options, "--again", "0", "--all"), "leave out")
        assert run("intake", "export", out, *machine.options, "--before", -1).code == 2
        assert run("intake", "export", out, *database).code == 2
        assert not out.exists()
        assert not (folder / "absent.db").exists()
        assert machine.rows(EXPORTS) == []

    def test_a_failure_midway_leaves_no_file_and_no_export(self, run, machine, monkeypatch):
        """Half an export would look like all there is; the next try finds the name free."""

        async def full(*_, file, **__):
            file.write(b"x")
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as broken:
            broken.setattr("scanner.intake.windows.exporting.make_export", full)
            assert told(run("intake", "export", machine.folder / "out", *machine.options), "No space left")
        assert not (machine.folder / "out").exists()
        assert "19 vouchers" in run("intake", "export", machine.folder / "out", *machine.options).err


class TestImport:
    """``scanner intake import``."""

    @pytest.fixture(autouse=True)
    def _exported(self, run, machine):
        assert run("intake", "export", machine.folder / "out", *machine.options).code == 0

    def brought(self, run, machine, cases: list, accounts: list | None = None):
        arguments = [lines(machine.folder / "cases", *cases)]
        if accounts is not None:
            arguments += ["--accounts", lines(machine.folder / "accounts", *accounts)]
        return run("intake", "import", *arguments, *machine.options)

    def test_what_the_opener_found_comes_back(self, run, machine):
        """A case for who reached the threshold, a record for each; the same files again change nothing."""
        from scanner.opener import open_export

        policies = {real.MATCH_ONLY.digest: real.MATCH_ONLY}
        windows = read_export(machine.folder / "out")
        reports = list(open_export(windows, real.OPENER, policies))
        opened = [report for report in reports if report.opened]
        names = list(MATCHES[0])
        cases = [
            case(report.account, matches=[
                {name: value.hex() if isinstance(value := getattr(one, name), bytes) else value for name in names}
                for one in report.opened
            ])
            for report in opened
        ]  # fmt: skip
        accounts = [
            of_account(one.account, one.result, one.vouchers, opened=len(one.opened), malformed=dict(one.malformed))
            for one in reports
        ]
        ran = self.brought(run, machine, cases, accounts)
        assert (ran.code, ran.out, ran.err) == (0, "", "2 accounts' windows imported; 0 had been before\n")
        (found,) = machine.rows(CASES)
        assert (found.account, found.window_number) == (real.ACCOUNT, WINDOW)
        results = {row.account: (row.result, row.vouchers) for row in machine.rows(OPENINGS)}
        below = ("below-threshold", real.T - 1)
        assert results == {real.ACCOUNT: ("opened", real.T), real.OTHER_ACCOUNT: below}
        log = machine.rows(LOG_ENTRIES)
        assert "0 accounts' windows imported; 2 had been before" in self.brought(run, machine, cases, accounts).err
        assert machine.rows(LOG_ENTRIES) == log

    def test_cases_alone_will_do(self, run, machine):
        """The number of vouchers is then that of the newest export; the same line again is known."""
        assert "1 accounts' windows imported" in self.brought(run, machine, [case()]).err
        assert [row.vouchers for row in machine.rows(OPENINGS)] == [real.T]
        assert "0 accounts' windows imported; 1 had been" in self.brought(run, machine, [case()]).err
        assert self.brought(run, machine, []).err.startswith("0 accounts' windows imported")

    @pytest.mark.parametrize(
        ("cases", "accounts", "words"),
        [
            (["x"], None, ["line 1 of", "cases", "not what scanner opener open writes"]),
            ([case(), case(note="x")], None, ["line 2 of", "note"]),
            ([case(matches=[])], None, ["line 1 of", "matches"]),
            ([case(matches=[{**MATCHES[0], "hash": "A5"}])], None, ["matches.0.hash"]),
            ([case(), case()], None, ["line 2 of", "that an earlier line is of"]),
            ([case()], [BELOW], ["is not what", "give files of one run"]),
            ([case()], [of_account(opened=3)], ["is not what"]),
            ([case()], [of_account(), {**BELOW, "result": "closed"}], ["line 2 of", "accounts", "result"]),
            ([case()], [of_account(), of_account()], ["line 2 of", "again"]),
            ([], [of_account()], ["1 opened windows that are not in"]),
        ],
    )
    def test_files_that_are_not_the_openers_import_nothing(self, run, machine, cases, accounts, words):
        """Before the first line is imported, the last is read; the file and the line are named, no hash is."""
        ran = self.brought(run, machine, cases, accounts)
        assert told(ran, *words)
        assert "a5a5" not in ran.err.lower()
        assert machine.rows(OPENINGS) == []

    @pytest.mark.parametrize(
        ("cases", "accounts"),
        [
            ([case(), case(real.OTHER_ACCOUNT, window=WINDOW + 1)], None),
            ([case()], [of_account(vouchers=real.T + 1)]),
            ([case()], [of_account(), {**BELOW, "vouchers": 3}]),
        ],
    )
    def test_windows_that_were_not_exported_are_told(self, run, machine, cases, accounts):
        """With their line; what came before it is there, and need not be undone."""
        assert told(self.brought(run, machine, cases, accounts), "line", "never exported")
        assert len(machine.rows(OPENINGS)) == (1 if accounts is None else 0)

    def test_a_file_that_is_not_there_is_told(self, run, machine):
        """With its name."""
        assert told(run("intake", "import", machine.folder / "absent", *machine.options), "absent", "No such file")
        lines(machine.folder / "cases")
        arguments = (machine.folder / "cases", "--accounts", machine.folder / "nowhere")
        assert told(run("intake", "import", *arguments, *machine.options), "nowhere", "No such file")


@pytest.mark.parametrize("name", ["export", "import"])
def test_without_the_intake_installed_it_is_told(run, tmp_path, monkeypatch, name):
    """With what to install."""
    import sys

    for module in [module for module in sys.modules if module.startswith("scanner.intake.windows.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert told(run("intake", name, tmp_path / "x", "-k", tmp_path / "k"), "install prescan[intake]")
