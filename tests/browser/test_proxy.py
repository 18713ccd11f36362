"""The demo under a path, behind a real nginx with the lines of docs/owner.md."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Page

from demo.ui import snippets
from tests.browser.actions import expect_plot, finished
from tests.browser.blog import Blog
from tests.browser.conftest import INSECURE_HOST, open_page
from tests.docs import ROOT
from tests.processes import HTTP, AppProcess, free_port, running_app, wait_until

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
MAIN = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    {temporary}
{servers}
}}
"""


def documented(port: int, app: str) -> str:
    """The server block of the docs, for this port and app."""
    text = (ROOT / "docs" / "owner.md").read_text(encoding="utf-8")
    block: str
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    return block.replace("listen 80", f"listen 127.0.0.1:{port}").replace(snippets.URL, app)


def forgetful(block: str) -> str:
    """The block of a proxy that tells the server neither the port nor the scheme."""
    block = block.replace("$http_host", "$host")
    return re.sub(r".*X-Forwarded-Proto.*\n", "", block)


def encrypted(block: str, folder: Path) -> str:
    """The block with a certificate of its own."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    issued = trustme.CA().issue_cert(INSECURE_HOST)
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    lines = f"ssl;\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};"
    return re.sub(r"(listen [^;]*);", rf"\1 {lines}", block)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The scripted app, which knows its path."""
    folder = tmp_path_factory.mktemp("proxied")
    settings = {"GRADIO_ROOT_PATH": "/demo", "TRUSTED_PROXIES": "1"}
    with running_app(["-m", "tests.scripted_app"], folder, settings) as app:
        yield app


@pytest.fixture(scope="module")
def proxied(app: AppProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Addresses of the demo: behind the documented proxy, a forgetful one, and one that forgets
    that it was asked over TLS."""
    if NGINX is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("no nginx")
        pytest.skip("no nginx")
    folder = tmp_path_factory.mktemp("nginx")
    ports = [free_port() for _ in range(3)]
    blocks = [documented(port, app.url) for port in ports]
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    servers = blocks[0] + forgetful(blocks[1]) + encrypted(forgetful(blocks[2]), folder)
    config = folder / "nginx.conf"
    text = MAIN.format(folder=folder, temporary=temporary, servers=servers)
    config.write_text(text, encoding="utf-8")
    command = [NGINX, "-e", str(folder / "error.log"), "-c", str(config)]
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: process.poll() is not None or (folder / "pid").exists(), 30)
        assert process.poll() is None, (folder / "error.log").read_text(encoding="utf-8")
        schemes = ("http", "http", "https")
        yield [f"{s}://{INSECURE_HOST}:{p}/demo" for s, p in zip(schemes, ports, strict=True)]
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["as-documented", "forgetful", "tls"])
def test_every_address_has_the_path(visitor: Page, proxied: list[str], which: int) -> None:
    url = proxied[which]
    asked: list[str] = []
    failed: list[str] = []
    visitor.on("request", lambda request: asked.append(request.url))
    visitor.on(
        "response", lambda r: failed.append(f"{r.status} {r.url}") if r.status >= 400 else None
    )
    page = open_page(visitor, f"{url}/")
    finished(page, "Today")
    page.get_by_role("tab", name="About").click()
    expect_plot(page)
    assert failed == []
    assert [one for one in asked if not one.startswith((f"{url}/", "data:", "blob:"))] == []
    assert any("/readyz" in one for one in asked)
    snippet = page.locator('.cd-snippet[data-name="embed"] pre').inner_text()
    assert f'src="{url}/gradio.js"' in snippet


def test_an_embed_is_served_under_the_path(
    visitor: Page, proxied: list[str], tmp_path: Path
) -> None:
    blog = Blog(tmp_path)
    try:
        blog.app = proxied[0]
        visitor.goto(blog.post(snippets.EMBED))
        finished(visitor, "Today")
        # The next test begins on a page of this one's site.
        visitor.goto("about:blank")
    finally:
        blog.close()


def test_a_shared_link_and_the_ready_post_name_the_path(proxied: list[str]) -> None:
    url = proxied[0].replace(INSECURE_HOST, "127.0.0.1")
    assert f'<meta property="og:image" content="{url}/preview.png">' in HTTP.get(f"{url}/").text
    assert HTTP.get(f"{url}/preview.png").content.startswith(b"\x89PNG")
    assert f'src="{url}/gradio.js"' in HTTP.get(f"{url}/embed.html").text
    moved = HTTP.get(url)
    assert (moved.status_code, HTTP.get(f"{url}/readyz").json()["status"]) == (301, "ready")
