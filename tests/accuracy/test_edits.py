"""The ladder of benign edits: what every rung promises, and what single ones do to pixels."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from benchmarks.accuracy import alterations, compositions, edits, printing
from benchmarks.accuracy.alterations import as_rgb
from benchmarks.accuracy.edits import LADDER, LADDER_VERSION, ladder_digest, missing, rung_named
from scanner.errors import ArgumentError, UnknownNameError
from tests.conftest import encoded, run_python, smooth

USABLE = [rung for name, rung in LADDER.items() if name not in missing()]
CHANCE = [rung for rung in USABLE if rung.by_chance]
OTHERS = (Image.new("RGB", (30, 20), (0, 200, 0)), Image.new("L", (1, 1), 90), Image.new("RGBA", (9, 40)))


def named(rung):
    return rung.name


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.fixture(scope="module")
def picture(astronaut) -> Image.Image:
    """A photograph of 220 x 170."""
    with Image.open(astronaut) as opened:
        return opened.convert("RGB").crop((60, 0, 500, 340)).resize((220, 170))


@pytest.mark.parametrize("rung", USABLE, ids=named)
def test_a_rung_gives_another_picture_of_the_stated_size(rung, picture):
    """The result is RGB of size_after without metadata, differs from the picture, and the picture stays as it was."""
    before = picture.tobytes()
    marked = picture.copy()
    marked.info["comment"] = "private"
    edited = rung.apply(marked, 1, OTHERS)
    assert (edited.mode, edited.size, edited.info) == ("RGB", rung.size_after(picture.size), {})
    assert edited.size != picture.size or edited.tobytes() != before
    assert (marked.tobytes(), marked.info["comment"]) == (before, "private")
    assert as_rgb(edited) is edited


@pytest.mark.parametrize("rung", USABLE, ids=named)
def test_the_seed_alone_decides(rung, picture):
    """The same seed gives the same pixels; another one gives others where there is chance and the same where not."""
    results = [rung.apply(picture, seed, OTHERS).tobytes() for seed in (1, 1, 2, 3, 4, 5, 6)]
    assert results[0] == results[1]
    assert (len(set(results)) > 1) == rung.by_chance


def test_another_process_makes_the_same_pictures():
    """Neither the order of hashing strings nor what ran before reaches the pixels."""
    script = (
        "import hashlib, numpy as np; from PIL import Image; from benchmarks.accuracy.edits import LADDER\n"
        "from tests.conftest import smooth; image = Image.fromarray(smooth(60, 80)); whole = hashlib.sha256()\n"
        "for rung in reversed(LADDER.values()):\n"
        "    if rung.by_chance: whole.update(rung.apply(image, 9, [image]).tobytes())\n"
        "print(whole.hexdigest())"
    )
    image, whole = Image.fromarray(smooth(60, 80)), hashlib.sha256()
    for rung in reversed(CHANCE):
        whole.update(rung.apply(image, 9, [image]).tobytes())
    assert run_python(script, PYTHONHASHSEED="77").strip() == whole.hexdigest()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 2000), (2000, 3)], ids=str)
def test_no_size_is_too_odd(size, picture):
    """Every rung edits a single pixel, a line and a strip, and states the size that comes out."""
    odd = picture.resize(size)
    for rung in USABLE:
        assert rung.apply(odd, 2, OTHERS).size == rung.size_after(size), rung.name


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_is_first_made_rgb(mode, picture):
    """A picture of another mode gives what its RGB form gives."""
    small = picture.resize((44, 34))
    other = small.convert("L").convert("I;16") if mode == "I;16" else small.convert(mode)
    plain = as_rgb(other)
    assert plain.mode == "RGB"
    for rung in USABLE:
        assert rung.apply(other, 3, OTHERS).tobytes() == rung.apply(plain, 3, OTHERS).tobytes(), rung.name


def test_transparent_pixels_are_white_and_the_picture_upright():
    """Alpha is laid on white and EXIF's orientation obeyed before anything else happens."""
    assert as_rgb(Image.new("RGBA", (2, 2), (9, 9, 9, 0))).getpixel((0, 0)) == (255, 255, 255)
    upright = Image.fromarray(smooth(6, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif))) as stored:
        edited = rung_named("mirror-left-right").apply(stored, 0)
    assert edited.tobytes() == upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    assert not edited.getexif()


