"""What the intake says about itself is well-formed and complete."""

from __future__ import annotations

import re

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import scanner
from scanner.intake.app import create_app
from tests.intake.conftest import serving
from tests.intake.test_app import DEVICE_ID, enrolment

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}

# Every status the tests of the answers see, by operation.
SEEN = {
    ("put", "/v1/devices/{device}"): {200, 201, 400, 401, 403, 409, 413, 422, 503},
    ("put", "/v1/vouchers/{device}/{window}/{slot}"): {200, 201, 400, 403, 409, 413, 422, 503},
    ("get", "/v1/config"): {200},
    ("get", "/healthz"): {200},
    ("get", "/readyz"): {200, 503},
}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """The document as clients get it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('openapi') / 'intake.db'}"
    with serving(create_app(url, Ed25519PrivateKey.generate())) as address:
        answer = httpx.get(f"{address}/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def operations(document):
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


def walk(value):
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from walk(each)


def test_it_is_openapi_3_1(document):
    """The parts OpenAPI 3.1 asks for are there: version, info, paths, and no methods it does not know."""
    assert document["openapi"].startswith("3.1.")
    assert (document["info"]["title"], document["info"]["version"]) == ("Prescan intake", scanner.__version__)
    assert all(path.startswith("/") for path in document["paths"])
    assert all(set(item) <= METHODS for item in document["paths"].values())


def test_every_operation_and_no_other_is_there(document):
    """A new operation has to be listed in the table above first."""
    assert set(operations(document)) == set(SEEN)
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", SEEN, ids=" ".join)
def test_every_status_is_documented(document, operation):
    """Whatever a client can get is in the document, and each has a description."""
    responses = operations(document)[operation]["responses"]
    assert {int(status) for status in responses} >= SEEN[operation]
    assert all(response["description"] for response in responses.values())


@pytest.mark.parametrize("operation", SEEN, ids=" ".join)
def test_errors_are_documented_as_problems(document, operation):
    """Every error is problem+json with the one schema."""
    responses = operations(document)[operation]["responses"]
    for status, response in responses.items():
        if int(status) >= 400:
            schema = {"$ref": "#/components/schemas/Problem"}
            assert response["content"] == {"application/problem+json": {"schema": schema}}


@pytest.mark.parametrize("operation", SEEN, ids=" ".join)
def test_path_parameters_are_those_of_the_path(document, operation):
    """Each name in braces is a required parameter with a schema, and no other is in the path."""
    _, path = operation
    parameters = [each for each in operations(document)[operation].get("parameters", []) if each["in"] == "path"]
    assert {each["name"] for each in parameters} == {part[1:-1] for part in path.split("/") if part[:1] == "{"}
    assert all(each["required"] is True and "type" in each["schema"] for each in parameters)


def test_every_reference_leads_somewhere(document):
    """No $ref dangles."""
    references = {each["$ref"] for each in walk(document) if "$ref" in each}
    assert references
    for reference in references:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target["type"] == "object"


def test_the_problem_schema_is_that_of_the_answers(document):
    """Type, title and status are always there; detail may be."""
    schema = document["components"]["schemas"]["Problem"]
    assert set(schema["properties"]) == {"type", "title", "status", "detail"}
    assert set(schema["required"]) == {"type", "title", "status"}


def test_vouchers_and_receipts_are_binary(document):
    """A voucher is sent and a receipt is given as application/cose."""
    operation = operations(document)["put", "/v1/vouchers/{device}/{window}/{slot}"]
    assert operation["requestBody"]["required"] is True
    assert list(operation["requestBody"]["content"]) == ["application/cose"]
    for status in ("200", "201"):
        assert "application/cose" in operation["responses"][status]["content"]


@pytest.fixture
def client(tmp_path):
    """An intake of its own."""
    app = create_app(f"sqlite:///{tmp_path / 'intake.db'}", Ed25519PrivateKey.generate())
    with serving(app) as address, httpx.Client(base_url=address) as client:
        yield client


def schema_of(document, operation, *path):
    """The schema a part of an operation refers to."""
    part = operations(document)[operation]
    for name in path:
        part = part[name]
    return document["components"]["schemas"][part["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]]


def test_the_enrolment_is_as_it_is_documented(document, client):
    """Its fields are those a device sends, each needed, each of its pattern, and no other is taken."""
    schema = schema_of(document, ("put", "/v1/devices/{device}"), "requestBody")
    body = enrolment()
    assert set(schema["properties"]) == set(schema["required"]) == set(body) == {"public_key", "account", "proof"}
    assert schema["additionalProperties"] is False
    assert all(re.search(schema["properties"][name]["pattern"], value) for name, value in body.items())
    for wrong in (body | {"more": ""}, *({key: body[key] for key in body if key != name} for name in body)):
        assert client.put(f"/v1/devices/{DEVICE_ID}", json=wrong).status_code == 422
    assert client.put(f"/v1/devices/{DEVICE_ID}", json=body).status_code == 201


@pytest.mark.parametrize("path", ["/v1/config", "/healthz", "/readyz"])
def test_what_is_read_is_as_it_is_documented(document, client, path):
    """Exactly the documented fields."""
    answer = client.get(path)
    schema = schema_of(document, ("get", path), "responses", "200")
    assert answer.status_code == 200
    assert set(answer.json()) == set(schema["properties"])


def test_a_device_is_as_it_is_documented(document, client):
    """The same whether it is new or not."""
    for status in ("201", "200"):
        answer = client.put(f"/v1/devices/{DEVICE_ID}", json=enrolment())
        schema = schema_of(document, ("put", "/v1/devices/{device}"), "responses", status)
        assert answer.status_code == int(status)
        assert set(answer.json()) == set(schema["properties"])
