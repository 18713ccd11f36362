"""The export held against the model: the same weights agree, others do not."""

from pathlib import Path

import torch

from demo.checkpoints.weights import load_model
from demo.generation.openvino.export import export
from tests import tiny
from training.bits_per_byte import score_texts, summarise
from training.export_accuracy import GREEDY_TOKENS, ExportAccuracy, measure_export

TEXTS = [tiny.SENTENCE, "The teapots, says the harbor!", "the teapot counts the harbor"]


def test_an_export_agrees_with_its_own_model_and_with_no_other(
    fluent_folder: Path, tmp_path: Path
) -> None:
    export(fluent_folder, tmp_path)
    model, tokenizer = load_model(fluent_folder, torch.float32, "cpu")
    reference = summarise(score_texts(TEXTS, model, tokenizer))

    def measured(against: torch.nn.Module) -> ExportAccuracy:
        return measure_export(fluent_folder, tmp_path, against, tokenizer, TEXTS, reference)

    found = measured(model)
    assert found.greedy_equal == found.greedy_prompts == found.texts == len(TEXTS)
    assert found.greedy_tokens == GREEDY_TOKENS
    assert set(found.differs) == {"int8"}
    for name, percent in found.differs.items():
        assert abs(percent) < 5
        ratio = found.bits_per_byte[name] / reference.bits_per_byte
        assert abs(100 * (ratio - 1) - percent) < 0.1
    assert measured(tiny.gpt2(seed=1).eval()).greedy_equal == 0
