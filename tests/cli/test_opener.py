"""``scanner intake export`` and ``scanner opener open``: from the intake's database to cases, and no further."""

from __future__ import annotations

import json
import stat

import cbor2
import pytest

from scanner.exports import END, HEADER, read_export
from tests.cli.conftest import told
from tests.cli.journey import SENT, THRESHOLD, travelled
from tests.policies import ACCOUNT, OTHER_ACCOUNT, WINDOW


@pytest.fixture
def opened(run, journey):
    """Run ``scanner opener open`` on a journey's files, or on others."""

    def open_files(*arguments: object, export=None, out=None, key=None):
        return run(
            "opener", "open", export or journey.export, out or journey.cases, "--key", key or journey.opener_key,
            *(arguments or ("--policy", journey.policy)),
        )  # fmt: skip

    return open_files


def cases(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewritten(journey, change) -> None:
    """Write the export anew with each account's window changed."""
    windows = list(read_export(journey.export))
    items = [change([one.account, one.window, one.devices, one.vouchers]) for one in windows]
    journey.export.write_bytes(b"".join(map(cbor2.dumps, (HEADER, *items, END))))


def test_an_account_at_the_threshold_opens_and_one_below_does_not(opened, journey, run):
    """Exactly t different contents open, though two devices sent them; t - 1 tell nothing, though sent twice each."""
    ran = opened()
    assert (ran.code, ran.out) == (0, "")
    assert "1 cases; of 2 accounts' windows: below-threshold 1, opened 1" in ran.err
    (case,) = cases(journey.cases)
    assert (case["account"], case["window"]) == (ACCOUNT.hex(), WINDOW)
    assert len(case["matches"]) == THRESHOLD
    assert len({match["content_id"] for match in case["matches"]}) == THRESHOLD
    assert {match["distance"] for match in case["matches"]} == {0}
    assert stat.S_IMODE(journey.cases.stat().st_mode) == 0o600
    assert OTHER_ACCOUNT.hex() not in journey.cases.read_text()
    digest = run("policy", "show", journey.policy).out.split("digest")[-1].split()[0]
    info = json.loads(run("hashset", "info", journey.known, "--json").out)
    assert {match["policy_digest"] for match in case["matches"]} == {digest}
    assert {match["hashset_digest"] for match in case["matches"]} == {info["digest"]}


def test_each_account_is_told_if_asked_for(opened, journey):
    """Opened with how many, below the threshold with nothing but that."""
    ran = opened("--policy", journey.policy, "--accounts")
    assert ran.code == 0
    told_of = {line["account"]: line for line in map(json.loads, ran.out.splitlines())}
    assert told_of[ACCOUNT.hex()]["result"] == "opened"
    assert told_of[ACCOUNT.hex()]["opened"] == THRESHOLD
    below = told_of[OTHER_ACCOUNT.hex()]
    assert (below["result"], below["opened"], below["malformed"]) == ("below-threshold", 0, {})


def test_with_cover_the_same_accounts_open(tmp_path, run):
    """Among the dummies of every slot; each device sent as many vouchers as any other."""
    sent = {("one", 1): range(THRESHOLD), ("two", 1): range(THRESHOLD - 1)}
    journey = travelled(tmp_path, "--cover", devices=sent)
    assert run("intake", "export", journey.export, "-d", journey.database, "-k", journey.intake_key).code == 0
    for window in read_export(journey.export):
        assert len(window.vouchers) == 64
        assert len(set(map(len, window.vouchers))) == 1
    ran = run("opener", "open", journey.export, journey.cases, "-k", journey.opener_key, "-p", journey.policy)
    assert ran.code == 0, ran.err
    assert "1 cases; of 2 accounts' windows: below-threshold 1, opened 1" in ran.err
    (case,) = cases(journey.cases)
    assert (case["account"], len(case["matches"])) == (ACCOUNT.hex(), THRESHOLD)


def test_one_voucher_fewer_opens_nothing(opened, journey):
    """The case of t stands and falls with its last content."""
    doubled = len(SENT["one", 1]) + len(SENT["one", 2]) - THRESHOLD
    rewritten(journey, lambda window: [*window[:3], window[3][: -1 - doubled]])
    ran = opened()
    assert "0 cases; of 2 accounts' windows: below-threshold 2" in ran.err
    assert journey.cases.read_bytes() == b""


def test_vouchers_moved_to_another_account_are_told(opened, journey):
    """What an intake can do to an export: the vouchers say whose they are, inside."""
    rewritten(journey, lambda window: [OTHER_ACCOUNT if window[0] == ACCOUNT else bytes(16), *window[1:]])
    ran = opened()
    assert ran.code == 0
    assert "other-account vouchers" in ran.err
    assert cases(journey.cases) == []


def test_what_is_wrong_with_vouchers_is_counted_and_spoils_no_other(opened, journey):
    """A damaged one, one given twice, one of a device without a key."""
    stranger = bytes(16)

    def change(window):
        account, number, devices, vouchers = window
        return [
            account,
            number,
            {**devices, stranger: bytes(31)},
            [*vouchers, vouchers[0], vouchers[1][:-1] + b"x", b""],
        ]

    rewritten(journey, change)
    ran = opened()
    assert "1 cases" in ran.err
    assert "repeated vouchers 2" in ran.err
    assert "malformed vouchers 2" in ran.err
    assert "bad-signature vouchers 2" in ran.err


def test_vouchers_of_a_policy_that_was_not_given_are_told(opened, journey, run):
    """With its name, and they are not opened."""
    run(
        "policy", "new", journey.other, "-s", journey.known, "-o", journey.folder / "opener.key.pub",
        "--signer", journey.a_key, "-t", THRESHOLD, "--serial", 7,
    )  # fmt: skip
    ran = opened("--policy", journey.other)
    assert "0 cases" in ran.err
    vouchers = sum(map(len, SENT.values()))
    assert f"unknown-policy vouchers {vouchers}" in ran.err
    journey.cases.unlink()
    assert "1 cases" in opened("--policy", journey.other, "--policy", journey.policy).err


def test_cases_are_never_overwritten(opened, journey):
    """Not even an empty file."""
    for data in (b"", b"cases of last month"):
        journey.cases.write_bytes(data)
        assert told(opened(), "exists already; cases are never overwritten")
        assert journey.cases.read_bytes() == data


def test_an_opener_key_of_another_pair_is_told(opened, journey, run):
    """Without it nothing would open and the cause would be anyone's guess."""
    run("keys", "new", "opener", journey.other_key)
    assert told(opened(key=journey.other_key), "other.key is not the key", "policy")
    assert not journey.cases.exists()


@pytest.mark.parametrize("name", ["intake.key", "opener.key.pub", "absent.key", "policy", "export"])
def test_what_is_no_opener_key_is_told(opened, journey, name):
    """In one line that names the file."""
    if (journey.folder / name).exists():
        (journey.folder / name).chmod(0o600)
    assert told(opened(key=journey.folder / name), name)
    assert not journey.cases.exists()


def test_an_opener_key_others_can_read_is_refused(opened, journey):
    """With what to do about it."""
    journey.opener_key.chmod(0o640)
    assert told(opened(), "chmod 600")


@pytest.mark.parametrize("name", ["absent", "known", "export", "opener.key.pub", "", "/dev/null"])
def test_what_is_no_policy_is_told(opened, journey, name):
    """Missing, of another kind, a folder, empty."""
    assert told(opened("--policy", journey.folder / name), "policy")
    assert not journey.cases.exists()


def test_a_policy_whose_signature_does_not_hold_is_told(opened, journey):
    """Nobody opens under a policy that was changed after it was signed."""
    data = bytearray(journey.policy.read_bytes())
    data[-1] ^= 1
    journey.policy.write_bytes(data)
    assert told(opened(), "signature")


@pytest.mark.parametrize("name", ["absent", "known", "policy", "intake.db", "", "opener.key", "/dev/null"])
def test_what_is_no_export_is_told(opened, journey, name):
    """Missing, of another kind, a folder, empty."""
    assert told(opened(export=journey.folder / name), "export")
    assert not journey.cases.exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_an_export_that_was_cut_is_told(opened, journey, share):
    """Before anything is opened: what is missing could be anybody's."""
    data = journey.export.read_bytes()
    journey.export.write_bytes(data[: int(len(data) * share) - 1])
    assert told(opened(), "was cut")
    assert not journey.cases.exists()


@pytest.mark.parametrize(
    "item",
    [[], {}, 7, "text", [1, 2, 3, 4], [bytes(15), 1, {}, []], [bytes(16), 1, {}, ["x"]], [bytes(16), 1, {1: b""}, []]],
)
def test_an_export_that_holds_something_else_is_told(opened, journey, item):
    """Whole in form, but no account's window."""
    journey.export.write_bytes(b"".join(map(cbor2.dumps, (HEADER, item, END))))
    assert told(opened(), "no account's window")


def test_a_folder_that_is_none_is_told(opened, journey):
    """The one cases are to be written to."""
    assert told(opened(out=journey.folder / "nowhere" / "cases"), "can't write", "No such file")


def test_an_interrupted_opening_leaves_no_file(journey, run, monkeypatch):
    """Half the cases would look like all."""

    def interrupted(*_: object):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("scanner.opener.open_export", interrupted)
    ran = run("opener", "open", journey.export, journey.cases, "-k", journey.opener_key, "-p", journey.policy)
    assert ran.code == 130
    assert not journey.cases.exists()
