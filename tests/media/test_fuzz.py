"""A slice of benchmarks.fuzz: damaged pictures of every format give frames or MediaError."""

from __future__ import annotations

import contextlib
import warnings

import pytest

from benchmarks.fuzz import MAX_SECONDS, run_one, warm_up
from benchmarks.fuzz_inputs import fields, mend_checksums, one_input, sound_files
from scanner.errors import MediaError
from scanner.hashing import hash_media
from scanner.media import Accuracy

INPUTS = 2000
SLICES = 8


@pytest.fixture(scope="module")
def files() -> dict[str, list[bytes]]:
    """Sound files of every format, each hashed once."""
    found = sound_files()
    warm_up(found)
    return found


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("strict", [True, False], ids=["warnings raise", "warnings pass"])
def test_damaged_files_give_frames_or_media_error(files, part, strict):
    """Whether or not a decoder's warnings are errors, nothing else is raised, and soon."""
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        runs = [run_one(files, 2, number) for number in range(part, INPUTS, 2 * SLICES)]
    assert [run for run in runs if run.violation] == []
    assert max(run.seconds for run in runs) < 5 * MAX_SECONDS


def test_the_sound_files_are_sound(files):
    """Whatever is refused above was damaged, and fields were found to damage it by."""
    for found in files.values():
        for data in found:
            assert hash_media(data, accuracy=Accuracy.FAST).complete
            assert fields(data)


def test_an_input_is_known_by_its_number(files):
    """A violation can be made again."""
    assert one_input(files, 3, 77) == one_input(files, 3, 77) != one_input(files, 4, 77)


def test_checksums_of_a_sound_png_are_right_already(files):
    """Mending them changes nothing."""
    for data in files["PNG"]:
        mended = bytearray(data)
        mend_checksums(mended)
        assert mended == data


def test_a_picture_that_goes_for_a_video_gives_frames_or_media_error(files):
    """A brand that no picture has sends an AVIF to the video decoder, which finds tags there that it does not know."""
    for name in ("AVIF", "HEIC"):
        for data in files[name]:
            changed = bytearray(data)
            changed[8] = 0x80
            with contextlib.suppress(MediaError):
                assert hash_media(bytes(changed), accuracy=Accuracy.FAST).frames
