"""Renders the generated parts of the README: `python -m tests.docs`.

Knows the README's markers and what stands between them; the tests fail when it is stale.
"""

import re
from pathlib import Path

from benchmarks.report import readme_table
from demo.generation.request import COUNT, FIELDS, MAX_PROMPT_CHARACTERS
from demo.settings import settings_table
from demo.ui.snippets import SNIPPETS

LANGUAGES = {
    "embed": "html", "embed_cdn": "html", "embed_iframe": "html", "curl": "bash",
    "python": "python", "python_stream": "python", "mcp_python": "python", "mcp_config": "json",
}  # fmt: skip
README = Path(__file__).parent.parent / "README.md"


def fields_table() -> str:
    """The README's table of request fields, in Markdown."""
    rows = [f"| prompt | empty | 0 to {MAX_PROMPT_CHARACTERS:,} characters | the opening words |"]
    rows += [
        f"| {field.name} | {'drawn' if field.default is None else f'{field.default:g}'} "
        f"| {field.minimum:g} to {field.maximum:,.10g}{', whole' if field.whole else ''} "
        f"| {field.help} |"
        for field in FIELDS.values()
    ]
    rows.append(
        f"| {COUNT.name} | {COUNT.maximum:g} | {COUNT.minimum:g} to {COUNT.maximum:g}, whole "
        f"| {COUNT.help} `/generate_many` alone takes it. |"
    )
    return "\n".join(["| field | default | limits | what it does |", "|---|---|---|---|", *rows])


def rendered() -> str:
    """The README as it should be."""
    text = README.read_text(encoding="utf-8")
    tables = {"fields": fields_table(), "settings": settings_table(), "speed": readme_table()}
    for name, snippet in SNIPPETS.items():
        tables[name] = f"```{LANGUAGES[name]}\n{snippet}```"
    for name, table in tables.items():
        start, rest = re.split(rf"(?<=<!-- {name}: written by `make docs` -->\n)", text)
        text = f"{start}{table}\n{rest[rest.index(f'<!-- /{name} -->') :]}"
    return text


if __name__ == "__main__":
    README.write_text(rendered(), encoding="utf-8")
