"""Trials with bars: each runs within a bound, and their rows are kept in one table."""

import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchmarks import BenchmarkError
from benchmarks.measuring import describe_cpu, table, today

ONLY = "run this trial alone, and keep the others' rows; may be given again"
HELD = {True: "yes", False: "**no**", None: "not judged"}
# Cells of the table, as they stand in the page.
Line = Sequence[str]


@dataclass(frozen=True)
class Row:
    """What was done, what was measured (a text for each of the table's columns for it), and the
    bar; `held` is None if this machine cannot do it or it was done too small to tell."""

    what: str
    measured: str | Sequence[str]
    bar: str
    held: bool | None


class NotHere(Exception):
    """This machine cannot do the trial; the message says what it lacks."""


Trial = Callable[[], Iterable[Row]]


class Trials:
    """The trials of a verb, by name, and the rows of its table: those of an earlier run that are
    in `written`, until a trial is run again. With `only`, not all are run. Each row has the date
    and the machine of its own run.
    `measured` names the columns between what was done and the bar; a trial that takes longer than
    `limit_seconds` has missed its bar."""

    def __init__(
        self,
        trials: Mapping[str, Trial],
        only: Sequence[str] | None,
        written: Path | None,
        limit_seconds: float,
        measured: Sequence[str] = ("measured",),
    ) -> None:
        """Raises BenchmarkError if there is no such trial."""
        if unknown := set(only or ()) - set(trials):
            names = ", ".join(trials)
            raise BenchmarkError(f"There is no trial {', '.join(unknown)}: {names}.")
        self._chosen = only or list(trials)
        self._trials, self._limit_seconds, self._columns = trials, limit_seconds, len(measured)
        self._header = ("trial", "what", *measured, "bar", "held", "date and machine")
        self._lines = self._kept(written) if written else {}

    def run(self) -> bool:
        """Whether every bar was held. After Ctrl-C, `render` has what was measured until then."""
        is_held = True
        for name in self._chosen:
            begun, rows = time.monotonic(), []
            for row in self._tried(self._trials[name]):
                rows.append(self._line(name, row))
                is_held = is_held and row.held is not False
                print(" | ".join(rows[-1]), flush=True)
            self._lines[name] = rows
            print(f"{name} took {time.monotonic() - begun:.0f} s", flush=True)
        return is_held

    def render(self) -> tuple[str, str]:
        """How many bars were held, and the table."""
        rows = [line for name in self._trials for line in self._lines.get(name, ())]
        held = [row[self._header.index("held")] for row in rows]
        yes, no, unknown = (held.count(HELD[one]) for one in (True, False, None))
        counts = f"{yes} bars held, {no} missed, {unknown} not judged."
        return counts, table(self._header, rows)

    def _kept(self, path: Path) -> dict[str, list[Line]]:
        page = path.read_text(encoding="utf-8") if path.exists() else ""
        lines: dict[str, list[Line]] = {}
        for line in page.splitlines():
            cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
            if cells[0] in self._trials:
                lines.setdefault(cells[0], []).append(cells)
        return lines

    def _tried(self, trial: Trial) -> Iterable[Row]:
        """Its rows; one more if it fails, takes too long or cannot be done here."""

        def stop(number: int, frame: FrameType | None) -> None:
            raise TimeoutError("it took too long")

        before = signal.signal(signal.SIGALRM, stop)
        signal.alarm(int(self._limit_seconds))
        try:
            yield from trial()
        except NotHere as reason:
            yield Row("cannot be tried on this machine", str(reason), "", None)
        except Exception as error:
            # One that breaks must not hide what the others find.
            said = f"{type(error).__name__}: {str(error)[-400:]}"
            yield Row("the trial itself", said, "comes to its end", False)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    def _line(self, name: str, row: Row) -> Line:
        measured = [row.measured] if isinstance(row.measured, str) else list(row.measured)
        measured += [""] * (self._columns - len(measured))
        when = f"{today()}, {describe_cpu()}"
        return (name, *map(_cell, (row.what, *measured, row.bar)), HELD[row.held], when)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
