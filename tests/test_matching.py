"""Pictures match by any frame, videos by shares of frames both ways."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.hashset import DeltaBuilder, Entry, HashSet, HashSetBuilder, open_layers
from scanner.matching import MOST_MATCHES, find_matches
from scanner.profiles import VIDEO_RULE, VideoRule
from scanner.types import HashedFrame, PerceptualHash
from tests.conftest import pdq_hash

ANY = VideoRule(0.0, 0.0, "test")


def moved(known: PerceptualHash, bits: int) -> PerceptualHash:
    """The hash with its first bits flipped."""
    mask = ((1 << bits) - 1).to_bytes(32)
    return PerceptualHash("pdq", bytes(a ^ b for a, b in zip(known.data, mask, strict=True)))


def frames(*hashes: PerceptualHash) -> list[HashedFrame]:
    """Frames a second apart."""
    return [HashedFrame(known, 100, float(second)) for second, known in enumerate(hashes)]


def video(cluster: int, seeds, label: str = "video") -> list[Entry]:
    return [Entry(pdq_hash(seed), label, cluster, video=True) for seed in seeds]


def written(path, entries):
    builder = HashSetBuilder("set")
    builder.add_all(entries)
    builder.write(path)
    return HashSet.open(path)


@pytest.fixture
def known(tmp_path):
    """A picture, a video of ten frames, one of four, and a picture again."""
    entries = [
        Entry(pdq_hash(1), "first", 1),
        *video(50, range(10, 20)),
        *video(60, range(30, 34)),
        Entry(pdq_hash(2), "last", 2),
    ]
    with written(tmp_path / "set", entries) as opened:
        yield opened


def found(known, sent, rule=VIDEO_RULE):
    """What matches, as (label, cluster, distance, seconds, shares)."""
    matches = find_matches(sent, known, known.open_index(), rule)
    for match, frame in matches:
        assert frame.seconds == match.seconds
        assert known.hash_at(match.index).distance(frame.hash) == match.distance
    return [(m.label, m.cluster, m.distance, m.seconds, shares_of(m)) for m, _ in matches]


def shares_of(match):
    """How much of a video matched, as a tuple; None for a picture."""
    return match.video and (match.video.sent, match.video.known)


def test_one_frame_matches_a_picture(known):
    """As before there were videos."""
    assert found(known, frames(moved(pdq_hash(1), 4))) == [("first", 1, 4, 0.0, None)]
    assert found(known, frames(pdq_hash(99))) == []


def test_any_frame_matches_a_picture_and_the_nearest_is_told(known):
    """A known picture anywhere in an animation, however many frames there are."""
    sent = frames(pdq_hash(90), moved(pdq_hash(1), 6), moved(pdq_hash(1), 2), pdq_hash(91), moved(pdq_hash(2), 31))
    assert found(known, sent) == [("first", 1, 2, 2.0, None), ("last", 2, 31, 4.0, None)]


def test_a_whole_video_matches_once(known):
    """All of its frames, told by the nearest."""
    sent = frames(*(moved(pdq_hash(seed), 8 if seed != 13 else 3) for seed in range(10, 20)))
    assert found(known, sent) == [("video", 50, 3, 3.0, (1.0, 1.0))]


def test_a_part_of_a_video_matches(known):
    """And a still of it."""
    assert found(known, frames(pdq_hash(12), pdq_hash(13))) == [("video", 50, 0, 0.0, (1.0, 0.2))]
    assert found(known, frames(pdq_hash(33))) == [("video", 60, 0, 0.0, (1.0, 0.25))]


@pytest.mark.parametrize(("others", "matched"), [(0, True), (1, True), (2, False)])
def test_a_video_among_other_frames_must_be_most_of_them(known, others, matched):
    """Four of five frames are 80 %, four of six are not."""
    sent = frames(*map(pdq_hash, range(30, 34)), *map(pdq_hash, range(200, 200 + others)))
    assert bool(found(known, sent)) is matched


def test_the_share_of_the_known_video_counts_if_the_rule_says_so(known):
    """Both shares at their bounds."""
    sent = frames(*map(pdq_hash, (10, 11, 12, 13, 200)))
    assert found(known, sent, VideoRule(0.8, 0.4, "test")) == [("video", 50, 0, 0.0, (0.8, 0.4))]
    assert found(known, sent, VideoRule(0.81, 0.4, "test")) == []
    assert found(known, sent, VideoRule(0.8, 0.41, "test")) == []


@settings(max_examples=40)
@given(data=st.data())
def test_matches_equal_the_oracle(data, tmp_path_factory):
    """Slow and obvious: every frame against every entry."""
    bases = [pdq_hash(seed) for seed in range(6)]
    near = st.builds(moved, st.sampled_from(bases), st.integers(0, 40))
    videos = data.draw(st.lists(st.lists(near, min_size=1, max_size=6), max_size=3))
    pictures = data.draw(st.lists(near, max_size=5))
    sent = data.draw(st.lists(near, min_size=1, max_size=6, unique_by=lambda known: known.data))
    rule = VideoRule(
        data.draw(st.sampled_from([0.0, 0.5, 0.8, 1.0])), data.draw(st.sampled_from([0.0, 0.5, 1.0])), "test"
    )
    entries = [Entry(known, f"picture {i}", 100 + i) for i, known in enumerate(pictures)]
    for number, hashes in enumerate(videos):
        entries += [Entry(known, "video", number, video=True) for known in hashes]
    order = data.draw(st.permutations(entries))
    with written(tmp_path_factory.mktemp("set") / "set", order) as known:
        held = [(i, entry) for i, entry in enumerate(known.entries())]
        expected = []
        for i, entry in held:
            if not entry.video:
                near_ones = [
                    (entry.hash.distance(one), at) for at, one in enumerate(sent) if entry.hash.distance(one) <= 31
                ]
                if near_ones:
                    expected.append((min(near_ones)[0], i, entry.cluster, None))
        for cluster in range(len(videos)):
            own = [(i, entry) for i, entry in held if entry.cluster == cluster]
            hits = [(e.hash.distance(one), i, at) for (i, e), (at, one) in product(own, enumerate(sent))
                    if e.hash.distance(one) <= 31]  # fmt: skip
            shares = (len({at for *_, at in hits}) / len(sent), len({i for _, i, _ in hits}) / len(own))
            if hits and shares[0] >= rule.least_sent and shares[1] >= rule.least_known:
                expected.append((min(hits)[0], min(hits)[1], cluster, shares))
        got = find_matches(frames(*sent), known, known.open_index(), rule)
        assert [(match.distance, match.index, match.cluster, shares_of(match)) for match, _ in got] == sorted(
            expected, key=lambda one: one[:2]
        )


def test_at_most_a_thousand_pictures_are_told_the_nearest_first(tmp_path):
    """A list of copies must not hold up a picture."""
    rows = np.frombuffer(pdq_hash(1).data, np.uint8)[None].repeat(3000, 0).copy()
    rows[:, 3] ^= np.arange(3000).astype(np.uint8)
    builder = HashSetBuilder("copies")
    builder.add_codes(rows, np.arange(3000, dtype=np.uint64))
    builder.write(tmp_path / "set")
    with HashSet.open(tmp_path / "set") as known:
        matches = find_matches(frames(pdq_hash(1)), known, known.open_index(), ANY)
        distances = np.bitwise_count(rows ^ np.frombuffer(pdq_hash(1).data, np.uint8)).sum(axis=1)
        order = np.lexsort((np.arange(3000), distances))[:MOST_MATCHES]
        assert [match.index for match, _ in matches] == order.tolist()


def test_layers_count_the_frames_that_are_left(tmp_path):
    """Removed frames count no more, added videos do."""
    with written(tmp_path / "base", [Entry(pdq_hash(1), "first", 1), *video(50, range(10, 20))]) as base:
        delta = DeltaBuilder(base, epoch=2)
        for seed in range(10, 15):
            assert delta.remove(pdq_hash(seed)) == 1
        for entry in video(70, range(40, 42), "new"):
            assert delta.add(entry)
        delta.write(tmp_path / "delta")
    with open_layers(tmp_path / "base", [tmp_path / "delta"]) as layers:
        assert layers.video_frames(np.array([1, 50, 70, 71], np.uint64)).tolist() == [0, 5, 2, 0]
        assert found(layers, frames(pdq_hash(15), pdq_hash(16))) == [("video", 50, 0, 0.0, (1.0, 0.4))]
        assert found(layers, frames(pdq_hash(40), pdq_hash(41))) == [("new", 70, 0, 0.0, (1.0, 1.0))]
        assert found(layers, frames(pdq_hash(10))) == []
