"""`python -m PACKAGE VERB`: a package whose modules are verbs, as a command line.

Knows that a verb's module has `add_arguments(parser)` and `run(arguments) -> int`; must not
know what any of them does.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping


def run_verb(
    package: str, verbs: Mapping[str, str], description: str, mendable: type[Exception]
) -> int:
    """Runs the verb that the command line names; `verbs` says in a line what each does.

    The exit code is the verb's own, 1 for a `mendable` error, whose message is printed, and
    130 if interrupted.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    try:
        return _run(parser, verbs, package, mendable)
    except KeyboardInterrupt:
        print(f"{sys.argv[1] if len(sys.argv) > 1 else package}: interrupted.", file=sys.stderr)
        return 130


def _run(
    parser: argparse.ArgumentParser,
    verbs: Mapping[str, str],
    package: str,
    mendable: type[Exception],
) -> int:
    choices = parser.add_subparsers(dest="verb", required=True)
    # Only the verb that is asked for is imported: torch takes seconds, `--help` must not.
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, summary in verbs.items():
        verb = choices.add_parser(name, help=summary, description=summary)
        if name == asked:
            module = importlib.import_module(f"{package}.{name}")
            module.add_arguments(verb)
            verb.set_defaults(run=module.run)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments) or 0
    except mendable as error:
        print(f"{arguments.verb}: {error}", file=sys.stderr)
        return 1
