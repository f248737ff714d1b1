"""Signatures of webhooks, by Standard Webhooks."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import VoucherError
from scanner.intake.hooks.signing import hook_key, public_text, signed_headers, verify
from tests.intake.conftest import INTAKE, NOW

KEY = hook_key(INTAKE)
PUBLIC = public_text(KEY)
BODY = b'{"type":"hook.test"}'
MESSAGE = "ab" * 16


def refusal(headers: dict[str, str], body: bytes = BODY, now: float = NOW, public: str = PUBLIC) -> str:
    """Why a receiver refuses a webhook."""
    with pytest.raises(VoucherError) as caught:
        verify(public, headers, body, now)
    return caught.value.problem


def test_known_answer():
    """The signature is that of Svix's own test (svix-webhooks, server/svix-server/src/worker.rs,
    test_asymmetric_key_signing); the same one stands as the example in Standard Webhooks' text."""
    pair = base64.b64decode("6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
    key = Ed25519PrivateKey.from_private_bytes(pair[:32])
    assert public_text(key) == "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1a,"
        "hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    }


def test_the_key_is_the_intakes_and_another():
    """The same intake key gives the same hook key, another another; it is not the intake's own."""
    other = Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32)
    keys = [public_text(key) for key in (hook_key(INTAKE), hook_key(INTAKE), hook_key(other), INTAKE)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_receiver_takes_what_was_signed():
    """Names of headers in any case, and beside other signatures."""
    headers = signed_headers(KEY, MESSAGE, NOW, BODY)
    assert verify(PUBLIC, headers, BODY, NOW) == MESSAGE
    assert verify(PUBLIC, {name.title(): value for name, value in headers.items()}, BODY, NOW) == MESSAGE
    headers["webhook-signature"] = "v1,AAAA v1a,!! v1a,AAAA " + headers["webhook-signature"]
    assert verify(PUBLIC, headers, BODY, NOW) == MESSAGE


@given(place=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_a_changed_body_is_refused(place, bit):
    """Every bit of it is signed."""
    body = bytearray(BODY)
    body[place] ^= 1 << bit
    assert refusal(signed_headers(KEY, MESSAGE, NOW, BODY), bytes(body)) == "bad-signature"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_headers_of_another_webhook_are_refused(name):
    """Id, time and signature belong together."""
    headers = signed_headers(KEY, MESSAGE, NOW, BODY)
    other = signed_headers(KEY, "cd" * 16, NOW + 1, BODY)
    assert refusal(headers | {name: other[name]}) == "bad-signature"


def test_a_signature_by_another_key_is_refused():
    """That of the intake's own key too."""
    assert refusal(signed_headers(INTAKE, MESSAGE, NOW, BODY)) == "bad-signature"


@pytest.mark.parametrize(("late", "taken"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_the_time_has_a_tolerance(late, taken):
    """Five minutes each way, so that a recorded webhook is of no use later."""
    headers = signed_headers(KEY, MESSAGE, NOW, BODY)
    if taken:
        assert verify(PUBLIC, headers, BODY, NOW + late) == MESSAGE
    else:
        assert refusal(headers, now=NOW + late) == "wrong-time"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed(name):
    """Without one of them there is nothing to verify."""
    headers = signed_headers(KEY, MESSAGE, NOW, BODY)
    del headers[name]
    assert refusal(headers) in {"malformed", "bad-signature"}


@pytest.mark.parametrize("timestamp", ["", "-1", "1e9", "１８", "9" * 16, "0x10", " 1"])
def test_a_time_is_digits(timestamp):
    """Nothing else is read as a number."""
    assert refusal(signed_headers(KEY, MESSAGE, NOW, BODY) | {"webhook-timestamp": timestamp}) == "malformed"


def test_an_id_has_no_dot():
    """It would make what is signed ambiguous."""
    assert refusal(signed_headers(KEY, "a.1", NOW, BODY)) == "malformed"


@pytest.mark.parametrize("public", ["", "whpk_", "whpk_AAAA", "whpk_!", PUBLIC.removeprefix("whpk_"), PUBLIC[:-1]])
def test_a_wrong_public_key_is_said_to_be_one(public):
    """It is the receiver's mistake, not a forged webhook."""
    assert refusal(signed_headers(KEY, MESSAGE, NOW, BODY), public=public) == "malformed"


@given(headers=st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()))
def test_no_other_error_is_raised(headers):
    """Whatever stands in the headers, it is refused by the one error."""
    assert refusal(headers) in {"malformed", "wrong-time", "bad-signature"}