def test_the_ladder_holds_every_family():
    """The families are those that were asked for, eighty rungs and more, each under its own name."""
    wanted = "jpeg webp avif resize crop pad border rotate mirror blur noise gamma colour text watermark screenshot"
    wanted += " meme collage print-scan messenger"
    assert {rung.family for rung in LADDER.values()} == set(wanted.split())
    assert len(LADDER) >= 80
    assert all(name == rung.name and name.startswith(rung.family) for name, rung in LADDER.items())


def test_a_changed_ladder_has_another_version():
    """Whoever changes a rung's settings has to raise the version, and then this line."""
    assert (LADDER_VERSION, ladder_digest()) == (1, "aa3c6caf6c90bf3f9aafef60267050609cc19a82fb944691cfe09af5715c3d47")


def test_a_name_that_is_none_lists_those_that_are():
    """A typing mistake is told apart from a missing codec."""
    with pytest.raises(UnknownNameError, match="no edit named 'crop-99'; known: jpeg-q85, "):
        rung_named("crop-99")


def test_rungs_without_their_codec_are_named(monkeypatch):
    """A Pillow without WebP and AVIF says so for their rungs, and for no others."""
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert {LADDER[name].family for name in edits.missing()} == {"webp", "avif"}
    assert edits.missing()["webp-q75"] == "this Pillow was built without webp"


# python -c "from tests.accuracy.test_edits import *; print({name: digest_of(name) for name in DIGESTS})"
# Whole-number arithmetic and copies alone; what Pillow's codecs and filters make may differ by release.
DIGESTS = {
    "crop-all-10": "d746707014c40cff",
    "crop-left-10": "a1fb1a18daf29c12",
    "pad-white-left-right": "13ed5a8378fabc5c",
    "border-black-5": "8fc6384ce2d9c8cc",
    "rotate-90": "b40ec4c62ec1d883",
    "mirror-top-bottom": "7721501652e718bd",
    "gamma-0.7": "6a2a982bebee969c",
    "colour-contrast-1.3": "7d04ad35be5702b8",
    "colour-warm": "8d013a6080981ae9",
}


def digest_of(name: str) -> str:
    return hashlib.sha256(LADDER[name].apply(Image.fromarray(smooth(48, 64)), 1).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", DIGESTS)
def test_pixels_are_those_of_the_first_release(name):
    """What a rung of this version does to pixels is what it did when it was made."""
    assert digest_of(name) == DIGESTS[name]


@pytest.mark.parametrize(("longest", "quality"), [(1600, 85), (1600, 75), (1280, 80), (1280, 75)])
def test_a_messenger_resizes_and_saves(longest, quality, picture):
    """The pipeline is Lanczos to the longest side, JPEG with halved colour, and nothing that the file had besides."""
    large = picture.resize((1760, 1360))
    small = large.resize((longest, round(1360 * longest / 1760)), Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(encoded(small, "JPEG", quality=quality, subsampling="4:2:0"))) as by_hand:
        assert rung_named(f"messenger-{longest}-q{quality}").apply(large, 0).tobytes() == by_hand.tobytes()
    with Image.open(io.BytesIO(encoded(picture, "JPEG", quality=quality, subsampling="4:2:0"))) as by_hand:
        assert rung_named(f"messenger-{longest}-q{quality}").apply(picture, 0).tobytes() == by_hand.tobytes()


@pytest.mark.parametrize("rung", [rung for rung in USABLE if rung.change is alterations.reencode], ids=named)
def test_re_encoding_is_saving_and_opening(rung, picture):
    """A rung of a format gives what Pillow reads back from the file it writes."""
    options = dict(rung.settings)
    with Image.open(io.BytesIO(encoded(picture, options.pop("kind"), **options))) as by_hand:
        assert rung.apply(picture, 0).tobytes() == by_hand.convert("RGB").tobytes()


def test_pictures_too_long_for_an_encoder_are_shrunk():
    """A WebP holds 16,383 pixels a side; a longer picture comes out at that length."""
    long = Image.new("RGB", (17000, 8), "red")
    assert rung_named("webp-q75").apply(long, 0).size == (16383, 8) == rung_named("webp-q75").size_after(long.size)
    assert rung_named("jpeg-q75").size_after((131000, 10)) == (65500, 5)


@pytest.mark.parametrize(
    "names",
    [
        ("jpeg-q85", "jpeg-q75", "jpeg-q50", "jpeg-q30", "jpeg-q15"),
        ("webp-q75", "webp-q50", "webp-q25"),
        ("avif-q60", "avif-q30"),
        ("blur-0.25", "blur-0.5", "blur-1"),
        ("noise-4", "noise-8", "noise-16", "noise-32"),
        ("gamma-0.7", "gamma-0.5"),
        ("gamma-1.4", "gamma-2"),
        ("rotate-1", "rotate-2", "rotate-5"),
        ("text-1x5", "text-1x10", "text-3x10"),
        ("watermark-tiled-0.15", "watermark-tiled-0.35"),
        ("print-scan-fine", "print-scan-office", "print-scan-coarse"),
    ],
    ids=lambda names: names[0],
)
def test_a_higher_rung_changes_more(names, picture):
    """Along a series the mean difference from the picture grows."""
    moved = [np.abs(pixels(rung_named(name).apply(picture, 4)) - pixels(picture)).mean() for name in names]
    assert moved == sorted(moved)
    assert moved[0] > 0


SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))
SHARES = st.floats(0, 1)


