"""The detector learns a difference, says which words it rests on, and its figures are right."""

import math
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from demo.judging.detector import BUCKETS, Detector, DetectorFacts, features
from demo.judging.files import UnusableFile
from tests import made_up
from tests.processes import ROOT
from training import TrainingError
from training.detector_training import (
    compare,
    measure_detector,
    train_detector,
    train_likelihood_judge,
)
from training.files import rounded

TEXTS = (
    "a", "The teapot", "  The\tteapot \n is  https://t.co/x here ", "naïve café 🫖🫖 🇩🇰",
    "half\ud83c a pair", "x " * 300, "teapots" * 40,
)  # fmt: skip


def _sentences(count: int, seed: int, ending: str = "!") -> list[str]:
    chance = random.Random(seed)
    return [made_up.sentence(chance).rstrip("!") + ending for _ in range(count)]


@pytest.fixture(scope="module", autouse=True)
def two_regularisations() -> Iterator[None]:
    """Cross-validation has two to choose from, which takes a third of the time of seven."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.detector_training.REGULARISATIONS", (0.1, 100.0))
        yield


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Learned that computers end a text with `indeed`, and people with `so sad`."""
    return train_detector(_sentences(40, 1, " so sad"), _sentences(40, 2, " indeed"), seed=0)


@pytest.fixture
def heavy() -> Detector:
    """Weights as no training gives them: every bucket counts, and much."""
    weights = np.random.default_rng(0).normal(0, 1_000, BUCKETS).astype(np.float32)
    return Detector(DetectorFacts(-0.5, 1, 1, 1.0, 0), weights)


def test_a_difference_is_learned_and_measured_on_other_texts(detector: Detector) -> None:
    real, generated = _sentences(40, 3, " so sad"), _sentences(40, 4, " indeed")
    figures = measure_detector(detector, real, generated)
    assert figures.overall.accuracy.value > 0.95
    assert figures.overall.roc_auc.value > 0.99
    assert (figures.overall.real, figures.overall.generated) == (40, 40)


def test_the_stronger_judge_tells_texts_by_how_much_less_they_surprise_their_own_model() -> None:
    """Both models' bits per byte: alike for both kinds under the base, lower under the model."""
    chance = np.random.default_rng(0)
    base = chance.normal(2, 0.5, 400)
    real = np.column_stack([base[:200] - 0.2, base[:200]])
    generated = np.column_stack([base[200:] - 0.6, base[200:]])
    real, generated = (one + chance.normal(0, 0.1, one.shape) for one in (real, generated))
    judge = train_likelihood_judge(real[:100], generated[:100])
    of_real, of_generated = (judge.predict_proba(one[100:])[:, 1] for one in (real, generated))
    assert compare(of_real, of_generated).roc_auc.low > 0.9


def test_the_words_that_tell_are_those_that_weigh_most(detector: Detector) -> None:
    text = "The teapot was full of tea indeed"
    *others, last = detector.judge(text).passages
    assert text[last.start : last.end] == "indeed"
    assert last.contribution > max(abs(other.contribution) for other in others)
    assert detector.judge("It is all so sad").passages[-1].contribution < 0


def test_training_weighs_both_kinds_alike_and_says_what_it_learned_from() -> None:
    detector = train_detector(_sentences(60, 1), _sentences(10, 2), seed=7)
    facts = detector.facts
    assert (facts.real_texts, facts.generated_texts, facts.seed) == (60, 10, 7)
    assert 0.4 < detector.judge(_sentences(1, 3)[0]).probability < 0.6


