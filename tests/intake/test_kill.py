"""A slice of the soak: killed a few times under load, the intake keeps every receipt's word.

That a killed worker is started again is in test_workers.py; the rest is in ``make soak``.
"""

from __future__ import annotations

import random

import pytest

from tests import postgres
from tests.intake.soak import soaking

VICTIMS = {
    "sqlite": ["service", "service", "service"],
    "postgresql": ["postgresql", "service", "backend", "postgresql"],
}


@pytest.mark.parametrize("kind", postgres.databases())
def test_no_receipt_is_lost_to_kills(tmp_path, kind):
    """Service, worker and database are killed; receipts stand, retries get the same, nothing is half there."""
    victims = VICTIMS[kind]
    with soaking(tmp_path, kind, 1, random.Random(7), durable=False) as soak:
        figures = soak.run(victims)
    assert figures.kills.total() == len(victims)
    assert figures.seen["cut off"] > 0
    assert figures.receipts > 50
    assert figures.vouchers >= figures.receipts
