"""Trials that the tests make: a row for each test that measured something, one for the others."""

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.measuring import ROOT, spread
from benchmarks.stays_up.app import App, Row
from benchmarks.stays_up.calls import told

# Some of the tests do nothing but wait.
PROCESSES = "3"
FAULTS = ("failure", "error", "skipped")


def claims(path: str) -> Callable[[App], Iterator[Row]]:
    """The tests of that file, with the slow ones unless the trials are quick."""

    def trial(app: App) -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            chosen = "not slow" if app.quick else ""
            options = ("-q", "-n", PROCESSES, "--dist", "load", "-m", chosen)
            command = [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", path]
            subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
            yield from rows(path, list(ElementTree.parse(report).iter("testcase")))

    return trial


def rows(path: str, cases: Sequence[ElementTree.Element]) -> Iterator[Row]:
    """Of tests that were run, with all their parameters; each that did not pass has its own."""
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    outcomes = []
    for case in cases:
        what = case.get("name", "").removeprefix("test_").replace("_", " ")
        fault = next((part for part in case if part.tag in FAULTS), None)
        outcomes.append("passed" if fault is None else fault.tag)
        if fault is not None and fault.tag != "skipped":
            said = f"{fault.tag}: {fault.get('message', '')[:300]}"
            yield Row(what, said, "passes", held=False)
        for figure in case.iter("property"):
            key = what.partition("[")[0], figure.get("name", "")
            figures[key].append(float(figure.get("value", "nan")))
    for (what, name), values in figures.items():
        yield Row(what, f"{name}: {spread(values)} in {len(values)} tries", "passes", held=True)
    every = f"{len(cases)} tests of {path}"
    passed = set(outcomes) == {"passed"} if set(outcomes) != {"passed", "skipped"} else None
    yield Row(every, told(outcomes), "all pass", passed)
