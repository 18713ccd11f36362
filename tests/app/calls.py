"""An endpoint's two HTTP steps, as any program can take them: POST, then read the events."""

import json
from typing import Any

import httpx

from tests.processes import HTTP

METRICS_TOKEN = "a-token-of-sixteen-or-more"


def post_to(url: str, endpoint: str, body: str) -> httpx.Response:
    """Sends a JSON text as it is: httpx itself would refuse NaN."""
    headers = {"content-type": "application/json"}
    return HTTP.post(
        f"{url}/gradio_api/call/v2/{endpoint}", content=body, headers=headers, timeout=60
    )


def post(url: str, body: str) -> httpx.Response:
    """The same to `/generate`."""
    return post_to(url, "generate", body)


def call(url: str, endpoint: str, **fields: Any) -> tuple[str, Any]:
    """The last event's name and data, say `("complete", [record])` or `("error", {...})`."""
    posted = post_to(url, endpoint, json.dumps(fields))
    posted.raise_for_status()
    return last_event(url, endpoint, posted.json()["event_id"])


def last_event(url: str, endpoint: str, event_id: str) -> tuple[str, Any]:
    """The same of a call that was posted."""
    events = HTTP.get(f"{url}/gradio_api/call/{endpoint}/{event_id}", timeout=60).text
    assert "data: " in events, events
    name, data = events.strip().split("\n\n")[-1].split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def generate(url: str, **fields: Any) -> dict[str, Any]:
    """The finished record."""
    event, data = call(url, "generate", **fields)
    assert event == "complete", data
    record: dict[str, Any] = data[0]
    return record


def metrics(url: str) -> dict[str, float]:
    """What an app with METRICS_TOKEN counts."""
    headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
    text = HTTP.get(f"{url}/metrics", headers=headers).raise_for_status().text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def refusal(url: str, **fields: Any) -> str:
    """The sentence that a bad call of `/generate` is answered with."""
    return refusal_of(url, "generate", **fields)


def refusal_of(url: str, endpoint: str, **fields: Any) -> str:
    """The sentence that a bad call is answered with."""
    event, data = call(url, endpoint, **fields)
    assert event == "error", data
    return str(data["error"])
