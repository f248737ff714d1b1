"""Media is read once and bounded, from bytes, a path or a binary file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.errors import MediaError, MediaFault
from scanner.media import Limits, decode, read_source
from tests.conftest import encoded, smooth

PIXELS = smooth(12, 20)
FILE = encoded(Image.fromarray(PIXELS), "PNG")


@pytest.fixture
def path(tmp_path) -> Path:
    """A picture on disk."""
    path = tmp_path / "pictüre.png"
    path.write_bytes(FILE)
    return path


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_in_any_wrapping_are_decoded(wrap):
    """Bytes, bytearray, memoryview and files in memory give the same picture."""
    np.testing.assert_array_equal(decode(wrap(FILE)).pixels, PIXELS)


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_are_decoded(path, kind):
    """A path is a path whether str or Path."""
    np.testing.assert_array_equal(decode(kind(path)).pixels, PIXELS)


def test_an_open_binary_file_is_read_from_where_it_stands(path):
    """What the caller has read already is not read again."""
    path.write_bytes(b"prefix" + FILE)
    with path.open("rb") as file:
        file.seek(6)
        np.testing.assert_array_equal(decode(file).pixels, PIXELS)


def test_a_file_open_as_text_is_refused(path):
    """Text is not media, and the message says what to do."""
    path.write_text("text")
    with path.open() as file, pytest.raises(MediaError, match="'rb'") as raised:
        decode(file)
    assert raised.value.fault is MediaFault.UNREADABLE


@pytest.mark.parametrize("place", ["missing.png", "", "a\0b"])
def test_paths_that_cannot_be_read_are_unreadable(tmp_path, place):
    """A missing file, a folder and an impossible name are all the one fault."""
    with pytest.raises(MediaError, match="can't read") as raised:
        decode(f"{tmp_path}/{place}")
    assert raised.value.fault is MediaFault.UNREADABLE


def test_a_closed_file_is_unreadable(path):
    """Using a file after closing it is told, not raised as Python's own error."""
    file = path.open("rb")
    file.close()
    with pytest.raises(MediaError) as raised:
        decode(file)
    assert raised.value.fault is MediaFault.UNREADABLE


def test_the_byte_limit_is_inclusive(path):
    """A file of exactly the limit passes, one byte more does not, whatever the source."""
    for source in (FILE, path, str(path)):
        assert read_source(source, len(FILE)) == FILE
        with pytest.raises(MediaError, match="larger than the limit") as raised:
            decode(source, limits=Limits(max_bytes=len(FILE) - 1))
        assert raised.value.fault is MediaFault.TOO_LARGE


def test_no_more_than_one_byte_beyond_the_limit_is_read():
    """A file without end costs no more memory than the limit."""
    file = io.BytesIO(bytes(1000))
    with pytest.raises(MediaError):
        read_source(file, 100)
    assert file.tell() == 101


def test_decoding_leaves_the_callers_bytes_alone():
    """The bytes that will be encrypted are those that were scanned."""
    data = bytearray(FILE)
    picture = decode(data)
    assert data == FILE
    data[:] = bytes(len(data))
    np.testing.assert_array_equal(picture.pixels, PIXELS)
