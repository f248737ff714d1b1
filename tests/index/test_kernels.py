"""The kernels give the same compiled for this processor, compiled for any, and as plain Python."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from scanner.index import distance_histogram, distances
from scanner.index.flat import FlatIndex
from scanner.index.multi import CompactIndex, MultiIndex
from scanner.index.tables import COMPACT, build_tables
from tests.conftest import run_python
from tests.index.test_engines import clustered, listed


def results() -> list[Any]:
    """Tables, hits, distances and histograms of small banks, of every kind of kernel."""
    out: list[Any] = []
    for size in (8, 32):
        bank = clustered(120, size)
        bank[40:80] = bank[40]
        queries = np.concatenate([bank[::40], np.zeros((1, size), np.uint8)])
        indexes = [FlatIndex(bank), MultiIndex(bank), *([CompactIndex(bank)] if size == 32 else [])]
        for index in indexes:
            for radius in (0, 9, 31):
                out += [[list(hit) for hit in listed(index.search(query.tobytes(), radius))] for query in queries]
                out += [part.tolist() for part in index.search_many(queries, radius)]
        out += [build_tables(bank).tobytes().hex(), distance_histogram(bank[:40]).tolist()]
        out += [distance_histogram(bank[:20], bank[20:45]).tolist()]
        out += [distances(bank[0].view(np.uint64), bank.view(np.uint64)).tolist()]
    return [*out, build_tables(bank, COMPACT).tobytes().hex()]


SCRIPT = """
import json
import numba
from tests.index.test_kernels import results

print(json.dumps([numba.config.DISABLE_JIT, numba.config.CPU_NAME, results()]))
"""


@pytest.mark.parametrize(
    ("environment", "jit_off", "processor"),
    [
        ({"NUMBA_DISABLE_JIT": "1"}, 1, None),
        ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, 0, "generic"),
    ],
    ids=["plain Python", "any processor"],
)
def test_kernels_give_the_same_everywhere(environment, jit_off, processor, tmp_path):
    """Nothing rests on one processor's instructions, nor on the compiler."""
    told = json.loads(run_python(SCRIPT, NUMBA_CACHE_DIR=str(tmp_path), **environment))
    assert told[0] == jit_off
    assert told[1] == processor
    assert told[2] == results()
