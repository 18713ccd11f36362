"""Code that others copy: how to embed the demo, and how to call it. The About tab and docs/api.md
show it word for word, and the tests run every piece. `URL` stands for the demo's address."""

from collections.abc import Mapping

import gradio as gr

from demo.ui.components import STATIC

URL = "http://127.0.0.1:7860"
# A blog post to try an embed in, served at /embed.html.
POST = STATIC / "embed.html"

EMBED = f"""\
<script type="module" src="{URL}/gradio.js"></script>
<gradio-app src="{URL}" style="display: block; min-height: 780px">
  <p>The demo loads here. If it does not, <a href="{URL}">open its own page</a>.</p>
</gradio-app>
"""

EMBED_CDN = EMBED.replace(
    f"{URL}/gradio.js", f"https://gradio.s3-us-west-2.amazonaws.com/{gr.__version__}/gradio.js"
)

# The lines below the frame may be left out, or stand in a file: page.html sends them its height.
EMBED_IFRAME = f"""\
<iframe src="{URL}/?layout=compact" title="A language model's parody"
        allow="clipboard-write; web-share" loading="lazy"
        width="100%" height="900" style="border: 0"></iframe>
<script>
  addEventListener("message", ({{ data, source }}) => {{
    const height = Number(data && data.computerDumpHeight);
    for (const frame of document.querySelectorAll('iframe[src^="{URL}/"]')) {{
      if (frame.contentWindow === source && height > 0) frame.height = height;
    }}
  }});
</script>
"""

PYTHON = f"""\
from gradio_client import Client

client = Client("{URL}")
result = client.predict("Today I'll be", api_name="/generate")
print(result["shareable"])
"""

PYTHON_STREAM = f"""\
import time

from gradio_client import Client

client = Client("{URL}")
job, seen = client.submit("The democrats have", temperature=0.7, api_name="/generate"), 0
while True:
    done, outputs = job.done(), job.outputs()
    for output in outputs[seen:]:
        print(output["text"])
    seen = len(outputs)
    if done:
        break
    time.sleep(0.05)
job.result()  # raises what went wrong, if something did
"""

CURL = f"""\
B={URL}/gradio_api
ID=$(curl -s $B/call/v2/generate -H 'Content-Type: application/json' \\
     -d '{{"prompt": "Today I will be", "seed": 7}}' | sed 's/.*"event_id": *"\\([^"]*\\)".*/\\1/')
curl -sN $B/call/generate/$ID
"""

MCP_CONFIG = f"""\
{{
  "mcpServers": {{
    "computer-dump": {{
      "url": "{URL}/gradio_api/mcp/"
    }}
  }}
}}
"""

MCP_PYTHON = f"""\
import asyncio

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def main() -> None:
    async with streamable_http_client("{URL}/gradio_api/mcp/") as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            result = await session.call_tool("generate", {{"prompt": "Today I'll be"}})
            print(result.content[0].text)


asyncio.run(main())
"""

SNIPPETS: Mapping[str, str] = {
    "embed": EMBED,
    "embed_cdn": EMBED_CDN,
    "embed_iframe": EMBED_IFRAME,
    "python": PYTHON,
    "python_stream": PYTHON_STREAM,
    "curl": CURL,
    "mcp_config": MCP_CONFIG,
    "mcp_python": MCP_PYTHON,
}


def addressed(snippet: str, url: str) -> str:
    """The snippet for a demo at that address, which has no slash at its end."""
    return snippet.replace(URL, url)
