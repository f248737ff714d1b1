"""Of several frames the first is the picture; the others are given when they differ from the one before."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from scanner.errors import MediaError, MediaFault
from scanner.media import Accuracy, Frame, Limits, Media, Scale, decode, formats
from tests.conftest import encoded, smooth

formats.available()
FIRST = smooth(24, 33)
SECOND = 255 - FIRST
THIRD = np.ascontiguousarray(FIRST[::-1])

ANIMATED = [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("GIF", {}),
    ("AVIF", {"quality": 95}),
]
MOVING = [case for case in ANIMATED if case[0] != "TIFF"]


def animation(kind: str, *pixels: np.ndarray, **options: object) -> bytes:
    """A file of several frames."""
    first, *others = map(Image.fromarray, pixels)
    return encoded(first, kind, save_all=True, append_images=others, **options)


def all_of(data: bytes, **options: object) -> tuple[Media, list[Frame]]:
    """Media, and all of its frames."""
    media = Media(data, **options)
    return media, list(media.frames())


def assert_shows(frame: Frame, pixels: np.ndarray) -> None:
    """A frame is a picture, within what a codec or a palette loses."""
    assert np.abs(frame.picture.pixels.astype(int) - pixels).mean() < 10


@pytest.mark.parametrize(("kind", "options"), ANIMATED)
def test_the_first_frame_of_many_is_taken(kind, options):
    """To decode a picture of several frames is to decode its first."""
    alone = encoded(Image.fromarray(FIRST), kind, **options)
    both = animation(kind, FIRST, SECOND, **options)
    with Image.open(io.BytesIO(both)) as image:
        assert image.n_frames == 2
    picture = decode(both)
    assert (picture.width, picture.height) == (33, 24)
    assert np.abs(picture.pixels.astype(int) - decode(alone).pixels).mean() < 4


@pytest.mark.parametrize("accuracy", Accuracy)
def test_the_first_picture_of_a_multi_picture_jpeg_is_taken(accuracy):
    """Telephones append a depth map or a second view; the picture itself comes first, and is the only frame."""
    first, second = Image.fromarray(FIRST), Image.fromarray(SECOND)
    both = encoded(first, "MPO", save_all=True, append_images=[second], quality=90)
    alone = encoded(first, "JPEG", quality=90)
    media, (frame,) = all_of(both, accuracy=accuracy)
    np.testing.assert_array_equal(frame.picture.pixels, decode(alone, accuracy=accuracy).pixels)
    assert (media.moving, media.complete) == (False, True)


@pytest.mark.parametrize(("kind", "options"), MOVING)
def test_every_frame_of_an_animation_is_given_with_its_time(kind, options):
    """A frame's time is when the ones before it have been shown."""
    media, frames = all_of(animation(kind, FIRST, SECOND, THIRD, duration=[40, 200, 80], **options))
    assert [round(frame.seconds, 3) for frame in frames] == [0, 0.04, 0.24]
    for frame, pixels in zip(frames, (FIRST, SECOND, THIRD), strict=True):
        assert_shows(frame, pixels)
    assert (media.moving, media.complete) == (True, True)


def test_every_page_of_a_tiff_is_given():
    """Pages may differ in size; none has a time."""
    wide = smooth(20, 60)
    media, frames = all_of(animation("TIFF", FIRST, wide, SECOND))
    for frame, pixels in zip(frames, (FIRST, wide, SECOND), strict=True):
        np.testing.assert_array_equal(frame.picture.pixels, pixels)
        assert frame.seconds == 0
    assert (media.moving, media.complete) == (False, True)


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_every_picture_of_a_heic_is_given_the_primary_one_first(primary):
    """A HEIC file may hold several pictures, of which any may be the one that is shown first."""
    pictures = [FIRST, SECOND, THIRD]
    data = animation("HEIF", *pictures, quality=95, primary_index=primary)
    media, frames = all_of(data)
    expected = [pictures[primary], *(pixels for number, pixels in enumerate(pictures) if number != primary)]
    for frame, pixels in zip(frames, expected, strict=True):
        assert_shows(frame, pixels)
    assert (media.moving, media.complete) == (False, True)


