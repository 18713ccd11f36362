"""What programs are promised, as the app tells it: `python -m tests.contract` writes it down.

tests/app/test_contract.py compares the file, so that nothing in it changes by accident.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.processes import HTTP, running_app

CONTRACT = Path(__file__).parent / "app" / "contract.json"


def contract(url: str) -> dict[str, Any]:
    """`/gradio_api/info` and the OpenAPI file, without the server's address."""
    answers = {name: HTTP.get(f"{url}/gradio_api/{name}", timeout=30) for name in _NAMES}
    texts = {name: answer.raise_for_status().text for name, answer in answers.items()}
    told = {name: json.loads(re.sub(re.escape(url), "URL", text)) for name, text in texts.items()}
    # Gradio's own, in languages and of tools that are not ours to promise.
    for endpoint in told["info"]["named_endpoints"].values():
        del endpoint["code_snippets"]
    told["mcp/schema"] = [
        {k: v for k, v in tool.items() if k != "meta"} for tool in told["mcp/schema"]
    ]
    return told


_NAMES = ("info", "openapi.json", "mcp/schema")


def written(told: dict[str, Any]) -> str:
    """As it is kept."""
    return json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(["-m", "tests.scripted_app"], Path(folder)) as app,
    ):
        CONTRACT.write_text(written(contract(app.url)), encoding="utf-8")
