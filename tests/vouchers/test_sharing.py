"""Shares: on the polynomials, always the same, and telling nothing while there are few."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers.sharing import (
    MOST_STEPS,
    POLYNOMIALS_WITH_COVER,
    POLYNOMIALS_WITHOUT_COVER,
    Share,
    WindowShares,
    account_key_of,
    dummy_share,
    next_secret,
    secret_for,
    x_of,
)

P = 2**61 - 1
SECRET = bytes(range(32))
ACCOUNT = bytes(range(16))
WINDOW = 735

content_ids = st.integers(0, 2**64 - 1)
secrets = st.binary(min_size=32, max_size=32)
accounts = st.binary(min_size=16, max_size=16)
windows = st.integers(0, 2**32 - 1)


def shares_of(
    secret: bytes = SECRET, window: int = WINDOW, account: bytes = ACCOUNT, threshold: int = 10, polynomials: int = 8
) -> WindowShares:
    return WindowShares(secret, window, account, threshold=threshold, polynomials=polynomials)


def hkdf(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 without salt, 32 bytes (RFC 5869)."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\1", "sha256")


class Oracle:
    """Everything derived as the module's docstring says, with nothing but hashlib, hmac and integers."""

    def __init__(self, secret: bytes, window: int, account: bytes, threshold: int, polynomials: int) -> None:
        context = window.to_bytes(4) + account + threshold.to_bytes(2) + polynomials.to_bytes(2)
        self.x_key = hkdf(secret, b"prescan/v1/share-x" + context)
        stream = hashlib.shake_256(hkdf(secret, b"prescan/v1/share-polynomials" + context))
        data = stream.digest(16 * polynomials * (threshold - 1))
        numbers = [int.from_bytes(data[place : place + 16]) % P for place in range(0, len(data), 16)]
        self.polynomials = [numbers[k::polynomials] for k in range(polynomials)]
        constants = b"".join(polynomial[0].to_bytes(8) for polynomial in self.polynomials)
        self.account_key = hashlib.sha512(b"prescan/v1/account-key" + constants).digest()[:32]

    def share(self, content_id: int) -> tuple[int, list[int]]:
        digest = hmac.digest(self.x_key, content_id.to_bytes(8), "sha512")
        x = int.from_bytes(digest) % P or 1
        return x, [sum(c * pow(x, j, P) for j, c in enumerate(polynomial)) % P for polynomial in self.polynomials]


def through(points: list[tuple[int, int]], place: int) -> int:
    """Value at a place of the polynomial of least degree through points (Lagrange)."""
    total = 0
    for i, (xi, yi) in enumerate(points):
        above, below = yi, 1
        for j, (xj, _) in enumerate(points):
            if i != j:
                above = above * (place - xj) % P
                below = below * (xi - xj) % P
        total += above * pow(below, -1, P)
    return total % P


# Made by:
#   w = WindowShares(bytes(range(32)), 735, bytes(range(16)), threshold=10, polynomials=8)
#   print(next_secret(bytes(range(32))).hex(), w.account_key.hex(), w.share(77).to_bytes().hex())
KNOWN_NEXT = "ed4fe434560fcd97bfc49e798da23244316ad31924faa70c3dd16016529e8087"
KNOWN_KEY = "9effefbfbffe8dc33c5c66543350be48e337d4e76c476f3a2f0e8936e97cf5d2"
KNOWN_SHARE = (
    "100453d8b8cec3300a756d7a4e298c141d73312c3f20927705b7630e0958f88a152ab21f7252409b1274f09d2a70a8de"
    "191b605e92e8da271c1f821e491f8eb414d4ede595503ee3"
)
# and the same with threshold=30, polynomials=64: w.account_key.hex(), then
#   hashlib.sha256(w.share(2**64 - 1).to_bytes()).hexdigest()
KNOWN_KEY_WITH_COVER = "244a890ce42ed08e6b87b6ac89f7ac1c5f88a409b7d34c63c1cbb677ac37b911"
KNOWN_SHARE_WITH_COVER = "ef214724d4d073118abbb3ccee98ec92295643608329f8b7bba4a6265abf5b3e"


