"""What makes training faster changes nothing of what is learnt."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch.utils.data import default_collate

from tests import made_up, tiny
from training import faster_training
from training.documents import UNSCORED, pack_documents, tokenise
from training.faster_training import chunk_loss, compile_layers

TEXTS = [made_up.sentence(random.Random(seed)) for seed in range(12)]
BLOCK = 64


def batch() -> dict[str, Tensor]:
    tokenizer = tiny.tokenizer()
    rows = pack_documents(tokenise(TEXTS, tokenizer, BLOCK), BLOCK, tokenizer.eos_token_id)
    found: dict[str, Tensor] = default_collate([rows[i] for i in range(len(rows))])
    return found


def adapted() -> Any:
    """A tiny Llama under an adapter that is no longer zero."""
    model = tiny.llama()
    model.config.use_cache = False
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weights, std=0.1)
    return tuned


def tied() -> Any:
    """A tiny Llama whose head is its embeddings, as the packaged base's is."""
    model = tiny.llama()
    model.config.tie_word_embeddings = True
    model.tie_weights()
    return model


def headed() -> Any:
    """A tiny Llama of which only the head is trained."""
    model: Any = tiny.llama().requires_grad_(False)
    model.lm_head.requires_grad_(True)
    return model


def learnt(model: Any, **inputs: Any) -> tuple[float, list[Tensor]]:
    """The loss, and the gradient of everything that is trained."""
    loss = model(**inputs).loss
    loss.backward()
    return loss.item(), [p.grad for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("scored", [None, 999])
@pytest.mark.parametrize("make", [adapted, tiny.llama, tied, headed])
def test_the_loss_in_chunks_and_its_gradient_are_the_models_own(
    make: Callable[[], Any], scored: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faster_training, "CHUNK", 100)
    inputs = {**batch(), "num_items_in_batch": scored and torch.tensor(scored)}
    loss, gradients = learnt(make(), **inputs)
    model = make()
    chunk_loss(model.get_base_model() if make is adapted else model)
    chunked, found = learnt(model, **inputs)
    assert chunked == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-3, atol=1e-7)


def test_soft_labels_share_a_position_with_the_token_that_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faster_training, "CHUNK", 100)
    inputs = batch()
    torch.manual_seed(2)
    soft = torch.rand(*inputs["labels"].shape, 290).topk(5)
    weights = 0.7 * soft.values.softmax(dim=-1)
    model = tiny.llama()
    logits = model(input_ids=inputs["input_ids"], position_ids=inputs["position_ids"]).logits
    scored = inputs["labels"][:, 1:] != UNSCORED
    wanted = torch.zeros(*inputs["labels"].shape, 290).scatter_(2, soft.indices, weights)
    wanted = wanted[:, 1:][scored]
    wanted[torch.arange(len(wanted)), inputs["labels"][:, 1:][scored]] += 0.3
    expected = nn.functional.cross_entropy(logits[:, :-1][scored], wanted)
    expected.backward()
    gradients = [weight.grad for weight in model.parameters()]
    model = tiny.llama()
    chunk_loss(model)
    loss, found = learnt(model, **inputs, soft_ids=soft.indices.int(), soft_weights=weights)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-3, atol=1e-7)


def test_under_autocast_they_are_the_models_own_as_far_as_bfloat16_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faster_training, "CHUNK", 100)
    found = []
    for in_chunks in (False, True):
        model = tied()
        if in_chunks:
            chunk_loss(model)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(learnt(model, **batch()))
    (loss, gradients), (chunked, others) = found
    assert chunked == pytest.approx(loss, rel=1e-2)
    for one, other in zip(gradients, others, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert float((one - other).norm() / one.norm()) < 0.03


def test_without_labels_the_model_answers_as_before() -> None:
    model, ids = tiny.llama(), batch()["input_ids"]
    before = model(input_ids=ids).logits
    chunk_loss(model)
    torch.testing.assert_close(model(input_ids=ids).logits, before)


def test_another_architecture_is_left_alone() -> None:
    model: Any = tiny.gpt2()
    chunk_loss(model)
    assert model(**batch()).logits is not None


@pytest.mark.slow
# torch warns of its own doings while it compiles.
@pytest.mark.filterwarnings("ignore")
def test_compiled_layers_learn_the_same() -> None:
    loss, gradients = learnt(adapted().train(), **batch())
    model = adapted().train()
    assert compile_layers(model.get_base_model())
    compiled, found = learnt(model, **batch())
    assert compiled == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-3, atol=1e-6)


def test_without_a_compiler_the_model_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise TorchDynamoException("no compiler")

    monkeypatch.setattr("torch.compile", refuse)
    model = tiny.llama()
    assert not compile_layers(model)
    assert "forward" not in vars(model.model.layers[0])
