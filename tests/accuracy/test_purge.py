"""Near-duplicates: copies are found at every turn, what differs stays, and nothing depends on order or workers."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.accuracy import likeness
from benchmarks.accuracy.corpora import folder_corpus
from benchmarks.accuracy.likeness import TURNS, print_of, similarities, turned
from benchmarks.accuracy.manifest import Manifest, Role
from benchmarks.accuracy.purge import (
    DHASH_RADIUS,
    LEAST_AGREED_SIMILARITY,
    LEAST_SIMILARITY,
    PDQ_RADIUS,
    candidates,
    purge,
    united,
)
from scanner import hash_pixels
from scanner.errors import ArgumentError
from scanner.hashing import pdq_dihedral

DIFFERENT = ("astronaut", "coffee", "chelsea", "rocket", "camera")


@pytest.fixture(scope="module")
def different(photographs):
    """Photographs that show different things, by name, about 300 pixels wide."""
    found = {}
    for path in photographs:
        if path.stem in DIFFERENT:
            with Image.open(path) as image:
                found[path.stem] = ImageOps.contain(image.convert("RGB"), (320, 320))
    assert len(found) >= 4
    return found


def copies(image: Image.Image) -> dict[str, Image.Image]:
    """What is still the same picture."""
    width, height = image.size
    return {
        "small": image.resize((width // 2, height // 2)),
        "mirrored": ImageOps.mirror(image),
        "turned": image.transpose(Image.Transpose.ROTATE_90),
        "upside": ImageOps.flip(image),
        "grey": image.convert("L"),
        "bright": ImageEnhance.Brightness(image).enhance(1.1),
        "dark": ImageEnhance.Brightness(image).enhance(0.5),
        "faint": ImageEnhance.Contrast(image).enhance(0.4),
        "cropped": image.crop((width // 100, height // 100, width - width // 100, height - height // 100)),
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, different):
    """A folder of different photographs, and of one of them many copies; gives the folder and its list."""
    root = tmp_path_factory.mktemp("pictures")
    for name, image in different.items():
        image.save(root / f"{name}.png")
    for name, image in copies(different["astronaut"]).items():
        image.save(root / f"astronaut-{name}.png")
    different["astronaut"].save(root / "astronaut-jpeg.jpg", quality=40)
    return root, folder_corpus(root).manifest


def test_one_of_each_group_stays(corpus, different):
    """Every copy is purged, the largest stays, and what shows something else stays too."""
    root, manifest = corpus
    purged = purge(manifest, root)
    assert {path.partition(".")[0] for path in purged.manifest.paths} - {"astronaut-jpeg"} <= set(different) | {
        f"astronaut-{name}" for name in copies(different["astronaut"])
    }
    assert len(purged.manifest.pictures) == len(different)
    (group,) = purged.groups
    assert len(group) == 2 + len(copies(different["astronaut"]))
    assert group[0] in {picture.sha256 for picture in purged.manifest.pictures}
    sizes = {picture.sha256: picture.width * picture.height for picture in manifest.pictures}
    assert sizes[group[0]] == max(sizes[member] for member in group)
    for pair in (*purged.confirmed, *purged.nearest):
        agreed = pair.dhash <= DHASH_RADIUS and pair.pdq <= PDQ_RADIUS
        least = LEAST_AGREED_SIMILARITY if agreed else LEAST_SIMILARITY
        assert (pair.similarity >= least) == (pair in purged.confirmed)
        assert pair.dhash <= DHASH_RADIUS or pair.pdq <= PDQ_RADIUS
    assert purge(purged.manifest, root).manifest == purged.manifest


def test_the_result_depends_on_neither_order_nor_workers(corpus):
    """Shuffled pictures and several workers give the same list, groups and pairs."""
    root, manifest = corpus
    shuffled = list(manifest.pictures)
    random.Random(1).shuffle(shuffled)
    with ThreadPoolExecutor(3) as executor:
        assert purge(Manifest.of(shuffled), root, executor=executor) == purge(manifest, root)


def test_the_purge_is_written_down(corpus, tmp_path):
    """The file tells the rule, both digests, each group, each pair with its distances, and is the same each time."""
    root, manifest = corpus
    purged = purge(manifest, root, nearest=3)
    path = tmp_path / "purged.jsonl"
    purged.write(path)
    header, *lines = map(json.loads, path.read_text().splitlines())
    assert header["before"] == manifest.digest
    assert header["after"] == purged.manifest.digest
    assert header["least_similarity"] == LEAST_SIMILARITY
    assert [line["kept"] for line in lines if "kept" in line] == [group[0] for group in purged.groups]
    pairs = [line["confirmed"] for line in lines if "confirmed" in line]
    assert len(pairs) == len(purged.confirmed)
    assert set(pairs[0]) == {"first", "second", "dhash", "pdq", "turn", "similarity"}
    again = path.read_bytes()
    purge(manifest, root, nearest=3).write(path)
    assert path.read_bytes() == again


def test_only_negatives_are_compared(corpus):
    """A known picture and its derived ones are left alone."""
    root, _ = corpus
    known = folder_corpus(root, role=Role.DERIVED).manifest
    purged = purge(known, root)
    assert purged.manifest == known
    assert not purged.groups


def test_a_changed_file_is_refused(corpus):
    """A picture that is not the one listed ends the purge, by name."""
    root, manifest = corpus
    name = next(path for path in manifest.paths if path.startswith("coffee"))
    whole = (root / name).read_bytes()
    try:
        (root / name).write_bytes(whole + b"x")
        with pytest.raises(ArgumentError, match=r"coffee\.png was changed"):
            purge(manifest, root)
    finally:
        (root / name).write_bytes(whole)


def test_turns_are_numbered_as_pdq_numbers_them(different):
    """Of the eight turns of a picture, the one of a number has the hash nearest PDQ's of that number."""
    pixels = np.asarray(different["astronaut"].convert("L").resize((256, 256)))
    codes = pdq_dihedral(pixels)[0]
    assert len({turned(pixels, turn).tobytes() for turn in range(TURNS)}) == TURNS
    for number, code in enumerate(codes):
        far = [
            (int.from_bytes(hash_pixels(turned(pixels, turn), "pdq").hash.data) ^ int.from_bytes(code)).bit_count()
            for turn in range(TURNS)
        ]
        assert far.index(min(far)) == number
        assert min(far) < 50