def test_known_answers():
    """Any change of what is derived shows here: devices and openers of one protocol version have to agree."""
    window = shares_of()
    assert next_secret(SECRET).hex() == KNOWN_NEXT
    assert window.account_key.hex() == KNOWN_KEY
    assert window.share(77).to_bytes().hex() == KNOWN_SHARE
    covered = shares_of(threshold=30, polynomials=64)
    assert covered.account_key.hex() == KNOWN_KEY_WITH_COVER
    assert hashlib.sha256(covered.share(2**64 - 1).to_bytes()).hexdigest() == KNOWN_SHARE_WITH_COVER


@given(
    secret=secrets,
    window=windows,
    account=accounts,
    threshold=st.integers(2, 12),
    polynomials=st.integers(5, 9),
    content=content_ids,
)
def test_everything_is_derived_as_written_down(secret, window, account, threshold, polynomials, content):
    """Key and share are the oracle's: the share lies on polynomials of degree t - 2 at the place of its content."""
    ours = shares_of(secret, window, account, threshold, polynomials)
    oracle = Oracle(secret, window, account, threshold, polynomials)
    share = ours.share(content)
    assert (share.x, list(share.ys)) == oracle.share(content)
    assert ours.account_key == oracle.account_key
    assert ours.share(content) == share == shares_of(secret, window, account, threshold, polynomials).share(content)


@given(contents=st.sets(content_ids, min_size=9, max_size=14))
def test_shares_lie_on_polynomials_of_degree_t_minus_2(contents):
    """Nine points of threshold 10 give all the others, and the constant terms that give the key."""
    window = shares_of()
    shares = [window.share(content) for content in contents]
    assert len({share.x for share in shares}) == len(shares)
    for k in range(8):
        points = [(share.x, share.ys[k]) for share in shares]
        assert all(through(points[:9], x) == y for x, y in points)
    constants = [through([(share.x, share.ys[k]) for share in shares[:9]], 0) for k in range(8)]
    assert account_key_of(constants) == window.account_key


@given(constants=st.lists(st.integers(0, P - 1), min_size=8, max_size=8), threshold=st.integers(2, 12))
def test_two_shares_short_every_key_is_possible(constants, threshold):
    """For any constant terms there are polynomials of degree t - 2 through any t - 2 shares; here they are."""
    shares = [shares_of(threshold=threshold).share(content) for content in range(threshold - 2)]
    for k, constant in enumerate(constants):
        points = [(0, constant), *((share.x, share.ys[k]) for share in shares)]
        assert len(points) == threshold - 1  # as many as a polynomial of degree t - 2 goes through, whatever they are
        assert through(points, 0) == constant
        assert all(through(points, share.x) == share.ys[k] for share in shares)


@given(threshold=st.integers(2, 12))
def test_one_share_short_any_values_are_possible(threshold):
    """Polynomials of degree t - 2 go through any t - 1 points: one share short, real ones are as dummies are."""
    dummies = [dummy_share(8) for _ in range(threshold - 1)]
    for k in range(8):
        points = [(share.x, share.ys[k]) for share in dummies]
        coefficients = interpolated(points)
        assert len(coefficients) == threshold - 1
        assert all(sum(c * pow(x, j, P) for j, c in enumerate(coefficients)) % P == y for x, y in points)


def test_one_share_short_is_only_hidden_by_cover():
    """The known gap, as it is: who knows which t - 1 shares are real has the key. Cover hides which."""
    window = shares_of(threshold=10)
    shares = [window.share(content) for content in range(9)]
    constants = [through([(share.x, share.ys[k]) for share in shares], 0) for k in range(8)]
    assert account_key_of(constants) == window.account_key


