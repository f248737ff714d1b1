"""What ``import scanner`` gives, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import scanner

HEAVY = ("numba", "faiss", "fastapi", "numpy", "PIL", "cryptography", "httpx", "imagehash", "sqlalchemy")


def declared_for_type_checkers() -> set[str]:
    tree = ast.parse(Path(scanner.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.asname for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_type_checkers_and_the_loader_know_the_same_names():
    """A name that loads also type-checks, and the other way round."""
    assert declared_for_type_checkers() <= set(dir(scanner))
    for name in declared_for_type_checkers():
        assert getattr(scanner, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    """Loading on use does not turn a typing mistake into anything else."""
    with pytest.raises(AttributeError, match="nonsense"):
        scanner.nonsense  # noqa: B018


def test_import_loads_nothing_heavy():
    """``import scanner`` alone brings in no library that takes long to load."""
    code = f"import sys, scanner; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_device_side_never_loads_the_intake():
    """A client that scans loads no web framework and no database toolkit."""
    code = (
        "import sys, scanner; scanner.Scanner, scanner.Checkpoint, scanner.Courier;"
        "print([name for name in ('fastapi', 'sqlalchemy', 'uvicorn', 'starlette') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_opener_never_loads_the_network_nor_a_database():
    """Whoever opens vouchers is offline, and needs nothing that could change that."""
    code = (
        "import sys, scanner.opener, scanner.exports, scanner.cli.opener;"
        "print([name for name in ('httpx', 'fastapi', 'sqlalchemy', 'uvicorn', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_intake_never_loads_what_opens():
    """It takes, stores and hands on; the module that opens exports is not even there."""
    code = "import sys, scanner.intake.server, scanner.intake.windows.exporting; print('scanner.opener' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
