"""What `stays_up` makes of its trials: no trial passes without saying so."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import trials
from benchmarks.measuring import RESULTS, describe_cpu, today
from benchmarks.stays_up import run
from benchmarks.stays_up.app import App
from benchmarks.stays_up.calls import kind_of
from benchmarks.stays_up.pytest_trials import rows
from benchmarks.trials import NotHere, Row


def held(app: App) -> Iterator[Row]:
    yield Row("a teapot | falls", "whole", "whole", held=True)


def missed(app: App) -> Iterator[Row]:
    yield Row("a cup falls", "broken", "whole", held=False)


def impossible(app: App) -> Iterator[Row]:
    raise NotHere("there is no teapot")
    yield


def broken(app: App) -> Iterator[Row]:
    yield from held(app)
    raise RuntimeError("the table fell")


@pytest.mark.parametrize(
    ("name", "code", "shown"),
    [
        ("held", 0, "whole | whole | yes | 2026-11-24, 64 cores of a teapot |"),
        ("missed", 1, "1 missed"),
        ("impossible", 0, "0 bars held, 0 missed, 1 not judged."),
        ("broken", 1, "RuntimeError: the table fell"),
    ],
)
def test_a_missed_bar_and_a_broken_trial_fail_and_one_that_cannot_be_tried_is_not_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, code: int,
    shown: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(run, "TRIALS", {name: globals()[name]})
    monkeypatch.setattr(trials, "today", lambda: "2026-11-24")
    monkeypatch.setattr(trials, "describe_cpu", lambda: "64 cores of a teapot")
    assert run.stays_up(quick=True) == code
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ([{"finish_reason": "length"}], "text"),
        ([{"finish_reason": None}], "cut"),
        ([{"finish_reason": "error", "error": "top_p is 9."}], "top_p is 9."),
        ({"error": "top_p is 9."}, "top_p is 9."),
        ({"error": None}, "cut"),
        (None, "cut"),
    ],
)
def test_only_a_finished_text_is_a_text(last: object, kind: str) -> None:
    assert kind_of(last) == kind


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A table of two trials, measured on another day and another machine."""
    monkeypatch.setattr(run, "TRIALS", {"held": held, "missed": missed})
    monkeypatch.setattr(trials, "today", lambda: "2026-11-24")
    monkeypatch.setattr(trials, "describe_cpu", lambda: "64 cores of a teapot")
    assert run.stays_up(results=tmp_path) == 1
    monkeypatch.undo()
    return tmp_path / "stays_up.md"


def test_a_trial_that_is_tried_again_leaves_the_other_rows_as_they_were(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TRIALS", {"held": held, "missed": held})
    assert run.stays_up(only=["missed"], results=page.parent) == 0
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if "whole" in line]
    assert rows == [
        "| held | a teapot \\| falls | whole | whole | yes | 2026-11-24, 64 cores of a teapot |",
        f"| missed | a teapot \\| falls | whole | whole | yes | {today()}, {describe_cpu()} |",
    ]
    assert "2 bars held, 0 missed" in page.read_text(encoding="utf-8")


def test_what_was_measured_before_the_end_of_a_run_is_written(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(app: App) -> Iterator[Row]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(run, "TRIALS", {"held": held, "missed": interrupted})
    with pytest.raises(KeyboardInterrupt):
        run.stays_up(results=page.parent)
    text = page.read_text(encoding="utf-8")
    assert f"yes | {today()}, " in text
    assert "**no** | 2026-11-24, " in text


def test_every_committed_row_is_one_that_a_trial_gave() -> None:
    text = (RESULTS / "stays_up.md").read_text(encoding="utf-8")
    names = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert {name.removeprefix("| ") for name in names[1:]} == set(run.TRIALS)


def test_tests_that_measured_or_failed_have_rows_and_the_others_a_count() -> None:
    suite = ElementTree.fromstring(
        """<testsuite>
        <testcase name="test_tea_boils[kettle]"><properties>
          <property name="seconds until it boils" value="2.5"/></properties></testcase>
        <testcase name="test_tea_boils[pan]"><properties>
          <property name="seconds until it boils" value="3.5"/></properties></testcase>
        <testcase name="test_a_cup_is_whole"><failure message="broken"/></testcase>
        <testcase name="test_a_pot_is_whole"/>
        </testsuite>"""
    )
    found = {row.what: (row.measured, row.held) for row in rows("test_tea.py", list(suite))}
    assert found == {
        "a cup is whole": ("failure: broken", False),
        "tea boils": ("seconds until it boils: 3.00 (2.50 to 3.50)", True),
        "4 tests of test_tea.py": ("1 × failure, 3 × passed", False),
    }