def interpolated(points: list[tuple[int, int]]) -> list[int]:
    """Coefficients of the polynomial through points, by elimination."""
    rows = [[pow(x, j, P) for j in range(len(points))] + [y] for x, y in points]
    for c in range(len(rows)):
        top = next(i for i in range(c, len(rows)) if rows[i][c])
        rows[c], rows[top] = rows[top], rows[c]
        rows[c] = [value * pow(rows[c][c], -1, P) % P for value in rows[c]]
        for i in range(len(rows)):
            if i != c:
                rows[i] = [(a - rows[i][c] * b) % P for a, b in zip(rows[i], rows[c], strict=True)]
    return [row[-1] for row in rows]


@pytest.mark.parametrize(
    "other",
    [
        {"secret": bytes(32)},
        {"window": WINDOW + 1},
        {"account": bytes(16)},
        {"threshold": 11},
        {"polynomials": 9},
    ],
    ids=lambda other: next(iter(other)),
)
def test_nothing_is_shared_with_another_window_account_or_policy(other):
    """Neither key, nor place, nor a value."""
    ours, theirs = shares_of(), shares_of(**other)
    mine, foreign = ours.share(5), theirs.share(5)
    assert ours.account_key != theirs.account_key
    assert not {mine.x, *mine.ys} & {foreign.x, *foreign.ys}


@given(secret=secrets, start=st.integers(0, 1000), steps=st.integers(0, 5))
def test_secrets_step_forward(secret, start, steps):
    """One window at a time, and all at once, is the same; no step gives the secret itself."""
    stepped = secret
    for _ in range(steps):
        stepped = next_secret(stepped)
    assert secret_for(secret, start, start + steps) == stepped
    assert secret_for(bytearray(secret), start, start + steps) == stepped
    assert next_secret(secret) == hkdf(secret, b"prescan/v1/next-window")


def test_secrets_do_not_step_back_or_too_far():
    """An earlier window's secret can't be had; a clock that is far off is no reason for much work."""
    assert len(secret_for(SECRET, 5, 5 + MOST_STEPS)) == 32
    for start, end in ((5, 4), (5, 0), (0, MOST_STEPS + 1), (-1, 0), (2**32 - 1, 2**32)):
        with pytest.raises(ArgumentError):
            secret_for(SECRET, start, end)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_secret_of_another_length_is_refused(length):
    """Nothing is padded or cut."""
    for use in (next_secret, lambda secret: secret_for(secret, 3, 3), shares_of):
        with pytest.raises(ArgumentError, match="32 bytes"):
            use(bytes(length))


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": -1},
        {"window": 2**32},
        {"account": bytes(15)},
        {"account": bytes(17)},
        {"threshold": 1},
        {"threshold": 0},
        {"threshold": 65_536},
        {"polynomials": 4},
        {"polynomials": 65_536},
    ],
    ids=repr,
)
def test_values_out_of_range_are_refused(wrong):
    """A threshold of 1 would be none; four polynomials would not hold a key."""
    with pytest.raises(ArgumentError):
        shares_of(**wrong)


@pytest.mark.parametrize("content", [-1, 2**64])
def test_a_content_id_out_of_range_is_refused(content):
    """Content ids have 64 bits."""
    with pytest.raises(ArgumentError, match="content id"):
        shares_of().share(content)


def test_the_place_is_never_zero():
    """At 0 the constant terms would lie open: a digest that is 0 modulo the prime becomes 1."""
    for digest in (bytes(64), P.to_bytes(64), (P * 2**450).to_bytes(64)):
        assert x_of(digest) == 1
    assert x_of((P + 2).to_bytes(64)) == 2
    assert x_of(b"\xff" * 64) == (2**512 - 1) % P


@given(contents=st.lists(content_ids, max_size=20), polynomials=st.sampled_from([8, 64]))
def test_shares_come_back_from_their_bytes(contents, polynomials):
    """Eight bytes a number, for real ones and dummies alike."""
    window = shares_of(polynomials=polynomials)
    for share in [*map(window.share, contents), dummy_share(polynomials)]:
        data = share.to_bytes()
        assert len(data) == 8 * (1 + polynomials)
        assert Share.from_bytes(data, polynomials) == share


