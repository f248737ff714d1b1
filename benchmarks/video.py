"""Videos beside the plain way (decode every frame, hash one a second), and how far frames move when re-encoded.

python -m benchmarks.video

The clips are made from photographs: five-second shots with a slow pan and zoom, film grain, and hard cuts.
"""

from __future__ import annotations

import io
import statistics
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
import pdqhash
from PIL import Image

from benchmarks.measure import interleaved, machine, median_ratio, one_thread, store
from benchmarks.photographs import CORPUS, photographs
from scanner import hash_pixels
from scanner.media.video import video_frames

MADE = CORPUS / "made-videos"
ROUNDS = 3
RATE = 30
SHOT = 5
GRAIN = 4.0
MAX_FRAMES = 256
MAX_PIXELS = 1024**3 // 4 // 3
RADIUS = 31
Image.MAX_IMAGE_PIXELS = None  # our own photographs

Frame = npt.NDArray[np.uint8]


class Clip(NamedTuple):
    """What to encode, and how."""

    name: str
    container: str
    encoder: str
    seconds: int
    width: int
    height: int
    options: dict[str, str]


CLIPS = (
    Clip("h264.mp4", "mp4", "libx264", 60, 1920, 1080, {"preset": "medium", "crf": "23", "g": "250"}),
    Clip("h264-gop30.mp4", "mp4", "libx264", 20, 1920, 1080, {"preset": "veryfast", "crf": "23", "g": "30"}),
    Clip(
        "vp9.webm",
        "webm",
        "libvpx-vp9",
        20,
        1920,
        1080,
        {"deadline": "realtime", "cpu-used": "6", "b": "4M", "g": "250"},
    ),
    Clip(
        "hevc.mov",
        "mov",
        "libx265",
        20,
        1920,
        1080,
        {"preset": "superfast", "crf": "25", "g": "250", "x265-params": "log-level=none"},
    ),
)
AGAIN = (
    Clip("again-720p-crf30.mp4", "mp4", "libx264", 60, 1280, 720, {"preset": "veryfast", "crf": "30", "g": "250"}),
    Clip("again-360p-crf34.mp4", "mp4", "libx264", 60, 640, 360, {"preset": "veryfast", "crf": "34", "g": "300"}),
)


def made(clip: Clip, source: bytes | None = None) -> bytes:
    """Give a clip's bytes; they are made once and kept under ``corpus/made-videos``.

    Args:
        clip: what to make.
        source: a video to encode again; from photographs if left out.
    """
    path = MADE / clip.name
    if not path.exists():
        print(f"making {clip.name}", file=sys.stderr)
        MADE.mkdir(parents=True, exist_ok=True)
        frames = _shots(clip) if source is None else _decoded(source)
        partial = path.with_suffix(".partial")
        partial.write_bytes(_encode(clip, frames))
        partial.rename(path)
    return path.read_bytes()


def _shots(clip: Clip) -> Iterator[av.VideoFrame]:
    """Pan and zoom over one photograph after the other."""
    random = np.random.default_rng(7)
    grain = (random.standard_normal((clip.height + 64, clip.width + 64, 1)) * GRAIN).round().astype(np.int16)
    large = [path for path in photographs() if min(Image.open(path).size) >= min(clip.width, clip.height)]
    count = clip.seconds // SHOT
    if len(large) < count:
        sys.exit(f"video: {count} photographs of {clip.height} pixels a side are needed, {len(large)} found")
    for path in large[:: len(large) // count][:count]:
        with Image.open(path) as opened:
            photograph = opened.convert("RGB")
        width, height = photograph.size
        scale = min(width / clip.width, height / clip.height)
        zoom = random.uniform(0.55, 1.0, 2)
        place = random.uniform(0.0, 1.0, (2, 2))
        for number in range(SHOT * RATE):
            part = number / (SHOT * RATE)
            size = scale * (zoom[0] + (zoom[1] - zoom[0]) * part)
            x, y = (place[0] + (place[1] - place[0]) * part) * (width - clip.width * size, height - clip.height * size)
            box = (x, y, x + clip.width * size, y + clip.height * size)
            picture = photograph.resize((clip.width, clip.height), Image.Resampling.BILINEAR, box=box)
            down, along = random.integers(0, 64, 2)
            noisy = np.asarray(picture, np.int16) + grain[down : down + clip.height, along : along + clip.width]
            yield av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), "rgb24")


def _decoded(source: bytes) -> Iterator[av.VideoFrame]:
    with av.open(io.BytesIO(source), "r") as container:
        yield from container.decode(video=0)


