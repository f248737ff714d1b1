"""What the intake says about itself is well-formed, complete and true: who may ask for what, and by which methods."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import httpx
import pytest

import scanner
from scanner.intake.authority.operators import Scope
from scanner.intake.settings import Rate, Settings
from scanner.intake.store import schema
from scanner.vouchers import window_at
from tests.intake.conftest import NOW, make_operator, open_app, serving
from tests.intake.senders import BATCH_TYPE, VOUCHER_TYPE, Sender, post

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
PUBLIC, DEVICE = "public", "device"

# Every operation, and who may ask: anyone, a device by its signature or token, or operators of a scope.
WHO = {
    ("put", "/v1/vouchers/{device}/{window}/{slot}"): DEVICE,
    ("post", "/v1/vouchers"): DEVICE,
    ("put", "/v1/devices/{device}"): DEVICE,
    ("put", "/v1/tokens/{token_hash}"): Scope.ENROL,
    ("put", "/v1/devices/{device}/revocation"): Scope.ENROL,
    ("get", "/v1/devices/{device}"): Scope.READ,
    ("get", "/v1/devices"): Scope.READ,
    ("get", "/v1/windows"): Scope.READ,
    ("get", "/v1/log/entries"): Scope.READ,
    ("get", "/metrics"): Scope.READ,
    ("put", "/v1/exports/{export_id}"): Scope.EXPORT,
    ("get", "/v1/exports/{export_id}"): Scope.EXPORT,
    ("get", "/v1/exports/{export_id}/content"): Scope.EXPORT,
    ("get", "/v1/exports"): Scope.EXPORT,
    ("put", "/v1/openings/{opening_id}"): Scope.EXPORT,
    ("get", "/v1/openings"): Scope.EXPORT,
    ("get", "/v1/operators"): Scope.ADMIN,
    ("get", "/v1/operators/{operator_id}"): Scope.ADMIN,
    ("put", "/v1/operators/{operator_id}"): Scope.ADMIN,
    ("put", "/v1/operators/{operator_id}/revocation"): Scope.ADMIN,
    ("get", "/v1/hooks"): Scope.ADMIN,
    ("get", "/v1/hooks/{hook_id}"): Scope.ADMIN,
    ("put", "/v1/hooks/{hook_id}"): Scope.ADMIN,
    ("delete", "/v1/hooks/{hook_id}"): Scope.ADMIN,
    ("put", "/v1/hooks/{hook_id}/tests/{message_id}"): Scope.ADMIN,
    ("get", "/v1/hooks/{hook_id}/messages"): Scope.ADMIN,
    ("get", "/v1/hooks/key"): PUBLIC,
    ("get", "/v1/log/checkpoint"): PUBLIC,
    ("get", "/v1/log/key"): PUBLIC,
    ("get", "/v1/log/inclusion"): PUBLIC,
    ("get", "/v1/log/consistency"): PUBLIC,
    ("get", "/v1/config"): PUBLIC,
    ("get", "/healthz"): PUBLIC,
    ("get", "/readyz"): PUBLIC,
}
OF_OPERATORS = {operation: who for operation, who in WHO.items() if isinstance(who, Scope)}
MANY = Rate(10**6, 1.0)
FREE = Settings(address_rate=MANY, login_rate=MANY, device_rate=MANY, account_rate=MANY, unsafe_open_enrolment=True)
WINDOW = window_at(NOW)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A client of one intake for all tests, and the database's URL."""
    url = f"sqlite:///{tmp_path_factory.mktemp('openapi') / 'intake.db'}"
    schema.migrate(url)
    with serving(open_app(url, settings=FREE)) as address, httpx.Client(base_url=address) as client:
        yield client, url


@pytest.fixture(scope="module")
def client(running):
    """The client alone."""
    return running[0]


@pytest.fixture(scope="module")
def token_without(running) -> Callable[[Scope | None], str]:
    """Gives the token of an operator who has every scope but one."""

    @functools.cache
    def make(missing: Scope | None) -> str:
        return make_operator(running[1], *(set(Scope) - {missing}), name=f"all but {missing}")

    return make


