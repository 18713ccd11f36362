"""OpenVINO, imported without its telemetry, and its continuous-batching pipeline.

Importing openvino sends statistics to its makers unless the package that sends them cannot be
imported. Every module of ours that needs OpenVINO imports it from here.
"""

import ctypes
import mmap
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402
import openvino_genai as genai  # noqa: E402
from openvino import opset13 as ops  # noqa: E402
from openvino.op.util import Variable, VariableInfo  # noqa: E402

__all__ = ["Variable", "VariableInfo", "genai", "open_pipeline", "ops", "ov", "release_mapped"]

# A longer prompt is read in several steps, between which other texts go on.
MAX_STEP_TOKENS = 256


def open_pipeline(folder: str, slots: int, cache_blocks: int, properties: Mapping[str, Any]) -> Any:
    """OpenVINO GenAI's continuous batching over an exported folder."""
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = slots
    scheduler.num_kv_blocks = cache_blocks
    scheduler.max_num_batched_tokens = MAX_STEP_TOKENS
    # With it, one visitor could tell from the time to the first token what another has typed.
    scheduler.enable_prefix_caching = False
    return genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", dict(properties))


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
