"""What programs get from `/generate`: over gradio_client, plain HTTP and MCP."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.app.calls import generate, post, refusal
from tests.processes import HTTP, AppProcess, wait_until

LABEL = "AI-generated parody (not a real tweet)"


def stream(client: Client, **fields: Any) -> Iterator[dict[str, Any]]:
    """Every update; unlike `for update in job`, it raises what the app raised."""
    job, seen = client.submit(**fields, api_name="/generate"), 0
    while True:
        done, outputs = job.done(), job.outputs()
        yield from outputs[seen:]
        seen = len(outputs)
        if done:
            break
        time.sleep(0.02)
    job.result()


def assert_the_engine_is_free(app: AppProcess) -> None:
    """One text is made at a time, and the slow one takes half a minute."""
    start = time.monotonic()
    generate(app.url, prompt="next")
    assert time.monotonic() - start < 20


def test_one_call_with_a_prompt_returns_a_labelled_text(client: Client) -> None:
    result = client.predict("Today I'll be", api_name="/generate")
    assert result["text"].startswith("Today I'll be going to make computers great again.")
    assert result["label"] == LABEL
    assert result["finish_reason"] == "end_of_tweet"
    assert result["characters"] == len(result["text"])


def test_what_is_shared_ends_with_the_label_the_seed_and_the_checkpoint(client: Client) -> None:
    shareable = client.predict("Today", seed=7, api_name="/generate")["shareable"]
    last_line = shareable.splitlines()[-1]
    assert last_line.startswith(f"— {LABEL}, Trump or Computer Dump?")
    assert "seed 7" in last_line
    assert "scripted@0123456789ab" in last_line


def test_a_text_names_what_it_takes_to_repeat_it(client: Client) -> None:
    result = client.predict("Today", temperature=0.5, top_k=9, seed=3, api_name="/generate")
    assert result["settings"] == {
        "max_new_tokens": 80,
        "temperature": 0.5,
        "top_p": 0.95,
        "top_k": 9,
        "repetition_penalty": 1.0,
        "seed": 3,
    }
    named = {name: result[name] for name in ("checkpoint", "revision", "engine", "precision")}
    assert set(named.values()) == {"scripted", "0123456789ab", "script", "exact"}


def test_an_empty_call_lets_the_model_begin_with_a_drawn_seed(scripted_app: AppProcess) -> None:
    seeds = {generate(scripted_app.url)["settings"]["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_length_limits_the_text_and_says_so(client: Client) -> None:
    result = client.predict("Today", max_new_tokens=2, api_name="/generate")
    assert result["generated"] == " going to"
    assert result["finish_reason"] == "length"


def test_a_stream_holds_the_whole_text_so_far_and_its_label(client: Client) -> None:
    updates = list(stream(client, prompt="slow", max_new_tokens=8))
    texts = [update["text"] for update in updates]
    assert len(set(texts)) > 4
    for shorter, longer in zip(texts, texts[1:], strict=False):
        assert longer.startswith(shorter)
    assert {update["label"] for update in updates} == {LABEL}
    assert [update["finish_reason"] for update in updates][-2:] == [None, "length"]


def test_words_that_come_at_once_are_sent_at_once(client: Client) -> None:
    updates = list(stream(client, prompt="long", max_new_tokens=200))
    assert updates[-1]["new_tokens"] > 50
    assert len(updates) < 10


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        pytest.param("prompt", "x" * 1_001, "1,001 characters; at most 1,000", id="prompt-long"),
        ("prompt", None, "must be a text"),
        ("prompt", 5, "must be a text"),
        ("prompt", "a\x00b", "U+0000"),
        ("max_new_tokens", 0, "is 0; it must be from 1 to 200"),
        ("max_new_tokens", 201, "is 201; it must be from 1 to 200"),
        ("max_new_tokens", 2.5, "is 2.5; it must be a whole number"),
        pytest.param("max_new_tokens", 10**300, "from 1 to 200", id="max_new_tokens-huge"),
        ("temperature", 0, "is 0; it must be from 0.1 to 1.5"),
        ("top_p", 1.01, "is 1.01; it must be from 0.05 to 1"),
        ("top_p", "0.9", "must be a number from 0.05 to 1."),
        ("top_k", -1, "is -1; it must be from 0 to 200"),
        ("top_k", True, "must be a whole number from 0 to 200, not true"),
        ("repetition_penalty", 2.1, "is 2.1; it must be from 1 to 2"),
        ("repetition_penalty", None, "must be a number from 1 to 2, not null"),
        ("seed", -1, "is -1; it must be from 0 to 2,147,483,647"),
        ("seed", 2**31, "it must be from 0 to 2,147,483,647"),
        ("seed", "x", "must be a whole number from 0 to 2,147,483,647."),
    ],
)
def test_a_bad_value_is_answered_with_its_field_and_limit(
    scripted_app: AppProcess, field: str, value: object, limit: str
) -> None:
    sentence = refusal(scripted_app.url, **{field: value})
    assert sentence.startswith(f"{field} ")
    assert limit in sentence


def test_the_app_still_writes_after_bad_calls(scripted_app: AppProcess) -> None:
    for fields in ({"seed": "x"}, {"prompt": None}, {"prompt": "crash"}):
        refusal(scripted_app.url, **fields)
    assert generate(scripted_app.url, prompt="Today")["finish_reason"] == "end_of_tweet"


def test_gradio_client_raises_the_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="temperature is 9; it must be from 0.1 to 1.5"):
        client.predict("Today", temperature=9, api_name="/generate")


@pytest.mark.parametrize("body", ['{"promt": "x"}', '{"prompt": "x", "n": 1}'])
def test_an_unknown_parameter_is_the_callers_mistake(scripted_app: AppProcess, body: str) -> None:
    answer = post(scripted_app.url, body)
    assert answer.status_code == 400
    assert "No such endpoint or parameter" in answer.json()["detail"]


def test_an_unexpected_failure_tells_nothing_of_the_inside(scripted_app: AppProcess) -> None:
    sentence = refusal(scripted_app.url, prompt="crash")
    assert sentence == "Something went wrong while writing. Try again in a moment."
    assert "RuntimeError" in scripted_app.log()
    assert "secret internals" not in scripted_app.log()


def test_an_engines_own_sentence_is_passed_on(scripted_app: AppProcess) -> None:
    assert refusal(scripted_app.url, prompt="refuse") == (
        "The engine is tired. Try again in a minute."
    )


def test_cancelling_a_job_frees_the_engine(scripted_app: AppProcess, client: Client) -> None:
    job = client.submit("slow", max_new_tokens=200, api_name="/generate")
    wait_until(lambda: len(job.outputs()) >= 2)
    job.cancel()
    assert_the_engine_is_free(scripted_app)


def test_hanging_up_frees_the_engine(scripted_app: AppProcess) -> None:
    url = scripted_app.url
    event_id = post(url, '{"prompt": "slow", "max_new_tokens": 200}').json()["event_id"]
    with HTTP.stream("GET", f"{url}/gradio_api/call/generate/{event_id}") as answer:
        assert "generating" in next(answer.iter_lines())
    assert_the_engine_is_free(scripted_app)


def test_the_app_calls_no_outside_host(scripted_app: AppProcess) -> None:
    generate(scripted_app.url, prompt="Today")
    assert scripted_app.outside_hosts() == []
