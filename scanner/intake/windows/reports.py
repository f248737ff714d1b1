"""What the opener says of an account's window, strictly read.

Rules: what ``scanner opener open`` can write is taken, and nothing else; a text or number in it was chosen by a device,
so the bounds are those of a payload (256 bytes) and no device can make its own window's report unreadable; equal
reports are equal bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from scanner.intake.whole import WHOLE
from scanner.vouchers.header import SLOTS, WINDOWS
from scanner.vouchers.payload import PADDED_BYTES

MOST_MATCHES = SLOTS

Number: TypeAlias = Annotated[int, Field(ge=0, lt=2**64), WHOLE]
Bytes: TypeAlias = Annotated[str, Field(pattern=f"^([0-9a-f]{{2}}){{0,{PADDED_BYTES}}}$")]
Account: TypeAlias = Annotated[
    str, Field(pattern="^[0-9a-f]{32}$", description="The account's id: 16 bytes in lower-case hexadecimal.")
]
WindowNumber: TypeAlias = Annotated[int, Field(ge=0, lt=WINDOWS, description="Number of the 28-day window."), WHOLE]
Vouchers: TypeAlias = Annotated[
    int, Field(ge=1, lt=2**48, description="Vouchers the window had in the export that was opened."), WHOLE
]


class Strict(BaseModel):
    """Nothing more than its fields, and each of its own kind."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Match(Strict):
    """What one opened voucher told. All of it was written by the device."""

    content_id: Number = Field(description="Cluster of the nearest entry of the list.")
    leaf_index: Number = Field(description="Position of that entry in the list.")
    distance: Number = Field(description="Bits between the picture's hash and the entry's.")
    quality: Number = Field(description="The picture's.")
    algorithm: str = Field(max_length=PADDED_BYTES, description="Of the hash.")
    hash: Bytes = Field(description="The picture's, hexadecimal.")
    day: Number = Field(description="Days since 1970.")
    hashset_digest: Bytes = Field(description="Edition of the list that was searched, hexadecimal.")
    policy_digest: Bytes = Field(description="Policy that the device acted under, hexadecimal.")
    build: Bytes = Field(description="Names the client's build, hexadecimal.")


class Opened(Strict):
    """The window reached its threshold."""

    account: Account
    window: WindowNumber
    result: Literal["opened"]
    vouchers: Vouchers
    matches: list[Match] = Field(min_length=1, max_length=MOST_MATCHES, description="One for each different content.")


class Unopened(Strict):
    """The window did not reach its threshold, or has too much in it that is not from its pictures."""

    account: Account
    window: WindowNumber
    result: Literal["below-threshold", "ambiguous"]
    vouchers: Vouchers
    matches: list[Match] = Field(default=[], max_length=0, description="None.")


Report: TypeAlias = Opened | Unopened


def to_bytes(report: Report) -> bytes:
    """A report as it is stored: JSON of one form."""
    return json.dumps(report.model_dump(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
