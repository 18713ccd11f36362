"""`same_text`: whether a seed gives the same text alone, among others and after a restart.

One engine writes each text alone; others, with several numbers of slots, write all of them for
readers who come at different moments, and for some who leave early.
"""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from benchmarks.measuring import RESULTS, ResultsOption, describe_run, table, write_page
from demo.checkpoints.embedded import EMBEDDED
from demo.generation.engine import Engine
from demo.generation.openvino.engine import OpenVINOEngine
from demo.generation.openvino.exported import exported_folder
from demo.generation.request import GenerationRequest
from demo.settings import read_settings
from training.files import resolve_folder

WORDS = ("the", "democrats", "have", "a", "tremendous", "problem", "with", "teapots", "everybody")
PROMPT_TOKENS = 24
# A reader comes so many seconds after its last text, at most.
PAUSE_SECONDS = 0.2
LEAVING_SHARE = 0.1
PATIENCE_SECONDS = 3_600.0


@dataclass(frozen=True)
class Round:
    """All texts once, by an engine with so many `slots`, for so many `readers` at once."""

    slots: int
    readers: int


ROUNDS = (Round(16, 1), Round(2, 2), Round(8, 8), Round(16, 16))


def same_text(
    texts: Annotated[int, typer.Option(help="how many texts")] = 500,
    results: ResultsOption = RESULTS,
) -> int:
    """Runs, prints and writes; 1 if a text differed."""
    checkpoint = resolve_folder(EMBEDDED)
    folder = exported_folder(checkpoint, read_settings().cache_dir, print)

    def write(one: Round) -> list[str]:
        # However slow the machine is, no text is cut.
        engine = OpenVINOEngine(
            folder,
            checkpoint,
            slots=one.slots,
            deadline_seconds=PATIENCE_SECONDS,
            stall_seconds=PATIENCE_SECONDS,
        )
        with closing(engine):
            return _write(engine, _draw(engine, texts), one.readers)

    # Each in a process of its own, all of them at once: nothing is timed.
    with ThreadPoolExecutor(len(ROUNDS)) as pool:
        alone, *among = pool.map(write, ROUNDS)
    for number, texts_of_one in enumerate(zip(alone, *among, strict=True)):
        if len(set(texts_of_one)) > 1:
            print(f"Text {number} differs: {texts_of_one}")
    differ = [
        sum(one != other for one, other in zip(written, alone, strict=True)) for written in among
    ]
    write_page(results / "same_text.md", render(differ, texts))
    return int(any(differ))


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
            max_new_tokens=chance.randint(20, 100),
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


def render(differ: Sequence[int], texts: int) -> list[str]:
    """The paragraphs of `same_text.md`; `differ` is how many did in each round but the first."""
    return [
        "# The same seed, the same text",
        describe_run("same_text"),
        f"{texts} texts of the embedded checkpoint in OpenVINO: prompts of 0 to {PROMPT_TOKENS} "
        "tokens, 20 to 100 new ones, temperatures of 0.7 to 1.5, top-p 0.5, 0.95 or 1, top-k 0 or "
        "40, repetition penalties of 1, 1.1 or 1.3. Written alone, one after the other, and again "
        "by engines that were started for it, whose readers come at different moments, and "
        f"{LEAVING_SHARE:.0%} more leave in the middle of a text.",
        table(
            ("slots", "readers at once", "texts that differ from those written alone"),
            [
                (str(one.slots), str(one.readers), f"{count} of {texts}")
                for one, count in zip(ROUNDS[1:], differ, strict=True)
            ],
        ),
    ]
