"""`judges`: gives a checkpoint its index of real tweets and its detector, both measured.

The files go into the checkpoint's folder, the figures into its `metrics.json`.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from demo.checkpoints.embedded import EMBEDDED
from demo.judging import canonical, detector, originals
from demo.judging.judges import Share
from demo.judging.originals import Originals
from training import TrainingError, limits
from training.checkpoints import record
from training.command_line import number
from training.detector_training import DetectorFigures, measure_detector, train_detector
from training.files import print_persona, read_metrics, resolve_folder
from training.prepare import SPLITS, read_texts
from training.sampling import Sample, draw, open_engine, read_decoding

# The first seeds of the texts that the detector is trained and measured on.
TRAINED_SEED, MEASURED_SEED = 3_000_000, 4_000_000
FOLDS_SEED = 1
# From fewer texts of a kind, a detector's figures say nothing: their intervals reach from chance to
# certainty.
MIN_TEXTS = 100
# Real words in random order: a window found among them is a false positive.
SHUFFLED_TEXTS, SHUFFLED_WORDS = 4_000, 200


def judges(
    checkpoint: Annotated[Path, Option(help="default: embedded/", show_default=False)] = EMBEDDED,
    data: Annotated[Path, Option(help="what prepare wrote")] = Path("data"),
    samples: Annotated[
        int | None,
        number(
            "texts drawn to learn from, and again to measure on; default: as many as dev and test "
            "have",
            *limits.SAMPLES,
        ),
    ] = None,
) -> None:
    metrics = read_metrics(checkpoint)
    print_persona(checkpoint)
    splits = {name: read_texts(data, name) for name in SPLITS}
    # Of all splits: publishing and deploying refuse a real tweet by it.
    index = Originals.build(text for texts in splits.values() for text in texts)
    found = _false_positives(index, splits["train"])
    print(_index_line(index, found))
    figures = {**metrics.get("judges", {}), "originals": {**asdict(index.facts), **found}}
    files: dict[str, Callable[[Path], object]] = {originals.NAME: index.save}
    texts = min(len(splits["dev"]), len(splits["test"]), samples or MIN_TEXTS)
    if texts < MIN_TEXTS:
        print(
            f"No detector is made: from {texts:,} texts of a kind (dev has {len(splits['dev']):,}, "
            f"test {len(splits['test']):,}) it learns chance; {MIN_TEXTS} are needed."
        )
    else:
        made = _detector(checkpoint, splits, samples)
        if made is not None:
            files[detector.NAME], figures["detector"] = made
    record(checkpoint, {**metrics, "judges": figures}, files)


def _detector(
    checkpoint: Path, splits: Mapping[str, Sequence[str]], samples: int | None
) -> tuple[Callable[[Path], object], dict[str, Any]] | None:
    """What saves a detector, and its figures; None, and a sentence, if none can be fitted."""
    handles = canonical.handles_in(text for texts in splits.values() for text in texts)
    decoding = read_decoding(checkpoint)
    with open_engine(resolve_folder(checkpoint)) as engine:
        trained_on, measured_on = (
            _cleaned(
                draw(engine, [""] * (samples or len(splits[split])), decoding, seed, split), handles
            )
            for seed, split in ((TRAINED_SEED, "dev"), (MEASURED_SEED, "test"))
        )
    try:
        judge = train_detector(splits["dev"], trained_on, FOLDS_SEED)
        measured = measure_detector(judge, splits["test"], measured_on)
    except TrainingError as error:
        print(f"No detector is made: {error}")
        return None
    print(_detector_lines(measured))
    return judge.save, {
        **asdict(judge.facts),
        "decoding": decoding,
        "first_seeds": [TRAINED_SEED, MEASURED_SEED],
        **measured.as_dict(),
    }


def _false_positives(index: Originals, texts: Sequence[str]) -> dict[str, int]:
    """How many windows of shuffled words were looked up, and how many were found."""
    words = [word.text for text in texts for word in canonical.split_words(text)]
    rng = random.Random(FOLDS_SEED)
    asked = found = 0
    for _ in range(SHUFFLED_TEXTS):
        answers = index.windows_found(" ".join(rng.choices(words, k=SHUFFLED_WORDS)))
        asked += len(answers)
        found += sum(answers)
    return {"windows_asked": asked, "windows_found": found}


def _cleaned(samples: Iterable[Sample], handles: frozenset[str]) -> list[str]:
    """Cleans samples as real tweets were: the detector must not learn what cleaning leaves."""
    texts = (canonical.clean(sample.text, handles) for sample in samples)
    return [text for text in texts if not canonical.is_too_short(text)]


def _index_line(index: Originals, found: dict[str, int]) -> str:
    facts = index.facts
    return (
        f"originals: {facts.windows:,} windows of {facts.texts:,} tweets in "
        f"{facts.bits / 8e6:.2f} MB; false positives expected {facts.false_positive_rate:.1e}, "
        f"found {found['windows_found']:,} of {found['windows_asked']:,}"
    )


def _detector_lines(figures: DetectorFigures) -> str:
    def shown(share: Share) -> str:
        return f"{share.value:.3f}  [{share.low:.3f}, {share.high:.3f}]"

    lines = [f"{'detector, characters':<22}{'real':>6}{'generated':>11}  {'accuracy':<23}ROC AUC"]
    for name, group in {"all": figures.overall, **figures.by_length}.items():
        counts = f"{group.real:>6,}{group.generated:>11,}"
        lines.append(f"{name:<22}{counts}  {shown(group.accuracy):<23}{shown(group.roc_auc)}")
    return "\n".join(lines)