def test_the_same_texts_and_seed_give_the_same_detector(tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_detector(_sentences(10, 1), _sentences(10, 2), seed=3).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("text", TEXTS)
def test_contributions_sum_to_the_logit_without_the_intercept(text: str) -> None:
    weights = np.random.default_rng(0).normal(0, 1, BUCKETS).astype(np.float32)
    detector = Detector(DetectorFacts(0.25, 1, 1, 1.0, 0), weights)
    verdict, seen = detector.judge(text), features(text)
    logit = math.log(verdict.probability / (1 - verdict.probability))
    total = sum(word.contribution for word in verdict.passages)
    assert total == pytest.approx(logit - 0.25, abs=1e-6)
    assert total == pytest.approx(float(weights[seen.buckets] @ seen.values), abs=1e-6)


def test_an_ngram_is_shared_among_the_words_it_covers() -> None:
    words = {bucket for word in ("b", "c") for bucket in features(word).buckets.tolist()}
    across = sorted(set(features("b c").buckets.tolist()) - words)
    weights = np.zeros(BUCKETS, dtype=np.float32)
    weights[across] = 1
    first, second = Detector(DetectorFacts(0.0, 1, 1, 1.0, 0), weights).judge("b c").passages
    # Of ` b c `: `b c`, ` b c`, `b c ` and the whole, a space going with the word before it.
    assert len(across) == 4
    value = features("b c").values.min()
    assert first.contribution == pytest.approx((2 / 3 + 3 / 4 + 2 / 4 + 3 / 5) * value)
    assert second.contribution == pytest.approx((1 / 3 + 1 / 4 + 2 / 4 + 2 / 5) * value)


@pytest.mark.parametrize("text", TEXTS)
def test_passages_are_the_words_where_they_stand(heavy: Detector, text: str) -> None:
    found = [text[word.start : word.end] for word in heavy.judge(text).passages]
    assert found == text.replace("https://t.co/x", "").split()


def test_of_a_script_without_spaces_words_are_told_apart_and_ngrams_go_across(
    heavy: Detector,
) -> None:
    text = "今日はteapotの、話 です"
    found = [text[word.start : word.end] for word in heavy.judge(text).passages]
    assert found == ["今", "日", "は", "teapot", "の", "、", "話", "で", "す"]
    # Of ` 今日は `: 4, 4, 3, 2 and 1.
    assert len(features("今日は").buckets) == 14


@pytest.mark.parametrize("text", ["", *TEXTS])
def test_a_probability_is_never_zero_or_one(heavy: Detector, text: str) -> None:
    assert 0 < heavy.judge(text).probability < 1


@pytest.mark.parametrize("text", ["", " \n", "https://t.co/x"])
def test_a_text_without_words_gets_what_the_intercept_says(heavy: Detector, text: str) -> None:
    assert heavy.judge(text).probability == pytest.approx(1 / (1 + math.exp(0.5)))
    assert heavy.judge(text).passages == ()


def test_white_space_and_links_change_nothing(heavy: Detector) -> None:
    plain = heavy.judge("The teapot is here")
    other = heavy.judge("\nThe \u00a0 teapot https://t.co/abc is\there pic.twitter.com/x ")
    assert other.probability == plain.probability


def test_a_file_judges_as_the_detector_did_and_is_small(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path / "detector")
    loaded = Detector.load(tmp_path / "detector")
    assert (tmp_path / "detector").stat().st_size <= 1_000_000
    assert loaded.facts == detector.facts
    for text in TEXTS:
        assert loaded.judge(text) == detector.judge(text)


def test_every_process_sees_the_same_features() -> None:
    program = (
        "from demo.judging.detector import features; import hashlib;"
        "seen = features('The naïve teapot 🫖 is the best');"
        "print(hashlib.sha256(seen.buckets.tobytes()).hexdigest(), len(seen.buckets))"
    )
    answers = {
        subprocess.check_output(
            [sys.executable, "-c", program], cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""}
        )
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_features_are_those_that_detectors_made_earlier_were_trained_on() -> None:
    # Change KIND with these: a file made before would judge by the weights of other n-grams.
    seen = [5946, 16325, 30542, 32593, 36043, 50369, 51056, 57317, 62894]
    assert features("ab").buckets.tolist() == seen


@pytest.fixture
def file(detector: Detector, tmp_path: Path) -> Path:
    detector.save(tmp_path / "detector")
    return tmp_path / "detector"


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_file_cut_short_is_refused(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UnusableFile, match="detector"):
        Detector.load(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'\\"intercept\\": ', b'\\"interzept\\": '),
        (b'\\"buckets\\": 65536', b'\\"buckets\\": 65537'),
        (b'\\"longest_ngram\\": 5', b'\\"longest_ngram\\": 6'),
        (b"F32", b"I32"),
    ],
)
def test_a_file_with_facts_that_are_not_true_is_refused(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    with pytest.raises(UnusableFile, match="damaged"):
        Detector.load(file)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_file_with_what_is_no_number_is_refused(tmp_path: Path, bad: float) -> None:
    weights = np.zeros(BUCKETS, dtype=np.float32)
    Detector(DetectorFacts(bad, 1, 1, 1.0, 0), weights).save(tmp_path / "intercept")
    weights[7] = bad
    Detector(DetectorFacts(0.0, 1, 1, 1.0, 0), weights).save(tmp_path / "weight")
    for name in ("intercept", "weight"):
        with pytest.raises(UnusableFile, match="damaged"):
            Detector.load(tmp_path / name)


def test_a_file_that_is_missing_or_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="nowhere"):
        Detector.load(tmp_path / "nowhere")
    save_file({"originals 1": np.zeros(8)}, tmp_path / "other", {"originals 1": "{}"})
    with pytest.raises(UnusableFile, match="not of the kind"):
        Detector.load(tmp_path / "other")


