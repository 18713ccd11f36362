"""The OpenVINO engine, through its public door, with its real worker process."""

import itertools
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from unittest.mock import Mock

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo import subprocesses
from demo.checkpoints.persona import NOBODY
from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.generation.engine import WAITING, Chunk, Ending, Engine, EngineError, FinishReason
from demo.generation.openvino.engine import CACHE_BYTES_PER_VALUE, SETTINGS, OpenVINOEngine
from demo.generation.openvino.export import export
from demo.generation.openvino.exported import BLOCK_TOKENS, Exported
from demo.generation.openvino.worker import Worker
from demo.generation.request import GenerationRequest, InvalidRequest
from demo.generation.tokens import ForbiddenPair, Progress, readable
from demo.subprocesses import NotEnoughMemory, module_command, module_environment
from tests import tiny
from tests.processes import ROOT, wait_until

ASK = GenerationRequest(prompt="The teapot", seed=1, max_new_tokens=20)
GREEDY: dict[str, Any] = {"top_k": 1, "max_new_tokens": 90, "seed": 0}
# Its first token is a letter.
LONG = GenerationRequest(seed=18, max_new_tokens=90)
# Of the tiny checkpoint: 128 values a token.
BLOCK_BYTES = int(BLOCK_TOKENS * 128 * CACHE_BYTES_PER_VALUE)


def told(chunks: Iterator[Chunk]) -> tuple[str, Ending]:
    """The whole text and the ending, which only the last chunk may have."""
    *pieces, last = chunks
    assert last.ending is not None
    assert all(piece.ending is None for piece in pieces)
    return "".join(piece.text for piece in pieces) + last.text, last.ending


def begun(stream: Iterator[Chunk]) -> Chunk:
    """The first chunk with text in it."""
    return next(chunk for chunk in stream if chunk != WAITING)


def held(engine: OpenVINOEngine, process: psutil.Process) -> Iterator[Chunk]:
    """A long text that has begun, and whose worker was suspended before it was over."""
    while True:
        stream = engine.stream(LONG)
        first = begun(stream)
        process.suspend()
        # What the worker had reported is read by then.
        time.sleep(0.2)
        if engine._worker._readers:
            return itertools.chain([first], stream)
        process.resume()


def workers() -> list[psutil.Process]:
    """The running processes of all engines."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "demo.generation.openvino.worker" in child.cmdline()
    ]


def worker() -> psutil.Process:
    """The process of the one engine that a test has open for itself."""
    (found,) = [process for process in workers() if process not in _shared]
    return found


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture(scope="session")
def exported_noise(noise_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In fp32, so that it can be held against transformers."""
    out = tmp_path_factory.mktemp("exported") / "noise"
    export(noise_folder, out, precision="f32")
    return out


