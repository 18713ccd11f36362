"""`python -m benchmarks VERB`."""

import signal
import sys

from benchmarks import BenchmarkError
from training.command_line import run_verb

VERBS = {
    "serve": "the app over HTTP beside the original's code path",
    "raw": "the engine beside its peers alone",
    "train": "training tokens per second: the embedded recipe beside the original's loop",
    "prepare": "time and memory of preparing an archive, up to a million tweets",
    "guess": "whether a script wins the guessing game without reading",
    "page": "how soon the page shows something, and how much of it moves then",
    "stays_up": "crowds, attackers, a lost network, a dying Hub, too little memory: is it up?",
    "cluster": "two nodes of a Ray cluster, one of them killed, frozen, cut off: what is lost?",
    "scale": "what one page over many engines would carry, simulated from what serve measured",
    "same_text": "whether a seed gives the same text alone, among others and after a restart",
}


def main() -> int:
    """Runs one verb; see `run_verb`. SIGTERM ends it as Ctrl-C does, and the apps it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return run_verb("benchmarks", VERBS, __doc__ or "", BenchmarkError)


if __name__ == "__main__":
    sys.exit(main())
