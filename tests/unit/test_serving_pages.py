"""What is changed of Gradio's own answers, and what a shared link shows."""

import asyncio
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gradio as gr
import pytest
from gradio.data_classes import PredictBodyInternal
from gradio.state_holder import StateHolder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from demo.checkpoints.embedded import EMBEDDED
from demo.generation.profile import read_profile
from demo.server.service import Service
from demo.ui import copy, embed
from demo.ui.embed import (
    FRONTEND,
    PREVIEW,
    PREVIEW_ANY,
    Rewriting,
    address_of,
    asset_routes,
    changes,
    keep_no_statistics,
    lazy_script,
    preview_tags,
    save_no_states,
)

PERSONA = read_profile(EMBEDDED).persona


def pages(_: Request) -> Response:
    return PlainTextResponse("täglich", headers={"etag": '"1"', "x-kept": "yes"})


def missing(_: Request) -> Response:
    return PlainTextResponse("täglich", status_code=404)


def streamed(_: Request) -> Response:
    return StreamingResponse(iter(["tä", "glich"]))


@pytest.fixture
def client() -> TestClient:
    """An app whose answers at /page, /missing and /stream are put in capitals."""
    routes = [
        Route("/page", pages, methods=["GET", "POST"]),
        Route("/other", pages),
        Route("/missing", missing),
        Route("/stream", streamed),
    ]
    shouted = dict.fromkeys(("/page", "/missing", "/stream"), lambda text, _: text.upper())
    middleware = Middleware(Rewriting, changes=shouted)
    return TestClient(Starlette(routes=routes, middleware=[middleware]))


@pytest.mark.parametrize("path", ["/page", "/stream"])
def test_a_matching_answer_is_changed_and_its_length_with_it(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.text == "TÄGLICH"
    assert answer.headers["content-length"] == "8"
    assert "etag" not in answer.headers


def test_what_else_an_answer_says_is_kept(client: TestClient) -> None:
    assert client.get("/page").headers["x-kept"] == "yes"


def test_errors_other_pages_and_other_methods_pass_untouched(client: TestClient) -> None:
    assert client.get("/missing").text == "täglich"
    assert client.get("/other").text == "täglich"
    assert client.post("/page").text == "täglich"


def test_an_answer_that_its_rule_was_not_made_for_passes_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(text: str, _: Request) -> str:
        raise ValueError(text)

    middleware = Middleware(Rewriting, changes={"/page": refuse})
    client = TestClient(Starlette(routes=[Route("/page", pages)], middleware=[middleware]))
    assert [client.get("/page").text for _ in range(2)] == ["täglich"] * 2
    assert len(caplog.messages) == 1
    assert "another /page than expected" in caplog.messages[0]


BASE_SHEET = "body{line-height:inherit;margin:0}:root{--scale-0:1rem}"


def gradio_of(folder: Path, script: str, sheet: str) -> Path:
    """A frontend folder of some Gradio."""
    (folder / "assets").mkdir()
    (folder / "gradio.js").write_text(script)
    (folder / "assets" / "index-a_b-C.css").write_text(sheet)
    return folder


def changed(path: str, text: str, frontend: Path = FRONTEND) -> str:
    """What Gradio's answer at that path becomes."""
    change = changes(PERSONA, {}, frontend).get(path)
    return change(text, request_with(host="x")) if change else text


def test_a_gradio_that_is_known_makes_a_good_guest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = gradio_of(tmp_path, 'import("./assets/index-Ab_c-d.js");\n', BASE_SHEET)
    assert 'import("./assets/index-Ab_c-d.js")' in lazy_script(folder)
    assert "IntersectionObserver" in lazy_script(folder)
    sheet = changed("/assets/index-a_b-C.css", BASE_SHEET, folder)
    assert sheet == "gradio-app{--scale-0:1rem}"
    assert caplog.messages == []


@pytest.mark.parametrize("script", ['import("./a.js"); more()', "", "export {}"])
def test_a_bundle_that_reads_otherwise_is_served_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, script: str
) -> None:
    assert lazy_script(gradio_of(tmp_path, script, BASE_SHEET)) == script
    assert len(caplog.messages) == 1
    assert "another gradio.js than expected" in caplog.messages[0]


def test_a_gradio_without_its_files_starts_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert lazy_script(tmp_path) == ""
    assert len(changes(PERSONA, {}, tmp_path)) == 3
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("sheet", ["", "body{margin:0}:root{--scale-0:1rem}", BASE_SHEET[:34]])
def test_a_base_sheet_that_reads_otherwise_is_served_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sheet: str
) -> None:
    folder = gradio_of(tmp_path, "", sheet)
    assert changed("/assets/index-a_b-C.css", sheet, folder) == sheet
    assert len(caplog.messages) == 1
    assert "another base style sheet than expected" in caplog.messages[0]


