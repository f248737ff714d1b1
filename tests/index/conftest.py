"""Compact tables are for 256 bits alone: their tests at 64 bits are taken out of the tables of tests."""

from __future__ import annotations

import pytest

from scanner.index.multi import CompactIndex


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep every combination that can be."""
    items[:] = [item for item in items if not _impossible(getattr(item, "callspec", None))]


def _impossible(combination: pytest.Item | None) -> bool:
    if combination is None or combination.params.get("size") != 8:
        return False
    return combination.params.get("index_of") is CompactIndex or combination.params.get("engine") == "compact"