@pytest.fixture(scope="module")
def document(client):
    """The document as clients get it."""
    answer = client.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def operations(document):
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


def walk(value):
    """Everything in the document."""
    yield value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from walk(each)


def filled(path: str) -> str:
    """A path with valid values in place of its parameters."""
    path = path.replace("{token_hash}", "0" * 64).replace("{window}", "0").replace("{slot}", "0")
    return re.sub(r"\{\w+\}", "0" * 32, path)


def test_it_is_openapi_3_1(document):
    """The parts OpenAPI 3.1 asks for are there: version, info, paths, and no methods it does not know."""
    assert document["openapi"].startswith("3.1.")
    assert (document["info"]["title"], document["info"]["version"]) == ("Prescan intake", scanner.__version__)
    assert all(path.startswith("/") for path in document["paths"])
    assert all(set(item) <= METHODS for item in document["paths"].values())


def test_it_is_the_same_each_time(client, running):
    """Reading changes nothing, and another app on the same database says the same."""
    first, second = (client.get("/openapi.json").content for _ in range(2))
    assert first == second
    with serving(open_app(running[1], settings=FREE)) as address:
        assert httpx.get(f"{address}/openapi.json").content == first


def test_every_operation_and_no_other_is_there(document):
    """A new operation has to be listed in the table above first."""
    assert set(operations(document)) == set(WHO)
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] and operation["description"] for operation in operations(document).values())


def test_numbers_are_written_as_they_are(document):
    """Bounds are whole numbers; as floats, those over 2**53 would be others."""
    assert not [each for each in walk(document) if isinstance(each, float)]


@pytest.mark.parametrize("operation", WHO, ids=" ".join)
def test_errors_are_documented_as_problems(document, operation):
    """Every error is problem+json with the one schema."""
    responses = operations(document)[operation]["responses"]
    for status, response in responses.items():
        if int(status) >= 400:
            problem = {"$ref": "#/components/schemas/Problem"}
            assert response["content"] == {"application/problem+json": {"schema": problem}}


@pytest.mark.parametrize("operation", WHO, ids=" ".join)
def test_path_parameters_are_those_of_the_path(document, operation):
    """Each name in braces is a required parameter with a schema, and no other is in the path."""
    _, path = operation
    parameters = [each for each in operations(document)[operation].get("parameters", []) if each["in"] == "path"]
    assert {each["name"] for each in parameters} == {part[1:-1] for part in path.split("/") if part[:1] == "{"}
    assert all(each["required"] is True and "type" in each["schema"] for each in parameters)


@pytest.mark.parametrize("operation", WHO, ids=" ".join)
def test_who_may_ask_is_documented(document, operation):
    """Operators by a bearer token, devices that enrol by theirs, all else by none."""
    told = operations(document)[operation].get("security", [])
    if operation in OF_OPERATORS:
        assert told == [{"operator": []}]
        assert {"401", "403", "429", "503"} <= operations(document)[operation]["responses"].keys()
    else:
        assert told == ([{"enrolment": []}] if operation == ("put", "/v1/devices/{device}") else [])


