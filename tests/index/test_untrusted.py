"""A file taken as it lies may hide an entry, and does nothing worse.

Codes and tables are overwritten at random and searched in another interpreter, so that a crash is seen as one.
"""

from __future__ import annotations

import json

import pytest

from tests.conftest import run_python

SCRIPT = """
import json
from pathlib import Path

import numpy as np

from scanner.hashset import Check, HashSet, HashSetBuilder
from scanner.index import CROSSOVER
from tests.index.test_engines import clustered

ALGORITHM, ENGINE, ROUNDS, PATH = {algorithm!r}, {engine!r}, {rounds}, Path({path!r})
size = 8 if ALGORITHM == "phash" else 32
rng = np.random.default_rng(5)
bank = clustered(CROSSOVER + 200, size, seed=1)
builder = HashSetBuilder("set", ALGORITHM)
builder.add_codes(bank, np.arange(len(bank), dtype=np.uint64))
builder.write(PATH, compact=ENGINE == "compact")
sound = np.frombuffer(PATH.read_bytes(), np.uint8)
with HashSet.open(PATH) as known:
    parts = known.header.sections
    start = parts["tables"].offset
    _, _, _, _, *bounds = np.frombuffer(known.tables[:64].tobytes(), "<i8").tolist()
fields = {{
    "codes": (parts["codes"].offset + 33, parts["codes"].offset + parts["codes"].length),
    "offsets": (start + bounds[0], start + bounds[1]),
    "sketches": (start + bounds[1], start + bounds[2]),
    "ids": (start + bounds[2], start + bounds[3]),
}}
radii = (0, 5, 15, 31, 63)
done = found = 0
for turn in range(ROUNDS):
    data = sound.copy()
    chosen = rng.permutation(list(fields))[: rng.integers(1, 5)]
    for name in chosen:
        begin, end = fields[name]
        places = begin + rng.integers(0, end - begin, int(10 ** rng.uniform(0, 4)))
        if rng.random() < 0.5:
            run = rng.integers(begin, end)
            places = np.arange(run, min(run + 4 * rng.integers(1, 3000), end))
        if rng.random() < 0.1:
            places = np.arange(begin, end)
        fill = rng.integers(0, 4)
        data[places] = 255 if fill == 0 else 0 if fill == 1 else rng.integers(0, 256, len(places), np.uint8)
    PATH.write_bytes(data)
    with HashSet.open(PATH, check=Check.TRUSTED) as known:
        codes = np.array(known.codes)
        index = known.open_index()
        assert index.engine == ENGINE
        queries = np.concatenate([bank[rng.integers(0, len(bank), 4)], codes[rng.integers(0, len(codes), 2)]])
        radius = radii[turn % len(radii)]
        many = index.search_many(queries, radius)
        for number, query in enumerate(queries):
            one = index.search(query.tobytes(), radius)
            asked = slice(*many.limits[number : number + 2])
            for indices, distances in (one[:2], (many.indices[asked], many.distances[asked])):
                assert ((indices >= 0) & (indices < len(codes))).all(), turn
                differing = np.unpackbits(codes[indices] ^ query, axis=1).sum(axis=1)
                assert (differing == distances).all(), turn
                assert (differing <= radius).all(), turn
                found += len(indices)
        del index, one, many, indices, distances
    done += 1
print(json.dumps([done, found]))
"""


@pytest.mark.parametrize(("algorithm", "engine"), [("pdq", "multi"), ("phash", "multi"), ("pdq", "compact")])
def test_random_damage_never_crashes_and_never_invents_a_match(algorithm, engine, tmp_path):
    """Whatever codes, offsets, sketches and ids say, what is reported is an entry within the radius as stored."""
    script = SCRIPT.format(algorithm=algorithm, engine=engine, rounds=400, path=str(tmp_path / "set"))
    done, found = json.loads(run_python(script))
    assert done == 400
    assert found > 1000


EXTREMES = """
import json
from pathlib import Path

import numpy as np

from scanner.errors import HashSetError
from scanner.hashset import Check, HashSet, HashSetBuilder
from scanner.index import CROSSOVER
from tests.index.test_engines import clustered

ALGORITHM, ENGINE, FILL, PATH = {algorithm!r}, {engine!r}, {fill}, Path({path!r})
bank = clustered(CROSSOVER, 8 if ALGORITHM == "phash" else 32, seed=1)
builder = HashSetBuilder("set", ALGORITHM)
builder.add_codes(bank, np.arange(len(bank), dtype=np.uint64))
builder.write(PATH, compact=ENGINE == "compact")
sound = np.frombuffer(PATH.read_bytes(), np.uint8)
with HashSet.open(PATH) as known:
    start = known.header.sections["tables"].offset
    _, _, _, _, offsets, sketches, ids, end = np.frombuffer(known.tables[:64].tobytes(), "<i8").tolist()
out = []
for pieces in ([(offsets, sketches)], [(ids, end)], [(offsets, sketches), (ids, end)]):
    data = sound.copy()
    for begin, stop in pieces:
        data[start + begin : start + stop] = FILL
    PATH.write_bytes(data)
    with HashSet.open(PATH, check=Check.TRUSTED) as known:
        index = known.open_index()
        assert index.engine == ENGINE
        for radius in (0, 8, 15, 31, 64):
            many = index.search_many(bank[:40], radius)
            owners = np.repeat(np.arange(40), np.diff(many.limits))
            differing = np.unpackbits(bank[many.indices] ^ bank[owners], axis=1).sum(axis=1)
            assert (differing == many.distances).all()
            assert (differing <= radius).all()
            for query in bank[:40]:
                one = index.search(query.tobytes(), radius)
                differing = np.unpackbits(bank[one.indices] ^ query, axis=1).sum(axis=1)
                assert (differing == one.distances).all()
                assert (differing <= radius).all()
        del index, many, one
    try:
        HashSet.open(PATH)
    except HashSetError:
        out.append("refused")
print(json.dumps(out))
"""


@pytest.mark.parametrize("fill", [0x00, 0xFF])
@pytest.mark.parametrize(("algorithm", "engine"), [("pdq", "multi"), ("phash", "multi"), ("pdq", "compact")])
def test_offsets_and_ids_of_all_zeros_or_ones_lead_nowhere(algorithm, engine, fill, tmp_path):
    """An offset or id beyond its table is cut to the last one; FULL still refuses the file."""
    script = EXTREMES.format(algorithm=algorithm, engine=engine, fill=fill, path=str(tmp_path / "set"))
    assert json.loads(run_python(script)) == ["refused"] * 3