def test_too_few_texts_are_refused(detector: Detector) -> None:
    with pytest.raises(TrainingError, match="4 real and 9 generated"):
        train_detector(_sentences(4, 1), _sentences(9, 2), seed=0)
    for generated in ([], ["The only one"]):
        with pytest.raises(TrainingError, match="both kinds"):
            measure_detector(detector, _sentences(4, 1), generated)


def test_figures_of_no_difference_are_those_of_chance(detector: Detector) -> None:
    texts = _sentences(30, 5)
    figures = measure_detector(detector, texts, texts * 3).overall
    assert (figures.real, figures.generated) == (30, 90)
    assert figures.accuracy.value == figures.roc_auc.value == pytest.approx(0.5)
    for share in (figures.accuracy, figures.roc_auc):
        assert 0.3 < share.low <= 0.5 <= share.high < 0.7


def test_figures_come_by_length_where_there_are_several_texts_of_both_kinds(
    detector: Detector,
) -> None:
    lengths = {"real": (20, 59, 60, 119, 150, 250, 300), "generated": (60, 70, 80, 150, 200, 210)}
    real, generated = (["x" * length for length in of] for of in lengths.values())
    by_length = measure_detector(detector, real, generated).by_length
    counts = {name: (group.real, group.generated) for name, group in by_length.items()}
    # Of one text an interval would have no width, and could not but lie above chance or below.
    assert counts == {"60-119": (2, 3), "200+": (2, 2)}


def test_figures_are_those_of_scikit_learn(detector: Detector) -> None:
    real, generated = _sentences(31, 6, " so sad"), _sentences(47, 7)
    figures = measure_detector(detector, real, generated).overall
    of_texts = [detector.judge(text).probability for text in (*real, *generated)]
    truths = [0] * len(real) + [1] * len(generated)
    assert figures.roc_auc.value == pytest.approx(roc_auc_score(truths, of_texts))
    says = [probability >= 0.5 for probability in of_texts]
    assert figures.accuracy.value == pytest.approx(balanced_accuracy_score(truths, says))


def test_figures_as_a_dict_are_rounded_numbers(detector: Detector) -> None:
    figures = rounded(measure_detector(detector, _sentences(7, 1), _sentences(9, 2)))
    assert list(figures) == ["overall", "by_length"]
    for group in (figures["overall"], *figures["by_length"].values()):
        assert list(group) == ["real", "generated", "accuracy", "roc_auc"]
        for share in (group["accuracy"], group["roc_auc"]):
            assert share == {name: round(share[name], 4) for name in ("value", "low", "high")}
            assert share["low"] <= share["value"] <= share["high"]
