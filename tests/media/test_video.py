"""Videos: which frames are taken, what their pixels are, and what is refused."""

import io
import os
import struct
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from scanner.errors import MediaError, MediaFault
from scanner.media import video
from scanner.media.video import is_video, video_frames

WIDTH, HEIGHT, RATE = 160, 120, 10
H264 = {"preset": "ultrafast", "crf": "16"}


def scene(number: int, moment: int = 0) -> np.ndarray:
    """Blocks of random grey, smooth enough to survive encoding; a bright bar in it moves with time."""
    blocks = np.random.default_rng(number).integers(16, 240, (6, 8)).astype(np.uint8)
    picture = np.kron(blocks, np.ones((20, 20), np.uint8))
    picture[:, moment % 150 : moment % 150 + 4] = 128
    return picture


def clip(
    pictures,
    *,
    container="mp4",
    encoder="libx264",
    options=H264,
    rate=RATE,
    pixel_format="yuv420p",
    rotation=None,
    container_options=None,
) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=container_options or {}) as file:
        stream = file.add_stream(encoder, rate, options=options)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.dstack([picture] * 3), "rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    if hasattr(os, "sched_setscheduler"):
        # Run by root, SVT-AV1 gives the whole process a real-time priority; what the process starts would inherit it.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return out.getvalue()


def frames(data: bytes, max_pixels=10**6, max_frames=256):
    return list(video_frames(data, max_pixels=max_pixels, max_frames=max_frames))


def still(seconds: float, number=1, rate=RATE) -> list[np.ndarray]:
    return [scene(number, moment) for moment in range(round(seconds * rate))]


def fault_of(data: bytes, **bounds) -> MediaFault:
    with pytest.raises(MediaError) as caught:
        frames(data, **bounds)
    return caught.value.fault


def error_in(pixels: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(pixels.astype(int) - expected).mean())


