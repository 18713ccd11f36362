"""The transformers engine, through its public door, over models made on the spot."""

import json
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from demo.checkpoints.persona import NOBODY
from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.generation.engine import WAITING, Chunk, Ending, Engine, EngineError
from demo.generation.request import GenerationRequest, InvalidRequest
from demo.generation.tokens import ForbiddenPair, readable
from demo.generation.transformers_engine import TransformersEngine
from tests import tiny

ASK = GenerationRequest(prompt="The teapot", seed=1, max_new_tokens=20)
GREEDY: dict[str, Any] = {"top_k": 1, "max_new_tokens": 90, "seed": 0}


def told(chunks: Iterator[Chunk]) -> tuple[str, Ending]:
    """The whole text and the ending, which only the last chunk may have."""
    *pieces, last = [chunk for chunk in chunks if chunk != WAITING]
    assert last.ending is not None
    assert all(piece.text and piece.ending is None for piece in pieces)
    return "".join(piece.text for piece in pieces) + last.text, last.ending


def loaded(folder: Path, **options: Any) -> TransformersEngine:
    return TransformersEngine(Checkpoint(folder, "named", "0" * 12), device="cpu", **options)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of the model takes 50 ms, so that 90 tokens take seconds."""
    forward = GPT2LMHeadModel.forward

    def slowly(self: Any, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.05)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(GPT2LMHeadModel, "forward", slowly)


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("secret internals")


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "generation"]


def test_it_is_an_engine_and_says_which(noise: TransformersEngine) -> None:
    engine: Engine = noise
    assert engine.context_tokens == tiny.CONTEXT
    assert engine.identity.checkpoint == "noise"
    assert engine.identity.engine == f"transformers {transformers.__version__}"
    assert engine.identity.precision == "float32"


def test_the_same_seed_gives_the_same_text_and_another_seed_another(
    noise: TransformersEngine,
) -> None:
    texts = [told(noise.stream(ASK))[0] for _ in range(2)]
    other = told(noise.stream(GenerationRequest("The teapot", seed=2, max_new_tokens=20)))[0]
    assert texts[0] == texts[1] != other


def test_a_seed_gives_the_same_text_alone_and_among_eight_others(
    noise: TransformersEngine,
) -> None:
    requests = [GenerationRequest(seed=seed, max_new_tokens=30) for seed in range(8)]
    alone = [told(noise.stream(request))[0] for request in requests]
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda request: told(noise.stream(request))[0], requests))
    assert together == alone
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"


def test_top_k_one_writes_what_greedy_decoding_writes(
    noise: TransformersEngine, noise_folder: Path
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(noise_folder)
    tokenizer = AutoTokenizer.from_pretrained(noise_folder)
    prompt = torch.tensor([[0, *tokenizer("The teapot")["input_ids"]]])
    for penalty in (1.0, 1.5):
        request = GenerationRequest(
            "The teapot", 40, top_k=1, repetition_penalty=penalty, temperature=0.3
        )
        ids = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=40,
            min_new_tokens=1,
            repetition_penalty=penalty,
            pad_token_id=0,
        )[0]
        rest = tokenizer.decode(ids[prompt.shape[1] :], skip_special_tokens=True)
        assert told(noise.stream(request))[0] == readable(str(rest))


def test_tokens_are_drawn_as_often_as_their_probability_says(
    noise: TransformersEngine, noise_folder: Path
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(noise_folder)
    tokenizer = AutoTokenizer.from_pretrained(noise_folder)
    with torch.no_grad():
        logits = model(torch.tensor([[0]]), attention_mask=torch.tensor([[1]])).logits[0, -1]
    logits[0] = -torch.inf  # A text does not begin with its end.
    best = torch.topk(logits / 0.5, 3)
    # By text: two tokens may be halves of characters, which look the same.
    shares: dict[str, float] = defaultdict(float)
    for token, share in zip(best.indices, torch.softmax(best.values, 0), strict=True):
        shares[readable(str(tokenizer.decode(token, skip_special_tokens=True)))] += float(share)
    settings: dict[str, Any] = {"max_new_tokens": 1, "top_k": 3, "top_p": 1, "temperature": 0.5}
    requests = [GenerationRequest(seed=seed, **settings) for seed in range(200)]
    drawn = Counter(told(noise.stream(request))[0] for request in requests)
    assert len(shares) > 1
    assert set(drawn) == set(shares)
    for text, share in shares.items():
        spread = (len(requests) * share * (1 - share)) ** 0.5
        assert abs(drawn[text] - len(requests) * share) < 4 * spread


def test_a_pair_of_tokens_that_is_not_to_be_written_is_not_drawn(
    fluent_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tiny.tokenizer()(tiny.SENTENCE)["input_ids"]
    forbidden = ForbiddenPair(ids[6], frozenset({ids[5]}))
    monkeypatch.setattr("demo.generation.tokens._anonymous_handle", lambda _: forbidden)
    engine = TransformersEngine(Checkpoint(fluent_folder, "fluent", "0" * 12), device="cpu")
    text, _ = told(engine.stream(GenerationRequest(**GREEDY)))
    assert text.startswith(str(tiny.tokenizer().decode(ids[:6])))
    assert not tiny.SENTENCE.startswith(text)


def test_one_that_cannot_be_ended_in_time_is_the_models_own(
    fluent_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model goes on with its sentence each time."""
    persona = NOBODY.model_copy(update={"max_characters": 30})
    monkeypatch.setattr("demo.generation.transformers_engine.persona_of", lambda _: persona)
    monkeypatch.setattr("demo.generation.endings.HELD_CHARACTERS", 15)
    monkeypatch.setattr("demo.generation.endings.WORD_CHARACTERS", 3)
    engine = TransformersEngine(Checkpoint(fluent_folder, "fluent", "0" * 12), device="cpu")
    text, ending = told(engine.stream(GenerationRequest(**GREEDY)))
    assert text == tiny.SENTENCE
    assert ending.new_tokens == engine.count_tokens(tiny.SENTENCE) + 1


