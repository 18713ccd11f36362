"""Trials that the tests make: a row for each test that measured something, one for the others."""

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.measuring import ROOT, spread
from benchmarks.stays_up.app import App
from benchmarks.stays_up.calls import told
from benchmarks.trials import Row

FAULTS = ("failure", "error", "skipped")


def run_tests(path: str, *, spread_out: bool = False) -> Callable[[App], Iterator[Row]]:
    """The tests of that file, with the slow ones unless the trials are quick; `spread_out`: in
    several processes, as they do little but wait."""

    def trial(app: App) -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            chosen = "not slow" if app.quick else ""
            options = ["-q", "-m", chosen, f"--junitxml={report}"]
            options += ["-n", "3", "--dist", "load"] if spread_out else ["-n", "0"]
            command = [sys.executable, "-m", "pytest", *options, path]
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
        yield Row(what, f"{name}: {spread(values)}", "passes", held=True)
    broken = not outcomes or {"failure", "error"} & set(outcomes)
    passed = None if "skipped" in outcomes else True
    every = f"{len(cases)} tests of {path}"
    yield Row(every, told(outcomes), "all pass", False if broken else passed)