@given(size=SIZES, left=SHARES, top=SHARES, right=SHARES, bottom=SHARES)
def test_a_crop_leaves_a_pixel(size, left, top, right, bottom):
    """Whatever is cut off, what is left is part of the picture and not empty."""
    shares = {"left": left, "top": top, "right": right, "bottom": bottom}
    width, height = alterations.crop_size(size, **shares)
    assert 1 <= width <= size[0]
    assert 1 <= height <= size[1]
    assert alterations.crop(Image.new("RGB", size), **shares).size == (width, height)


def test_a_crop_keeps_the_rest(picture):
    """Ten per cent off one side leaves the other pixels as they were."""
    whole = pixels(picture)
    kept = {"left": whole[:, 22:], "right": whole[:, :198], "top": whole[17:], "bottom": whole[:153]}
    for side, rest in kept.items():
        assert np.array_equal(pixels(rung_named(f"crop-{side}-10").apply(picture, 0)), rest)


@given(size=st.tuples(st.integers(60, 300), st.integers(60, 300)), degrees=st.sampled_from((-2.0, 5.0, -10.0)))
def test_straightening_leaves_no_corner(size, degrees):
    """White stays white to the edge, where the turn alone shows black corners."""
    white = Image.new("RGB", size, "white")
    assert alterations.straighten(white, degrees=degrees).getextrema() == ((255, 255),) * 3
    assert alterations.tilt(white, degrees=degrees).getextrema()[0][0] == 0


@pytest.mark.parametrize("coloured", [False, True])
def test_noise_is_the_generators(coloured):
    """Added in strips, the noise is that of one draw for the whole picture, of the stated sigma."""
    grey = Image.new("RGB", (50, 700), (120, 120, 120))
    given_noise = alterations.noise(grey, rng=np.random.default_rng(5), sigma=8, coloured=coloured)
    drawn = np.random.default_rng(5).standard_normal((700, 50, 3 if coloured else 1), np.float32) * np.float32(8)
    assert np.array_equal(pixels(given_noise), np.rint(120 + drawn).clip(0, 255) * np.ones(3))
    assert 7.8 < pixels(given_noise).std() < 8.2


def test_grey_is_the_luma(picture):
    """Saturation nought is Pillow's own grey, within a level."""
    grey = pixels(rung_named("colour-saturation-0").apply(picture, 0))
    assert np.abs(grey - pixels(picture.convert("L"))[:, :, None]).max() <= 1


def test_frames_and_strips_leave_the_picture_whole(picture):
    """Within its border, its bars, its caption and below its status bar the picture is unchanged."""
    places = {
        "border-black-10": (17, 17),
        "pad-black-above-below": (0, 29),
        "pad-white-left-right": (38, 0),
        "pad-blurred-above-below": (0, 67),
        "meme-25-0": (0, 42),
        "meme-15-15": (0, 26),
    }
    for name, (x, y) in places.items():
        box = (x, y, x + picture.width, y + picture.height)
        assert rung_named(name).apply(picture, 1).crop(box).tobytes() == picture.tobytes(), name
    shot = rung_named("screenshot-trimmed").apply(picture, 1)
    assert shot.size == (1080, 90 + 835)
    shown = picture.resize((1080, 835), Image.Resampling.LANCZOS)
    assert shot.crop((0, 90, 1080, 925)).tobytes() == shown.tobytes()
    viewer = rung_named("screenshot-viewer").apply(picture, 1)
    assert viewer.crop((0, 797, 1080, 797 + 835)).tobytes() == shown.tobytes()