def test_a_prompt_that_is_a_whole_tweet_is_gone_on_with(fluent: TransformersEngine) -> None:
    _, ending = told(fluent.stream(GenerationRequest(tiny.SENTENCE, **GREEDY)))
    assert ending.new_tokens > 1


def test_a_tweet_that_ends_says_so_and_leaves_its_mark_out(fluent: TransformersEngine) -> None:
    text, ending = told(fluent.stream(GenerationRequest(**GREEDY)))
    assert text == tiny.SENTENCE
    assert ending.reason == "end_of_tweet"
    assert ending.new_tokens == fluent.count_tokens(tiny.SENTENCE) + 1
    assert 0 < ending.first_token_seconds <= ending.seconds


def test_pieces_never_split_a_character(
    fluent: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.generation.engine.UPDATE_SECONDS", 0.0)
    pieces = [chunk.text for chunk in fluent.stream(GenerationRequest(**GREEDY))]
    assert "".join(pieces) == tiny.SENTENCE
    assert "\ufffd" not in "".join(pieces)
    assert len(pieces) > 40


def test_a_text_cut_within_a_character_ends_before_it(fluent: TransformersEngine) -> None:
    tokens = fluent.count_tokens(tiny.SENTENCE[: tiny.SENTENCE.index("😀")]) + 2
    text, ending = told(fluent.stream(GenerationRequest(**{**GREEDY, "max_new_tokens": tokens})))
    assert text == "The café counts "
    assert (ending.reason, ending.new_tokens) == ("length", tokens)


def test_a_prompts_trailing_space_is_left_to_the_model(fluent: TransformersEngine) -> None:
    request = GenerationRequest("The café counts  ", **GREEDY)
    assert told(fluent.stream(request))[0] == tiny.SENTENCE.removeprefix("The café counts")


def test_a_typed_mark_is_read_as_its_characters(noise: TransformersEngine) -> None:
    assert noise.count_tokens("<|endoftext|>") > 5
    marked = GenerationRequest("<|endoftext|>", seed=1, max_new_tokens=20)
    text, ending = told(noise.stream(marked))
    assert ending.prompt_tokens == noise.count_tokens("<|endoftext|>")
    assert text != told(noise.stream(GenerationRequest(seed=1, max_new_tokens=20)))[0]
    assert "<|endoftext|>" not in text


def test_length_is_cut_to_the_context_and_the_cut_is_said(noise: TransformersEngine) -> None:
    prompt = "a b c d e f g h i j k l m n o p "
    tokens = noise.count_tokens(prompt.rstrip())
    limits = set()
    for seed in range(5):
        request = GenerationRequest(prompt, 200, seed=seed, repetition_penalty=2.0)
        ending = told(noise.stream(request))[1]
        assert ending.new_tokens <= ending.max_new_tokens
        limits.add((ending.prompt_tokens, ending.max_new_tokens))
    assert limits == {(tokens, tiny.CONTEXT - tokens)}


def test_the_longest_prompt_leaves_room_and_a_longer_one_is_refused(
    noise: TransformersEngine,
) -> None:
    most = tiny.CONTEXT - 16
    longest = "😀" * (most // 4)
    assert noise.count_tokens(longest) == most
    ending = told(noise.stream(GenerationRequest(longest, seed=3)))[1]
    assert ending.max_new_tokens == 16
    with pytest.raises(InvalidRequest, match=rf"^Prompt is {most + 1} tokens; .*at most {most}\."):
        next(noise.stream(GenerationRequest(longest + "!")))


@pytest.mark.usefixtures("slow")
def test_a_cancelled_request_frees_the_engine(noise: TransformersEngine) -> None:
    stream = noise.stream(GenerationRequest(seed=1, max_new_tokens=90))
    next(stream)
    stream.close()
    started = time.monotonic()
    next(noise.stream(ASK))
    assert time.monotonic() - started < 3
    for thread in workers():
        thread.join(timeout=2)
    assert not workers()


@pytest.mark.usefixtures("slow")
def test_a_text_keeps_what_it_has_at_its_deadline(noise_folder: Path) -> None:
    engine = loaded(noise_folder, deadline_seconds=1.5)
    text, ending = told(engine.stream(GenerationRequest(seed=1, max_new_tokens=90)))
    assert ending.reason == "deadline"
    assert 0 < ending.new_tokens < 40
    assert text
    assert ending.seconds < 4


def test_who_waits_past_the_deadline_is_told_that_it_is_busy(
    noise_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = loaded(noise_folder, deadline_seconds=0.3)
    released = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(GPT2LMHeadModel, "forward", lambda *_, **__: released.wait(60))
        told(engine.stream(ASK))
        with pytest.raises(EngineError, match=r"^The demo is busy\. Try again in a minute\.$"):
            next(engine.stream(ASK))
        released.set()
        engine.close()


def test_a_step_that_hangs_ends_the_text_and_then_the_engines_health(
    noise_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.generation.transformers_engine.GRACE_SECONDS", 0.2)
    engine = loaded(noise_folder, deadline_seconds=0.3)
    released = threading.Event()
    monkeypatch.setattr(GPT2LMHeadModel, "forward", lambda *_, **__: released.wait(60))
    assert told(engine.stream(ASK))[1].reason == "deadline"
    time.sleep(0.3)
    assert not engine.health()
    released.set()


def test_a_failure_is_told_without_internals_and_the_next_request_is_served(
    noise: TransformersEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(GPT2LMHeadModel, "forward", fail)
        with pytest.raises(EngineError) as caught:
            next(noise.stream(ASK))
        assert not noise.health()
    assert str(caught.value) == "Generation failed. Try again."
    assert "secret internals" in caplog.text
    assert "teapot" not in caplog.text
    assert noise.health()
    assert told(noise.stream(ASK))[0]


def test_a_request_whose_thread_does_not_start_costs_no_health(
    noise_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.generation.transformers_engine.GRACE_SECONDS", 0.0)
    engine = loaded(noise_folder, deadline_seconds=1.0)

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(EngineError, match=r"^The demo is out of resources\."):
            next(engine.stream(ASK))
    time.sleep(1.1)
    assert engine.health(), "a request that never ran still counts as running"
    engine.close()


@pytest.mark.usefixtures("slow")
def test_closing_ends_the_text_under_way_and_refuses_the_next(noise: TransformersEngine) -> None:
    stream = noise.stream(GenerationRequest(seed=1, max_new_tokens=90))
    next(stream)
    assert noise.health()
    noise.close()
    with pytest.raises(EngineError, match="shutting down"):
        list(stream)
    assert not noise.health()
    with pytest.raises(EngineError, match="shutting down"):
        next(noise.stream(ASK))


def test_a_llama_is_served_as_well(tmp_path: Path) -> None:
    engine = loaded(tiny.write(tmp_path, tiny.llama()))
    assert engine.context_tokens == tiny.CONTEXT
    assert told(engine.stream(ASK)) is not None
    engine.close()


def test_the_checkpoints_own_decoding_defaults_change_nothing(
    noise: TransformersEngine, tmp_path: Path
) -> None:
    tiny.write(tmp_path, tiny.gpt2())
    defaults = {"do_sample": True, "top_k": 2, "max_new_tokens": 3, "repetition_penalty": 1.9}
    unwanted = {**defaults, "eos_token_id": 0, "suppress_tokens": list(range(1, 280))}
    (tmp_path / "generation_config.json").write_text(json.dumps(unwanted))
    (tmp_path / "SHA256SUMS").unlink()
    engine = loaded(tmp_path)
    assert told(engine.stream(ASK))[0] == told(noise.stream(ASK))[0]
    engine.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_a_sentence(noise_folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^DEVICE is cuda, but torch sees no GPU"):
        TransformersEngine(Checkpoint(noise_folder, "noise", ""), device="cuda")
