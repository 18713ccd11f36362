"""The benchmarks run, in small: their figures mean nothing here, their tables must be whole."""

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT


def verb(*arguments: str) -> str:
    """What `python -m benchmarks …` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_serve_measures_both_apps_without_a_failed_text(tmp_path: Path) -> None:
    verb("serve", "--quick", "--results", str(tmp_path))
    table = (tmp_path / "serve.md").read_text(encoding="utf-8")
    for app in ("ours", "original"):
        assert f"| {app} |" in table
    assert "failed" in table
    assert "memory" in table
