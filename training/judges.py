"""`judges`: gives a checkpoint its index of real tweets and its detector, both measured.

The files go into the checkpoint's folder, the figures into its `metrics.json`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typer import Option

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.resolve import Checkpoint
from demo.generation.profile import read_profile
from demo.judging import canonical, detector, originals
from demo.judging.judges import Share
from demo.judging.originals import DIGEST_BYTES, Originals
from training import TrainingError, limits
from training.bits_per_byte import score_texts
from training.card import PACKAGED_BASE_ID
from training.checkpoints import record
from training.command_line import number
from training.detector_training import (
    DetectorFigures,
    GroupFigures,
    compare,
    measure_detector,
    probabilities,
    train_detector,
    train_likelihood_judge,
)
from training.files import print_persona, read_metrics, resolve_folder, rounded
from training.prepare import ALL_TEXTS, read_texts
from training.sampling import Sample, draw, load_base, load_fp32, open_engine, read_decoding
from training.visitors import CONTINUED, NO_PROMPT, draw_groups
from training.working_tree import revision

# The first seeds of the texts that the detector is trained and measured on.
TRAINED_SEED, MEASURED_SEED = 3_000_000, 4_000_000
FOLDS_SEED = 1
# From fewer texts of a kind, a detector's figures say nothing: their intervals reach from chance to
# certainty.
MIN_TEXTS = 100
# At one false positive in a million, ten are expected.
DIGEST_BATCHES, DIGESTS = 100, 100_000


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
    splits = {name: read_texts(data, name) for name in ALL_TEXTS}
    # Of all texts: publishing and deploying refuse a real tweet by it.
    index = Originals.build(text for texts in splits.values() for text in texts)
    found = _false_positives(index)
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
            files[detector.NAME] = made[0]
            figures |= made[1]
    record(checkpoint, {**metrics, "judges": figures}, files)


def _detector(
    checkpoint: Path, splits: Mapping[str, Sequence[str]], samples: int | None
) -> tuple[Callable[[Path], object], dict[str, Any]] | None:
    """What saves a detector, and the figures of it and of a second judge; None, and a sentence,
    if none can be fitted."""
    handles = canonical.handles_in(text for texts in splits.values() for text in texts)
    dev, test = (
        [text for text in splits[name] if canonical.ANONYMOUS_HANDLE not in text]
        for name in ("dev", "test")
    )
    decoding = read_decoding(checkpoint)
    resolved = resolve_folder(checkpoint)
    with open_engine(resolved) as engine:
        prompts = [""] * (samples or len(splits["dev"]))
        trained_on = clean_samples(draw(engine, prompts, decoding, TRAINED_SEED, "dev"), handles)
        groups = draw_groups(
            engine,
            read_profile(checkpoint),
            splits["train"],
            2 * (samples or len(splits["test"])),
            MEASURED_SEED,
        )
    cleaned = {name: clean_samples(group.samples, handles) for name, group in groups.items()}
    # What continues a whole text is none of its own, and one text alone has no interval.
    asked = {n: texts for n, texts in cleaned.items() if n != CONTINUED and len(texts) > 1}
    try:
        judge = train_detector(dev, trained_on, FOLDS_SEED)
        measured = measure_detector(judge, test, cleaned[NO_PROMPT])
    except TrainingError as error:
        print(f"No detector is made: {error}")
        return None
    of_test = probabilities(judge, test)
    own = {name: compare(of_test, probabilities(judge, texts)) for name, texts in asked.items()}
    second = _measure_likelihood(resolved, dev, trained_on, test, asked)
    print(_detector_lines(measured, own, second))
    return judge.save, {
        "detector": {
            **asdict(judge.facts),
            "decoding": decoding,
            "first_seeds": [TRAINED_SEED, MEASURED_SEED],
            "git_revision": revision(),
            **rounded(measured),
            "asked": rounded(own),
        },
        "likelihood": {
            "base": PACKAGED_BASE_ID,
            "asked": rounded(second),
        },
    }


def _measure_likelihood(
    checkpoint: Checkpoint,
    dev: Sequence[str],
    trained_on: Sequence[str],
    test: Sequence[str],
    asked: Mapping[str, Sequence[str]],
) -> dict[str, GroupFigures]:
    """How well this model and a base that it may have started from tell the same texts apart."""
    models = (load_fp32(checkpoint), load_base())

    def read(texts: Sequence[str], label: str) -> np.ndarray:
        scores = [score_texts(texts, *model, label) for model in models]
        return np.array([[one.bits / one.bytes for one in column] for column in scores]).T

    judge = train_likelihood_judge(read(dev, "dev"), read(trained_on, "generated"))
    of_test = judge.predict_proba(read(test, "test"))[:, 1]
    return {
        name: compare(of_test, judge.predict_proba(read(texts, name))[:, 1])
        for name, texts in asked.items()
    }


def _false_positives(index: Originals) -> dict[str, int]:
    """How many random digests were looked up, and how many were taken for a real tweet's. A window
    that is in no tweet has such a digest."""
    rng = np.random.default_rng(FOLDS_SEED)
    found = 0
    for _ in range(DIGEST_BATCHES):
        found += sum(index.are_found(rng.bytes(DIGEST_BYTES * DIGESTS)))
    return {"digests_asked": DIGEST_BATCHES * DIGESTS, "digests_found": found}


def clean_samples(samples: Iterable[Sample], handles: frozenset[str]) -> list[str]:
    """Cleans samples as real tweets were: the detector must not learn what cleaning leaves. A
    handle that the model made up becomes `@user`; such texts are left out, as such tweets are: the
    engine itself never writes it."""
    texts = [
        canonical.clean(one.text, handles)
        for one in samples
        if not canonical.is_cut_off(one.text) and not canonical.is_manual_retweet(one.text)
    ]
    return [
        text
        for text in texts
        if canonical.ANONYMOUS_HANDLE not in text and not canonical.is_too_short(text)
    ]


def _index_line(index: Originals, found: dict[str, int]) -> str:
    facts = index.facts
    return (
        f"originals: {facts.windows:,} windows of {facts.texts:,} tweets in "
        f"{facts.bits / 8e6:.2f} MB; false positives expected {facts.false_positive_rate:.1e}, "
        f"found {found['digests_found']:,} of {found['digests_asked']:,}"
    )


def _detector_lines(
    figures: DetectorFigures, own: Mapping[str, GroupFigures], second: Mapping[str, GroupFigures]
) -> str:
    def shown(share: Share) -> str:
        return f"{share.value:.3f}  [{share.low:.3f}, {share.high:.3f}]"

    lines = [f"{'detector, characters':<22}{'real':>6}{'generated':>11}  {'accuracy':<23}ROC AUC"]
    for name, group in {"all": figures.overall, **figures.by_length}.items():
        counts = f"{group.real:>6,}{group.generated:>11,}"
        lines.append(f"{name:<22}{counts}  {shown(group.accuracy):<23}{shown(group.roc_auc)}")
    lines.append(f"{'ROC AUC by what was asked':<39}  {'detector':<23}both models' likelihoods")
    for name, group in own.items():
        aucs = f"{shown(group.roc_auc):<23}{shown(second[name].roc_auc)}"
        lines.append(f"{name:<28}{group.generated:>11,}  {aucs}")
    return "\n".join(lines)