def naive_similarity(left: np.ndarray, right: np.ndarray) -> float:
    """The same measure by its definition, window by window."""
    left, right = (
        128 + (grey - grey.mean()) * min(likeness.SPREAD / max(grey.std(), 1e-6), likeness.MOST_STRETCH)
        for grey in (left.astype(float), right.astype(float))
    )
    above = below = 0.0
    for top in range(0, likeness.SIDE - likeness.WINDOW + 1, likeness.STEP):
        for start in range(0, likeness.SIDE - likeness.WINDOW + 1, likeness.STEP):
            window = np.s_[top : top + likeness.WINDOW, start : start + likeness.WINDOW]
            x, y = left[window], right[window]
            covariance = ((x - x.mean()) * (y - y.mean())).mean()
            light = (2 * x.mean() * y.mean() + likeness.C1) / (x.mean() ** 2 + y.mean() ** 2 + likeness.C1)
            weight = x.var() + y.var() + likeness.C2
            ssim = light * (2 * covariance + likeness.C2) / weight
            above, below = above + weight * ssim, below + weight
    return above / below


THUMBS = hnp.arrays(np.uint8, (3, likeness.SIDE, likeness.SIDE))


@given(THUMBS, st.integers(0, TURNS - 1))
@settings(max_examples=15)
def test_similarity_is_its_definition(thumbs, turn):
    """The fast measure equals the slow one, and is 1 for equal pictures only at their own turn."""
    proposals = np.array([(0, 1, turn), (1, 2, 0), (0, 0, 0)])
    found = similarities(thumbs, proposals)
    assert found[0] == pytest.approx(naive_similarity(thumbs[0], turned(thumbs[1], turn)), abs=1e-3)
    assert found[1] == pytest.approx(naive_similarity(thumbs[1], thumbs[2]), abs=1e-3)
    assert found[2] == pytest.approx(1, abs=1e-3)


@given(st.integers(0, 2**32 - 1), st.integers(0, 160))
def test_candidates_are_all_pairs_within_the_radius(seed, radius):
    """Exactly the pairs within the radius at some turn come out, each once, with its nearest turn."""
    codes = np.random.default_rng(seed).integers(0, 256, (5, TURNS, 32), np.uint8)
    codes[3, 2] = codes[3, 6] = codes[1, 0]
    expected = set()
    for second in range(5):
        for first in range(second):
            far = np.unpackbits(codes[first, 0] ^ codes[second], axis=1).sum(1)
            if far.min() <= radius:
                expected.add((first, second, int(far.argmin())))
    found = candidates(codes, radius)
    assert {tuple(row) for row in found.tolist()} == expected
    assert len(found) == len(expected)
    assert (1, 3, 2) in expected


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7))),
    st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=8),
)
def test_groups_are_the_connected_parts(pairs, names):
    """Two pictures are in one group exactly if links or names lead from one to the other."""
    links = [*pairs, *((one, two) for one in range(8) for two in range(8) if names[one] == names[two])]
    reach = np.eye(8, dtype=bool)
    for one, two in links:
        reach[one, two] = reach[two, one] = True
    for _ in range(3):
        reach = reach @ reach
    found = united(8, np.array(pairs, np.int64).reshape(-1, 2), names)
    assert found == [int(row.argmax()) for row in reach]


def test_a_print_holds_all_turns(corpus):
    """The picture itself comes first, and an unreadable file is refused by name."""
    root, manifest = corpus
    one = manifest.pictures[0]
    made = print_of(str(root), one.path, one.sha256)
    assert made.dhash.shape == made.pdq.shape == (TURNS, 32)
    assert made.thumb.shape == (likeness.SIDE, likeness.SIDE)
    with pytest.raises(ArgumentError, match=r"gone\.png can't be read"):
        print_of(str(root), "gone.png", one.sha256)
