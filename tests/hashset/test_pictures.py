"""A folder of pictures as entries."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.errors import StorageError
from scanner.hashing import HASHERS, hash_picture
from scanner.hashset import Entry, find_files, read_pictures
from tests.conftest import png


@pytest.fixture
def folder(tmp_path, astronaut) -> Path:
    """Pictures, a flat one among them, other files, hidden ones, and a folder below."""
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    shutil.copy(astronaut, folder / "b.png")
    shutil.copy(astronaut, folder / "below" / "ä.png")
    shutil.copy(astronaut, folder / ".hidden" / "c.png")
    shutil.copy(astronaut, folder / ".c.png")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "a.gif")
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty.jpg").touch()
    (folder / "bomb.png").write_bytes(png(50_000, 50_000, 8, 2, b""))
    (folder / "cut.png").write_bytes(astronaut.read_bytes()[:5000])
    (folder / "link.png").symlink_to("missing.png")
    return folder


def test_files_are_found_in_order_without_hidden_ones(folder):
    """Every regular file once, by path; hidden files and folders and dangling links are left out."""
    found = [path.relative_to(folder).as_posix() for path in find_files(folder)]
    assert found == ["a.gif", "b.png", "below/ä.png", "bomb.png", "cut.png", "empty.jpg", "notes.txt"]


def test_an_empty_folder_has_no_files(tmp_path):
    """Nothing is found, and nothing raised."""
    assert find_files(tmp_path) == []
    assert list(read_pictures([], tmp_path, "pdq", lambda _: None)) == []


def test_a_missing_folder_is_a_storage_error(tmp_path):
    """A mistyped name is told, not taken for an empty folder."""
    with pytest.raises(StorageError, match="can't read the folder"):
        find_files(tmp_path / "missing")


@pytest.mark.parametrize("algorithm", HASHERS)
def test_pictures_are_hashed_and_other_files_counted(folder, algorithm, astronaut):
    """One answer a file: an entry labelled with its path, or nothing and the reason."""
    refused: Counter[str] = Counter()
    entries = list(read_pictures(find_files(folder), folder, algorithm, lambda reason: refused.update([reason])))
    known, quality = hash_picture(astronaut, algorithm)
    flat, _ = hash_picture(folder / "a.gif", algorithm)
    assert entries == [
        [Entry(flat, "a.gif", None, 0)],
        [Entry(known, "b.png", None, quality)],
        [Entry(known, "below/ä.png", None, quality)],
        [],
        [],
        [],
        [],
    ]
    assert refused == {"too-large": 1, "damaged": 1, "not-a-picture": 2}


def test_files_removed_in_the_meantime_are_counted(folder):
    """A file that is gone when its turn comes is unreadable, and the others are read."""
    files = find_files(folder)[:2]
    files[0].unlink()
    refused: Counter[str] = Counter()
    entries = list(read_pictures(files, folder, "pdq", lambda reason: refused.update([reason])))
    assert [len(each) for each in entries] == [0, 1]
    assert refused == {"unreadable": 1}
