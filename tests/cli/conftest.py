"""Run the command in this process, as a person would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from scanner.cli import main


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