def _encode(clip: Clip, frames: Iterator[av.VideoFrame]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=clip.container) as container:
        stream = container.add_stream(clip.encoder, RATE, options=clip.options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        for number, frame in enumerate(frames):
            picture = frame.reformat(clip.width, clip.height, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return out.getvalue()


def ours(data: bytes) -> list[tuple[float, bytes, int]]:
    """Time, hash and quality of each frame that is taken."""
    hashed = []
    for frame in video_frames(data, max_pixels=MAX_PIXELS, max_frames=MAX_FRAMES):
        found = hash_pixels(frame.pixels)
        hashed.append((frame.seconds, found.hash.data, found.quality))
    return hashed


def plain(data: bytes) -> list[tuple[float, bytes, int]]:
    """Every frame decoded by PyAV on one thread; one a second to RGB and to pdqhash, as vPDQ does."""
    hashed = []
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        due = 0.0
        for frame in container.decode(stream):
            if frame.time >= due:
                due += 1.0
                vector, quality = pdqhash.compute(frame.to_ndarray(format="rgb24"))
                hashed.append((frame.time, np.packbits(vector).tobytes(), quality))
    return hashed


def speed(clip: Clip) -> dict[str, Any]:
    """Time both ways from the file's bytes, and compare the hashes of the seconds both have."""
    data = made(clip)
    with av.open(io.BytesIO(data), "r") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    seconds = interleaved({"ours": lambda: ours(data), "plain": lambda: plain(data)}, ROUNDS)
    mine = ours(data)
    return {
        "name": clip.name,
        "length": clip.seconds,
        "bytes": len(data),
        "frames": len(packets),
        "keyframes": sum(packet.is_keyframe for packet in packets),
        "taken": len(mine),
        "seconds": seconds,
        "bits_from_plain": _apart(mine, plain(data)),
    }


def _apart(one: list[tuple[float, bytes, int]], other: list[tuple[float, bytes, int]]) -> list[tuple[int, int]]:
    """Bits between frames of the same time, and the first one's quality."""
    by_time = {round(RATE * seconds): data for seconds, data, _ in other}
    return [
        ((int.from_bytes(data) ^ int.from_bytes(by_time[round(RATE * seconds)])).bit_count(), quality)
        for seconds, data, quality in one
        if round(RATE * seconds) in by_time
    ]


def moved() -> list[dict[str, Any]]:
    """Count the bits by which frames move when the first clip is encoded again, smaller and worse."""
    source = made(CLIPS[0])
    before = [frame for frame in ours(source) if frame[0] == round(frame[0])]
    results = []
    for clip in AGAIN:
        data = made(clip, source)
        results.append({"name": clip.name, "bytes": len(data), "bits": _apart(before, ours(data))})
    return results


def main() -> None:
    """Measure, store, print."""
    for clip in CLIPS:
        made(clip)
    for clip in AGAIN:
        made(clip, made(CLIPS[0]))
    one_thread()
    raw = {
        "machine": machine("av", "numba", "numpy", "pdqhash"),
        "speed": [speed(clip) for clip in CLIPS],
        "moved": moved(),
    }
    stored = store("video", raw)
    report(raw)
    print(f"raw figures: {stored}", file=sys.stderr)


def report(raw: dict[str, Any]) -> None:
    """Print the figures made from raw ones."""
    for clip in raw["speed"]:
        mine, theirs = (statistics.median(clip["seconds"][way]) for way in ("ours", "plain"))
        bits = [bits for bits, quality in clip["bits_from_plain"] if quality >= 50]
        print(
            f"{clip['name']}: {clip['length']} s, {clip['frames']} frames, {clip['keyframes']} keyframes, "
            f"{8e-6 * clip['bytes'] / clip['length']:.1f} Mbit/s: {mine:.2f} s for {clip['taken']} frames, "
            f"{100 * mine / clip['length']:.1f} % of its length; decoding all {theirs:.2f} s, "
            f"{median_ratio(clip['seconds']['plain'], clip['seconds']['ours']):.1f} x; "
            f"from its hashes {statistics.fmean(bits):.2f} bits in the mean, largest {max(bits)}"
        )
    for clip in raw["moved"]:
        bits = [bits for bits, quality in clip["bits"] if quality >= 50]
        print(
            f"{clip['name']}: {len(bits)} frames of quality >= 50 moved by {statistics.fmean(bits):.1f} bits in the "
            f"mean, largest {max(bits)}, within {RADIUS}: {sum(value <= RADIUS for value in bits)} of {len(bits)}"
        )


if __name__ == "__main__":
    main()
