"""What works here is told, and what does not is told too."""

from __future__ import annotations

import json
import sys

import pytest

from scanner.media import formats
from scanner.sandbox import PROTECTIONS, IsolatedHasher


def test_everything_there_is_said(run):
    """Every protection and every format by name."""
    ran = run("doctor")
    assert ran.code == 0
    for name in (*PROTECTIONS, *formats.FORMATS, "HEIF", "JXL", "videos"):
        assert f"  {name} " in ran.out
    if sys.platform == "linux":
        assert "NO" not in ran.out


def test_the_same_as_json(run):
    """For a program to look at."""
    facts = json.loads(run("doctor", "--json").out)
    assert set(facts["decoder"]) == set(PROTECTIONS)
    assert facts["formats"]["JPEG"] is True


def test_what_is_missing_is_told_with_the_remedy(run, monkeypatch):
    """A protection that is not there, a format whose extra is not installed."""
    from PIL import Image

    Image.init()
    formats.available()
    monkeypatch.setattr(IsolatedHasher, "warm_up", lambda _: ("rlimits",))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    ran = run("doctor")
    assert ran.code == 0
    assert "seccomp       NO: needs Linux, the package pyseccomp and the system's libseccomp2" in ran.out
    assert "HEIF          no: pip install 'prescan[heif]'" in ran.out


@pytest.mark.parametrize("command", [("/nowhere/python",)])
def test_a_decoder_that_can_not_be_started_is_an_error(run, command, monkeypatch):
    """One line and exit code 2."""
    honest = IsolatedHasher.__init__
    monkeypatch.setattr(IsolatedHasher, "__init__", lambda self: honest(self, command=command))
    ran = run("doctor")
    assert ran.code == 2
    assert "can't start the decoder /nowhere/python" in ran.err