@pytest.fixture(scope="session")
def exported_int8_noise(noise_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "int8_noise"
    export(noise_folder, out)
    return out


@pytest.fixture(scope="session")
def exported_fluent(fluent_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "fluent"
    export(fluent_folder, out)
    return out


_opened: list[OpenVINOEngine] = []
# The processes of engines that several tests use, and none ends.
_shared: list[psutil.Process] = []


def opened(folder: Path, **options: Any) -> OpenVINOEngine:
    named = Checkpoint(folder, folder.name, "0" * 12)
    engine = OpenVINOEngine(folder, named, **{"slots": 8, "stall_seconds": 60, **options})
    _opened.append(engine)
    return engine


def shared(folder: Path) -> Iterator[OpenVINOEngine]:
    """Opens an engine before a test opens one of its own, and closes it."""
    before = workers()
    engine = OpenVINOEngine(folder, Checkpoint(folder, folder.name, "0" * 12), slots=8)
    (process,) = [one for one in workers() if one not in before]
    _shared.append(process)
    yield engine
    engine.close()
    _shared.remove(process)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker may take long to start on a busy machine; what a test opened is closed after it."""
    monkeypatch.setattr("demo.generation.openvino.engine.RESTART_PATIENCE_SECONDS", 110.0)
    yield
    while _opened:
        _opened.pop().close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams say sooner that they wait, to tests that have hundreds of them wait."""
    for module in ("openvino.engine", "tokens"):
        monkeypatch.setattr(f"demo.generation.{module}.HEARTBEAT_SECONDS", 0.05)


@pytest.fixture(scope="module")
def noise(exported_noise: Path) -> Iterator[OpenVINOEngine]:
    """Writes noise; its worker is left alone."""
    yield from shared(exported_noise)


@pytest.fixture(scope="module")
def fluent(exported_fluent: Path) -> Iterator[OpenVINOEngine]:
    """Writes its one sentence; its worker is left alone."""
    yield from shared(exported_fluent)


@pytest.fixture
def own(exported_noise: Path) -> OpenVINOEngine:
    """Writes noise; the test may do anything to its worker."""
    return opened(exported_noise)


def test_it_is_an_engine_and_says_which(noise: OpenVINOEngine) -> None:
    engine: Engine = noise
    assert engine.context_tokens == tiny.CONTEXT
    assert engine.identity.engine.startswith("OpenVINO 2")
    assert engine.identity.precision == "f32"
    assert engine.health()


def test_top_k_one_writes_what_transformers_writes_greedily(
    noise: OpenVINOEngine, noise_folder: Path
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(noise_folder)
    tokenizer = AutoTokenizer.from_pretrained(noise_folder)
    for prompt in ("The teapot", "", "harbor 😀 says"):
        for penalty in (1.0, 1.5):
            ids = torch.tensor([[0, *tokenizer(prompt)["input_ids"]]])
            expected = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=40,
                min_new_tokens=1,
                repetition_penalty=penalty,
                pad_token_id=0,
            )[0, ids.shape[1] :]
            request = GenerationRequest(
                prompt, 40, top_k=1, repetition_penalty=penalty, temperature=0.3
            )
            text, ending = told(noise.stream(request))
            assert text == readable(str(tokenizer.decode(expected, skip_special_tokens=True)))
            assert ending.new_tokens == len(expected)


def test_tokens_are_drawn_as_often_as_their_probability_says(
    noise: OpenVINOEngine, noise_folder: Path
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(noise_folder)
    tokenizer = AutoTokenizer.from_pretrained(noise_folder)
    with torch.no_grad():
        logits = model(torch.tensor([[0]]), attention_mask=torch.tensor([[1]])).logits[0, -1]
    logits[0] = -torch.inf  # A text does not begin with its end.
    best = torch.topk(logits / 0.5, 3)
    shares: dict[str, float] = {}
    for token, share in zip(best.indices, torch.softmax(best.values, 0), strict=True):
        text = readable(str(tokenizer.decode(token, skip_special_tokens=True)))
        shares[text] = shares.get(text, 0.0) + float(share)
    settings: dict[str, Any] = {"max_new_tokens": 1, "top_k": 3, "top_p": 1, "temperature": 0.5}
    requests = [GenerationRequest(seed=seed, **settings) for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda request: told(noise.stream(request))[0], requests))
    assert set(drawn) == set(shares)
    assert len(shares) > 1
    for text, share in shares.items():
        spread = (len(requests) * share * (1 - share)) ** 0.5
        assert abs(drawn.count(text) - len(requests) * share) < 4 * spread


def varied_requests(count: int) -> list[GenerationRequest]:
    """Openings of 0 to 48 characters, and settings as the page offers them."""
    chance = random.Random(0)
    return [
        GenerationRequest(
            tiny.SENTENCE[: chance.randrange(25)] * chance.choice((1, 2)),
            seed=seed,
            max_new_tokens=chance.randint(40, 70),
            temperature=chance.uniform(0.7, 1.5),
            top_p=chance.choice((0.5, 0.95, 1.0)),
            top_k=chance.choice((0, 40)),
            repetition_penalty=chance.choice((1.0, 1.2)),
        )
        for seed in range(count)
    ]


def test_a_seed_gives_the_same_text_alone_and_among_others_that_come_and_go(
    exported_int8_noise: Path,
) -> None:
    requests = varied_requests(40)

    def texts(engine: OpenVINOEngine, at_once: int) -> list[str]:
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda request: told(engine.stream(request))[0], requests))

    engine = opened(exported_int8_noise, slots=16)
    alone = texts(engine, 1)
    assert len(set(alone)) == len(alone)
    leaving = [engine.stream(LONG) for _ in range(4)]
    for stream in leaving:
        begun(stream)
    with ThreadPoolExecutor(1) as pool:
        among = pool.submit(texts, engine, 16)
        for stream in leaving:
            time.sleep(0.05)
            stream.close()
        assert among.result() == alone
    assert texts(opened(exported_int8_noise, slots=2), 3) == alone


def pairs(run: Progress) -> list[tuple[int, int]]:
    """Each new token after the one before it."""
    return list(itertools.pairwise([*run.prompt.ids[-1:], *run.new]))


