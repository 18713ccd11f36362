"""What the app refuses before any of it reaches the engine."""

from collections.abc import Callable, Iterator

import pytest

from tests.app.calls import generate
from tests.processes import HTTP, AppProcess


@pytest.mark.parametrize(
    "path",
    [
        "upload",
        "process_recording",
        "component_server",
        "run/generate",
        "api/generate",
        "vibe-edit",
        "vibe-code",
        "custom_component/x/client/y/z",
        "mcp/messages/?session_id=0123456789abcdef0123456789abcdef",
    ],
)
def test_posting_to_a_door_we_do_not_use_is_not_found(scripted_app: AppProcess, path: str) -> None:
    files = {"files": ("a.txt", b"hello")}
    assert HTTP.post(f"{scripted_app.url}/gradio_api/{path}", files=files).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=https://example.com/",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=demo/ui/page.py",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/deep_link",
        "/gradio_api/runs",
        "/gradio_api/dev/reload",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/heartbeat/x",
        "/gradio_api/mcp/sse",
        "/gradio_api/upload_progress",
        "/gradio_api/call/generate/unknown",
        "/gradio_api/call/v2/generate/unknown",
        "/gradio_api/queue/data",
        "/gradio_api/queue/data?session_hash=unknown",
        "/pwa_icon/x",
        "/static/" + "a" * 300,
    ],
)
def test_files_proxies_states_and_events_of_others_are_not_found(
    scripted_app: AppProcess, path: str
) -> None:
    answer = HTTP.get(scripted_app.url + path)
    assert answer.status_code == 404
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "strict-origin"
    assert "Traceback" not in scripted_app.log()


@pytest.mark.parametrize("query", ["page=unknown", "deep_link=x", "page=a&__theme=dark"])
def test_a_page_that_is_not_shows_the_page_that_is(scripted_app: AppProcess, query: str) -> None:
    answer = HTTP.get(f"{scripted_app.url}/?{query}")
    assert answer.status_code == 200
    assert "Trump or Computer Dump?" in answer.text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_can_say_where_the_server_is(scripted_app: AppProcess, method: str) -> None:
    """Gradio would believe the header, or answer 500 if it holds no address."""
    for server in ("http://elsewhere.test", "\x18", "http://[", "a:b"):
        headers = {"x-gradio-server": server}
        answer = HTTP.request(method, scripted_app.url, headers=headers)
        assert answer.status_code == 200
        assert "elsewhere.test" not in answer.text


def in_chunks(size: int) -> Iterator[bytes]:
    """A body whose length is not announced."""
    for _ in range(size // 1_000):
        yield b"x" * 1_000


@pytest.mark.parametrize("make_body", [bytes, in_chunks])
@pytest.mark.parametrize("path", ["call/generate", "queue/join"])
def test_a_large_body_is_refused_with_the_limit(
    scripted_app: AppProcess, path: str, make_body: Callable[[int], bytes | Iterator[bytes]]
) -> None:
    body = make_body(1_000_000)
    answer = HTTP.post(f"{scripted_app.url}/gradio_api/{path}", content=body)
    assert answer.status_code == 413
    assert "at most 65,536 bytes" in answer.json()["detail"]
    assert generate(scripted_app.url)["text"]


@pytest.mark.parametrize("path", ["call/unknown", "call/v2/unknown"])
def test_an_unknown_endpoint_is_the_callers_mistake(scripted_app: AppProcess, path: str) -> None:
    answer = HTTP.post(f"{scripted_app.url}/gradio_api/{path}", json={"data": []})
    assert answer.status_code == 400


@pytest.mark.parametrize("values", [[], ["SECRET words"], ["SECRET words"] * 9])
@pytest.mark.parametrize("path", ["call/generate", "queue/join"])
def test_a_call_with_a_wrong_number_of_values_is_told_and_not_logged(
    scripted_app: AppProcess, path: str, values: list[str]
) -> None:
    body = {"data": values, "fn_index": 0, "session_hash": "a"}
    answer = HTTP.post(f"{scripted_app.url}/gradio_api/{path}", json=body)
    assert answer.status_code == 400
    assert f"data holds {len(values)} values; this call takes 7" in answer.json()["detail"]
    assert "SECRET" not in scripted_app.log()


@pytest.mark.parametrize("path", ["cancel", "reset", "queue/join", "call/detect", "mcp/"])
@pytest.mark.parametrize("body", [b"[1]", b"SECRET", b'{"event_id": ["SECRET"]}', b'{"a": NaN}'])
def test_a_body_that_is_not_what_is_needed_is_the_callers_mistake(
    scripted_app: AppProcess, path: str, body: bytes
) -> None:
    headers = {"content-type": "application/json"}
    url = f"{scripted_app.url}/gradio_api/{path}"
    answer = HTTP.post(url, content=body, headers=headers)
    assert answer.status_code in (400, 406)
    assert "SECRET" not in answer.text + scripted_app.log()


@pytest.mark.parametrize("body", [b'{"text": "\\ud800"}', b"[" * 60_000, b'{"text": "a\\u0000"}'])
def test_what_cannot_be_counted_is_the_callers_mistake(
    scripted_app: AppProcess, body: bytes
) -> None:
    assert HTTP.post(f"{scripted_app.url}/count", content=body).status_code == 400
    assert "Traceback" not in scripted_app.log()


def test_an_unknown_function_is_the_callers_mistake(scripted_app: AppProcess) -> None:
    body = {"data": [], "fn_index": 999, "session_hash": "a"}
    answer = HTTP.post(f"{scripted_app.url}/gradio_api/queue/join", json=body)
    assert answer.status_code == 400
