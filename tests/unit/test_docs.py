"""What is written about the project is what the project is."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from demo.checkpoints.embedded import EMBEDDED
from tests.docs import PAGES, README, parts, rendered, shown
from tests.licences import USES, requirements
from training.card import render_card
from training.working_tree import ROOT

FRONT_MATTER = yaml.safe_load(README.read_text(encoding="utf-8").split("---\n")[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_not_stale(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == rendered(page), "run `make docs`"


def test_every_generated_part_is_shown_somewhere() -> None:
    assert parts().keys() == set(shown())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings
            }


IMPORTS = {
    "demo/checkpoints": ("demo.generation", "demo.server", "demo.ui", "demo.game", "demo.launch"),
    "demo/generation": ("demo.server", "demo.ui", "demo.game", "demo.launch"),
    "demo/judging": ("demo.generation", "demo.server", "demo.ui", "demo.game", "demo.launch"),
    "demo/server": ("demo.ui", "demo.game", "demo.launch"),
    "demo/game": ("demo.server", "demo.ui", "demo.launch"),
    "demo/ui": ("demo.launch",),
    "demo": ("training", "benchmarks", "tests"),
    "training": ("benchmarks", "tests", "demo.ui", "demo.game", "demo.launch"),
}


@cache
def imports(path: Path) -> list[ast.AST]:
    """The imports of a module."""
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("folder", IMPORTS)
def test_imports_go_one_way(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in imports(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                wrong = [rule for rule in IMPORTS[folder] if f"{name}.".startswith(f"{rule}.")]
                assert not wrong, f"{path.relative_to(ROOT)} imports {name}"


def test_the_model_card_is_that_of_the_embedded_checkpoint() -> None:
    assert (ROOT / "model_card.md").read_text(encoding="utf-8") == render_card(EMBEDDED)


def test_the_space_runs_the_gradio_that_was_tested() -> None:
    pins = (ROOT / "requirements.txt").read_text()
    assert f"gradio[oauth,mcp]=={FRONT_MATTER['sdk_version']}" in pins
    assert FRONT_MATTER["app_file"] == "app.py"
    assert len(FRONT_MATTER["short_description"]) <= 60


def test_every_requirement_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line[:1].isalpha()]
        for line in lines:
            assert re.fullmatch(r"[\w-]+(\[[\w,]+\])?(==[\w.]+|>=[\d.]+,<[\d.]+)", line), line


# What the Space brings, and what gradio's extras bring, which are required by their names.
BROUGHT = {"spaces", "mcp"}


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("demo",), ("requirements.txt",)),
        (("training", "tests"), ("requirements.txt", "requirements-dev.txt")),
    ],
)
def test_everything_imported_is_required(folders: Sequence[str], names: Sequence[str]) -> None:
    required = {
        re.split(r"[\[=>]", line)[0].lower().replace("_", "-")
        for name in names
        for line in (ROOT / name).read_text().splitlines()
        if line[:1].isalpha()
    }
    distributions = packages_distributions()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for module in _imported(path) - BROUGHT:
            brought_by = {name.lower().replace("_", "-") for name in distributions.get(module, ())}
            assert not brought_by or brought_by & required, f"{path.name} imports {module}"


def _imported(path: Path) -> set[str]:
    """The top-level modules that a file imports from elsewhere."""
    found = imports(path)
    names = [alias.name for node in found if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in found if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}


def test_every_requirement_says_what_it_is_for_and_no_other_does() -> None:
    assert requirements().keys() == USES.keys()


def test_the_lock_holds_every_requirement_of_the_app_with_its_hash() -> None:
    """`make lock` renews it."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w-]+)(?:\[[\w,]+\])?==(\S+) \\\n    --hash=sha256:", lock, re.M))
    assert len(locked) == len(re.findall(r"^[\w-]+", lock, re.MULTILINE))
    for name, (pin, file) in requirements().items():
        if file == "requirements.txt":
            version = locked[name.lower().replace("_", "-")]
            # A range has one version in the lock, which pip checks when it installs both.
            assert version == pin or pin.startswith(">="), name


def test_the_embedded_checkpoint_keeps_to_its_size() -> None:
    sizes = {path.name: path.stat().st_size for path in EMBEDDED.iterdir()}
    assert sum(sizes.values()) <= 25_000_000


def test_nothing_pickled_and_no_data_is_in_the_tree() -> None:
    wrong = {".bin", ".pt", ".pth", ".pkl", ".parquet", ".csv", ".gz", ".zip"}
    folders = ("embedded", "demo", "training", "tests")
    files = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    assert len(files) > 80
    assert not [path for path in files if path.suffix in wrong]


@pytest.mark.slow
def test_the_requirements_resolve_with_what_the_spaces_builder_adds(tmp_path: Path) -> None:
    """The builder installs these beside ours, in one resolution."""
    version = FRONT_MATTER["sdk_version"]
    added = [f"gradio[oauth,mcp]=={version}", "spaces", "uvicorn>=0.14", "websockets>=10.4"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
         "--disable-pip-version-check", "--report", str(tmp_path / "report.json"),
         "-r", str(ROOT / "requirements.txt"), *added],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    chosen = {e["metadata"]["name"].lower(): e["metadata"]["version"] for e in report["install"]}
    assert chosen["gradio"] == version
    assert {"spaces", "mcp", "transformers", "torch"} <= chosen.keys()


def test_python_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert FRONT_MATTER["python_version"] == "3.12"
