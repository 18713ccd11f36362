"""What `stays_up` makes of its trials: no trial passes without saying so."""

from collections.abc import Iterator

import pytest

from benchmarks.stays_up import run
from benchmarks.stays_up.app import App, NotHere, Row
from benchmarks.stays_up.calls import kind_of


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
        ("held", 0, "| held | a teapot \\| falls | whole | whole | yes |"),
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
