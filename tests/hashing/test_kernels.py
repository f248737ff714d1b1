"""The kernels as plain Python give what they give compiled."""

from __future__ import annotations

import json

import numpy as np

from scanner.hashing.pdq import pdq, pdq_dihedral
from tests.conftest import run_python

SHAPES = [(40, 48, 3), (40, 48), (64, 64, 3), (64, 64), (5, 131), (131, 5, 3), (17, 33, 3), (4, 50)]

SCRIPT = """
import json
import numba
import numpy as np
from scanner.hashing.pdq import pdq, pdq_dihedral

assert numba.config.DISABLE_JIT
out = []
for shape in {shapes}:
    picture = np.random.default_rng(shape[0]).integers(0, 256, shape, np.uint8)
    data, quality = pdq(picture)
    out.append([data.hex(), quality, [turn.hex() for turn in pdq_dihedral(picture)[0]]])
print(json.dumps(out))
"""


def test_kernels_give_the_same_with_the_compiler_off():
    """Bits, quality and turns are equal with the JIT on and off."""
    expected = []
    for shape in SHAPES:
        picture = np.random.default_rng(shape[0]).integers(0, 256, shape, np.uint8)
        data, quality = pdq(picture)
        expected.append([data.hex(), quality, [turn.hex() for turn in pdq_dihedral(picture)[0]]])
    assert json.loads(run_python(SCRIPT.format(shapes=SHAPES), NUMBA_DISABLE_JIT="1")) == expected
