"""A hash set says which of its entries are the frames of a video."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from scanner.errors import ArgumentError, HashSetError, HashShapeError
from scanner.hashing import hash_pixels
from scanner.hashset import Check, Entry, HashSet, HashSetBuilder, find_files, read_pictures
from scanner.hashset.entry import cluster_of, entries_of
from scanner.types import HashedFrame, HashedMedia
from tests.conftest import pdq_hash

VIDEO = [Entry(pdq_hash(seed), "video", 2**63, video=True) for seed in range(10, 14)]
PICTURE = Entry(pdq_hash(1), "picture", 7)


def written(path, entries):
    builder = HashSetBuilder("set")
    builder.add_all(entries)
    builder.write(path)
    return builder


def test_videos_come_back_from_the_file(tmp_path):
    """Clusters and numbers of frames; the entries say which they are."""
    written(tmp_path / "set", [PICTURE, *VIDEO, Entry(pdq_hash(3), "clip", 5, video=True)])
    with HashSet.open(tmp_path / "set") as known:
        assert known.videos.tolist() == [[5, 1], [2**63, 4]]
        assert known.video_frames(np.array([7, 5, 2**63, 0, 2**64 - 1], np.uint64)).tolist() == [0, 1, 4, 0, 0]
        assert [entry.video for entry in known.entries()] == [False, True, True, True, True, True]
        again = HashSetBuilder("set")
        again.add_all(known.entries())
        again.write(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "set").read_bytes()


def test_a_set_without_videos_has_no_such_section(tmp_path):
    """Its file is what it was before there were videos."""
    written(tmp_path / "set", [PICTURE])
    with HashSet.open(tmp_path / "set") as known:
        assert "videos" not in known.header.sections
        assert known.videos.shape == (0, 2)
        assert known.video_frames(np.array([7], np.uint64)).tolist() == [0]


def test_repeated_and_flat_frames_count_once_or_not(tmp_path):
    """As for vPDQ: frames are told apart by their hashes, flat ones left out."""
    flat = Entry(pdq_hash(20), "video", 2**63, quality=10, video=True)
    builder = written(tmp_path / "set", [*VIDEO, VIDEO[0], flat])
    assert builder.refused == {"repeated": 1, "quality below 50": 1}
    with HashSet.open(tmp_path / "set") as known:
        assert known.videos.tolist() == [[2**63, 4]]


@pytest.mark.parametrize("order", [1, -1])
def test_a_cluster_is_a_videos_or_a_pictures(order, tmp_path):
    """A picture that counted as a frame would change the video's shares."""
    mixed = [*VIDEO, Entry(pdq_hash(5), "picture", 2**63)][::order]
    with pytest.raises(HashShapeError, match=f"cluster {2**63} is a video's and a picture's"):
        written(tmp_path / "set", mixed)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("record", "value"), [((0, 0), 2**63), ((1, 0), 5), ((0, 1), 0)], ids=["descending", "equal", "no frames"]
)
def test_videos_out_of_order_are_refused_although_the_digests_fit(record, value, tmp_path, monkeypatch):
    """A list's maker can't slip in what the search does not expect."""
    honest = HashSetBuilder._video_records

    def wrong(builder: HashSetBuilder) -> bytes:
        records = np.frombuffer(honest(builder), "<u8").reshape(-1, 2).copy()
        records[record] = value
        return records.tobytes()

    monkeypatch.setattr(HashSetBuilder, "_video_records", wrong)
    written(tmp_path / "set", [*VIDEO, Entry(pdq_hash(3), "clip", 5, video=True)])
    with pytest.raises(HashSetError, match="videos are not in order, or one has no frames"):
        HashSet.open(tmp_path / "set")
    with HashSet.open(tmp_path / "set", check=Check.TRUSTED) as known:
        known.video_frames(known.clusters)  # wrong at worst


def test_media_make_entries():
    """A picture one, each page one, a video or an animation one a frame with a cluster of its own."""
    frames = tuple(HashedFrame(pdq_hash(seed), 60 + seed, float(seed)) for seed in range(3))
    (entry,) = entries_of(HashedMedia(frames[:1]), "a")
    assert entry == Entry(frames[0].hash, "a", None, 60)
    assert [entry.cluster for entry in entries_of(HashedMedia(frames))] == [None] * 3
    moving = entries_of(HashedMedia(frames, moving=True), "a")
    assert {entry.video for entry in moving} == {True}
    assert len({entry.cluster for entry in moving}) == 1
    backwards = entries_of(HashedMedia(frames[::-1], moving=True), "b")
    assert backwards[0].cluster == moving[0].cluster


def test_an_animation_in_a_folder_becomes_a_video(tmp_path, photographs):
    """Its frames are listed together; a picture beside it stays one."""
    pictures = [Image.open(path).convert("RGB").resize((160, 120)) for path in photographs[:3]]
    out = io.BytesIO()
    pictures[0].save(out, "WEBP", save_all=True, append_images=pictures[1:], duration=400, lossless=True)
    (tmp_path / "a.webp").write_bytes(out.getvalue())
    pictures[0].save(tmp_path / "b.png")
    moving, (still,) = read_pictures(find_files(tmp_path), tmp_path, "pdq", lambda _: None)
    assert [entry.label for entry in moving] == ["a.webp"] * 3
    assert {entry.video for entry in moving} == {True}
    assert (still.label, still.video, still.cluster) == ("b.png", False, None)
    assert still.hash == moving[0].hash


def test_turned_and_mirrored_copies_match_if_the_list_has_them(tmp_path, photographs):
    """Eight entries a picture in one cluster; any turned copy is found near one of them."""
    picture = Image.open(photographs[0]).convert("RGB")
    picture.save(tmp_path / "a.png")
    (entries,) = read_pictures([tmp_path / "a.png"], tmp_path, "pdq", lambda _: None, turned=True)
    assert len({entry.hash for entry in entries}) == 8
    assert {entry.cluster for entry in entries} == {cluster_of(entries[0].hash)}
    assert entries[0] == dataclasses.replace(
        next(read_pictures([tmp_path / "a.png"], tmp_path, "pdq", lambda _: None))[0], cluster=entries[0].cluster
    )
    for turn in Image.Transpose:
        copy = hash_pixels(np.ascontiguousarray(np.asarray(picture.transpose(turn)))).hash
        assert min(entry.hash.distance(copy) for entry in entries) <= 31


def test_turned_forms_of_a_video_are_videos_of_their_own(tmp_path, photographs):
    """Each form's share is counted by itself."""
    pictures = [Image.open(path).convert("RGB").resize((160, 120)) for path in photographs[:3]]
    path = tmp_path / "a.webp"
    pictures[0].save(path, "WEBP", save_all=True, append_images=pictures[1:], lossless=True)
    (entries,) = read_pictures([path], tmp_path, "pdq", lambda _: None, turned=True)
    written(tmp_path / "set", entries)
    with HashSet.open(tmp_path / "set") as known:
        assert known.videos[:, 1].tolist() == [3] * 8


def test_other_algorithms_have_no_turned_forms(tmp_path, astronaut):
    """Told before anything is listed."""
    with pytest.raises(ArgumentError, match="pdq alone, not by phash"):
        list(read_pictures([astronaut], astronaut.parent, "phash", lambda _: None, turned=True))