def test_a_collage_shows_the_picture_once_beside_the_others(picture):
    """One field holds the picture, the rest the other; without another picture there is no collage."""
    rung = rung_named("collage-2x2")
    green = [Image.new("RGB", (30, 20), (0, 255, 0))]
    fields = [pixels(rung.apply(picture, seed, green).crop((x, y, x + 90, y + 65)))
              for seed in range(8) for x in (10, 120) for y in (10, 95)]  # fmt: skip
    own = [not np.array_equal(np.unique(field.reshape(-1, 3), axis=0), [[0, 255, 0]]) for field in fields]
    assert [sum(own[start : start + 4]) for start in range(0, 32, 4)] == [1] * 8
    assert len({tuple(own[start : start + 4]) for start in range(0, 32, 4)}) > 1
    for needy in (rung for rung in USABLE if rung.needs_others):
        with pytest.raises(ArgumentError, match="give at least one"):
            needy.apply(picture, 0)


@pytest.mark.parametrize("level", [40, 128, 215])
def test_the_halftone_keeps_the_tone(level):
    """The share of ink in a cell is the tone that was wanted, at every angle of the screen."""
    flat = Image.new("RGB", (300, 300), (level,) * 3)
    printed = printing.print_and_scan(flat, rng=np.random.default_rng(1), skew=0, cell=0.03, gain=1, grain=0)
    light = 255 * (printing.INK + (printing.PAPER - printing.INK) * level / 255)
    for channel, paper in zip(pixels(printed).reshape(-1, 3).mean(0), (1, 0.995, 0.97), strict=True):
        assert channel == pytest.approx(light * paper, abs=2)


def test_words_too_small_to_write_are_left_out():
    """A strip without a pixel of height for letters stays empty and is no error."""
    flat = Image.new("RGB", (3, 4), "grey")
    memed = compositions.meme(flat, rng=np.random.default_rng(0), above=0.5, below=0)
    assert memed.crop((0, 0, 3, 2)).getcolors() == [(6, (255, 255, 255))]


def test_more_saturation_moves_away_from_grey(picture):
    """Each channel ends half as far again from the pixel's luma, within a level of rounding."""
    before = pixels(picture)
    luma = (before @ (0.299, 0.587, 0.114))[:, :, None]
    wanted = (luma + 1.5 * (before - luma)).clip(0, 255)
    assert np.abs(pixels(rung_named("colour-saturation-1.5").apply(picture, 0)) - wanted).max() <= 1


def test_a_large_collage_shows_several_others(picture):
    """Where there are more fields than other pictures, each of them is shown."""
    tones = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    shown = rung_named("collage-3x3").apply(picture, 1, [Image.new("RGB", (5, 5), tone) for tone in tones])
    assert {tone for _, tone in shown.getcolors(1 << 16)} >= set(tones)


def test_a_sheet_lies_a_little_askew():
    """Some corner of the sheet shows the ground beyond the print; without skew none does."""
    dark = Image.new("RGB", (200, 150), (60, 60, 60))
    settings = {"cell": 0.03, "gain": 1, "grain": 0}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        assert pixels(printing.print_and_scan(dark, rng=rng, skew=0.04, **settings))[..., 0].max() > 200
        assert pixels(printing.print_and_scan(dark, rng=rng, skew=0.0, **settings))[..., 0].max() < 150


@pytest.mark.parametrize(("name", "opacity"), [("watermark-tiled-0.15", 0.15), ("watermark-tiled-0.35", 0.35),
                                               ("watermark-corner", 0.6)])  # fmt: skip
def test_a_watermark_is_as_light_as_stated(name, opacity):
    """White laid on black at its opacity, a part of the picture and not all of it."""
    marked = pixels(rung_named(name).apply(Image.new("RGB", (400, 300)), 1))
    assert marked.max() == pytest.approx(255 * opacity, abs=2)
    assert 0.002 < (marked[..., 0] > 0).mean() < 0.4


def test_a_caption_is_a_band_at_any_height():
    """The letters' rows fill at most a tenth of the picture, at another height for another seed."""
    tops = set()
    for seed in range(6):
        lit = np.flatnonzero(pixels(rung_named("text-1x10").apply(Image.new("RGB", (300, 400)), seed)).any((1, 2)))
        assert 8 <= lit[-1] - lit[0] < 40
        tops.add(int(lit[0]))
    assert len(tops) > 3


def test_rungs_draw_their_own_chance():
    """With one seed two rungs of noise add grain that has nothing in common."""
    grey = Image.new("RGB", (100, 100), (128, 128, 128))
    grains = [pixels(rung_named(name).apply(grey, 1))[..., 0].ravel() for name in ("noise-8", "noise-16")]
    assert abs(np.corrcoef(*grains)[0, 1]) < 0.05
