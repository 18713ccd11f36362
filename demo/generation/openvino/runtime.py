"""OpenVINO, imported without its telemetry, and its continuous batching, made deterministic.

Importing openvino sends statistics to its makers unless the package that sends them cannot be
imported. Every module of ours that needs OpenVINO imports it from here.
"""

import ctypes
import itertools
import mmap
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
import openvino_genai as genai  # noqa: E402
from openvino import opset13 as ops  # noqa: E402
from openvino.op.util import Variable, VariableInfo  # noqa: E402

__all__ = [
    "Companion", "Variable", "VariableInfo", "genai", "open_pipeline", "ops", "ov",
    "release_mapped",
]  # fmt: skip

# A longer prompt is read in several steps, between which other texts go on. The longest prompt in
# English has about 300 tokens.
MAX_STEP_TOKENS = 320
# The fewest that OpenVINO reads as a prompt; each more would add a row to every step.
COMPANION_TOKENS = 2
# The parent never counts this far. An id that is used twice ruins the pipeline.
FIRST_COMPANION = 2**62


def open_pipeline(folder: str, slots: int, cache_blocks: int, properties: Mapping[str, Any]) -> Any:
    """OpenVINO GenAI's continuous batching over an exported folder, with room for a companion. A
    prompt of `MAX_STEP_TOKENS` is read in one step whatever else is written."""
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = slots + 1
    scheduler.num_kv_blocks = cache_blocks + 1
    scheduler.max_num_batched_tokens = MAX_STEP_TOKENS + slots + COMPANION_TOKENS
    # With it, one visitor could tell from the time to the first token what another has typed.
    scheduler.enable_prefix_caching = False
    return genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", dict(properties))


class Companion:
    """Keeps a step of few texts to the kernels that a step of many takes.

    Where a step has a single row, OpenVINO multiplies matrices with another kernel; where it has
    fewer texts than threads and no prompt, it computes attention block by block and adds the
    blocks up in another order. Both change the last bits of the logits, and so now and then a
    text. A prompt of two tokens in the same step, of which nothing is kept, prevents both.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._numbers = itertools.count(FIRST_COMPANION)
        self._prompt = ov.Tensor(np.zeros((1, COMPANION_TOKENS), dtype=np.int64))
        self._sampling = genai.GenerationConfig()
        self._sampling.max_new_tokens = 1
        # There are never more threads than cores.
        self._enough = max(2, os.cpu_count() or 1)
        self._handle: Any = None

    def join(self, texts: int) -> None:
        """Call it before each step, with how many texts are under way."""
        if texts >= self._enough:
            return
        # One that found no room beside a long prompt is still there.
        if self._handle is None or self._handle.get_status() != genai.GenerationStatus.RUNNING:
            number = next(self._numbers)
            self._handle = self._pipeline.add_request(number, self._prompt, self._sampling)


def release_mapped(file: Path) -> None:
    """Gives the pages of a memory-mapped file back to the kernel, which reads them again if they
    are touched. OpenVINO copies weights into memory of its own when they are first used, and
    touches little of the file after that."""
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None).madvise
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    for line in maps.splitlines():
        if line.endswith(f" {file}"):
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
