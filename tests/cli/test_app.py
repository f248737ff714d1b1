"""The command as a whole: help, versions, keys, interruptions, the demo."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

import scanner

COMMANDS = (
    (), ("hash",), ("scan",), ("demo",), ("hashset",), ("hashset", "build"), ("hashset", "info"), ("hashset", "verify"),
    ("hashset", "delta"), ("hashset", "merge"),
    ("keys",), ("keys", "new"), ("keys", "show"), ("intake",), ("intake", "serve"), ("intake", "export"),
    ("intake", "import"), ("intake", "migrate"), ("intake", "check-config"), ("intake", "health"),
    ("intake", "backup"), ("intake", "restore"), ("intake", "operator"), ("intake", "operator", "new"),
    ("intake", "operator", "list"), ("intake", "operator", "revoke"),
    ("intake", "audit"), ("intake", "audit", "verify"),
    ("policy",), ("policy", "threshold"), ("policy", "new"), ("policy", "show"), ("opener",), ("opener", "open"),
    ("ledger",), ("ledger", "show"), ("ledger", "verify"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches(run, command):
    """Every command explains itself and exits 0."""
    ran = run(*command, "--help")
    assert ran.code == 0
    assert "Usage:" in ran.out
    assert len(ran.out) > 200


def test_version(run):
    """The version is the package's."""
    assert run("--version").out == f"prescan {scanner.__version__}\n"


def test_wrong_use_exits_2(run):
    """A missing option is said in one box, not a traceback."""
    ran = run("scan", "x.jpg")
    assert ran.code == 2
    assert "--hashset" in ran.err


@pytest.mark.parametrize("role", ["device", "intake", "signer"])
def test_keys_are_made_shown_and_never_overwritten(run, tmp_path, role):
    """The private half is the owner's alone."""
    key = tmp_path / "device.key"
    assert run("keys", "new", role, key).code == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    shown = run("keys", "show", key)
    assert shown.out.startswith((tmp_path / "device.key.pub").read_text())
    assert "device id " in shown.out
    before = key.read_bytes()
    again = run("keys", "new", "device", key)
    assert again.code == 2
    assert "never overwritten" in again.err
    assert key.read_bytes() == before


def test_a_role_that_is_none_is_told(run, tmp_path):
    """With those that are, and no file."""
    ran = run("keys", "new", "judge", tmp_path / "judge.key")
    assert ran.code == 2
    assert "signer" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_an_opener_key_has_no_device_id(run, tmp_path):
    """Only signing keys name a device."""
    run("keys", "new", "opener", tmp_path / "opener.key")
    assert "device id" not in run("keys", "show", tmp_path / "opener.key").out


def test_ctrl_c_ends_with_one_line(tmp_path):
    """An interrupted build leaves the old file and no other, and exits 130."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    os.mkfifo(pictures / "never-ends.csv")
    out = tmp_path / "known.prescan"
    out.write_bytes(b"old")
    command = [sys.executable, "-m", "scanner", "hashset", "build", str(out), str(pictures / "never-ends.csv")]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    writer = os.open(pictures / "never-ends.csv", os.O_WRONLY)  # returns once the command reads
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    os.close(writer)
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["known.prescan", "pictures"]


def test_a_closed_pipe_is_no_traceback(known, pictures):
    """``scanner … | head`` ends quietly."""
    command = [sys.executable, "-m", "scanner", "scan", "-s", str(known), *[str(pictures)] * 200]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_the_demo_matches_every_copy_and_no_innocent_picture(run):
    """The story ends with the line that the README promises."""
    ran = run("demo")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "60 of 60 edited copies matched, 0 of 10 innocent pictures matched"


def test_the_demo_leaves_nothing_behind(run, tmp_path, monkeypatch):
    """Its folder goes when it ends."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run("demo")
    assert list(tmp_path.iterdir()) == []
