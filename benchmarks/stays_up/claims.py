"""Trials that the tests make: each claim of a file of tests is a row."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.measuring import ROOT
from benchmarks.stays_up.app import App, Row


def claims(path: str) -> Callable[[App], Iterator[Row]]:
    """The tests of that file, with the slow ones unless the trials are quick."""

    def trial(app: App) -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            chosen = "not slow" if app.quick else ""
            options = ("-q", "-n", "0", "-m", chosen, f"--junitxml={report}")
            command = [sys.executable, "-m", "pytest", *options, path]
            subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
            yield from map(_row, ElementTree.parse(report).iter("testcase"))

    return trial


def _row(case: ElementTree.Element) -> Row:
    what = case.get("name", "").removeprefix("test_").replace("_", " ")
    passed = f"passed in {float(case.get('time', 0)):.1f} s"
    for fault in case:
        if fault.tag in ("failure", "error", "skipped"):
            held = None if fault.tag == "skipped" else False
            return Row(what, f"{fault.tag}: {fault.get('message', '')[:300]}", "passes", held)
    return Row(what, passed, "passes", True)
