"""The rules of enrolment, every case."""

from __future__ import annotations

import pytest

from scanner.intake.authority.enrolment import Applicant, Known, Token, is_new, is_stranger
from scanner.intake.problems import ProblemError
from tests.policies import ACCOUNT, OTHER_ACCOUNT

AT = 1_000
DEVICE, OTHER = bytes([1]) * 16, bytes([2]) * 16
WHO = Applicant(DEVICE, bytes(32), ACCOUNT, bytes(32))

HERE = Known(ACCOUNT, is_revoked=False)
ELSEWHERE = Known(OTHER_ACCOUNT, is_revoked=False)
REVOKED = Known(ACCOUNT, is_revoked=True)

FRESH = Token(ACCOUNT, AT + 1, None)
OTHERS = Token(OTHER_ACCOUNT, AT + 1, None)
EXPIRED = Token(ACCOUNT, AT, None)
OWN = Token(ACCOUNT, AT + 1, DEVICE)
OWN_EXPIRED = Token(ACCOUNT, AT, DEVICE)
USED = Token(ACCOUNT, AT + 1, OTHER)

UNAUTHORIZED = (401, "unauthorized")
LATE = (401, "token-expired")
TAKEN = (401, "token-used")
GONE = (403, "revoked")
WRONG = (403, "wrong-account")
CONFLICT = (409, "other-account")

TABLE = {
    #             token        stranger      here          elsewhere     revoked
    "none": (None, UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED),
    "fresh": (FRESH, True, False, CONFLICT, GONE),
    "others": (OTHERS, WRONG, WRONG, WRONG, WRONG),
    "expired": (EXPIRED, LATE, LATE, LATE, LATE),
    "own": (OWN, True, False, CONFLICT, GONE),
    "own, expired": (OWN_EXPIRED, True, False, CONFLICT, GONE),
    "used": (USED, TAKEN, TAKEN, TAKEN, TAKEN),
}
CASES = [
    pytest.param(token, known, expected, id=f"{name}-{column}")
    for name, (token, *row) in TABLE.items()
    for (column, known), expected in zip(
        {"stranger": None, "here": HERE, "elsewhere": ELSEWHERE, "revoked": REVOKED}.items(), row, strict=True
    )
]


def decided(function, *arguments) -> bool | tuple[int, str]:
    try:
        return function(*arguments)
    except ProblemError as error:
        return int(error.status), error.name


@pytest.mark.parametrize(("token", "known", "expected"), CASES)
def test_every_token_meets_every_device(token, known, expected):
    """What comes of each pair is in the table above."""
    assert decided(is_new, WHO, known, token, AT) == expected


@pytest.mark.parametrize(
    ("known", "expected"), [(None, True), (HERE, False), (ELSEWHERE, CONFLICT), (REVOKED, GONE)], ids=str
)
def test_without_tokens_a_device_is_still_of_one_account_and_revoked_for_ever(known, expected):
    """An open intake lets anyone in, but nobody twice."""
    assert decided(is_stranger, WHO, known) == expected
