"""The scanner: every fault is a verdict."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import functools
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from scanner.errors import HashSetError, SandboxError, UnknownNameError
from scanner.hashing import hash_media, hash_picture
from scanner.hashset import Calibration, Check, Entry, HashSet, HashSetBuilder, attach_calibration
from scanner.hashset.entry import entries_of
from scanner.index import Hits
from scanner.media import Limits
from scanner.pipeline import Scanner as IsolatedScanner
from scanner.profiles import PROFILES, CalibrationDemand, Profile
from scanner.sandbox import IsolatedHasher
from scanner.types import Action, Outcome, Verdict, VideoMatch
from tests.sandbox.test_isolated import EVIL


def picture(seed: int) -> bytes:
    """A textured picture, another one for each seed, as PNG."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return png(Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


KNOWN, UNKNOWN = picture(1), picture(2)
FLAT = png(Image.new("RGB", (160, 120), (90, 90, 90)))
TOO_LARGE = Limits(max_bytes=100)


@pytest.fixture(scope="module")
def known_path(tmp_path_factory):
    """A hash set of three pictures: two entries for ``KNOWN``, one of them one bit away and listed first."""
    builder = HashSetBuilder("three", "pdq")
    exact = hash_picture(KNOWN, "pdq").hash
    near = dataclasses.replace(exact, data=bytes([exact.data[0] ^ 1]) + exact.data[1:])
    builder.add(Entry(near, "near", 11))
    builder.add(Entry(exact, "exact", 12))
    builder.add(Entry(hash_picture(picture(3), "pdq").hash, "other", 13))
    path = tmp_path_factory.mktemp("known") / "known.prescan"
    builder.write(path)
    return path


@pytest.fixture
def known(known_path):
    with HashSet.open(known_path) as opened:
        yield opened


Scanner = functools.partial(IsolatedScanner, isolation="in-process")
"""Most tests are of what comes after decoding."""


@pytest.fixture(params=[("flat", "in-process"), ("faiss", "isolated")], ids="-".join)
def scanner(request, known):
    """A scanner with each engine, and with each way of decoding."""
    engine, isolation = request.param
    patient = dataclasses.replace(PROFILES["standard"], time_limit=60.0)
    with IsolatedScanner(known, patient, engine=engine, isolation=isolation) as scanner:
        yield scanner


class BrokenIndex:
    """An engine that fails in a way nobody foresaw."""

    engine = "broken"
    bits = 256

    def __len__(self) -> int:
        return 0

    def search(self, code: bytes, radius: int) -> Hits:
        raise ZeroDivisionError("the engine's own words")


class BrokenScanner(IsolatedScanner):
    """A scanner whose engine fails."""

    def __init__(self, known: HashSet, *arguments, **options) -> None:
        super().__init__(known, *arguments, isolation="in-process", **options)
        self._opened = BrokenIndex()


def test_a_known_picture_matches_nearest_first(scanner):
    """Every entry within the radius is there, the nearest first; the standard profile holds the picture."""
    verdict = scanner.scan(KNOWN)
    assert (verdict.outcome, verdict.action) == (Outcome.MATCH, Action.HOLD)
    assert [(match.label, match.index, match.cluster) for match in verdict.matches] == [
        ("exact", 1, 12), ("near", 0, 11),
    ]  # fmt: skip
    assert verdict.matches[0].distance < verdict.matches[1].distance <= 31
    assert verdict.hash is not None
    assert verdict.quality >= 50


def test_an_unknown_picture_does_not_match(scanner):
    """It is sent, and the verdict holds no match."""
    verdict = scanner.scan(UNKNOWN)
    assert (verdict.outcome, verdict.action, verdict.matches) == (Outcome.NO_MATCH, Action.SEND, ())


