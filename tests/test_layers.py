"""The layer table of the README, held by the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import scanner

ROOT = Path(scanner.__file__).parent

# layer: the layers it may import. ``errors``, ``types``, ``profiles`` and ``files`` stand under everything.
GROUND = {"errors", "types", "profiles", "files"}
ALLOWED = {
    "errors": set(),
    "types": {"errors"},
    "profiles": {"errors", "types"},
    "files": {"errors"},
    "media": GROUND,
    "hashing": GROUND | {"media"},
    "index": GROUND,
    "hashset": GROUND | {"hashing", "index", "account_rates"},
    "sandbox": GROUND | {"media", "hashing"},
    "matching": GROUND | {"hashset", "index"},
    "policy": GROUND,
    "vouchers": GROUND,
    "outbox": GROUND,
    "keys": GROUND,
    "delivery": GROUND | {"vouchers", "outbox"},
    "pipeline": GROUND | {"media", "sandbox", "hashset", "index", "matching", "policy"},
    "checkpoint": GROUND | {"media", "pipeline", "policy", "vouchers", "outbox"},
    "account_rates": GROUND,
    "account": GROUND | {"vouchers"},
    "policy_store": GROUND | {"vouchers"},
    "exports": GROUND,
    "opener": GROUND | {"vouchers", "exports"},
    "intake": GROUND | {"vouchers", "exports", "keys", "__init__"},
    "demo": GROUND
    | {
        "account",
        "checkpoint",
        "delivery",
        "exports",
        "hashset",
        "index",
        "intake",
        "integrations",
        "keys",
        "opener",
        "outbox",
        "pipeline",
        "vouchers",
    },
    "integrations": GROUND | {"checkpoint", "delivery", "media", "outbox", "pipeline", "policy", "vouchers"},
    "cli": None,  # the outermost layer may import all
    "__init__": None,
    "__main__": {"cli"},
}
PILLOW = {"media", "demo"}


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_layers(modules: set[str], path: Path) -> set[str]:
    layers = {layer_of(place) for place in ROOT.rglob("*.py")}
    used = {name.split(".")[1] for name in modules if name.startswith("scanner.")} & layers
    if "scanner" in modules:
        used.add("__init__")
    return used - {layer_of(path)}


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_layer_imports_only_what_stands_below_it(path):
    """No file imports a layer that the table does not allow it."""
    allowed = ALLOWED[layer_of(path)]
    if allowed is not None:
        assert own_layers(imported_modules(path), path) <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pillow_stays_in_media(path):
    """Only media decodes; the demo makes edits with it."""
    if layer_of(path) not in PILLOW:
        assert not {name for name in imported_modules(path) if name.split(".")[0] == "PIL"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_pickled(path):
    """No module that runs code when it loads data is imported anywhere."""
    assert not imported_modules(path) & {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}


BENCHMARKS = ROOT.parent / "benchmarks"


@pytest.mark.parametrize(
    "path",
    sorted([*BENCHMARKS.glob("*.py"), *BENCHMARKS.glob("accuracy/*.py")]),
    ids=lambda path: str(path.relative_to(BENCHMARKS)),
)
def test_benchmarks_use_public_names(path):
    """The harness sees what users see: no private module, no private name."""
    parts = [part for name in imported_modules(path) if name.startswith("scanner") for part in name.split(".")]
    assert not [part for part in parts if part.startswith("_")]


def test_every_layer_is_in_the_table():
    """A new module has to find its place in the table first."""
    assert {layer_of(path) for path in FILES} == set(ALLOWED)
