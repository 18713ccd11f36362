"""Two pages, mostly behind the proxy of docs/scaling.md."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client

from tests.guessing import write_tweets
from tests.processes import HTTP, ROOT, AppProcess, free_port, running_app, wait_until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
# Whatever it writes stays in one folder, and it runs as whoever runs the tests.
AROUND = """daemon off; pid pid; error_log stderr; worker_processes 1;
events {{ worker_connections 256; }}
http {{
access_log off; client_body_temp_path body; proxy_temp_path proxied; fastcgi_temp_path f;
uwsgi_temp_path u; scgi_temp_path s;
{}
}}
"""
# All of 127.0.0.0/8 is this machine.
ADDRESSES = [f"127.0.0.{i}" for i in range(2, 10)]
TOOL_CALL = {
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {"name": "generate", "arguments": {"prompt": "Today"}},
}  # fmt: skip

ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[AppProcess]]:
    with ExitStack() as stack:
        apps = []
        for name in ("one", "two"):
            folder = tmp_path_factory.mktemp(name)
            write_tweets(folder / "data")
            settings = {"TWEETS": str(folder / "data"), "STORIES": "1", "TRUSTED_PROXIES": "1"}
            apps.append(running_app(["-m", "tests.scripted_app"], folder, settings))
        yield [stack.enter_context(app) for app in apps]


@contextmanager
def proxy(pages: list[AppProcess], folder: Path, *, affinity: bool = True) -> Iterator[str]:
    """The example of the docs, with these ports; its address. Skips where there is no nginx."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- pages -->\n```nginx\n(.*?)```", text, re.DOTALL)
    assert found is not None
    port = free_port()
    example = found[1].replace("listen 8080", f"listen 127.0.0.1:{port}")
    for written, page in zip(("127.0.0.1:7860", "127.0.0.1:7861"), pages, strict=True):
        example = example.replace(written, page.url.removeprefix("http://"))
    if not affinity:
        example = example.replace("hash $remote_addr consistent;", "")
    (folder / "nginx.conf").write_text(AROUND.format(example), encoding="utf-8")
    command = [NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url))
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return HTTP.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def url(pages: list[AppProcess], tmp_path: Path) -> Iterator[str]:
    with proxy(pages, tmp_path) as address:
        yield address


def visitor(url: str, address: str) -> httpx.Client:
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=url, transport=transport, timeout=60)


def finished(client: httpx.Client) -> bool:
    """Whether a call's answer is found where it is asked for."""
    posted = client.post("/gradio_api/call/v2/generate", json={"prompt": "Today"})
    event_id = posted.raise_for_status().json()["event_id"]
    answer = client.get(f"/gradio_api/call/generate/{event_id}")
    return answer.is_success and "event: complete" in answer.text


def texts(page: AppProcess) -> int:
    return page.log().count("Text finished.")


def test_every_visitor_has_a_page_and_both_have_visitors(url: str, pages: list[AppProcess]) -> None:
    before = [texts(page) for page in pages]
    for address in ADDRESSES:
        with visitor(url, address) as client:
            assert finished(client)
            assert client.get("/").is_success
            called = client.post("/gradio_api/mcp/", json=TOOL_CALL, headers=ACCEPT)
            assert "finish_reason" in called.text

    def are_all_visited() -> bool:
        return all(texts(page) > then for page, then in zip(pages, before, strict=True))

    # Which page an address gets depends on the pages' ports: a few may all get the same.
    others = iter(range(10, 250))
    while not are_all_visited():
        with visitor(url, f"127.0.0.{next(others)}") as client:
            assert finished(client)


def test_the_queue_of_gradios_client_works(url: str) -> None:
    client = Client(url, verbose=False, analytics_enabled=False)
    assert client.predict(prompt="Today", api_name="/generate")["finish_reason"] == "end_of_tweet"


def test_a_round_is_answered_where_it_was_dealt(url: str) -> None:
    for dealer, answerer in zip(ADDRESSES, reversed(ADDRESSES), strict=True):
        with visitor(url, dealer) as one, visitor(url, answerer) as other:
            guess = {"ticket": dealt(one), "guess": "computer"}
            answer = other.post("/guess/answer", json=guess)
            assert answer.is_success


def dealt(client: httpx.Client) -> str:
    """The ticket of a new round, once there is one."""
    record: dict[str, Any] = {}

    def has_ticket() -> bool:
        record.update(client.post("/guess/next", json={"visit": None}).json())
        return bool(record.get("ticket"))

    wait_until(has_ticket)
    return str(record["ticket"])


def daily(page: AppProcess, day: str | None, place: int) -> dict[str, Any]:
    """A place of the Daily Ten, once it is written."""
    found: dict[str, Any] = {}

    def is_written() -> bool:
        answer = HTTP.post(f"{page.url}/guess/daily", json={"day": day, "place": place})
        found.update(answer.raise_for_status().json())
        return bool(found["state"] != "waiting")

    wait_until(is_written)
    return found


def test_two_instances_have_the_same_daily_ten(pages: list[AppProcess]) -> None:
    day = daily(pages[0], None, 1)["day"]
    tens = [[daily(page, day, place) for place in range(1, 11)] for page in pages]
    first, second = ([place["text"] for place in ten] for ten in tens)
    assert first == second
    assert len(set(first)) == 10
    assert len({place["ticket"] for ten in tens for place in ten}) == 20


def test_without_affinity_answers_are_not_found(pages: list[AppProcess], tmp_path: Path) -> None:
    """What the example's first line is for."""
    with proxy(pages, tmp_path, affinity=False) as url, visitor(url, ADDRESSES[0]) as client:
        assert not all(finished(client) for _ in range(4))
