"""``scanner policy new`` and ``scanner policy show``."""

from __future__ import annotations

import pytest

from scanner.errors import VoucherError
from scanner.hashset import HashSet
from scanner.vouchers import policies
from tests.cli.conftest import told


@pytest.fixture
def folder(run, known, tmp_path):
    """Keys and a list to make policies from."""
    for role, name in (("opener", "opener.key"), ("signer", "a.key"), ("signer", "b.key"), ("signer", "c.key")):
        run("keys", "new", role, tmp_path / name)
    return tmp_path


@pytest.fixture
def new(run, folder, known):
    """Make a policy with some of the options changed."""

    def make(*arguments: object, out="policy", known=known, opener="opener.key.pub", signers=("a.key",), threshold=30):
        signing = [part for name in signers for part in ("--signer", folder / name)]
        return run(
            "policy", "new", folder / out, "--hashset", known, "--opener-key", folder / opener, *signing,
            "--threshold", threshold, *arguments,
        )  # fmt: skip

    return make


def test_a_policy_is_for_its_list(new, folder, known):
    """Digest, name and settings are the list's; the digest of the policy is what is printed."""
    ran = new()
    assert ran.code == 0
    assert "wrote" in ran.err
    policy, signed_by = policies.read((folder / "policy").read_bytes())
    assert ran.out == f"{policy.digest.hex()}\n"
    with HashSet.open(known) as opened:
        header = opened.header
        assert (policy.hashset_digest, policy.hashset_name) == (opened.digest, header.name)
        assert (policy.algorithm, policy.radius, policy.quality_floor) == ("pdq", header.radius, header.quality_floor)
    assert (policy.serial, policy.threshold, policy.profile, policy.quorum, policy.ordinary) == (
        1,
        30,
        "match-only",
        1,
        1,
    )
    assert signed_by == set(policy.signers)
    assert policies.check_successor(None, policies.PinnedSigners(policy.signers, 1), (folder / "policy").read_bytes())


def test_the_options_are_in_it(new, folder):
    """Signers in their order whatever was given, all of them for a quorum unless fewer are asked for."""
    new("--cover", "--serial", 4, "--ordinary", 2, signers=("c.key", "a.key", "b.key", "a.key"), threshold=10)
    policy, signed_by = policies.read((folder / "policy").read_bytes())
    assert (policy.serial, policy.threshold, policy.profile, policy.quorum, policy.ordinary) == (4, 10, "covered", 3, 2)
    assert signed_by == set(policy.signers)
    assert len(policy.signers) == 3
    new("--quorum", 2, out="other", signers=("a.key", "b.key", "c.key"))
    assert policies.read((folder / "other").read_bytes()).policy.quorum == 2


def test_a_policy_is_shown_as_it_is(new, run, folder):
    """Every field, the digest, and who signed."""
    digest = new(signers=("a.key", "b.key")).out.strip()
    ran = run("policy", "show", folder / "policy")
    assert (ran.code, ran.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines() if not line.startswith(("not", "signed")))
    assert (lines["threshold"], lines["profile"], lines["digest"]) == ("30", "match-only", digest)
    signed = next(line for line in ran.out.splitlines() if line.startswith("signed by"))
    assert sorted(signed.split()[2:]) == sorted(line for line in lines["signers"].split())


def test_a_policy_is_never_overwritten(new, folder):
    """Nor is any other file."""
    for data in (b"", b"something"):
        (folder / "policy").write_bytes(data)
        assert told(new(), "exists already; policies are never overwritten")
        assert (folder / "policy").read_bytes() == data


@pytest.mark.parametrize("threshold", [-1, 0, 1, 9, 65_536])
def test_a_threshold_no_device_accepts_is_refused(new, folder, threshold):
    """Before it is signed."""
    assert told(new(threshold=threshold), "threshold is a whole number from 10 to 65535")
    assert not (folder / "policy").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"opener": "opener.key"}, "public key"),
        ({"opener": "a.key.pub"}, "does not hold an X25519 public key (opener)"),
        ({"opener": "absent"}, "absent"),
        ({"signers": ("opener.key",)}, "does not hold an Ed25519 private key"),
        ({"signers": ("a.key.pub",)}, "a.key.pub"),
        ({"signers": ("a.key", "absent")}, "absent"),
        ({"out": "nowhere/policy"}, "can't write"),
        ({"known": "/nowhere/known"}, "/nowhere/known"),
        ({"known": "/dev/null"}, "/dev/null"),
    ],
)
def test_wrong_and_missing_files_are_one_line(new, folder, changes, words):
    """The line names the file, and no policy is written."""
    (folder / "a.key.pub").chmod(0o600)
    assert told(new(**changes), words)
    assert not (folder / "policy").exists()


@pytest.mark.parametrize("arguments", [("--quorum", 2), ("--quorum", 0), ("--ordinary", 2)])
def test_a_quorum_that_can_not_be_is_one_line(new, folder, arguments):
    """More signatures than signers."""
    assert told(new(*arguments), "a policy's")
    assert not (folder / "policy").exists()


def test_a_signing_key_others_can_read_is_refused(new, folder):
    """With what to do about it."""
    (folder / "a.key").chmod(0o644)
    assert told(new(), "chmod 600")


def test_what_is_missing_is_wrong_use(run, folder, known):
    """Each option that has no default is asked for by name."""
    ran = run("policy", "new", folder / "policy", "-s", known, "-o", folder / "opener.key.pub", "-t", 30)
    assert ran.code == 2
    assert "--signer" in ran.err


def test_what_is_no_policy_is_one_line(run, new, folder, known):
    """Missing, another file, cut, or changed after it was signed."""
    new()
    data = (folder / "policy").read_bytes()
    assert told(run("policy", "show", folder / "absent"), "can't read the policy", "absent")
    assert told(run("policy", "show", folder), "can't read the policy")
    assert told(run("policy", "show", known), "policy")
    for number in (0, 1, len(data) // 2, len(data) - 1):
        (folder / "cut").write_bytes(data[:number])
        assert told(run("policy", "show", folder / "cut"), "policy")
    (folder / "changed").write_bytes(data.replace(bytes([30]), bytes([31]), 1))
    assert (folder / "changed").read_bytes() != data
    with pytest.raises(VoucherError):
        policies.read((folder / "changed").read_bytes())
    assert told(run("policy", "show", folder / "changed"), "policy")
