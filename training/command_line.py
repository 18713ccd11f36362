"""`python -m PACKAGE VERB`: each verb is a typed function of the module with its name."""

import contextlib
import functools
import importlib
import io
import sys
from collections.abc import Callable, Mapping
from typing import Any

import typer

from demo.subprocesses import lacks_space

Expected = type[Exception] | tuple[type[Exception], ...]


def flag(name: str, help: str) -> Any:
    """An option that is off unless it is given; typer would add `--no-NAME` by itself."""
    return typer.Option(f"--{name}", help=help)


def number(help: str, least: float, most: float, metavar: str | None = None) -> Any:
    """An option that takes a number from `least` to `most`."""
    return typer.Option(help=help, min=least, max=most, metavar=metavar)


def run_verb(package: str, verbs: Mapping[str, str], description: str, expected: Expected) -> int:
    """Runs the verb that the command line names; `verbs` has a line of help for each.

    The function `prepare` of `training/prepare.py` is the verb `prepare`, and its parameters are
    the options. The exit code is the one it returns, 1 for an `expected` error, which is printed in
    one line, 2 for wrong usage and 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal may lack the letters of a tweet: better their codes than the end of a run.
        if isinstance(stream, io.TextIOWrapper):
            # A file that has become a pipe since it was opened cannot be asked where it stands.
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="backslashreplace")
    app = typer.Typer(
        help=description,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    # Only the verb that is asked for is imported: torch takes seconds, `--help` must not.
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, summary in verbs.items():
        function: Callable[..., Any] = _not_loaded
        if name == asked:
            function = getattr(importlib.import_module(f"{package}.{name}"), name)
        app.command(name, help=summary)(_reporting(function, name, expected))
    try:
        app(prog_name=f"python -m {package}")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _reporting(function: Callable[..., Any], name: str, expected: Expected) -> Callable[..., None]:
    """The function with its expected errors as one line on stderr and an exit code."""

    @functools.wraps(function)
    def verb(*args: Any, **options: Any) -> None:
        try:
            code = function(*args, **options)
        except expected as error:
            print(f"{name}: {error}", file=sys.stderr)
            raise typer.Exit(1) from error
        except Exception as error:
            # Each library that writes has an error of its own for it.
            if not lacks_space(f"{error} {error.__cause__ or ''} {error.__context__ or ''}"):
                raise
            where = getattr(error, "filename", None)
            print(
                f"{name}: There is no space left to write {where or 'its files'}: free some, and "
                "give the same command again. What was whole before is as it was.",
                file=sys.stderr,
            )
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            print(f"{name}: interrupted.", file=sys.stderr)
            raise typer.Exit(130) from error
        raise typer.Exit(code or 0)

    return verb


def _not_loaded() -> None:
    """Stands for a verb that was not asked for, in the list of verbs."""
