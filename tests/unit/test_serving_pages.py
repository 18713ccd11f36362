"""What is changed of Gradio's own answers, and what a shared link shows."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from demo.generation.introduction import introduce
from demo.ui import copy
from demo.ui.assets import address_of
from demo.ui.embed import lazy_script, style_rules
from demo.ui.preview import preview_tags
from demo.ui.rewriting import Rewriting, Rule
from training.card import EMBEDDED

PERSONA = introduce(EMBEDDED).persona


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
    rule = Rule(re.compile("/(page|missing|stream)"), lambda text, _: text.upper())
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Rewriting, rules=[rule])]))


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


def test_the_installed_gradio_is_one_whose_bundle_and_sheets_are_known() -> None:
    assert re.search(r'import\("\./assets/index-[\w-]+\.js"\)', lazy_script())
    base, theme = style_rules()
    assert base.path.fullmatch("/assets/index-DiEEvXS6.css")
    assert theme.path.fullmatch("/theme.css")


def test_gradios_sheets_say_nothing_of_a_hosts_page() -> None:
    base, theme = style_rules()
    request = Request({"type": "http", "headers": []})
    sheet = base.change("body{line-height:inherit;margin:0}:root{--scale-0:1rem}", request)
    assert sheet == "gradio-app{--scale-0:1rem}"
    sheet = theme.change(":root {\n --a: b;\n}\n:root.dark, :root .dark {\n --a: c;\n}", request)
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


def test_a_shared_link_shows_title_sentence_picture_and_label() -> None:
    tags = preview_tags(PERSONA, "https://a.hf.space")
    assert '<meta property="og:image" content="https://a.hf.space/preview.png">' in tags
    assert '<meta property="og:title" content="Trump or Computer Dump?">' in tags
    assert "AI-generated parody" in tags
    assert "Donald Trump&#x27;s tweets" in tags
    assert copy.PREVIEW_PICTURE in tags