KINDS = {
    "mp4-h264": {},
    "mov-hevc": {
        "container": "mov",
        "encoder": "libx265",
        "options": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"},
    },
    "webm-vp9": {"container": "webm", "encoder": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "webm-vp8": {"container": "webm", "encoder": "libvpx", "options": {"cpu-used": "8", "b": "2M"}},
    "mkv-h264": {"container": "matroska"},
    "mov-mjpeg": {"container": "mov", "encoder": "mjpeg", "options": {"q": "2"}, "pixel_format": "yuvj420p"},
    "mp4-mpeg4": {"encoder": "mpeg4", "options": {"b": "2M"}},
    "mov-prores": {
        "container": "mov", "encoder": "prores_ks", "options": {}, "pixel_format": "yuv422p10le",
    },
    "mp4-av1": {"encoder": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}},
    "mp4-h264-10-bit": {"pixel_format": "yuv420p10le"},
    "mp4-h264-444": {"pixel_format": "yuv444p"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_a_second_with_the_pixels_that_went_in(kind):
    data = clip(still(3.5), **KINDS[kind])
    assert is_video(data)
    found = frames(data)
    assert [round(frame.seconds, 3) for frame in found] == [0, 1, 2, 3]
    assert [frame.share for frame in found] == pytest.approx([frame.seconds / 3.4 for frame in found], abs=0.01)
    for number, frame in enumerate(found):
        assert frame.pixels.shape == (HEIGHT, WIDTH)
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous
        assert error_in(frame.pixels, scene(1, 10 * number)) < 8


@pytest.mark.parametrize("group", [1, 5, 10, 250])
@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_samples_are_exact_whatever_keyframes_and_b_frames_there_are(group, preset):
    found = frames(clip(still(4), options={"preset": preset, "crf": "16", "g": str(group)}))
    assert [round(frame.seconds, 3) for frame in found] == [0, 1, 2, 3]
    for number, frame in enumerate(found):
        assert error_in(frame.pixels, scene(1, 10 * number)) < 8


@pytest.mark.parametrize("scenecut", ["0", "40"])
def test_a_shot_between_samples_is_found(scenecut):
    pictures = still(1.3) + still(0.4, number=2) + still(1.3)
    found = frames(clip(pictures, options=H264 | {"sc_threshold": scenecut, "g": "250"}))
    taken = [frame for frame in found if error_in(frame.pixels, scene(2)) < 12]
    assert taken
    assert 1.3 <= taken[0].seconds <= 1.6


def test_frame_pixels_are_full_range():
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[:, WIDTH // 2 :] = 255
    (frame,) = frames(clip([picture] * 3))
    assert frame.pixels[:, : WIDTH // 2 - 8].max() <= 3
    assert frame.pixels[:, WIDTH // 2 + 8 :].min() >= 252


def test_grey_streams_that_say_limited_range_are_expanded():
    picture = np.full((HEIGHT, WIDTH), 235, np.uint8)
    (frame,) = frames(clip([picture], pixel_format="gray"))
    assert frame.pixels.min() >= 252


@pytest.mark.parametrize("kind", ["mov-mjpeg", "mp4-h264"])
def test_full_and_limited_range_are_told_apart(kind):
    ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    (frame,) = frames(clip([ramp], **KINDS[kind]))
    assert error_in(frame.pixels, ramp) < 3


@pytest.mark.parametrize(
    ("rotation", "turn"),
    [
        ((90,), lambda picture: np.rot90(picture, 1)),
        ((180,), lambda picture: np.rot90(picture, 2)),
        ((270,), lambda picture: np.rot90(picture, 3)),
        ((-90,), lambda picture: np.rot90(picture, -1)),
        ((0, True, False), lambda picture: picture[:, ::-1]),
        ((0, False, True), lambda picture: picture[::-1]),
    ],
)
def test_frames_are_turned_upright(rotation, turn):
    (frame,) = frames(clip([scene(1)] * 3, rotation=rotation))
    assert frame.pixels.flags.c_contiguous
    assert frame.pixels.shape == turn(scene(1)).shape
    assert error_in(frame.pixels, turn(scene(1))) < 8


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_frames_beside_side_data_that_pyav_does_not_know_are_read(orientation, turns):
    """EXIF in every picture of a Motion JPEG is such data; PyAV 18 raises when a frame's side data is looked at."""
    plain = clip(still(2.5), **KINDS["mov-mjpeg"])
    exif = b"Exif\0\0" + struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    out = io.BytesIO()
    with av.open(io.BytesIO(plain)) as source, av.open(out, "w", format="mov") as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                picture = bytes(packet)
                marked = av.Packet(picture[:2] + segment + picture[2:])
                marked.pts, marked.dts, marked.time_base = packet.pts, packet.dts, packet.time_base
                marked.stream, marked.is_keyframe = stream, True
                file.mux(marked)
    found, expected = frames(out.getvalue()), frames(plain)
    assert [frame.seconds for frame in found] == [0, 1, 2]
    for frame, without in zip(found, expected, strict=True):
        assert np.array_equal(frame.pixels, np.rot90(without.pixels, turns))


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_no_more_frames_than_asked_for_and_evenly_spread(most):
    found = frames(clip(still(10), options=H264 | {"g": "5"}), max_frames=most)
    assert 1 <= len(found) <= most
    assert found[-1].seconds >= 10 * (1 - 2 / most)
    for frame in found:
        assert error_in(frame.pixels, scene(1, round(10 * frame.seconds))) < 8


def test_changes_without_end_are_bounded():
    assert len(frames(clip([scene(number) for number in range(30)]), max_frames=9)) == 9


def test_a_time_far_off_does_not_thin_out_the_rest():
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as file:
        stream = file.add_stream("libx264", RATE, options=H264)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in [*range(30), 1_000_000]:
            frame = av.VideoFrame.from_ndarray(np.dstack([scene(1)] * 3), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    found = frames(out.getvalue(), max_frames=8)
    assert [round(frame.seconds) for frame in found] == [0, 1, 2, 100_000]


def test_keyframes_that_are_none_are_not_believed():
    """An index that calls every frame a keyframe changes nothing of what is seen."""
    data = clip(still(6), options=H264 | {"g": "250", "bf": "0"})
    at = data.index(b"stss") + 4
    count = int.from_bytes(data[at + 4 : at + 8])
    assert count == 1
    forged = bytearray(data)
    forged[at - 4 : at] = b"free"  # without this table every sample is a keyframe
    found = frames(bytes(forged))
    assert [round(frame.seconds, 3) for frame in found] == [0, 1, 2, 3, 4, 5]
    for number, frame in enumerate(found):
        assert error_in(frame.pixels, scene(1, 10 * number)) < 8


def test_several_tracks_are_all_seen():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        streams = [file.add_stream("libx264", RATE, options=H264) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(5):
            for which, stream in enumerate(streams):
                frame = av.VideoFrame.from_ndarray(np.dstack([scene(which)] * 3), "rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, RATE)
                file.mux(stream.encode(frame))
        for stream in streams:
            file.mux(stream.encode(None))
    found = frames(out.getvalue())
    assert len(found) == 2
    assert {which for frame in found for which in (0, 1) if error_in(frame.pixels, scene(which)) < 8} == {0, 1}


@pytest.mark.parametrize(
    ("container", "layout"),
    [("mp4", {"moov_size": "20000"}), ("mp4", {"movflags": "frag_keyframe+empty_moov"}), ("matroska", {})],
)
def test_a_video_cut_short_gives_the_frames_before_the_cut(container, layout):
    data = clip(still(6), container=container, container_options=layout, options=H264 | {"g": "10"})
    head = int(layout.get("moov_size", 0))
    found = frames(data[: head + (len(data) - head) * 2 // 3])
    assert 1 <= len(found) < 6
    assert error_in(found[0].pixels, scene(1)) < 8


def test_a_video_without_its_index_is_damaged():
    data = clip(still(2))
    assert fault_of(data[: data.index(b"moov") - 4]) is MediaFault.DAMAGED


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypisom" + bytes(200),
        b"\0\0\0\x18ftypmp42" + np.random.default_rng(1).bytes(5000),
        b"\x1a\x45\xdf\xa3" + np.random.default_rng(2).bytes(5000),
        b"\x1a\x45\xdf\xa3",
        b"\0\0\0\x08moov",
    ],
)
def test_garbage_behind_a_header_is_refused(data):
    assert is_video(data)
    assert fault_of(data) in {MediaFault.DAMAGED, MediaFault.UNSUPPORTED}


def test_damage_ends_in_frames_or_the_one_error():
    data = clip(still(2), options=H264 | {"g": "5"})
    random = np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(data)
        for at in random.integers(0, len(data), 12):
            damaged[at] = random.integers(256)
        try:
            assert len(frames(bytes(damaged))) <= 256
        except MediaError:
            continue


def test_sound_alone_is_refused():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("aac", 44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert fault_of(out.getvalue()) is MediaFault.UNSUPPORTED


def test_a_codec_not_on_the_list_is_refused_by_name():
    data = clip(still(0.3), container="matroska", encoder="ffv1", options={})
    with pytest.raises(MediaError, match="ffv1") as caught:
        frames(data)
    assert caught.value.fault is MediaFault.UNSUPPORTED


def test_a_large_size_is_refused_before_a_frame_is_decoded(monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(video, "_decoded", never)
    assert fault_of(clip(still(0.3)), max_pixels=WIDTH * HEIGHT - 1) is MediaFault.TOO_LARGE


def test_a_size_just_allowed_is_decoded():
    assert len(frames(clip(still(0.3)), max_pixels=WIDTH * HEIGHT)) == 1


def test_the_size_that_counts_is_the_streams():
    data = bytearray(clip(still(0.3), encoder="mpeg4", options={}))
    at = data.index(b"mp4v", data.index(b"stsd") + 4)
    data[at + 28 : at + 32] = struct.pack(">HH", 60000, 60000)
    assert [frame.pixels.shape for frame in frames(bytes(data))] == [(HEIGHT, WIDTH)]


def test_a_stream_larger_than_its_container_says_is_refused():
    data = bytearray(clip(still(0.3)))
    at = data.index(b"avc1", data.index(b"stsd") + 4)
    data[at + 28 : at + 32] = struct.pack(">HH", 16, 16)
    assert fault_of(bytes(data), max_pixels=WIDTH * HEIGHT - 1) is MediaFault.TOO_LARGE


def test_a_size_that_grows_midway_ends_the_frames():
    """Parameter sets in the stream change its size: the packets of two clips in one file."""
    small = clip(still(2), container="matroska", options=H264 | {"x264-params": "repeat-headers=1"})
    large_pictures = [np.kron(picture, np.ones((4, 4), np.uint8)) for picture in still(2)]
    large = clip(large_pictures, container="matroska", options=H264 | {"x264-params": "repeat-headers=1"})
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as file, av.open(io.BytesIO(small)) as first:
        stream = file.add_stream_from_template(first.streams.video[0])
        offset = 0
        for source in (small, large):
            with av.open(io.BytesIO(source)) as part:
                for packet in part.demux(video=0):
                    if packet.size:
                        packet.pts += offset
                        packet.dts += offset
                        packet.stream = stream
                        file.mux(packet)
            offset += 2000
    joined = out.getvalue()
    assert {frame.pixels.shape for frame in frames(joined)} == {(HEIGHT, WIDTH), (4 * HEIGHT, 4 * WIDTH)}
    assert {frame.pixels.shape for frame in frames(joined, max_pixels=WIDTH * HEIGHT)} == {(HEIGHT, WIDTH)}


def test_without_pyav_the_extra_is_named(monkeypatch):
    data = clip(still(0.3))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MediaError, match=r"pip install 'prescan\[video\]'") as caught:
        frames(data)
    assert caught.value.fault is MediaFault.UNSUPPORTED


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0\0\0\x18ftypmp42", True),
        (b"\0\0\0\x14ftypqt  ", True),
        (b"\0\0\0\x18ftypheic", False),
        (b"\0\0\0\x18ftypmif1", False),
        (b"\0\0\0\x18ftypavif", False),
        (b"\0\0\0\x08wide\0\0\0\0mdat", True),
        (b"\0\0\0\x02moov", False),
        (b"\x1a\x45\xdf\xa3", True),
        (b"\xff\xd8\xff\xe0", False),
        (b"", False),
    ],
)
def test_videos_are_known_by_their_first_bytes(head, expected):
    assert is_video(head) is expected