def test_the_installed_gradio_is_one_whose_bundle_and_sheets_are_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert re.search(r'import\("\./assets/[\w-]+\.js"\)', lazy_script())
    assert len(changes(PERSONA, {})) == 4
    assert caplog.messages == []


def test_gradios_sheets_say_nothing_of_a_hosts_page() -> None:
    sheet = changed("/theme.css", ":root {\n --a: b;\n}\n:root.dark, :root .dark {\n --a: c;\n}")
    assert ":root" not in sheet
    assert sheet.startswith("gradio-app {")
    assert "\ngradio-app.dark, body.dark > gradio-app:not([src]) {" in sheet


def request_with(**headers: str) -> Request:
    raw = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return Request({"type": "http", "scheme": "http", "path": "/", "headers": raw})


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"host": "127.0.0.1:7860"}, "http://127.0.0.1:7860"),
        ({"host": "a.hf.space", "x_forwarded_proto": "https"}, "https://a.hf.space"),
        ({"host": "x", "x_forwarded_host": "b.test, c"}, "http://b.test"),
        ({"host": 'x"><script>'}, "http://localhost"),
        ({"host": "x", "x_forwarded_proto": "javascript"}, "http://x"),
    ],
)
def test_the_address_is_the_one_that_was_asked(headers: dict[str, str], address: str) -> None:
    assert address_of(request_with(**headers)) == address


@pytest.mark.parametrize(
    ("root_path", "address"),
    [("/some/demo", "http://x/some/demo"), ("https://b.test/demo/", "https://b.test/demo")],
)
def test_the_address_has_the_path_that_a_proxy_serves(root_path: str, address: str) -> None:
    request = request_with(host="x")
    request.scope["root_path"] = root_path
    assert address_of(request) == address


def test_a_shared_link_shows_title_sentence_picture_and_label() -> None:
    tags = preview_tags(PERSONA, "https://a.hf.space")
    assert '<meta property="og:image" content="https://a.hf.space/preview.png">' in tags
    assert '<meta property="og:title" content="Trump or Computer Dump?">' in tags
    assert "AI-generated parody" in tags
    assert "Donald Trump&#x27;s tweets" in tags
    assert copy.PREVIEW_PICTURE in tags


@pytest.mark.parametrize(("title", "picture"), [("", PREVIEW), ("Cats or Codes?", PREVIEW_ANY)])
def test_the_picture_names_nobody_but_the_embedded_persona(title: str, picture: Path) -> None:
    persona = PERSONA.model_copy(update={"title": title or PERSONA.title})
    client = TestClient(Starlette(routes=asset_routes(Service(Mock()), persona)))
    assert client.get("/preview.png").content == picture.read_bytes()


@pytest.fixture
def blocks() -> Any:
    """A page as its server holds it, with one component."""

    async def build() -> Any:
        with gr.Blocks() as page:
            gr.Textbox("teapots")
        return page

    # Outside of an event loop, Gradio would make one that nobody closes.
    page = asyncio.run(build())
    StateHolder().set_blocks(page)  # type: ignore[no-untyped-call]
    return page


def test_a_session_has_no_configs_until_something_in_it_changes(blocks: Any) -> None:
    (number,) = (n for n, block in blocks.blocks.items() if isinstance(block, gr.Textbox))
    save_no_states(blocks)
    session = blocks.state_holder["one"]
    assert session.config_values == {}
    session._update_value_in_config(number, "kettles")
    assert session.config_values[number]["props"]["value"] == "kettles"


def test_a_gradio_whose_sessions_are_others_keeps_them(
    blocks: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embed, "SessionState", lambda page: page.teapots)
    save_no_states(blocks)
    assert blocks.state_holder["one"].config_values.keys() == blocks.blocks.keys()
    assert "another session than expected" in caplog.text


def test_gradio_keeps_no_record_of_its_calls_and_makes_no_table_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MAX_EVENTS", "CACHE_FREQUENCY"):
        # Put back in the end.
        monkeypatch.setenv(f"GRADIO_ANALYTICS_{name}", "100")
    keep_no_statistics()

    async def call() -> Any:
        with gr.Blocks() as page:
            gr.Button().click(print, api_name="boil")
        queue = page.queue()._queue
        for _ in range(3):
            await queue.push(PredictBodyInternal(fn_index=0, data=[]), Mock(), None)
        return queue

    queue = asyncio.run(call())
    assert len(queue) == 3
    (record,) = queue.event_analytics.values()
    assert queue.compute_analytics_summary([record]) == {"functions": {}}
