"""Answers are believed only as far as they make sense."""

from __future__ import annotations

import io
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import MediaError, MediaFault
from scanner.hashing import hash_media
from scanner.media import Accuracy, Limits
from scanner.sandbox import messages, worker
from scanner.types import HashedFrame, HashedMedia, PerceptualHash

LIMITS = Limits(max_frames=5)

frames = st.builds(
    HashedFrame,
    st.binary(min_size=32, max_size=32).map(lambda data: PerceptualHash("pdq", data)),
    st.integers(0, 100),
    st.floats(0, 1e9, allow_nan=False),
)
media = st.builds(HashedMedia, st.lists(frames, min_size=1, max_size=5).map(tuple), st.booleans(), st.booleans())


def read(data: bytes, progress=None):
    """Read an answer from bytes; at their end raise as a closed pipe does."""
    file = io.BytesIO(data)

    def exactly(length: int) -> bytes:
        part = file.read(length)
        if len(part) < length:
            raise EOFError
        return part

    return messages.read_answer(exactly, "pdq", 256, LIMITS, progress)


@given(found=media)
def test_answers_come_back_as_they_were(found):
    """Every field."""
    assert read(messages.answer(found)) == found


@given(found=media, shares=st.lists(st.floats(0, 1), max_size=5))
def test_steps_are_told_before_their_answer(found, shares):
    """As they come, to a millionth, whether anybody listens or not."""
    data = b"".join(messages.step(share) for share in shares) + messages.answer(found)
    told: list[float] = []
    assert read(data, told.append) == read(data) == found
    assert told == pytest.approx(shares, abs=1e-6)


@pytest.mark.parametrize(
    "steps",
    [
        6 * messages.step(0.5),
        messages.ANSWER.pack(messages.STEP_MAGIC, 1, 0, 5),
        messages.ANSWER.pack(messages.STEP_MAGIC, 0, 1, 5),
        messages.ANSWER.pack(messages.STEP_MAGIC, 0, 0, 1_000_001),
    ],
    ids=["more than frames", "fault", "flags", "over the whole"],
)
def test_steps_that_can_not_be_are_refused(steps):
    """A decoder that was taken over can't keep this process busy with them."""
    with pytest.raises(ValueError, match="no step, or too many"):
        read(steps + messages.answer(HashedMedia((HashedFrame(PerceptualHash("pdq", bytes(32)), 50, 0.0),))))


@pytest.mark.parametrize("why", MediaFault)
def test_faults_come_back_as_they_were(why):
    """Fault and words; what is not printable does not come through."""
    with pytest.raises(MediaError) as raised:
        read(messages.fault(MediaError(why, "it is\ndamaged \x1b[31mé")))
    assert (raised.value.fault, str(raised.value)) == (why, "it is?damaged ?[31m?")


@given(data=st.binary(max_size=300))
def test_random_answers_are_nothing_or_make_sense(data):
    """Three ways out and no other."""
    try:
        found = read(data)
    except (ValueError, EOFError, MediaError):
        return
    assert 1 <= len(found.frames) <= LIMITS.max_frames


@given(found=media, place=st.integers(0, 250), value=st.integers(0, 255))
def test_changed_answers_are_nothing_or_make_sense(found, place, value):
    """Any one byte."""
    data = bytearray(messages.answer(found))
    data[place % len(data)] = value
    try:
        again = read(bytes(data))
    except (ValueError, EOFError, MediaError):
        return
    assert 1 <= len(again.frames) <= LIMITS.max_frames
    for frame in again.frames:
        assert 0 <= frame.quality <= 100
        assert math.isfinite(frame.seconds)
        assert frame.seconds >= 0


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ((b"PSW0", 0, 0, 1), "no answer"),
        ((b"PSW1", 99, 0, 1), "no answer"),
        ((b"PSW1", 0, 4, 1), "no answer"),
        ((b"PSW1", 0, 0, 0), "too many frames, or none"),
        ((b"PSW1", 0, 0, 6), "too many frames, or none"),
        ((b"PSW1", 0, 0, 2**32 - 1), "too many frames, or none"),
        ((b"PSW1", 1, 0, 301), "a message too long"),
    ],
)
def test_heads_out_of_range_are_refused(head, told):
    """Before a byte of the rest is read."""
    with pytest.raises(ValueError, match=told):
        read(messages.ANSWER.pack(*head))


@pytest.mark.parametrize(("quality", "seconds"), [(101, 0.0), (50, -1.0), (50, math.nan), (50, math.inf)])
def test_frames_out_of_range_are_refused(quality, seconds):
    """A quality or a time that there is not."""
    frame = HashedFrame(PerceptualHash("pdq", bytes(32)), quality, seconds)
    with pytest.raises(ValueError, match="out of range"):
        read(messages.answer(HashedMedia((frame,))))


@pytest.mark.parametrize("accuracy", Accuracy)
def test_requests_come_back_as_they_were(accuracy):
    """Length, accuracy and limits; the largest file is the one that was sent."""
    limits = Limits(7, 2**40, 300, 2**50)
    assert messages.read_request(messages.request(7, accuracy, limits)) == (7, accuracy, limits)


def test_a_worker_serves_until_its_input_ends(astronaut):
    """Request after request; a request that is cut is the end."""
    requests, ours = os.pipe()
    theirs, answers = os.pipe()
    pictures = [astronaut.read_bytes(), b"no picture", b""]
    with os.fdopen(ours, "wb") as send:
        for data in pictures:
            os.write(send.fileno(), messages.request(len(data), Accuracy.FAST, LIMITS)[:5])
            break
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(ours)
    worker.serve(requests, answers, "pdq", None)
    os.close(requests)
    os.close(answers)
    assert os.read(theirs, 1) == b""
    os.close(theirs)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (MemoryError(), b"the media needs more memory than it may have"),
        (RuntimeError("inner words"), b"the decoder failed (RuntimeError)"),
        (MediaError(MediaFault.DAMAGED, "cut"), b"cut"),
    ],
    ids=["memory", "ours", "media"],
)
def test_a_worker_puts_every_fault_into_an_answer(raised, told, monkeypatch):
    """Nothing ends it but the end of its input."""

    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(worker, "hash_media", fail)
    assert told in worker.answer_to(b"", Accuracy.FAST, LIMITS, "pdq")


def test_a_worker_answers_what_this_process_finds(astronaut):
    """The answer's bytes hold what hashing gives."""
    data = astronaut.read_bytes()
    assert read(worker.answer_to(data, Accuracy.FAST, LIMITS, "pdq")) == hash_media(data, accuracy=Accuracy.FAST)


def test_warming_up_decodes_every_format():
    """No sample is refused where all extras are installed."""
    from scanner.media import formats
    from scanner.media.samples import samples

    made = list(samples())
    assert len(made) == 2 * len(formats.available()) + 1
    for data in made:
        assert hash_media(data).frames
