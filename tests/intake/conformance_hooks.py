"""What schemathesis is told beside the OpenAPI document; its command line loads this, see test_conformance.py.

Vouchers and batches are bytes that a device signed, which no schema can say: strategies make them here. The findings
that are beyond any schema are listed in ``BEYOND``, each with its reason, and nothing else is let pass.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure

from scanner.vouchers import Voucher, encode_batch, window_at
from tests.intake.senders import Sender
from tests.policies import NOW

USED = "CONFORMANCE_USED"
"""Names the file that is told which of BEYOND was met."""

WINDOW = window_at(NOW)
ENROLLED, REVOKED, UNKNOWN = Sender(60), Sender(61), Sender(62)
VOUCHERS = [ENROLLED.voucher(WINDOW, slot) for slot in range(12)]
OTHERS = [sender.voucher(WINDOW, slot) for sender in (REVOKED, UNKNOWN) for slot in range(2)]
PUT_VOUCHER = "PUT /v1/vouchers/{device}/{window}/{slot}"


class Beyond(NamedTuple):
    """Data that the schema allows and the intake refuses, for a reason that a schema can't give."""

    path: str  # begins so
    status: int
    problem: str
    why: str


BEYOND = (Beyond("/v1/", 400, "bad-cursor", "a cursor is a text that the intake itself wrote, for one list"),)
REJECTED = "ST202"  # positive_data_acceptance: data that is valid by the schema was refused

schemathesis.openapi.media_type("application/cose", st.sampled_from(VOUCHERS + OTHERS))
schemathesis.openapi.media_type(
    "application/cbor", st.lists(st.sampled_from(VOUCHERS + OTHERS), min_size=1, max_size=8).map(encode_batch)
)


def is_positive(case: schemathesis.Case) -> bool:
    """Whether a case is meant to be valid."""
    return case.meta is not None and not case.meta.generation.mode.is_negative


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """Put a voucher where it says that it belongs, and ask for devices that there are."""
    if not is_positive(case):
        return case
    if case.operation.label == PUT_VOUCHER and case.body in VOUCHERS + OTHERS:
        header = Voucher.parse(case.body).header
        case.path_parameters = {"device": header.device_id.hex(), "window": header.window, "slot": header.slot}
    elif case.operation.label == "GET /v1/devices/{device}":
        case.path_parameters = {"device": (ENROLLED if case.path_parameters["device"] < "8" else UNKNOWN).id.hex()}
    elif case.operation.label == "PUT /v1/devices/{device}/revocation":
        case.path_parameters = {"device": (REVOKED if case.path_parameters["device"] < "8" else UNKNOWN).id.hex()}
    return case


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """Keep every finding but those listed."""
    if failure.code != REJECTED or not response.headers["content-type"][0].endswith("/problem+json"):
        return True
    problem = response.json()["type"].removeprefix("urn:prescan:problem:")
    for number, each in enumerate(BEYOND):
        if case.path.startswith(each.path) and (each.status, each.problem) == (response.status_code, problem):
            with Path(os.environ[USED]).open("a") as used:
                used.write(f"{number}\n")
            return False
    return True