@pytest.mark.parametrize(
    ("kind", "options"), [("WEBP", {"lossless": True, "kmin": 0, "kmax": 1, "allow_mixed": False}), ("TIFF", {})]
)
def test_a_frame_equal_to_the_one_before_is_passed_over(kind, options):
    """A still stretch is one frame; what comes again later is given again."""
    almost = FIRST.copy()
    almost[0, 0, 0] ^= 1
    media, frames = all_of(animation(kind, FIRST, FIRST, almost, almost, SECOND, SECOND, FIRST, **options))
    shown = [frame.picture.pixels for frame in frames]
    for given, pixels in zip(shown, (FIRST, almost, SECOND, FIRST), strict=True):
        np.testing.assert_array_equal(given, pixels)
    assert media.complete


@pytest.mark.parametrize(("kind", "options"), ANIMATED)
@pytest.mark.parametrize(
    ("limits", "given", "complete"),
    [
        (Limits(max_frames=1), 1, False),
        (Limits(max_frames=2), 2, False),
        (Limits(max_frames=3), 3, True),
        (Limits(max_total_pixels=1), 1, False),
        (Limits(max_total_pixels=3 * 24 * 33 - 1), 2, False),
        (Limits(max_total_pixels=3 * 24 * 33), 3, True),
    ],
)
def test_frames_beyond_a_limit_are_left_out_and_told(kind, options, limits, given, complete):
    """The first frame is always given; a limit that is just kept leaves nothing out."""
    media, frames = all_of(animation(kind, FIRST, SECOND, THIRD, **options), limits=limits)
    assert (len(frames), media.complete) == (given, complete)


def test_a_page_that_is_too_large_ends_the_pages():
    """A later page counts as damage does: what came before it is kept."""
    media, frames = all_of(animation("TIFF", FIRST, smooth(60, 60), SECOND), limits=Limits(max_pixels=24 * 33))
    assert (len(frames), media.complete) == (1, False)


@pytest.mark.parametrize(("kind", "options"), [*ANIMATED, ("HEIF", {})])
def test_damage_after_the_first_frame_keeps_what_came_before(kind, options):
    """The recipient's screen shows as much."""
    noise = np.random.default_rng(1).integers(0, 256, (3, 60, 60, 3), np.uint8)
    data = bytearray(animation(kind, *noise, **options))
    sound = [frame.picture.pixels for frame in all_of(bytes(data))[1]]
    if kind == "TIFF":
        data = data[: int(len(data) * 0.9)]
    else:
        at = int(len(data) * 0.55)
        data[at : at + 2000] = bytes(2000)
    media, frames = all_of(bytes(data))
    assert 1 <= len(frames) <= 3
    np.testing.assert_array_equal(frames[0].picture.pixels, sound[0])
    if kind in {"PNG", "TIFF"}:  # the others show something in place of damage
        assert not media.complete


@pytest.mark.parametrize(("kind", "options"), ANIMATED)
def test_damage_in_the_first_frame_is_an_error(kind, options):
    """Without a first frame there is no picture."""
    data = animation(kind, FIRST, SECOND, **options)
    with pytest.raises(MediaError) as raised:
        all_of(data[: len(data) // 8])
    assert raised.value.fault in {MediaFault.DAMAGED, MediaFault.NOT_A_PICTURE}


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_fast_frames_are_scaled_and_say_how(kind, orientation):
    """The scale is that of the upright picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"save_all": True, "append_images": [Image.new("RGB", (64, 64))]} if kind == "MPO" else {}
    data = encoded(Image.fromarray(smooth(1101, 2203)), kind, exif=exif, **more)
    _, (frame,) = all_of(data, accuracy=Accuracy.FAST)
    height, width = (2203, 1101) if orientation == 6 else (1101, 2203)
    before = {1: (0, 0), 3: (1, 1), 6: (0, 1)}[orientation]
    assert frame.picture.scale == Scale(height, width, 2, before)
    assert frame.picture.pixels.shape == (-(-height // 2), -(-width // 2))
    assert (frame.picture.height, frame.picture.width) == (height, width)
