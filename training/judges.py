"""`judges`: what tells that a text repeats a real tweet, and how likely a computer wrote it.

Knows prepared splits, samples and both judges; must not know how either works. Both files go into
the checkpoint's folder, what was measured of them into its `metrics.json`.
"""

import argparse
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from demo.judging import canonical, detector, originals
from demo.judging.originals import Originals
from training.card import EMBEDDED
from training.checkpoints import record
from training.detector_training import DetectorFigures, measure_detector, train_detector
from training.files import read_metrics
from training.prepare import SPLITS, read_texts
from training.sampling import Sample, draw, open_engine, read_decoding, resolve_folder

# The detector learns from texts of the first seeds, and is measured on those of the second.
LEARNT_SEED, MEASURED_SEED = 3_000_000, 4_000_000
TRAINING_SEED = 1
# Texts that nobody wrote: words of real ones in no order, so that a window found is found wrongly.
SHUFFLED_TEXTS, SHUFFLED_WORDS = 4_000, 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED, help="default: embedded/")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what prepare wrote")
    parser.add_argument(
        "--samples", type=int, help="texts drawn to learn from, and again to measure on; "
        "default: as many as dev and test have"
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Builds both, measures, prints and records."""
    folder: Path = arguments.checkpoint
    metrics = read_metrics(folder)
    splits = {name: read_texts(arguments.data, name) for name in SPLITS}
    index = Originals.build(text for texts in splits.values() for text in texts)
    found = _false_positives(index, splits["train"])
    print(_index_lines(index, found))
    handles = canonical.handles_in(text for texts in splits.values() for text in texts)
    asked, decoding = arguments.samples, read_decoding(folder)
    with open_engine(resolve_folder(folder)) as engine:
        learnt, measured = (
            _cleaned(
                draw(engine, [""] * (asked or len(splits[split])), decoding, seed, split), handles
            )
            for seed, split in ((LEARNT_SEED, "dev"), (MEASURED_SEED, "test"))
        )
    judge = train_detector(splits["dev"], learnt, TRAINING_SEED)
    figures = measure_detector(judge, splits["test"], measured)
    print(_detector_lines(figures))
    index.save(folder / originals.NAME)
    judge.save(folder / detector.NAME)
    metrics["judges"] = {
        "originals": {**asdict(index.facts), **found},
        "detector": {
            **asdict(judge.facts),
            "decoding": decoding,
            "first_seeds": [LEARNT_SEED, MEASURED_SEED],
            **figures.as_dict(),
        },
    }
    record(folder, metrics)
    return 0


def _false_positives(index: Originals, texts: Sequence[str]) -> dict[str, int]:
    """How many windows of shuffled words were asked for, and how many were found."""
    words = [word for text in texts for word in text.split()]
    chance = random.Random(TRAINING_SEED)
    asked = found = 0
    for _ in range(SHUFFLED_TEXTS):
        answers = index.windows_found(" ".join(chance.choices(words, k=SHUFFLED_WORDS)))
        asked += len(answers)
        found += sum(answers)
    return {"windows_asked": asked, "windows_found": found}


def _cleaned(samples: Iterable[Sample], handles: frozenset[str]) -> list[str]:
    """As real ones were: the detector must not learn what cleaning took from one kind only."""
    texts = (canonical.clean_alike(sample.text, handles) for sample in samples)
    return [text for text in texts if not canonical.is_too_short(text)]


def _index_lines(index: Originals, found: dict[str, int]) -> str:
    facts = index.facts
    return (
        f"originals: {facts.windows:,} windows of {facts.texts:,} tweets in "
        f"{facts.bits / 8e6:.2f} MB; false positives expected {facts.false_positive_rate:.1e}, "
        f"found {found['windows_found']:,} of {found['windows_asked']:,}"
    )


def _detector_lines(figures: DetectorFigures) -> str:
    lines = [f"{'detector, characters':<22}{'real':>6}{'generated':>11}  {'accuracy':<23}ROC AUC"]
    for name, group in {"all": figures.overall, **figures.by_length}.items():
        counts = f"{group.real:>6,}{group.generated:>11,}"
        lines.append(f"{name:<22}{counts}  {group.accuracy!s:<23}{group.roc_auc}")
    return "\n".join(lines)
