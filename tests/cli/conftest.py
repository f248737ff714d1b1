"""Run the command in this process, as a person would."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from scanner.cli import main
from tests.cli.journey import Journey, command, travelled


class Ran(NamedTuple):
    """What a run of the command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., Ran]:
    """Run ``scanner`` with arguments; gives exit code, standard output and standard error."""

    def run_command(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["scanner", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        caught = capsys.readouterr()
        return Ran(stopped.value.code or 0, caught.out, caught.err)

    return run_command


def picture(path: Path, seed: int, side: int = 96) -> Path:
    """Make a textured picture that is different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of three pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        picture(folder / f"{seed}.png", seed)
    return folder


@pytest.fixture
def known(run, pictures, tmp_path) -> Path:
    """A hash set of the three pictures."""
    path = tmp_path / "known.prescan"
    assert run("hashset", "build", path, pictures, "--name", "three").code == 0
    return path


@pytest.fixture(scope="session")
def travelled_once(tmp_path_factory) -> Journey:
    """A journey to look at; nobody changes it."""
    return travelled(tmp_path_factory.mktemp("journey"))


@pytest.fixture
def journey(travelled_once, tmp_path) -> Journey:
    """A copy of it, with an export, to do anything to."""
    folder = tmp_path / "journey"
    shutil.copytree(travelled_once.folder, folder)
    copy = Journey(folder)
    command("intake", "export", copy.export, "--database", copy.database, "--key", copy.intake_key)
    return copy


def told(ran: Ran, *words: str) -> bool:
    """A mistake is told in one line on standard error, with exit code 2; all else fails the test here."""
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("scanner: ")
    assert ran.err.count("\n") == 1
    for word in words:
        assert word in ran.err
    return True
