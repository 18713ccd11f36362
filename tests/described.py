"""Calls that schemathesis draws from the OpenAPI file, and what is not answered as it says."""

from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator, ValidationError
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.app.calls import last_event
from tests.processes import HTTP

# Whether a call was rightly accepted is seen at the end of its stream, which these do not read.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# The file does not tell that a prompt must not have such, nor that the page sends its seed as text.
UNTOLD = "contains the control character"


def send_described(url: str, count: int, *, derandomize: bool = False) -> list[str]:
    """Sends at least so many calls, as many to each route that the file allows as that it does
    not; returns a text for each that was not answered as the file says. With `derandomize` they
    are the same each time."""
    file = HTTP.get(f"{url}/gradio_api/openapi.json").raise_for_status().json()
    faults: list[str] = []

    def send(case: Case) -> None:
        if fault := _fault(url, case, file):
            faults.append(f"{case.method} {case.formatted_path} {case.body!r:.500}: {fault}")

    drawn = [
        one.ok().as_strategy(generation_mode=way)
        for one in schemathesis.openapi.from_dict(file).get_all_operations()
        for way in GenerationMode
        # The number of an event is any text.
        if one.ok().method == "post" or way.is_positive
    ]
    for cases in drawn:
        limits = settings(
            max_examples=-(-count // len(drawn)), deadline=None, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
            derandomize=derandomize,
        )  # fmt: skip
        limits(given(cases)(send))()  # type: ignore[no-untyped-call]
    return faults


def _fault(url: str, case: Case, file: Mapping[str, Any]) -> str:
    """What is not as the file says; empty if nothing is."""
    answer = case.call(base_url=url)
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as group:
        return str(group)
    if case.method == "GET":
        return ""
    refusal: str = answer.text
    endpoint = case.path.rpartition("/")[2]
    if answer.status_code == 200:
        name, data = last_event(url, endpoint, answer.json()["event_id"])
        refusal = "" if name == "complete" else data["error"]
    is_allowed = case.meta.generation.mode.is_positive
    is_told = not isinstance(case.body, dict) or not isinstance(case.body.get("seed"), str)
    if bool(refusal) is is_allowed and is_told and UNTOLD not in refusal:
        return refusal or "It was accepted."
    if refusal:
        return ""
    route = file["paths"][f"/gradio_api/call/{endpoint}/{{event_id}}"]["get"]
    told = route["responses"]["200"]["content"]["text/event-stream"]["schema"]
    try:
        Draft202012Validator({**told, "components": file["components"]}).validate(data)
    except ValidationError as error:
        return str(error.message)
    return ""
