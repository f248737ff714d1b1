"""The kernels as plain Python give what they give compiled."""

from __future__ import annotations

import json

import numpy as np

from scanner.index.flat import FlatIndex
from scanner.index.multi import MultiIndex
from scanner.index.tables import build_tables
from tests.conftest import run_python
from tests.index.test_engines import clustered, listed

SCRIPT = """
import json
import numba
import numpy as np
from scanner.index import distances
from scanner.index.flat import FlatIndex
from scanner.index.multi import MultiIndex
from scanner.index.tables import build_tables
from tests.index.test_engines import clustered, listed

assert numba.config.DISABLE_JIT
out = []
for size in (8, 32):
    bank = clustered(120, size)
    bank[40:80] = bank[40]
    tables = build_tables(bank)
    out.append(tables.tobytes().hex())
    for index in (FlatIndex(bank), MultiIndex(bank, tables)):
        for query in (*bank[::40], np.zeros(size, np.uint8)):
            for radius in (0, 9, 31):
                out.append(listed(index.search(query.tobytes(), radius)))
    out.append(distances(bank[0].view(np.uint64), bank.view(np.uint64)).tolist())
print(json.dumps(out))
"""


def test_kernels_give_the_same_with_the_compiler_off():
    """Tables, hits and distances are equal with the JIT on and off."""
    expected = []
    for size in (8, 32):
        bank = clustered(120, size)
        bank[40:80] = bank[40]
        tables = build_tables(bank)
        expected.append(tables.tobytes().hex())
        for index in (FlatIndex(bank), MultiIndex(bank, tables)):
            for query in (*bank[::40], np.zeros(size, np.uint8)):
                for radius in (0, 9, 31):
                    found = listed(index.search(query.tobytes(), radius))
                    expected.append([list(hit) for hit in found])
        expected.append(np.unpackbits(bank ^ bank[0], axis=1).sum(axis=1).tolist())
    assert json.loads(run_python(SCRIPT, NUMBA_DISABLE_JIT="1")) == expected
