"""Renders the generated parts of README.md and docs/: `python -m tests.docs` writes them.

A part stands between `<!-- NAME: written by `make docs` -->` and `<!-- /NAME -->`. The tests fail
when one is stale.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks.report import readme_table
from demo.generation.request import COUNT, FIELDS, MAX_PROMPT_CHARACTERS
from demo.judging.masking import SLURS, masked
from demo.settings import settings_table
from demo.ui.snippets import SNIPPETS
from tests.licences import licences_table

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
LANGUAGES = {
    "embed": "html", "embed_cdn": "html", "embed_iframe": "html", "curl": "bash",
    "python": "python", "python_stream": "python", "mcp_python": "python", "mcp_config": "json",
}  # fmt: skip
PACKAGES = ("demo", "training", "benchmarks")
_PART = re.compile(r"(<!-- (\w+): written by `make docs` -->\n).*?(?=<!-- /\2 -->)", re.DOTALL)


def fields_table() -> str:
    """The request's fields, in Markdown."""
    rows = [f"| prompt | empty | 0 to {MAX_PROMPT_CHARACTERS:,} characters | the opening words |"]
    rows += [
        f"| {field.name} | {'drawn' if field.default is None else f'{field.default:g}'} "
        f"| {field.minimum:g} to {field.maximum:,.10g}{', whole' if field.whole else ''} "
        f"| {field.help} |"
        for field in FIELDS.values()
    ]
    rows.append(
        f"| {COUNT.name} | {COUNT.maximum:g} | {COUNT.minimum:g} to {COUNT.maximum:g}, whole "
        f"| {COUNT.help} Only for `/generate_many`. |"
    )
    return "\n".join(["| field | default | limits | what it does |", "|---|---|---|---|", *rows])


def tree() -> str:
    """Every module with the first line of its docstring, a table for each package."""
    folders = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    return "\n\n".join(_package(folder) for folder in sorted(folders))


def _package(folder: Path) -> str:
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    about = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    rows = [f"| `{path.name}` | {_first_line(path)} |" for path in modules]
    table = ("\n| file | what it is |\n|---|---|\n" + "\n".join(rows)) if rows else ""
    return f"### {folder.relative_to(ROOT)}/\n\n{about}\n{table}".rstrip()


def _first_line(path: Path) -> str:
    """The docstring's first line, or the sentence that it begins where that goes on."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


@cache
def parts() -> dict[str, str]:
    """Every generated part by its name."""
    snippets = {n: f"```{LANGUAGES[n]}\n{snippet}```" for n, snippet in SNIPPETS.items()}
    tables = {"fields": fields_table(), "settings": settings_table(), "speed": readme_table(),
              "licences": licences_table()}  # fmt: skip
    slurs = ", ".join(f"`{masked(word)}`" for word in sorted(SLURS))
    return {**snippets, **tables, "tree": tree(), "slurs": slurs}


def rendered(page: Path) -> str:
    """The page as it should be."""
    text = page.read_text(encoding="utf-8")
    return _PART.sub(lambda part: f"{part[1]}{parts()[part[2]]}\n", text)


def shown() -> Iterator[str]:
    """The names of the parts that some page shows."""
    for page in PAGES:
        yield from (part[2] for part in _PART.finditer(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rendered(page), encoding="utf-8")
