"""What tests of clients share: a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integrations.devices import write_list
from tests.integrations.town import town as town


@pytest.fixture(scope="session")
def list_path(tmp_path_factory) -> Path:
    """A list of three pictures, edition 7."""
    return write_list(tmp_path_factory.mktemp("list") / "known.prescan")
