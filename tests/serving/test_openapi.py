"""The OpenAPI document is true: whatever is sent by it, or against it, is answered as it says, and never with a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from specprefill_agents.serving.app import make_app
from tests.serving.running import Running, serving

BEYOND_SCHEMAS = [positive_data_acceptance, negative_data_rejection]
"""Checks of what no schema says: a span must lie in its text, and fields of later versions are let through."""


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with serving() as running:
        yield running


POSTED = ["/v1/score", "/v1/compress"]
FETCHED = ["/v1/scorer", "/healthz", "/readyz", "/metrics"]
CASES = [
    *((path, "POST", mode) for path in POSTED for mode in GenerationMode),
    *((path, "GET", GenerationMode.POSITIVE) for path in FETCHED),
]


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_every_route_keeps_to_its_document(path: str, method: str, mode: GenerationMode, service: Running) -> None:
    operation = schemathesis.openapi.from_url(f"{service.url}/openapi.json")[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def keeps(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=BEYOND_SCHEMAS)

    keeps()


@pytest.mark.parametrize("path", POSTED)
def test_the_examples_are_answered(path: str, service: Running) -> None:
    schema = service.client.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert service.client.post(path, json=schema["example"]).status_code == 200


def test_every_route_is_documented() -> None:
    paths = make_app().openapi()["paths"]
    assert {path: set(operations) for path, operations in paths.items()} == {
        **{path: {"post"} for path in POSTED},
        **{path: {"get"} for path in FETCHED},
    }
    for operations in paths.values():
        for operation in operations.values():
            assert operation["description"]
            assert operation["responses"]["200"]["content"]
