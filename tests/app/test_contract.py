"""What programs are promised stays as it was written down, and is kept over every way to call."""

import asyncio
import json
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from jsonschema import Draft202012Validator, ValidationError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from demo.generation.request import COUNT, FIELDS
from demo.server.limits import NOT_JSON
from tests.app.calls import call, generate, post_to, refusal_of
from tests.contract import CONTRACT, contract, written
from tests.processes import HTTP, AppProcess, wait_until
from tests.scripted import REAL_TWEET

LABEL = "AI-generated parody (not a real tweet)"
ZEBRA = "The zebra and the zoo were fuzzy and dizzy, and the jazz was all buzz"


def test_names_types_defaults_and_docs_are_as_they_were_promised(
    scripted_app: AppProcess,
) -> None:
    told = written(contract(scripted_app.url))
    assert told == CONTRACT.read_text(encoding="utf-8"), "meant? `python -m tests.contract`"


def schemas(value: Any) -> Iterator[Any]:
    """Every schema of an OpenAPI file, wherever it stands."""
    if isinstance(value, dict):
        yield from (one for key, one in value.items() if key == "schema")
        yield from value.get("schemas", {}).values()
    for one in value.values() if isinstance(value, dict) else value:
        if isinstance(one, dict | list):
            yield from schemas(one)


def test_the_openapi_file_is_valid_and_tells_results_and_what_is_required(
    scripted_app: AppProcess,
) -> None:
    told = HTTP.get(f"{scripted_app.url}/gradio_api/openapi.json").json()
    assert told["openapi"] == "3.1.0"
    validate(told)
    nameless: Any = {**told, "info": {"version": "1"}}
    with pytest.raises(OpenAPIValidationError, match="title. is a required property"):
        validate(nameless)
    # Schemas of bodies are no concern of that validator.
    found = list(schemas(told))
    assert len(found) > 20
    for schema in found:
        Draft202012Validator.check_schema(schema)
    posts = {path: item["post"] for path, item in told["paths"].items() if "post" in item}
    bodies = {
        path.rpartition("/")[2]: post["requestBody"]["content"]["application/json"]["schema"]
        for path, post in posts.items()
    }
    assert {name: body.get("required") for name, body in bodies.items()} == {
        "generate": None, "generate_many": None, "detect": ["text"], "checkpoint": None,
    }  # fmt: skip
    # What is answered is what is told.
    answer = told["paths"]["/gradio_api/call/detect/{event_id}"]["get"]["responses"]["200"]
    schema = {**answer["content"]["text/event-stream"]["schema"], "components": told["components"]}
    Draft202012Validator(schema).validate(call(scripted_app.url, "detect", text=ZEBRA)[1])
    with pytest.raises(ValidationError, match="'text' is a required property"):
        Draft202012Validator(schema).validate([{}])


def test_mcp_answers_without_a_slash_too(scripted_app: AppProcess) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream"}
    answers = [
        HTTP.post(f"{scripted_app.url}/gradio_api/mcp{end}", json=hello, headers=accept)
        for end in ("", "/")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].text == answers[1].text


def test_only_what_is_documented_is_public(client: Client) -> None:
    api = client.view_api(return_format="dict", print_info=False)
    assert list(api["named_endpoints"]) == ["/generate", "/generate_many", "/detect", "/checkpoint"]
    assert api["unnamed_endpoints"] == {}


def test_several_texts_are_streamed_side_by_side(client: Client) -> None:
    job = client.submit("slow", count=3, max_new_tokens=6, api_name="/generate_many")
    result = job.result()
    assert result["finished"]
    assert result["label"] == LABEL
    assert [text["generated"] for text in result["texts"]] == [" word" * 6] * 3
    first = result["texts"][0]["settings"]["seed"]
    assert [text["settings"]["seed"] for text in result["texts"]] == [first + i for i in range(3)]
    unfinished = [output for output in job.outputs() if not output["finished"]]
    assert len(unfinished) > 3


def test_several_texts_left_alone_free_the_engine(client: Client, scripted_app: AppProcess) -> None:
    job = client.submit("slow", count=4, max_new_tokens=200, api_name="/generate_many")
    wait_until(lambda: len(job.outputs()) >= 2)
    job.cancel()
    start = time.monotonic()
    generate(scripted_app.url, prompt="next")
    assert time.monotonic() - start < 20


def test_one_text_that_fails_for_all_fails_the_call(client: Client) -> None:
    with pytest.raises(AppError, match="The engine is tired"):
        client.predict("refuse", count=2, api_name="/generate_many")


