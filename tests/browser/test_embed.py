"""The demo in somebody else's page: two origins, as a blog and a Space are."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from demo.ui import snippets
from tests.browser.blog import Blog
from tests.browser.conftest import INSECURE_HOST, cut_off, pictured
from tests.browser.steady import assert_steady
from tests.processes import AppProcess, free_port, wait_until

# What a host page may have said about itself, in the ways that were seen to be undone.
HOST_STYLE = """
:root { --primary-500: rgb(1, 2, 3); --font-mono: fantasy; --text-sm: 40px; }
body { margin: 40px auto; max-width: 44rem; line-height: 1.9; font: 17px/1.9 serif; color: #222; }
h1 { font-size: 41px; margin: 3px; } h2 { color: teal; } a { color: crimson; }
p { font-size: var(--text-sm); color: var(--primary-500); } code { font-family: var(--font-mono); }
button { background: gold; } input { border: 3px dotted red; } table { border-collapse: collapse; }
td { padding: 7px; } blockquote { margin: 9px; } mark { background: lime; }
"""
HOST_BODY = """
<h1>Post</h1><h2>Part</h2><p>Words and <a href="#x">a link</a>, <code>code</code>, <mark>mark</mark>.</p>
<ul><li>one</li></ul><blockquote>said</blockquote><table><tr><td>cell</td></tr></table>
<button>Press</button><input value="typed"><textarea>typed</textarea>
"""  # noqa: E501
# Every property of every element outside the embed.
COMPUTED = """() => [...document.querySelectorAll("html, body, body *")]
    .filter((element) => !element.closest("gradio-app") && element.tagName !== "SCRIPT")
    .map((element) => [element.tagName, ...[...getComputedStyle(element)].map((name) =>
        name + ":" + (/^(block-size|height|perspective-origin|transform-origin)$/.test(name)
            ? "" : getComputedStyle(element).getPropertyValue(name)))])"""


@pytest.fixture(scope="module")
def served_blog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blog]:
    blog = Blog(tmp_path_factory.mktemp("blog"))
    yield blog
    blog.close()


@pytest.fixture
def blog(served_blog: Blog, scripted_app: AppProcess) -> Blog:
    """A blog whose posts embed the scripted app."""
    served_blog.app = scripted_app.url.replace("127.0.0.1", INSECURE_HOST)
    return served_blog


def visit(page: Page, url: str) -> Page:
    page.goto(url)
    return page


def write(embed: Locator, prompt: str) -> Locator:
    """Writes a text in one embed and returns its card once it is finished."""
    embed.scroll_into_view_if_needed()
    box = embed.get_by_label("Start a tweet")
    box.wait_for()
    embed.page.wait_for_load_state("networkidle")
    box.fill(prompt)
    box.press("Enter")
    card = embed.locator(".cd-card")
    expect(card).to_have_attribute("data-state", "finished")
    return card


def is_framed(page: Page) -> None:
    """Of the demo's own page nothing but the writing is shown."""
    expect(page.locator("#cd-header")).to_be_hidden()
    expect(page.get_by_role("tab")).to_have_count(0)
    expect(page.locator("#cd-footer p")).to_be_visible()
    expect(page.locator("#cd-footer p")).to_contain_text("Parody, written by a computer.")


def test_the_snippet_writes_on_another_origin_and_takes_asks_and_keeps_nothing_of_others(
    visitor: Page, blog: Blog
) -> None:
    asked: list[str] = []
    visitor.on("request", lambda request: asked.append(request.url))
    page = visit(
        visitor, blog.post(f"<p>Before</p>{snippets.EMBED}<p>After</p>") + "#prompt=Host&seed=1"
    )
    page.locator(".cd-card").wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
    # The host's address is no link of ours.
    expect(page.get_by_label("Start a tweet")).to_have_value("")
    assert_steady(page)
    card = write(page.locator("gradio-app"), "Today I'll be")
    expect(card.locator(".cd-generated")).to_contain_text("make computers great again")
    expect(card.locator(".cd-badge")).to_be_visible()
    is_framed(page)
    expect(page.get_by_text("The demo loads here.")).to_be_hidden()
    assert_steady(page)
    others = [u for u in asked if not u.startswith((blog.app, blog.url, "data:", "blob:"))]
    assert others == []
    stored = page.evaluate("[JSON.stringify(localStorage), JSON.stringify(sessionStorage)]")
    assert [json.loads(store) for store in stored] == [{}, {}]
    assert page.context.cookies() == []


def test_an_embed_changes_nothing_of_its_host_and_asks_nothing_before_it_is_near(
    visitor: Page, blog: Blog
) -> None:
    far = f"{HOST_BODY}<div style='height: 4000px'></div><div class=here>%s</div>"
    page = visit(visitor, blog.post(far % "", HOST_STYLE))
    before = page.evaluate(COMPUTED)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(blog.post(far % snippets.EMBED, HOST_STYLE))
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
    assert [url for url in asked if INSECURE_HOST in url] == [f"{blog.app}/gradio.js"]
    write(page.locator("gradio-app"), "Today")
    after = page.evaluate(COMPUTED)
    assert len(before) == len(after) > 15
    changed = [
        (old[0], sorted(set(new) ^ set(old)))
        for old, new in zip(before, after, strict=True)
        if new != old
    ]
    assert changed == []


DARK_PAPER, PAPER = "rgb(30, 28, 25)", "rgb(255, 254, 251)"
# What the host says, and whether the embed is dark then; a class of the host's own says nothing.
SAID = ("", 'theme_mode="dark"', 'theme_mode="light"')
TAG = re.findall("<gradio-app.*</gradio-app>", snippets.EMBED, re.DOTALL)[0]


@pytest.mark.parametrize(
    ("system", "are_dark"),
    [("dark", [True, True, False, True]), ("light", [False, True, False, False])],
)
def test_embeds_know_nothing_of_each_other_and_are_as_dark_as_the_system_or_the_host_says(
    visitor: Page, blog: Blog, system: Any, are_dark: list[bool]
) -> None:
    visitor.emulate_media(color_scheme=system)
    tags = [TAG.replace("<gradio-app ", f"<gradio-app {said} ") for said in SAID]
    script = snippets.EMBED.replace(TAG, "")
    page = visit(visitor, blog.post(f"{script}{''.join(tags)}<div class=dark>{TAG}</div>"))
    embeds = page.locator("gradio-app")
    for i, is_dark in enumerate(are_dark):
        embed = embeds.nth(i)
        embed.scroll_into_view_if_needed()
        embed.locator(".cd-card").wait_for()
        page.wait_for_load_state("networkidle")
        for name in (".cd-card", "#cd-prompt"):
            colour = DARK_PAPER if is_dark else PAPER
            expect(embed.locator(name)).to_have_css("background-color", colour)
    first, second = embeds.nth(0), embeds.nth(1)
    write(first, "First")
    write(second, "Second")
    expect(first.locator(".cd-prompt")).to_have_text("First")
    expect(second.locator(".cd-prompt")).to_have_text("Second")
    second.get_by_role("button", name="Clear").click()
    expect(second.locator(".cd-card")).to_have_attribute("data-state", "empty")
    expect(first.locator(".cd-card")).to_have_attribute("data-state", "finished")


def test_a_demo_that_is_down_leaves_the_hosts_own_words(visitor: Page, blog: Blog) -> None:
    blog.app = f"http://{INSECURE_HOST}:{free_port()}"
    page = visit(visitor, blog.post(snippets.EMBED))
    expect(page.get_by_text("If it does not, open its own page.")).to_be_visible()
    link = page.get_by_role("link", name="open its own page")
    expect(link).to_have_attribute("href", blog.app)


# Of a host that has rules for its own `main`, and shows posts without loading a page.
SINGLE_PAGE = f"""
<style>main {{ max-width: 300px; padding: 50px; display: grid; float: left; color: red }}</style>
<script type="module" src="{snippets.URL}/gradio.js"></script>
<div class="post"><p style="height: 4000px"></p><gradio-app src="{snippets.URL}">Far</gradio-app>
</div>"""
OPEN_POST = """(src) => {
    const post = document.querySelector(".post");
    post.innerHTML = '<div style="width: 600px"><gradio-app class="everything">Own words</gradio-app></div>';
    post.querySelector("gradio-app").setAttribute("src", src);
}"""  # noqa: E501


def test_a_single_page_blogs_embed_loads_and_is_laid_out_by_its_column(
    visitor: Page, blog: Blog
) -> None:
    page = visit(visitor, blog.post(SINGLE_PAGE))
    page.wait_for_load_state("networkidle")
    expect(page.locator(".cd-card")).to_have_count(0)
    # After one that was never reached.
    page.evaluate(OPEN_POST, blog.app)
    write(page.locator("gradio-app"), "Today")
    main = page.locator("gradio-app main").evaluate(
        "e => { const s = getComputedStyle(e);"
        " return [s.display, s.maxWidth, s.padding, s.float]; }"
    )
    assert main == ["flex", "none", "0px", "none"]
    page.get_by_role("tab", name="Detect").click()
    form = page.locator("#cd-detect")
    expect(form).to_be_visible()
    expect(page.get_by_label("Paste a tweet")).to_be_visible()
    columns = form.evaluate("e => getComputedStyle(e).gridTemplateColumns")
    assert len(columns.split()) == 1
    assert cut_off(page) == []


def test_where_a_policy_lets_nothing_be_drawn_the_hosts_words_stay_and_the_frame_works(
    visitor: Page, blog: Blog
) -> None:
    sources = f"default-src 'unsafe-inline' {blog.app}"
    policy = f'<meta http-equiv="Content-Security-Policy" content="{sources}">'
    page = visit(visitor, blog.post(policy + snippets.EMBED + snippets.EMBED_IFRAME))
    frame = page.locator("iframe")
    frame.scroll_into_view_if_needed()
    inner = page.frame_locator("iframe")
    inner.locator(".cd-card").wait_for()
    expect(page.get_by_role("link", name="open its own page")).to_be_visible()
    expect(inner.locator("#cd-header")).to_be_hidden()
    page.wait_for_load_state("networkidle")
    # The frame is as high as what is in it, also when that grows.
    expect(frame).not_to_have_attribute("height", "900")
    height = int(frame.get_attribute("height") or 0)
    assert_steady(page.frames[1])
    inner.get_by_text("Advanced").click()
    # The policy keeps Playwright from waiting in the page.
    wait_until(lambda: int(frame.get_attribute("height") or 0) > height, 30)
    html = inner.locator("html")
    wait_until(lambda: html.evaluate("e => e.scrollHeight <= innerHeight"), 30)
    inner.get_by_label("Start a tweet").fill("Today")
    inner.get_by_label("Start a tweet").press("Enter")
    expect(inner.locator(".cd-generated")).to_contain_text("computers")
    assert_steady(page.frames[1])


def test_if_nothing_is_drawn_in_time_the_hosts_words_come_back(
    context: BrowserContext, blog: Blog
) -> None:
    page = context.new_page()
    page.clock.install()
    page.route("**/config*", lambda route: None)
    visit(page, blog.post(snippets.EMBED))
    link = page.get_by_role("link", name="open its own page")
    expect(link).to_be_hidden()
    page.clock.fast_forward(10_000)
    expect(link).to_be_visible()


def bundle_on_a_cdn(blog: Blog, snippet: str) -> str:
    """The snippet with the CDN's address replaced by the blog's own, where the bundle is copied."""
    frontend = Path(gr.__file__).parent / "templates" / "frontend"
    cdn = blog.folder / gr.__version__
    if not cdn.exists():
        cdn.mkdir()
        shutil.copyfile(frontend / "gradio.js", cdn / "gradio.js")
        (cdn / "assets").symlink_to(frontend / "assets")
    assert f"/{gr.__version__}/gradio.js" in snippet
    return snippet.replace("https://gradio.s3-us-west-2.amazonaws.com", blog.url)


def test_the_cdns_bundle_of_this_version_writes_too(visitor: Page, blog: Blog) -> None:
    page = visit(visitor, blog.post(bundle_on_a_cdn(blog, snippets.EMBED_CDN)))
    card = write(page.locator("gradio-app"), "Today I'll be")
    expect(card.locator(".cd-generated")).to_contain_text("computers")


def test_the_cdns_bundle_says_so_if_the_demo_is_down(visitor: Page, blog: Blog) -> None:
    blog.app = f"http://{INSECURE_HOST}:{free_port()}"
    page = visit(visitor, blog.post(bundle_on_a_cdn(blog, snippets.EMBED_CDN)))
    expect(page.get_by_text("Could not load this space")).to_be_visible()
    expect(page.get_by_role("link", name="open its own page")).to_be_visible()


def test_the_ready_post_fits_and_has_its_picture_taken(
    visitor: Page, scripted_app: AppProcess, screenshots: Path
) -> None:
    page = visit(visitor, f"{scripted_app.url}/embed.html")
    write(page.locator("gradio-app"), "Why does the lying news media")
    pictured(page, screenshots, "embed")
