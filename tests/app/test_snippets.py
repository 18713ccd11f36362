"""Every program that the page and the README show is run as it stands, but for the address.

The embeds are tried in a browser: tests/browser/test_embed.py.
"""

import asyncio
import json
import subprocess
import sys

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from demo.ui import snippets
from tests.docs import PAGES
from tests.processes import AppProcess

LABEL = "AI-generated parody (not a real tweet)"


def output(app: AppProcess, *command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_python(app: AppProcess, snippet: str) -> str:
    return output(app, sys.executable, "-c", snippets.addressed(snippet, app.url))


def test_python_prints_a_labelled_text(scripted_app: AppProcess) -> None:
    printed = run_python(scripted_app, snippets.PYTHON)
    assert "Today I'll be going to make computers great again" in printed
    assert LABEL in printed


def test_python_prints_a_text_as_it_grows(scripted_app: AppProcess) -> None:
    lines = run_python(scripted_app, snippets.PYTHON_STREAM).splitlines()
    growing = [line for line in lines if line.startswith("The democrats have")]
    assert growing
    assert growing[-1].endswith("SAD!")


def test_curl_prints_the_events(scripted_app: AppProcess) -> None:
    script = snippets.addressed(snippets.CURL, scripted_app.url)
    printed = output(scripted_app, "bash", "-c", script)
    assert "event: complete" in printed
    assert LABEL in printed
    assert '"seed": 7' in printed


def test_an_mcp_client_from_python_prints_a_text(scripted_app: AppProcess) -> None:
    assert LABEL in run_python(scripted_app, snippets.MCP_PYTHON)


def test_the_address_for_assistants_is_one_that_answers(scripted_app: AppProcess) -> None:
    config = json.loads(snippets.addressed(snippets.MCP_CONFIG, scripted_app.url))

    async def ask(url: str) -> str:
        async with (
            streamable_http_client(url) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            return (await session.initialize()).serverInfo.name

    for server in config["mcpServers"].values():
        assert asyncio.run(ask(server["url"]))


@pytest.mark.parametrize("name", list(snippets.SNIPPETS))
def test_the_documentation_shows_the_same(name: str) -> None:
    assert any(snippets.SNIPPETS[name] in page.read_text(encoding="utf-8") for page in PAGES)