@pytest.mark.parametrize("operation", OF_OPERATORS, ids=" ".join)
def test_who_may_not_ask_is_refused(client, token_without, operation):
    """Without a token 401, with a wrong one 401, with every scope but the one 403; before the request is looked at."""
    method, path = operation
    token = token_without(OF_OPERATORS[operation])
    for given, status, problem in (
        (None, 401, "unauthorized"), (token[:-1] + "~", 401, "unauthorized"), (token, 403, "wrong-scope")
    ):  # fmt: skip
        headers = {} if given is None else {"Authorization": f"Bearer {given}"}
        answer = client.request(method, filled(path), headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:prescan:problem:{problem}")
        assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


@pytest.mark.parametrize("path", sorted({path for _, path in WHO}))
def test_other_methods_are_told_which_there_are(client, token_without, path):
    """405 with exactly the documented methods in Allow, whichever routes they stand in, to who may do everything."""
    headers = {"Authorization": f"Bearer {token_without(None)}"}
    documented = {method.upper() for method, each in WHO if each == path}
    for method in {"PATCH", "OPTIONS", "DELETE", "POST"} - documented:
        answer = client.request(method, filled(path), headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (405, "urn:prescan:problem:method-not-allowed")
        assert set(answer.headers["Allow"].split(", ")) == documented


def test_every_reference_leads_somewhere(document):
    """No $ref dangles, and nothing is described that nobody refers to."""
    references = {each["$ref"] for each in walk(document) if isinstance(each, dict) and "$ref" in each}
    for reference in references:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target["type"] in {"object", "string"}
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} == references


def test_the_problem_schema_is_that_of_the_answers(document):
    """Type, title and status are always there; detail may be."""
    problem = document["components"]["schemas"]["Problem"]
    assert set(problem["properties"]) == {"type", "title", "status", "detail"}
    assert set(problem["required"]) == {"type", "title", "status"}


@pytest.mark.parametrize(
    ("operation", "kind"),
    [(("put", "/v1/vouchers/{device}/{window}/{slot}"), VOUCHER_TYPE), (("post", "/v1/vouchers"), BATCH_TYPE)],
)
def test_vouchers_and_receipts_are_binary(document, operation, kind):
    """One is sent and its receipt given as application/cose, many as application/cbor, and nothing else."""
    described = operations(document)[operation]
    assert described["requestBody"]["required"] is True
    assert list(described["requestBody"]["content"]) == [kind]
    for status, response in described["responses"].items():
        if int(status) < 400:
            assert response["content"] == {kind: {"schema": {"type": "string", "format": "binary"}}}


def test_a_delivery_is_as_it_is_documented(document, client):
    """The statuses and types of a voucher's first and second delivery, and of a batch's, are among those described."""
    sender = Sender(70)
    assert sender.enrol(client).status_code == 201
    voucher = sender.voucher(WINDOW, 0)
    put = operations(document)["put", "/v1/vouchers/{device}/{window}/{slot}"]["responses"]
    for status in ("201", "200"):
        answer = sender.put(client, voucher, WINDOW, 0)
        assert (str(answer.status_code), [answer.headers["Content-Type"]]) == (status, list(put[status]["content"]))
    many = post(client, [voucher])
    described = operations(document)["post", "/v1/vouchers"]["responses"]
    assert [many.headers["Content-Type"]] == list(described[str(many.status_code)]["content"])


def schema_of(document, operation, *path):
    """The schema a part of an operation refers to."""
    part = operations(document)[operation]
    for name in path:
        part = part[name]
    return document["components"]["schemas"][part["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]]


def test_the_enrolment_is_as_it_is_documented(document, client):
    """Its fields are those a device sends, each needed, each of its pattern, and no other is taken."""
    sender = Sender(71)
    told = schema_of(document, ("put", "/v1/devices/{device}"), "requestBody")
    body = sender.enrolment
    assert set(told["properties"]) == set(told["required"]) == set(body) == {"public_key", "account", "proof"}
    assert told["additionalProperties"] is False
    assert all(re.search(told["properties"][name]["pattern"], value) for name, value in body.items())
    path = f"/v1/devices/{sender.id.hex()}"
    for wrong in (body | {"more": ""}, *({key: body[key] for key in body if key != name} for name in body)):
        assert client.put(path, json=wrong).status_code == 422
    for status in (201, 200):
        answer = client.put(path, json=body)
        described = schema_of(document, ("put", "/v1/devices/{device}"), "responses", str(status))
        assert answer.status_code == status
        assert set(answer.json()) == set(described["properties"])


@pytest.mark.parametrize("path", ["/v1/config", "/healthz", "/readyz", "/v1/log/key", "/v1/hooks/key"])
def test_what_is_read_is_as_it_is_documented(document, client, path):
    """Exactly the documented fields."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert set(answer.json()) == set(schema_of(document, ("get", path), "responses", "200")["properties"])
