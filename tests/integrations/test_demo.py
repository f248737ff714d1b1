"""``make demo-messenger``, told once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scanner.demo import synapse
from scanner.demo.matrix import main
from scanner.errors import StorageError


def test_the_story_ends_well(capsys):
    """Every innocent picture arrives as it was, no edited copy leaves, and the sender is told why, where and how."""
    assert main() == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "10 of 10 innocent pictures arrived as they were, 12 of 12 edited copies were held" in told
    assert "This file was not sent." in told
    assert "0 of them readable. The intake heard nothing." in told
    assert "below-threshold" in told


def test_a_step_that_fails_is_one_line(capsys, monkeypatch):
    """No traceback: what is missing, and exit code 1."""

    def fail():
        raise StorageError("pip could not install matrix-synapse: no network")

    monkeypatch.setattr(synapse, "is_set_up", lambda: False)
    monkeypatch.setattr(synapse, "set_up", fail)
    assert main() == 1
    told = capsys.readouterr()
    assert "Setting up Synapse" in told.out
    assert told.err.strip() == "error: pip could not install matrix-synapse: no network"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Where Synapse is not set up; making its virtualenv does nothing."""
    monkeypatch.setattr(synapse, "HOME", tmp_path / "synapse")
    monkeypatch.setattr(synapse, "_DONE", tmp_path / "done")
    monkeypatch.setattr(synapse.venv, "create", lambda *_, **__: None)
    return monkeypatch


def test_synapse_is_set_up_once(elsewhere):
    """What is installed is not installed again."""
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    elsewhere.setattr(synapse.subprocess, "run", run)
    assert not synapse.is_set_up()
    assert synapse.set_up() == synapse.set_up() == synapse.HOME / "bin" / "python"
    assert synapse.is_set_up()
    assert [command[-1] for command in commands] == [synapse.WANTED]


@pytest.mark.parametrize("why", ["no network", "late"])
def test_synapse_that_cannot_be_installed_says_why(elsewhere, why):
    """And counts as not set up."""

    def run(command, timeout, **_):
        if why == "late":
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 1, stderr="no network")

    elsewhere.setattr(synapse.subprocess, "run", run)
    with pytest.raises(StorageError, match=r"no network|240 s"):
        synapse.set_up()
    assert not synapse.is_set_up()


def test_synapse_that_does_not_start_says_what_it_said(tmp_path, monkeypatch):
    """After a few ports were tried; no process is left."""
    monkeypatch.setattr(synapse, "set_up", lambda: sys.executable)
    with pytest.raises(StorageError, match="No module named"), synapse.running(tmp_path):
        pass
