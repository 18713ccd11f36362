"""`same_text`: whether a seed gives the same text alone, among others and after a restart.

Each text is written alone first. Then, for each number of slots, an engine that was started anew
writes all of them, with readers who come at different moments and some who leave early.
"""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from benchmarks.checkpoints import embedded_checkpoint
from benchmarks.measuring import (
    RESULTS,
    OutsideLoad,
    ResultsOption,
    describe_run,
    table,
    write_page,
)
from benchmarks.soak import WORDS
from demo.generation.engine import Engine
from demo.generation.openvino.engine import OpenVINOEngine
from demo.generation.openvino.exported import exported_folder
from demo.generation.request import GenerationRequest
from demo.settings import read_settings

SLOTS = (2, 8, 16)
PROMPT_TOKENS = 24
# A reader comes so many seconds after its last text, at most.
PAUSE_SECONDS = 0.2
LEAVING_SHARE = 0.1


@dataclass(frozen=True)
class Round:
    """All texts once, with so many `slots` and `readers`."""

    slots: int
    readers: int
    differ: int
    seconds: float


def same_text(
    texts: Annotated[int, typer.Option(help="how many texts")] = 500,
    results: ResultsOption = RESULTS,
) -> int:
    """Runs, prints and writes; 1 if a text differed."""
    load = OutsideLoad()
    checkpoint = embedded_checkpoint()
    folder = exported_folder(checkpoint, read_settings().cache_dir, print)
    alone: list[str] = []
    rounds: list[Round] = []
    requests: list[GenerationRequest] = []
    for slots, readers in ((SLOTS[-1], 1), *((slots, slots) for slots in SLOTS)):
        with closing(OpenVINOEngine(folder, checkpoint, slots=slots)) as engine:
            requests = requests or _draw(engine, texts)
            started = time.monotonic()
            written = _write(engine, requests, readers)
            seconds = time.monotonic() - started
        alone = alone or written
        differ = sum(one != other for one, other in zip(written, alone, strict=True))
        rounds.append(Round(slots, readers, differ, seconds))
        print(f"{slots} slots, {readers} readers: {differ} differ, {seconds:.0f} s", flush=True)
    write_page(results / "same_text.md", render(rounds, texts, load.cores()))
    return int(any(one.differ for one in rounds))


def _draw(engine: Engine, texts: int) -> list[GenerationRequest]:
    """Requests as the page offers them, one in ten without a prompt."""
    chance = random.Random(0)

    def prompt() -> str:
        words = chance.choices(WORDS, k=chance.choice((0, *range(1, 21), 0)))
        while engine.count_tokens(" ".join(words)) > PROMPT_TOKENS:
            words.pop()
        return " ".join(words)

    return [
        GenerationRequest(
            prompt=prompt(),
            max_new_tokens=chance.randint(20, 60),
            temperature=chance.uniform(0.7, 1.5),
            top_p=chance.choice((0.5, 0.95, 1.0)),
            top_k=chance.choice((0, 0, 40)),
            repetition_penalty=chance.choice((1.0, 1.1, 1.3)),
            seed=chance.randrange(2**31),
        )
        for _ in range(texts)
    ]


def _write(engine: Engine, requests: Sequence[GenerationRequest], readers: int) -> list[str]:
    """The texts, written for so many readers at once; if several, some more come and leave."""
    chance = random.Random(1)
    pauses = [chance.uniform(0, PAUSE_SECONDS) * (readers > 1) for _ in requests]
    leaving = [chance.random() < LEAVING_SHARE and readers > 1 for _ in requests]

    def read(request: GenerationRequest, pause: float, leaves: bool) -> str:
        time.sleep(pause)
        if leaves:
            with closing(engine.stream(replace(request, seed=0))) as stream:
                next(chunk for chunk in stream if chunk.text or chunk.ending)
        return "".join(chunk.text for chunk in engine.stream(request))

    with ThreadPoolExecutor(readers) as pool:
        return list(pool.map(read, requests, pauses, leaving))


def render(rounds: Sequence[Round], texts: int, outside_cores: float) -> list[str]:
    """The paragraphs of `same_text.md`."""
    return [
        "# The same seed, the same text",
        describe_run("same_text", outside_cores),
        f"{texts} texts of the embedded checkpoint in OpenVINO: prompts of 0 to {PROMPT_TOKENS} "
        "tokens, 20 to 60 new ones, temperatures of 0.7 to 1.5, top-p 0.5, 0.95 or 1, top-k 0 or "
        "40, repetition penalties of 1, 1.1 or 1.3. A row is a start of the engine. Several "
        f"readers come at different moments, and {LEAVING_SHARE:.0%} as many leave again in the "
        "middle of a text. Compared are the texts of the first row.",
        table(
            ("slots", "readers at once", "texts that differ", "seconds"),
            [
                (str(one.slots), str(one.readers), str(one.differ), f"{one.seconds:.0f}")
                for one in rounds
            ],
        ),
    ]
