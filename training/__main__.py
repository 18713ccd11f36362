"""`python -m training VERB`: knows which verbs there are, and must not know what they do."""

import argparse
import importlib
import sys

from training.errors import TrainingError

VERBS = {
    "prepare": "an archive of tweets → canonical texts in four splits",
    "finetune": "prepared tweets → a checkpoint, by a recipe",
    "evaluate": "a checkpoint → perplexity and bits per byte, beside classical baselines",
}


def main() -> int:
    """Runs one verb; the exit code is 1 for an error the owner can mend, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    # Only the verb that is asked for is imported: torch takes seconds, `--help` must not.
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, summary in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        if name == asked:
            module = importlib.import_module(f"training.{name}")
            module.add_arguments(verb)
            verb.set_defaults(run=module.run)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments) or 0
    except TrainingError as error:
        print(f"{arguments.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{arguments.verb}: interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
