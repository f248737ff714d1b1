"""``scanner hash``."""

from __future__ import annotations

import json

import numpy as np
import pdqhash
import pytest
from PIL import Image

from tests.cli.conftest import picture


def test_a_line_is_hash_quality_and_file(run, tmp_path):
    """The hash is the one pdqhash gives, in hexadecimal."""
    path = picture(tmp_path / "a.png", 1)
    vector, quality = pdqhash.compute(np.asarray(Image.open(path)))
    ran = run("hash", path)
    assert (ran.code, ran.out.split()) == (0, [np.packbits(vector).tobytes().hex(), str(quality), str(path)])


def test_json_is_one_object_a_line(run, pictures):
    """Each line parses on its own."""
    files = sorted(pictures.iterdir())
    lines = [json.loads(line) for line in run("hash", "--json", *files).out.splitlines()]
    assert [line["file"] for line in lines] == [str(file) for file in files]
    assert all(len(line["hash"]) == 64 and line["algorithm"] == "pdq" for line in lines)


def test_a_bad_file_does_not_stop_the_others(run, tmp_path):
    """What can be hashed is; the exit code tells that something could not."""
    bad, good = tmp_path / "bad.jpg", picture(tmp_path / "good.png", 1)
    bad.write_bytes(b"not a picture")
    ran = run("hash", bad, good)
    assert ran.code == 2
    assert ran.out.endswith(f"{good}\n")
    assert ran.err.count("\n") == 1
    assert str(bad) in ran.err


@pytest.mark.parametrize("algorithm", ["pdq", "pdq-512", "phash", "dhash", "whash"])
def test_every_algorithm_has_its_length(run, tmp_path, algorithm):
    """256 bits for PDQ, 64 for imagehash's."""
    ran = run("hash", "--algorithm", algorithm, picture(tmp_path / "a.png", 1))
    assert len(ran.out.split()[0]) == (64 if algorithm.startswith("pdq") else 16)


def test_an_unknown_algorithm_is_named_with_the_known_ones(run, tmp_path):
    """One line says what was wrong and what there is."""
    ran = run("hash", "--algorithm", "md5", picture(tmp_path / "a.png", 1))
    assert ran.code == 2
    assert ran.err == "scanner: no algorithm named 'md5'; known: pdq, pdq-512, phash, dhash, whash\n"


def test_a_missing_file_is_one_line(run, tmp_path):
    """No traceback for a typing mistake."""
    ran = run("hash", tmp_path / "nowhere.jpg")
    assert ran.code == 2
    assert "No such file" in ran.err
    assert ran.err.count("\n") == 1