@given(data=st.binary(max_size=80) | st.lists(st.sampled_from([0, 1, P - 1, P, 2**61, 2**64 - 1])).map(
    lambda numbers: b"".join(number.to_bytes(8) for number in numbers)), polynomials=st.integers(0, 9))  # fmt: skip
def test_any_bytes_are_a_share_or_malformed(data, polynomials):
    """Reading bytes raises VoucherError and nothing else, and a share has one form."""
    numbers = [int.from_bytes(data[place : place + 8]) for place in range(0, len(data), 8)]
    if len(data) == 8 * (1 + polynomials) and numbers[0] > 0 and max(numbers) < P:
        assert Share.from_bytes(data, polynomials).to_bytes() == data
    else:
        with pytest.raises(VoucherError) as refused:
            Share.from_bytes(data, polynomials)
        assert refused.value.problem == "malformed"


@pytest.mark.parametrize("number", [0, 1, P - 1, P, P + 1, 2**61, 2**64 - 1])
@pytest.mark.parametrize("place", range(9))
def test_a_number_out_of_range_is_refused_at_any_place(number, place):
    """Only elements of the field; and no x of 0, where the constant terms lie open."""
    numbers = [5] * 9
    numbers[place] = number
    data = b"".join(value.to_bytes(8) for value in numbers)
    if number < P and not (number == 0 and place == 0):
        assert Share.from_bytes(data, 8) == Share(numbers[0], tuple(numbers[1:]))
    else:
        with pytest.raises(VoucherError, match="range"):
            Share.from_bytes(data, 8)


@pytest.mark.parametrize("make", ["real", "dummy"])
def test_real_and_dummy_numbers_are_spread_alike(make):
    """Both kinds: in range, and even over 16 equal parts of it (chi-squared, 15 degrees: 52 is one chance in 100,000).

    That real ones can't be told from dummies rests on HMAC and SHAKE; this only finds a coarse mistake.
    """
    if make == "real":  # one share a window: real shares of one window are on its polynomials
        shares = [shares_of(window=number, polynomials=64).share(number) for number in range(200)]
    else:
        shares = [dummy_share(64) for _ in range(200)]
    assert all(0 < share.x < P and all(0 <= y < P for y in share.ys) for share in shares)
    for numbers in ([share.x for share in shares], [y for share in shares for y in share.ys]):
        counts = np.bincount([16 * number // P for number in numbers], minlength=16)
        expected = len(numbers) / 16
        assert ((counts - expected) ** 2 / expected).sum() < 52
    assert len({number for share in shares for number in (share.x, *share.ys)}) == 200 * 65


def test_the_numbers_of_polynomials_hold_a_key():
    """With cover as many as slots in a window; without, still more than 256 bits."""
    assert POLYNOMIALS_WITH_COVER == 64
    assert POLYNOMIALS_WITHOUT_COVER * 61 > 256


def test_erased_is_gone():
    """Keys and polynomials are overwritten where they lay, and nothing more is made."""
    window = shares_of()
    held = (window._x_key, window._account_key, window._coefficients)
    assert all(any(bytes(part)) for part in held)
    window.erase()
    assert not any(any(bytes(part)) for part in held)
    for use in (lambda: window.share(5), lambda: window.account_key):
        with pytest.raises(ArgumentError, match="erased"):
            use()
    window.erase()


def test_a_secret_is_not_kept():
    """The caller may erase what it gave."""
    secret = bytearray(SECRET)
    window = shares_of(secret)
    before = window.share(1)
    secret[:] = bytes(32)
    assert window.share(1) == before == shares_of().share(1)


def test_nothing_secret_is_shown():
    """Not in a log, not in a traceback."""
    window = shares_of()
    share = window.share(3)
    shown = repr(share) + repr(window)
    assert str(share.x) not in shown
    assert not any(str(y) in shown for y in share.ys)
    assert window.account_key.hex() not in shown