def test_a_pair_of_tokens_that_is_not_to_be_written_is_drawn_again(
    exported_int8_noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is the same alone and among others."""
    runs: list[Progress] = []
    end = Progress.end

    def noted(run: Progress, reason: FinishReason) -> Ending:
        runs.append(run)
        return end(run, reason)

    monkeypatch.setattr(Progress, "end", noted)
    requests = varied_requests(12)

    def drawn(engine: OpenVINOEngine, at_once: int) -> list[str]:
        runs.clear()
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda request: told(engine.stream(request))[0], requests))

    drawn(opened(exported_int8_noise, slots=16), 1)
    counts = Counter(pair for run in runs for pair in pairs(run) if 0 not in pair)
    first, second = max(counts, key=counts.__getitem__)
    forbidden = ForbiddenPair(second, frozenset({first}))
    monkeypatch.setattr("demo.generation.tokens._anonymous_handle", lambda _: forbidden)
    engine = opened(exported_int8_noise, slots=16)
    alone = drawn(engine, 1)
    kept = list(runs)
    assert drawn(engine, 12) == alone
    assert all(len(run.new) <= run.prompt.limit for run in runs)
    assert not [run for run in kept if (first, second) in pairs(run)]
    assert any(second in run.new for run in kept)


@pytest.mark.parametrize("begins", [1, 5])
def test_where_only_the_pair_is_likely_a_text_goes_on_with_something_else(
    exported_fluent: Path, monkeypatch: pytest.MonkeyPatch, begins: int
) -> None:
    """The model knows one sentence, and by these settings draws the same again each time."""
    ids = tiny.tokenizer()(tiny.SENTENCE)["input_ids"]
    forbidden = ForbiddenPair(ids[begins], frozenset({ids[begins - 1]}))
    monkeypatch.setattr("demo.generation.tokens._anonymous_handle", lambda _: forbidden)
    text, _ = told(opened(exported_fluent).stream(GenerationRequest(**GREEDY)))
    kept = str(tiny.tokenizer().decode(ids[: begins - 1]))
    assert text.startswith(kept)
    assert len(text) > len(kept)
    assert not text.startswith(str(tiny.tokenizer().decode(ids[: begins + 1])))


def test_a_text_ends_where_nothing_else_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is certain of one sentence."""
    folder = tiny.write_fluent(tmp_path / "certain", sureness=100)
    export(folder, tmp_path / "exported")
    ids = tiny.tokenizer()(tiny.SENTENCE)["input_ids"]
    forbidden = ForbiddenPair(ids[6], frozenset({ids[5]}))
    monkeypatch.setattr("demo.generation.tokens._anonymous_handle", lambda _: forbidden)
    text, ending = told(opened(tmp_path / "exported").stream(GenerationRequest(**GREEDY)))
    assert text == tiny.tokenizer().decode(ids[:5])
    assert ending.reason == "end_of_tweet"


@pytest.fixture
def at_most_30(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of tiny models are short, and so is what they are to end within."""
    persona = NOBODY.model_copy(update={"max_characters": 30})
    monkeypatch.setattr("demo.generation.openvino.engine.persona_of", lambda _: persona)
    monkeypatch.setattr("demo.generation.endings.HELD_CHARACTERS", 15)
    monkeypatch.setattr("demo.generation.endings.WORD_CHARACTERS", 3)


@pytest.mark.usefixtures("at_most_30")
def test_one_that_cannot_be_ended_in_time_is_the_models_own(exported_fluent: Path) -> None:
    """The model goes on with its sentence each time."""
    engine = opened(exported_fluent)
    text, ending = told(engine.stream(GenerationRequest(**GREEDY)))
    assert text == tiny.SENTENCE
    assert ending.new_tokens == engine.count_tokens(tiny.SENTENCE) + 1


@pytest.mark.usefixtures("at_most_30")
def test_a_text_that_is_ended_in_time_is_the_same_among_others(exported_int8_noise: Path) -> None:
    engine = opened(exported_int8_noise, slots=16)
    requests = varied_requests(12)

    def drawn(at_once: int) -> list[str]:
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda request: told(engine.stream(request))[0], requests))

    alone = drawn(1)
    assert drawn(12) == alone
    engine._longest = None
    own = drawn(12)
    for request, text, before in zip(requests, alone, own, strict=True):
        is_long = len(request.opening + before) > 30 and len(request.opening) < 12
        assert is_long or text == before
    assert alone != own


def test_a_prompt_that_is_a_whole_tweet_is_gone_on_with(fluent: OpenVINOEngine) -> None:
    _, ending = told(fluent.stream(GenerationRequest(tiny.SENTENCE, **GREEDY)))
    assert ending.new_tokens > 1


def test_a_tweet_that_ends_says_so_and_leaves_its_mark_out(fluent: OpenVINOEngine) -> None:
    text, ending = told(fluent.stream(GenerationRequest(**GREEDY)))
    assert text == tiny.SENTENCE
    assert ending.reason == "end_of_tweet"
    assert ending.new_tokens == fluent.count_tokens(tiny.SENTENCE) + 1
    assert 0 < ending.first_token_seconds <= ending.seconds


def test_a_text_cut_within_a_character_ends_before_it(fluent: OpenVINOEngine) -> None:
    tokens = fluent.count_tokens(tiny.SENTENCE[: tiny.SENTENCE.index("😀")]) + 2
    text, ending = told(fluent.stream(GenerationRequest(**{**GREEDY, "max_new_tokens": tokens})))
    assert text == "The café counts "
    assert (ending.reason, ending.new_tokens) == ("length", tokens)


def test_a_typed_mark_is_read_as_its_characters(noise: OpenVINOEngine) -> None:
    marked = GenerationRequest("<|endoftext|>", seed=1, max_new_tokens=20)
    ending = told(noise.stream(marked))[1]
    assert ending.prompt_tokens == noise.count_tokens("<|endoftext|>") > 5


def test_the_longest_prompt_leaves_room_and_a_longer_one_is_refused(noise: OpenVINOEngine) -> None:
    most = tiny.CONTEXT - 16
    longest = "😀" * (most // 4)
    ending = told(noise.stream(GenerationRequest(longest, seed=3)))[1]
    assert ending.prompt_tokens == most
    assert ending.max_new_tokens == 16
    with pytest.raises(InvalidRequest, match=rf"^Prompt is {most + 1} tokens; .*at most {most}\."):
        next(noise.stream(GenerationRequest(longest + "!")))


def test_a_text_that_the_cache_cannot_hold_is_refused_and_more_than_it_holds_wait(
    exported_noise: Path,
) -> None:
    engine = opened(exported_noise, cache_bytes=2 * BLOCK_BYTES)
    with pytest.raises(InvalidRequest, match=r"come to 91 tokens; this server keeps at most 64"):
        next(engine.stream(LONG))
    requests = [GenerationRequest(seed=seed, max_new_tokens=60) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda request: told(engine.stream(request))[0], requests))
    assert together == [told(engine.stream(request))[0] for request in requests]


@pytest.mark.usefixtures("impatient")
def test_closing_a_stream_frees_its_place(exported_noise: Path) -> None:
    engine = opened(exported_noise, slots=1)
    process = worker()

    def cpu_seconds() -> float:
        """What a text costs the worker, however busy the machine is."""
        before = sum(process.cpu_times()[:2])
        told(engine.stream(LONG))
        return float(sum(process.cpu_times()[:2]) - before)

    # How many of the commands the process finds at once differs from time to time, and a single
    # text may take less than the clock of CPU time shows.
    alone = after = 0.0
    for _ in range(10):
        alone += cpu_seconds()
        process.suspend()
        # None of them has begun when it is left, and one is written at a time: what was not
        # cancelled would be written first.
        with ThreadPoolExecutor(30) as pool:
            waiting = [engine.stream(LONG) for _ in range(30)]
            assert set(pool.map(next, waiting)) == {WAITING}
        for stream in waiting:
            stream.close()
        process.resume()
        after += cpu_seconds()
    assert after < 10 * alone


def test_a_text_that_is_left_and_held_all_the_cache_costs_none_that_waits(
    exported_noise: Path,
) -> None:
    engine = opened(exported_noise, slots=2, cache_bytes=3 * BLOCK_BYTES)
    alone = told(engine.stream(LONG))[0]
    process = worker()
    for _ in range(10):
        leaving = engine.stream(LONG)
        begun(leaving)
        process.suspend()
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(lambda: told(engine.stream(LONG))[0]) for _ in range(3)]
            time.sleep(0.05)
            leaving.close()
            process.resume()
            assert [text.result() for text in waiting] == [alone] * 3


def test_a_text_that_the_cache_has_no_room_for_yet_holds_up_no_shorter_one(
    exported_noise: Path,
) -> None:
    engine = opened(exported_noise, cache_bytes=4 * BLOCK_BYTES)
    process = worker()
    # Kept: a stream that nobody holds is closed.
    _under_way = held(engine, process)
    # However little is left of the other, this one is over before it.
    waiting, short = engine.stream(LONG), GenerationRequest(seed=1, max_new_tokens=2)
    with ThreadPoolExecutor(2) as pool:
        long_began = pool.submit(lambda: (begun(waiting), time.monotonic())[1])
        time.sleep(0.05)
        short_ended = pool.submit(lambda: (told(engine.stream(short)), time.monotonic())[1])
        time.sleep(0.05)
        process.resume()
        assert short_ended.result() < long_began.result()


def test_a_text_keeps_what_it_has_at_its_deadline(exported_noise: Path) -> None:
    engine = opened(exported_noise, deadline_seconds=3.0)
    process = worker()
    text, ending = told(held(engine, process))
    assert (ending.reason, text != "") == ("deadline", True)
    assert 0 < ending.new_tokens < 90
    assert ending.seconds < 10
    with pytest.raises(EngineError, match=r"^The demo is busy\."):
        list(engine.stream(LONG))
    process.resume()
    assert told(engine.stream(ASK))[0]


def test_a_worker_that_dies_fails_its_texts_and_is_replaced(
    own: OpenVINOEngine, caplog: pytest.LogCaptureFixture
) -> None:
    before = told(own.stream(ASK))[0]
    process = worker()
    process.suspend()
    streams = [own.stream(LONG) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool, caplog.at_level(logging.ERROR):
        failing = [pool.submit(list, stream) for stream in streams]
        wait_until(lambda: len(own._worker._readers) == 3)
        process.send_signal(signal.SIGKILL)
        for future in failing:
            with pytest.raises(EngineError, match=r"^The engine stopped and is being restarted\."):
                future.result()
        assert not own.health()
        assert told(own.stream(ASK))[0] == before
    assert "worker ended (-9)" in caplog.text
    assert own.health()
    assert worker().pid != process.pid


def test_a_worker_that_hangs_is_killed_and_replaced_and_one_without_work_is_not(
    exported_noise: Path,
) -> None:
    engine = opened(exported_noise, stall_seconds=6)
    process = worker()
    time.sleep(7.5)
    assert engine.health()
    assert worker().pid == process.pid, "It had no work."
    process.suspend()
    with pytest.raises(EngineError, match="being restarted"):
        list(engine.stream(LONG))
    assert told(engine.stream(ASK))[0]
    replaced = worker()
    assert replaced.pid != process.pid
    # It is noticed though nobody waits for a text, and from then on the engine is not healthy
    # before another worker is ready.
    replaced.suspend()
    assert eventually(lambda: not engine.health())
    wait_until(engine.health)
    assert worker().pid != replaced.pid
    assert told(engine.stream(ASK))[0]


@pytest.mark.usefixtures("impatient")
def test_a_worker_that_does_not_listen_holds_up_nobody_but_its_readers(
    exported_noise: Path,
) -> None:
    engine = opened(exported_noise, slots=64)
    process = worker()
    process.suspend()
    prompt = "😀" * 15
    # More than a pipe holds, of which nothing is read.
    streams = [engine.stream(GenerationRequest(prompt, seed=1)) for _ in range(600)]
    started = time.monotonic()
    with ThreadPoolExecutor(100) as pool:
        list(pool.map(next, streams))
    for stream in streams:
        stream.close()
    assert time.monotonic() - started < 20
    process.resume()
    assert told(engine.stream(ASK))[0]


def test_an_export_that_was_replaced_is_not_loaded_by_a_restart(
    exported_noise: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(exported_noise, tmp_path / "served")
    engine = opened(folder)
    described = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**described, "source": "another"}))
    with caplog.at_level(logging.ERROR):
        worker().kill()
        # The one that was killed, and those that refused to start.
        assert eventually(lambda: caplog.text.count("worker ended") >= 3)
    assert not engine.health()


def test_a_worker_with_too_little_memory_says_how_much_it_needs(
    exported_noise: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    limited = ["sh", "-c", 'ulimit -v 300000; exec "$@"', "sh"]
    command = subprocesses.module_command
    monkeypatch.setattr(subprocesses, "module_command", lambda *of: [*limited, *command(*of)])
    with pytest.raises(NotEnoughMemory, match=r"^Running noise needs 1\.0 GB of memory\."):
        opened(exported_noise)
    assert "Traceback" not in capfd.readouterr().err


def test_room_for_a_start_but_not_for_texts_is_refused(
    exported_noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.generation.openvino.engine.address_space", lambda: 9e8)
    with pytest.raises(NotEnoughMemory, match=r"^Running noise needs 1\.0 GB of memory\."):
        opened(exported_noise)


def test_why_a_request_was_refused_is_logged_without_its_words(
    exported_noise: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inbox, outbox = SimpleQueue[Any](), StringIO()

    def refuse(*_: object) -> None:
        inbox.put(None)
        raise RuntimeError("a checkpoint's secret")

    pipeline = Mock(add_request=refuse)
    pipeline.has_non_finished_requests.return_value = False
    inbox.put({"add": 1, "ids": [1], "limit": 1, **ASK.settings()})
    Worker(pipeline, Exported.read(exported_noise), 1, 8, None, inbox, outbox).run()
    assert outbox.getvalue().startswith('[[1,[],"failed"]]')
    logged = capfd.readouterr().err
    assert "RuntimeError at test_openvino_engine.py:" in logged
    assert "secret" not in logged


def test_restarts_come_at_once_then_in_growing_steps_until_one_succeeds(
    own: OpenVINOEngine, caplog: pytest.LogCaptureFixture
) -> None:
    def kill() -> None:
        assert eventually(own.health)
        worker().kill()
        assert eventually(lambda: not own.health())

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            kill()
        assert told(own.stream(ASK))[0]
        kill()
        assert eventually(own.health)
    pauses = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses == [0.0, 0.5, 1.0, 0.0]


def test_closing_ends_the_process_and_whatever_is_asked(
    own: OpenVINOEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is suspended does not end by itself, however long it is waited for.
    monkeypatch.setattr("demo.generation.openvino.process.CLOSE_SECONDS", 0.2)
    process = worker()
    threads = threading.active_count()
    process.suspend()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, own.stream(LONG))
        time.sleep(0.2)
        own.close()
        with pytest.raises(EngineError):
            reading.result()
    assert not process.is_running()
    assert not own.health()
    with pytest.raises(EngineError, match="shutting down"):
        next(own.stream(ASK))
    assert eventually(lambda: threading.active_count() < threads)


def test_a_parent_that_is_killed_takes_its_worker_along(exported_noise: Path) -> None:
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from demo.checkpoints.resolve import Checkpoint
        from demo.generation.openvino.engine import OpenVINOEngine
        folder = Path({str(exported_noise)!r})
        OpenVINOEngine(folder, Checkpoint(folder, "x", ""), slots=1)
        print("up", flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
        assert eventually(lambda: not child.is_running())


def test_a_worker_whose_parent_ended_while_it_loaded_leaves_without_a_word(
    exported_noise: Path,
) -> None:
    options = {
        "source": Exported.read(exported_noise).source, "slots": 1, "cache_blocks": 8,
        "forbidden": None, "properties": SETTINGS,
    }  # fmt: skip
    command = module_command("demo.generation.openvino.worker", str(exported_noise))
    process = subprocess.Popen(
        [*command, json.dumps(options)], env=module_environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=120) == 1
    assert b"Traceback" not in process.stderr.read()
    process.communicate()


def test_threads_and_handles_return_to_where_they_were(own: OpenVINOEngine) -> None:
    process = worker()

    def counts() -> tuple[int, int, int, int]:
        mine = psutil.Process()
        return threading.active_count(), mine.num_fds(), process.num_threads(), process.num_fds()

    requests = [GenerationRequest(seed=seed, max_new_tokens=10) for seed in range(40)]

    def burst() -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda request: told(own.stream(request)), requests))

    burst()
    burst()
    before = counts()
    burst()
    for _ in range(5):
        stream = own.stream(LONG)
        begun(stream)
        stream.close()

    def have_returned() -> bool:
        return all(now <= then for now, then in zip(counts(), before, strict=True))

    assert eventually(have_returned), (before, counts())


@pytest.mark.parametrize("spoil", ["export.json", "openvino_model.xml"])
def test_a_folder_that_cannot_be_run_is_refused_in_a_sentence(
    exported_noise: Path, tmp_path: Path, spoil: str
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in exported_noise.iterdir():
        os.link(path, folder / path.name)
    (folder / spoil).unlink()
    (folder / spoil).write_text("nonsense")
    with pytest.raises(CheckpointError) as caught:
        opened(folder)
    assert len(str(caught.value).splitlines()) == 1