@pytest.mark.parametrize(
    ("endpoint", "fields", "sentence"),
    [
        ("generate_many", {"count": 5}, "count is 5; it must be from 1 to 4."),
        ("generate_many", {"count": None}, "count must be a whole number from 1 to 4, not null."),
        ("generate_many", {"temperature": 9}, "temperature is 9; it must be from 0.1 to 1.5."),
        ("detect", {"text": None}, "text must be text: paste some first."),
        ("detect", {"text": 5}, "text must be text: paste some first."),
        (
            "detect",
            {"text": "x" * 1_001},
            "text is too long: that's 1,001 characters; the limit is 1,000.",
        ),
    ],
)
def test_a_bad_value_is_answered_with_its_limit(
    scripted_app: AppProcess, endpoint: str, fields: dict[str, Any], sentence: str
) -> None:
    assert refusal_of(scripted_app.url, endpoint, **fields) == sentence


def test_a_text_is_judged_with_its_passages_and_how_far_to_trust_it(client: Client) -> None:
    verdict = client.predict(ZEBRA, api_name="/detect")
    assert verdict["probability"] > 0.5
    assert verdict["verdict"] == "Probably the computer."
    assert verdict["figures"]["roc_auc"] == [0.7, 0.6, 0.8]
    assert {p["speaks_for"] for p in verdict["passages"]} == {"computer", "person"}


@pytest.mark.parametrize("value", [f"{ZEBRA} \ud83c", math.nan, -math.inf, 10**400])
def test_what_json_does_not_have_is_refused(scripted_app: AppProcess, value: object) -> None:
    posted = post_to(scripted_app.url, "detect", json.dumps({"text": value}))
    assert (posted.status_code, posted.json()["detail"]) == (400, NOT_JSON)


def test_a_judged_text_that_repeats_a_real_one_says_how_much(client: Client) -> None:
    verdict = client.predict(REAL_TWEET, api_name="/detect")
    assert verdict["repeated_share"] == 1.0
    assert verdict["repeats"] == [[0, len(REAL_TWEET)]]


def test_the_checkpoint_tells_its_identity_limits_and_figures(client: Client) -> None:
    told = client.predict(api_name="/checkpoint")
    assert (told["checkpoint"], told["revision"]) == ("scripted", "0123456789ab")
    assert (told["engine"], told["precision"]) == ("script", "exact")
    assert told["limits"]["prompt_tokens"] == [0, 1_024 - 16]
    for field in (*FIELDS.values(), COUNT):
        assert told["limits"][field.name] == [field.minimum, field.maximum]
    assert 1 < told["figures"]["bits_per_byte"] < 1.5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "one two three "}, 200),
        ({"text": ""}, 200),
        ({"text": "x" * 1_001}, 400),
        ({"text": 5}, 400),
        ({}, 400),
        ([], 400),
    ],
)
def test_tokens_are_counted_for_the_page(
    scripted_app: AppProcess, body: object, status: int
) -> None:
    answer = HTTP.post(f"{scripted_app.url}/count", json=body)
    assert answer.status_code == status
    if status == 200:
        words = len(str(dict(body)["text"]).split())  # type: ignore[call-overload]
        assert answer.json() == {"tokens": words, "limit": 1_008}


async def over_mcp(url: str, name: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
    """What a real client gets, and whether it was told that it is an error."""
    async with (
        streamable_http_client(f"{url}/gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert tools == {"generate", "generate_many", "detect", "checkpoint"}
        result = await session.call_tool(name, arguments)
        content = result.content[0]
        assert isinstance(content, TextContent)
        return result.isError, content.text


def test_an_mcp_client_writes_judges_and_asks(scripted_app: AppProcess) -> None:
    def ask(name: str, **arguments: Any) -> Any:
        is_error, text = asyncio.run(over_mcp(scripted_app.url, name, arguments))
        assert not is_error, text
        return json.loads(text)

    assert ask("generate", prompt="Today")["label"] == LABEL
    assert len(ask("generate_many", prompt="Today", count=2)["texts"]) == 2
    assert ask("detect", text=ZEBRA)["probability"] > 0.5
    assert ask("checkpoint")["checkpoint"] == "scripted"


def test_an_mcp_client_is_told_the_limit(scripted_app: AppProcess) -> None:
    is_error, text = asyncio.run(over_mcp(scripted_app.url, "generate", {"temperature": 9}))
    assert is_error
    assert "it must be from 0.1 to 1.5" in text


def test_a_shared_link_shows_our_title_and_picture(scripted_app: AppProcess) -> None:
    page = HTTP.get(scripted_app.url, headers={"x-forwarded-proto": "https"}).text
    assert page.count('property="og:title"') == 1
    assert '<meta property="og:title" content="Trump or Computer Dump?">' in page
    picture = f"{scripted_app.url}/preview.png".replace("http:", "https:")
    assert f'<meta property="og:image" content="{picture}">' in page
    assert HTTP.get(f"{scripted_app.url}/preview.png").content.startswith(b"\x89PNG")


def test_the_plot_of_the_training_is_served(scripted_app: AppProcess) -> None:
    assert HTTP.get(f"{scripted_app.url}/plot.png").content.startswith(b"\x89PNG")