def test_a_flat_picture_is_not_searched(known):
    """Low quality is decided before the search: a broken engine is not even asked."""
    verdict = BrokenScanner(known).scan(FLAT)
    assert (verdict.outcome, verdict.matches) == (Outcome.LOW_QUALITY, ())
    assert verdict.quality < 50


@pytest.mark.parametrize("media", [b"", b"not a picture", KNOWN[: len(KNOWN) // 2], KNOWN[:40]])
def test_what_can_not_be_decoded_is_unscannable(scanner, media):
    """Media from outside never raises."""
    verdict = scanner.scan(media)
    assert (verdict.outcome, verdict.action, verdict.hash) == (Outcome.UNSCANNABLE, Action.SEND, None)


def test_limits_are_kept(known):
    """Too many bytes are unscannable, not an error."""
    verdict = Scanner(known, limits=TOO_LARGE).scan(KNOWN)
    assert verdict.outcome is Outcome.UNSCANNABLE
    assert "too-large" in verdict.reason


@pytest.mark.parametrize("source", [None, 7, 1.5, [], object()], ids=["None", "int", "float", "list", "object"])
def test_a_source_that_is_none_is_an_error_verdict(known, source):
    """Even a caller's mistake does not raise in the middle of sending."""
    assert Scanner(known).scan(source).outcome in {Outcome.ERROR, Outcome.UNSCANNABLE}


def test_bytes_path_and_file_give_one_verdict(scanner, tmp_path):
    """The verdict depends on what is in the picture, not on how it came."""
    path = tmp_path / "known.png"
    path.write_bytes(KNOWN)
    expected = scanner.scan(KNOWN)
    with path.open("rb") as file:
        verdicts = [
            scanner.scan(source)
            for source in (bytearray(KNOWN), memoryview(KNOWN), path, str(path), file, io.BytesIO(KNOWN))
        ]
    assert verdicts == [expected] * 6
    assert scanner.scan(tmp_path / "missing.png").outcome is Outcome.UNSCANNABLE


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_failing_engine_is_an_error_verdict(known, profile):
    """The profile says what to do, and the reason names the kind of error but not its words."""
    verdict = BrokenScanner(known, profile).scan(UNKNOWN)
    assert (verdict.outcome, verdict.action) == (Outcome.ERROR, profile.on_error)
    assert "ZeroDivisionError" in verdict.reason
    assert "own words" not in verdict.reason


def test_a_closed_hash_set_is_an_error_verdict(known_path):
    """A set closed too early does not raise in the middle of sending."""
    known = HashSet.open(known_path)
    scanner = Scanner(known)
    known.close()
    verdict = scanner.scan(KNOWN)
    assert (verdict.outcome, verdict.matches) == (Outcome.ERROR, ())


def test_an_unknown_engine_is_refused_at_once(known):
    """A wrong name is told when the scanner is made, not at the first picture."""
    with pytest.raises(UnknownNameError, match="abacus"):
        Scanner(known, engine="abacus")


def test_an_unknown_isolation_is_refused_at_once(known):
    """So that nobody believes in an isolation that is none."""
    with pytest.raises(UnknownNameError, match="jail"):
        IsolatedScanner(known, isolation="jail")


MEASURED = dt.date(2026, 7, 1)


@pytest.fixture
def calibrated_path(known, known_path, tmp_path):
    """The three pictures with a certificate of no hit in 30,000: an FPIR of at most 0.0000999."""
    calibration = Calibration(
        hashset_digest=known.digest, algorithm="pdq", radius=31, quality_floor=50, corpus_digest=bytes(32),
        date=MEASURED, query_clusters=30_000, hits=0, nearest_distances=(40,), versions={"prescan": "0.1.0"},
    )  # fmt: skip
    attach_calibration(known_path, calibration, tmp_path / "calibrated.prescan", today=MEASURED)
    return tmp_path / "calibrated.prescan"


def demanding(highest_fpir: float, not_before: dt.date) -> Profile:
    """The standard profile with a demand."""
    return dataclasses.replace(PROFILES["standard"], requires_calibration=CalibrationDemand(highest_fpir, not_before))


@pytest.mark.parametrize("isolation", ["isolated", "in-process"])
def test_a_list_without_evidence_is_refused_when_the_scanner_is_opened(known, isolation, monkeypatch):
    """Before any process is made; a profile that asks for nothing takes it."""
    monkeypatch.setattr("scanner.pipeline.IsolatedHasher", None)
    with pytest.raises(HashSetError, match="the list three has no calibration certificate"):
        IsolatedScanner(known, demanding(1, dt.date(2020, 1, 1)), isolation=isolation)
    monkeypatch.undo()
    IsolatedScanner(known, isolation=isolation).close()


@pytest.mark.parametrize(
    ("highest", "not_before", "words"),
    [
        (1e-4, MEASURED, None), (1e-4, MEASURED - dt.timedelta(days=400), None), (1, MEASURED, None),
        (9.98e-5, MEASURED, "0 false hits in 30,000 query clusters"),
        (1, MEASURED + dt.timedelta(days=1), "was calibrated on 2026-07-01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("check", Check)
def test_evidence_meets_the_demand_or_the_list_is_refused(calibrated_path, check, highest, not_before, words):
    """Whether too high or too old, and however little of the file was checked."""
    with HashSet.open(calibrated_path, check=check) as known:
        if words is None:
            assert Scanner(known, demanding(highest, not_before)).scan(KNOWN).outcome is Outcome.MATCH
        else:
            with pytest.raises(HashSetError, match=words):
                Scanner(known, demanding(highest, not_before))


def test_warming_up_changes_no_verdict(scanner):
    """The first picture after warming up is judged as any other."""
    before = scanner.scan(KNOWN)
    scanner.warm_up()
    assert scanner.scan(KNOWN) == before


def test_warming_up_tells_of_a_broken_engine(known):
    """What does not work here is told at the start, not at the first picture."""
    with pytest.raises(ZeroDivisionError):
        BrokenScanner(known).warm_up()


@pytest.mark.parametrize("media", [KNOWN, UNKNOWN, FLAT, b""], ids=["known", "unknown", "flat", "empty"])
def test_the_asynchronous_scan_gives_the_same_verdict(scanner, media):
    """Waiting in an event loop changes nothing but the waiting."""
    patient = Scanner(scanner.known, dataclasses.replace(scanner.profile, time_limit=60.0))
    assert asyncio.run(patient.scan_async(media)) == patient.scan(media)


class SlowFile(io.BytesIO):
    """A file that gives nothing before it is released."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.released = threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        assert self.released.wait(60)
        return super().read(size)


@pytest.mark.parametrize("name", PROFILES)
def test_a_scan_over_its_time_is_a_timeout(known, name):
    """The verdict comes while the file still hangs, and the profile says what to do."""
    profile = dataclasses.replace(PROFILES[name], time_limit=0.01)
    file = SlowFile(KNOWN)

    async def scanned() -> Verdict:
        try:
            return await Scanner(known, profile).scan_async(file)
        finally:
            file.released.set()

    verdict = asyncio.run(scanned())
    assert (verdict.outcome, verdict.action) == (Outcome.TIMEOUT, PROFILES[name].on_timeout)
    assert verdict.matches == ()


def test_eight_threads_share_one_scanner(scanner):
    """Scans at the same time give what they give one after the other."""
    media = [KNOWN, UNKNOWN, FLAT, b"", picture(3)] * 16
    expected = {each: scanner.scan(each) for each in set(media)}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(scanner.scan, media)) == [expected[each] for each in media]


def animation(*seeds: int, **options) -> bytes:
    """The pictures one after the other, as lossless WebP."""
    frames = [Image.open(io.BytesIO(picture(seed))) for seed in seeds]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=500, lossless=True, **options)
    return file.getvalue()


def test_a_known_picture_in_an_animation_matches(scanner):
    """Wherever it is, and the verdict says when it is shown."""
    verdict = scanner.scan(animation(7, 8, 1, 9))
    assert (verdict.outcome, verdict.frames) == (Outcome.MATCH, 4)
    assert [(match.label, match.seconds, match.video) for match in verdict.matches] == [
        ("exact", 1.0, None), ("near", 1.0, None),
    ]  # fmt: skip
    assert verdict.hash == hash_picture(KNOWN).hash
    assert verdict.reason.endswith("1.0 seconds in")


def test_flat_frames_are_not_searched(scanner):
    """A frame that is too flat does not make the others too flat."""
    frames = [Image.open(io.BytesIO(data)) for data in (FLAT, KNOWN)]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    verdict = scanner.scan(file.getvalue())
    assert (verdict.outcome, verdict.frames) == (Outcome.MATCH, 2)


def test_a_known_animation_matches_by_its_share(tmp_path):
    """The list's maker hashed the whole; what is sent is a part of it, and half of something else."""
    builder = HashSetBuilder("moving")
    builder.add_all(entries_of(hash_media(animation(*range(20, 30))), "clip"))
    builder.write(tmp_path / "set")
    with HashSet.open(tmp_path / "set") as known:
        scanner = Scanner(known)
        (match,) = scanner.scan(animation(*range(22, 27))).matches
        assert (match.label, match.video) == ("clip", VideoMatch(1.0, 0.5))
        assert scanner.scan(animation(22, 23, 40, 41)).outcome is Outcome.NO_MATCH
        assert scanner.scan(animation(*range(20, 24), 40)).outcome is Outcome.MATCH


def test_frames_that_were_left_out_are_told(known):
    """No match in a part of the frames is not no match."""
    verdict = Scanner(known, limits=Limits(max_frames=2)).scan(animation(7, 8, 1, 9))
    assert (verdict.outcome, verdict.frames) == (Outcome.NO_MATCH, 2)
    assert verdict.reason.endswith("only 2 of its frames could be looked at")


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(
    ("action", "outcome"), [(b"crash", Outcome.UNSCANNABLE), (b"hang", Outcome.TIMEOUT), (b"eat", Outcome.UNSCANNABLE)]
)
def test_a_decoder_that_was_taken_over_ends_in_the_profiles_verdict(known, name, action, outcome):
    """In bounded time, and the next picture is judged as any other."""
    profile = dataclasses.replace(PROFILES[name], time_limit=1.0)
    with IsolatedScanner(known, profile) as scanner:
        scanner._hasher = IsolatedHasher(command=EVIL, memory=1 << 28)
        scanner.warm_up()
        started = time.monotonic()
        verdict = scanner.scan(action)
        assert time.monotonic() - started < 5
        assert verdict.outcome is outcome
        assert verdict.action is profile.action_for(outcome)
        assert scanner.scan(KNOWN).outcome is Outcome.MATCH


def test_an_asynchronous_scan_stops_the_decoder_that_hangs(known):
    """The event loop goes on, and the worker is gone."""
    profile = dataclasses.replace(PROFILES["strict"], time_limit=1.0)
    with IsolatedScanner(known, profile) as scanner:
        scanner._hasher = IsolatedHasher(command=EVIL)
        scanner.warm_up()
        verdict = asyncio.run(scanner.scan_async(b"hang"))
        assert verdict.outcome is Outcome.TIMEOUT
        assert scanner._hasher._count == 0


def test_a_decoder_that_can_not_be_started_is_an_error_verdict(known):
    """A fault of this machine, by the profile."""
    with IsolatedScanner(known) as scanner:
        scanner._hasher = IsolatedHasher(command=("/nowhere/python",))
        assert scanner.scan(KNOWN).outcome is Outcome.ERROR
        with pytest.raises(SandboxError):
            scanner.warm_up()
