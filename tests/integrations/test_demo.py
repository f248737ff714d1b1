"""``make demo-messenger``, told once."""

from __future__ import annotations

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
