"""The README's promises that can be run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_ten_lines_run(tmp_path, astronaut):
    """The example works as printed, and the same picture matches itself."""
    (example,) = re.findall(r"## In ten lines\n\n```python\n(.*?)```", README, re.DOTALL)
    for name in ("known.jpg", "outgoing.jpg"):
        shutil.copy(astronaut, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.startswith("hold match on the list my list, 0 of 256 bits away")


def test_every_link_leads_somewhere():
    """Relative links name files that are there."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_named_exists():
    """The commands the README names are in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", README)) <= targets
    assert {"demo", "test"} <= targets


def test_every_layer_stands_in_the_table():
    """The README's layers are those of the layer test."""
    from tests.test_layers import ALLOWED

    table = README.split("## Layers", 1)[1].split("## ", 1)[0]
    assert set(re.findall(r"`([a-z]+)`", table)) >= {name for name in ALLOWED if "_" not in name} - {"keys"}
