"""Media is read once, whole or not at all, and a file asked for no more than it has."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import MediaError, MediaFault
from scanner.integrations.reading import read


class Asked(io.BytesIO):
    """A file that notes how many bytes it is asked for, gives a few at a time, and may grow."""

    def __init__(self, data, most=1 << 30, grows=b""):
        super().__init__(data)
        self.sizes, self._most, self._grows = [], most, grows

    def read(self, size=-1):
        self.sizes.append(size)
        given_ = super().read(min(size, self._most))
        if self._grows:
            at, grown, self._grows = self.tell(), self._grows, b""
            self.seek(0, 2)
            self.write(grown)
            self.seek(at)
        return given_


@given(data=st.binary(max_size=200), at=st.integers(0, 250), limit=st.integers(0, 250), most=st.integers(1, 250))
def test_all_of_it_or_nothing(data, at, limit, most):
    """From where it stands to its end if that is within the limit; else the file stands where it stood."""
    file = Asked(data, most)
    file.seek(at)
    got = read(file, limit)
    if len(data[at:]) <= limit:
        assert got == data[at:]
    else:
        assert got.fault is MediaFault.TOO_LARGE
        assert file.tell() == at


def test_a_file_is_asked_for_no_more_than_it_has():
    """The limit sets no memory aside."""
    file = Asked(bytes(1000))
    assert read(file, 1 << 40) == bytes(1000)
    assert file.sizes[0] == 1001
    assert max(file.sizes) <= 1 << 20


@pytest.mark.parametrize(("limit", "whole"), [(30, True), (15, False)])
def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(limit, whole):
    """What is handed back is never the beginning alone."""
    got = read(Asked(bytes(10), grows=bytes(10)), limit)
    assert got == bytes(20) if whole else got.fault is MediaFault.TOO_LARGE


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_held_to_the_limit_too(kind):
    """As files are."""
    assert read(kind(b"abc"), 3) == b"abc"
    assert read(kind(b"abc"), 2).fault is MediaFault.TOO_LARGE


def test_what_cannot_be_read_says_why(tmp_path):
    """A file that is missing, closed, a folder, or open for text is unreadable; nothing is raised."""
    closed, text = io.BytesIO(b""), tmp_path / "text"
    closed.close()
    text.write_text("text", "utf-8")
    with text.open(encoding="utf-8") as opened:
        for source in (tmp_path / "none", closed, tmp_path, opened):
            got = read(source, 100)
            assert isinstance(got, MediaError)
            assert got.fault is MediaFault.UNREADABLE
