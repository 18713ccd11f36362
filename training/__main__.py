"""`python -m training VERB`."""

import os
import sys

from training import EXPECTED
from training.command_line import run_verb

# OpenMP reads it when a verb imports torch. Threads that wait by spinning made a run several times
# slower as soon as anything else wanted one of its cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

VERBS = {
    "prepare": "an archive of tweets → canonical texts in four splits",
    "finetune": "prepared tweets → a checkpoint, by a recipe",
    "decoding": "a checkpoint → the sampling defaults with which its texts look most like tweets",
    "judges": "a checkpoint → what tells its texts from real tweets, and those that repeat one",
    "compare": "recipes on the same tweets and budget → bits per byte side by side",
    "blind": "a checkpoint → a sheet on which people tell its texts from tweets, and its score",
    "evaluate": "a checkpoint → perplexity and bits per byte, beside classical baselines",
    "persona": "a persona file → a checkpoint that says whose tweets it imitates",
    "publish": "a checkpoint, or held-out tweets → a repository on the Hub, in one verified commit",
    "deploy": "this checkout and a published checkpoint → a Space on the Hub that runs",
}


def main() -> int:
    return run_verb("training", VERBS, __doc__ or "", EXPECTED)


if __name__ == "__main__":
    sys.exit(main())
