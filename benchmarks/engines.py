"""The engines of `raw`, each in a process of its own: token ids in, token ids out.

Every engine imports its library when it is opened, so that a process holds no other library than
the one whose memory is measured.
"""
# ruff: noqa: PLC0415

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import BenchmarkError

PROMPT_TOKENS = 8
LARGEST_BATCH = 16
# Positions of each text; with the prompt, none has more.
LONGEST_TEXT = 256
TEMPERATURE = 0.9
REPETITION_PENALTY = 1.1
SEED = 7

Found = TypeVar("Found")
Logits = NDArray[np.float32]
# Token ids [batch, tokens].
Ids = NDArray[np.int64]


class WorkerFailed(BenchmarkError):
    """An engine's process ended; the message has the last line of its log."""


class Worker:
    """An engine in a process of its own, loaded and waiting. `logits` are those after a prompt."""

    def __init__(
        self, engine: "type[Engine]", checkpoint: Path, folder: Path, threads: int, log: Path
    ) -> None:
        """Raises WorkerFailed if it did not load."""
        self._log = log
        self._pool = ProcessPoolExecutor(
            1,
            mp_context=get_context("spawn"),
            initializer=_open_engine,
            initargs=(engine, checkpoint, folder, threads, log),
        )
        try:
            self.logits = self._ask(_first_logits)
            self.pid = self._ask(os.getpid)
        except WorkerFailed:
            self.close()
            raise

    def run(self, batch: int, new_tokens: int, top_p: float) -> float:
        """Seconds for a batch of prompts, and as many new tokens after each. Raises WorkerFailed if
        it ended."""
        return self._ask(_decode, batch, new_tokens, top_p)

    def nats(self, documents: Sequence[Sequence[int]]) -> float:
        """The negative log-likelihood of all documents, the first token of each given. Raises
        WorkerFailed if the process ended."""
        return self._ask(_nats, documents)

    def close(self) -> None:
        self._pool.shutdown()

    def _ask(self, function: Callable[..., Found], *arguments: object) -> Found:
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise WorkerFailed(f"It ended: {last_line(self._log)}") from error


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing."


# What a process of its own has opened.
_opened: "Engine"


def _open_engine(
    engine: "type[Engine]", checkpoint: Path, folder: Path, threads: int, log: Path
) -> None:
    global _opened
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    _opened = engine(folder, threads, config["vocab_size"])


def _first_logits() -> Logits | None:
    return _opened.logits(make_prompts(1, _opened.vocab_size))


def _nats(documents: Sequence[Sequence[int]]) -> float:
    by_length = sorted(documents, key=len)
    total = 0.0
    for start in range(0, len(by_length), LARGEST_BATCH):
        batch = by_length[start : start + LARGEST_BATCH]
        ids = np.zeros((len(batch), len(batch[-1])), np.int64)
        mask = np.zeros_like(ids)
        for row, document in enumerate(batch):
            ids[row, : len(document)], mask[row, : len(document)] = document, 1
        total += _opened.nats(ids, mask)
    return total


def _decode(batch: int, new_tokens: int, top_p: float) -> float:
    prompts = make_prompts(batch, _opened.vocab_size)
    started = time.perf_counter()
    made = _opened.decode(prompts, new_tokens, top_p)
    seconds = time.perf_counter() - started
    assert np.shape(made) == (batch, new_tokens), np.shape(made)
    return seconds


def make_prompts(batch: int, vocab_size: int) -> Ids:
    """Random tokens, the same for every engine."""
    chance = random.Random(SEED)
    rows = [[chance.randrange(vocab_size) for _ in range(PROMPT_TOKENS)] for _ in range(batch)]
    return np.array(rows, np.int64)


def read_documents(checkpoint: Path, data: Path) -> tuple[list[list[int]], int]:
    """The token ids of each tweet of test that `prepare` wrote to `data`, and how many bytes these
    tweets are."""
    from transformers import AutoTokenizer

    from training.documents import tokenise
    from training.prepare import read_prepared

    texts = read_prepared(data, ("test",)).texts["test"]
    documents = tokenise(texts, AutoTokenizer.from_pretrained(checkpoint), LONGEST_TEXT)
    return [one.ids for one in documents], sum(one.scored_bytes for one in documents)


class Engine:
    """Decodes a batch with temperature, top-p and a repetition penalty, without stopping at the
    end-of-text token.

    An engine that leaves the loop and the draw to its caller has `forward` alone.
    """

    def __init__(self, folder: Path, threads: int, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self._random = np.random.default_rng(SEED)
        self.open(folder, threads)

    def open(self, folder: Path, threads: int) -> None:
        """Loads the exported checkpoint."""
        raise NotImplementedError

    def forward(self, ids: Ids, position: int) -> Logits:
        """The logits [batch, vocabulary] after ids [batch, tokens], the first of which has this
        position; 0 begins a new batch."""
        raise NotImplementedError

    def decode(self, prompts: Ids, new_tokens: int, top_p: float) -> Ids:
        """New ids [batch, new_tokens] after prompts [batch, tokens]."""
        texts, ids, position = prompts, prompts, 0
        for _ in range(new_tokens):
            logits = penalise(self.forward(ids, position), texts)
            position = texts.shape[1]
            ids = draw(logits, top_p, self._random)[:, None]
            texts = np.concatenate([texts, ids], axis=1)
        return texts[:, prompts.shape[1] :]

    def logits(self, prompts: Ids) -> Logits | None:
        return self.forward(prompts, 0)

    def nats(self, ids: Ids, mask: Ids) -> float:
        """The negative log-likelihood of ids [batch, tokens], padded on the right where the mask is
        0, read token by token, as texts are written."""
        total = 0.0
        for end in range(1, ids.shape[1]):
            logits = self.forward(ids[:, end - 1 : end], end - 1)[:, None]
            total += count_nats(logits, ids[:, end : end + 1], mask[:, end : end + 1])
        return total


def count_nats(logits: Logits, ids: Ids, mask: Ids) -> float:
    """The negative log-likelihood of ids [batch, tokens] by logits [batch, tokens, vocabulary],
    where the mask is not 0."""
    from scipy.special import log_softmax

    likelihoods = np.take_along_axis(log_softmax(logits, axis=2), ids[:, :, None], axis=2)
    return -float((likelihoods[:, :, 0] * mask).sum(dtype=np.float64))


def penalise(logits: Logits, texts: Ids) -> Logits:
    """Logits [batch, vocabulary] with the tokens of each text [batch, tokens] less likely
    (Keskar et al. 2019)."""
    penalised = logits.copy()
    seen = np.take_along_axis(logits, texts, axis=1)
    divided = np.where(seen > 0, seen / REPETITION_PENALTY, seen * REPETITION_PENALTY)
    np.put_along_axis(penalised, texts, divided.astype(np.float32), axis=1)
    return penalised


def draw(logits: Logits, top_p: float, chance: np.random.Generator) -> Ids:
    """One token for each row of logits [batch, vocabulary], by temperature and top-p
    (Holtzman et al. 2020)."""
    weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(TEMPERATURE))
    points = chance.random(len(logits))
    return np.array(
        [_draw(row, top_p, point) for row, point in zip(weights, points, strict=True)], np.int64
    )


def _draw(weights: Logits, top_p: float, point: float) -> int:
    total = weights.sum()
    if top_p == 1:
        sums = np.cumsum(weights, dtype=np.float64)
        return int(np.searchsorted(sums, point * sums[-1], side="right"))
    # All tokens below this weight together are less than what top-p leaves out, so the nucleus is
    # among the others: only they need to be sorted.
    candidates = np.flatnonzero(weights >= total * (1 - top_p) / weights.size)
    order = candidates[np.argsort(weights[candidates])[::-1]]
    shares = np.cumsum(weights[order], dtype=np.float64)
    nucleus = int(np.searchsorted(shares, top_p * total)) + 1
    return int(order[np.searchsorted(shares, point * shares[nucleus - 1], side="right")])


class OpenVINO(Engine):
    """OpenVINO GenAI's continuous batching, opened as the demo opens it."""

    SLOTS = LARGEST_BATCH
    CACHE_BLOCKS = 256

    def open(self, folder: Path, threads: int) -> None:
        from demo.generation.openvino.engine import SETTINGS
        from demo.generation.openvino.exported import Exported
        from demo.generation.openvino.runtime import Companion, open_pipeline, ov

        self._ov: Any = ov
        self._eos_token_id = Exported.read(folder).eos_token_id
        self._folder = folder
        self._model: Any = None
        properties: dict[str, Any] = {**SETTINGS, "INFERENCE_NUM_THREADS": threads}
        self._pipeline = open_pipeline(str(folder), self.SLOTS, self.CACHE_BLOCKS, properties)
        self._companion = Companion(self._pipeline)
        # A request id that is used twice breaks the pipeline.
        self._request_ids = itertools.count()

    def decode(self, prompts: Ids, new_tokens: int, top_p: float) -> Ids:
        from demo.generation.openvino.worker import read_sampling

        handles = []
        for seed, prompt in enumerate(prompts, start=SEED):
            command = {
                "limit": new_tokens,
                "temperature": TEMPERATURE,
                "top_p": top_p,
                "top_k": 0,
                "repetition_penalty": REPETITION_PENALTY,
                "seed": seed,
            }
            config = read_sampling(command, self._eos_token_id)
            config.ignore_eos = True
            ids = self._ov.Tensor(prompt[None])
            handles.append(self._pipeline.add_request(next(self._request_ids), ids, config))
        # All of them are of one length, and so end with one step.
        while self._pipeline.has_non_finished_requests():
            self._companion.join(len(prompts))
            self._pipeline.step()
        return np.array([handle.read_all()[0].generated_ids for handle in handles])

    def logits(self, prompts: Ids) -> None:
        """The pipeline keeps them; the demo's own tests hold its texts to transformers'."""

    def nats(self, ids: Ids, mask: Ids) -> float:
        """By the same export with the same settings, compiled once more without the pipeline."""
        import torch

        from demo.generation.openvino.engine import SETTINGS
        from training.export_accuracy import ExportedModel

        if self._model is None:
            self._model = ExportedModel(self._folder, SETTINGS, LONGEST_TEXT)
        found = self._model(torch.from_numpy(ids), torch.from_numpy(mask), use_cache=False)
        return count_nats(found.logits[:, :-1].numpy(), ids[:, 1:], mask[:, 1:])


class Transformers(Engine):
    """transformers' `generate` in fp32, a static batch at a time: the baseline."""

    def open(self, folder: Path, threads: int) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        torch.manual_seed(SEED)
        self._model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
        # The checkpoint's own has an end-of-text token, and these texts go on after it.
        self._model.generation_config = transformers.GenerationConfig()
        self._torch: Any = torch
        self._config: Any = transformers.GenerationConfig

    def decode(self, prompts: Ids, new_tokens: int, top_p: float) -> Ids:
        ids = self._torch.from_numpy(prompts)
        config = self._config(
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=top_p,
            top_k=0,
            repetition_penalty=REPETITION_PENALTY,
            max_new_tokens=new_tokens,
            pad_token_id=0,
        )
        mask = self._torch.ones_like(ids)
        made = self._model.generate(ids, attention_mask=mask, generation_config=config)
        rows: Ids = made[:, ids.shape[1] :].numpy()
        return rows

    def logits(self, prompts: Ids) -> Logits:
        with self._torch.no_grad():
            rows: Logits = self._model(self._torch.from_numpy(prompts)).logits[:, -1].numpy()
        return rows

    def nats(self, ids: Ids, mask: Ids) -> float:
        with self._torch.no_grad():
            logits = self._model(
                self._torch.from_numpy(ids), attention_mask=self._torch.from_numpy(mask)
            ).logits
        return count_nats(logits[:, :-1].numpy(), ids[:, 1:], mask[:, 1:])


class OnnxRuntime(Engine):
    """ONNX Runtime with int8 weights, on the graph that `export_onnx` wrote."""

    def open(self, folder: Path, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        self._session = ort.InferenceSession(folder / "model.onnx", options, providers=providers)
        self._empty = ort.OrtValue.ortvalue_from_numpy
        self._outputs = [one.name for one in self._session.get_outputs()]
        self._inputs = {one.name: one.shape for one in self._session.get_inputs()}
        self._cache: dict[str, Any] = {}

    def forward(self, ids: Ids, position: int) -> Logits:
        """The cache of one step is the input of the next; it is not copied in between."""
        batch, tokens = ids.shape
        positions = np.arange(position, position + tokens, dtype=np.int64)
        if position == 0:
            self._cache = {
                name: self._empty(np.zeros((batch, int(shape[1]), 0, int(shape[3])), np.float32))
                for name, shape in self._inputs.items()
                if name.startswith("input.")
            }
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("position_ids", np.tile(positions, (batch, 1)))
        for name, value in self._cache.items():
            binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        found = dict(zip(self._outputs, binding.get_outputs(), strict=True))
        logits: Logits = found.pop("logits").numpy()[:, -1]
        self._cache = {name.replace("output.", "input.", 1): one for name, one in found.items()}
        return logits


class LlamaCpp(Engine):
    """llama.cpp with 8-bit weights (q8_0), on the file that `export_gguf` wrote."""

    def open(self, folder: Path, threads: int) -> None:
        import llama_cpp

        self._llama = llama_cpp
        llama_cpp.llama_backend_init()
        path = str(folder / "model.gguf").encode()
        model = llama_cpp.llama_model_load_from_file(path, llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = LARGEST_BATCH * LONGEST_TEXT
        params.n_seq_max = params.n_outputs_max = LARGEST_BATCH
        params.n_batch = params.n_ubatch = LARGEST_BATCH * PROMPT_TOKENS
        params.n_threads = params.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, params)
        self._batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)

    def forward(self, ids: Ids, position: int) -> Logits:
        """Every row is a sequence of its own."""
        if position == 0:
            memory = self._llama.llama_get_memory(self._context)
            self._llama.llama_memory_clear(memory, False)
        batch, (rows, tokens) = self._batch, ids.shape
        batch.n_tokens = rows * tokens
        for index, (row, column) in enumerate(np.ndindex(rows, tokens)):
            batch.token[index] = int(ids[row, column])
            batch.pos[index] = position + column
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = row
            batch.logits[index] = column == tokens - 1
        code = self._llama.llama_decode(self._context, batch)
        if code:
            raise RuntimeError(f"llama_decode gave {code}.")
        return np.stack([self._row(end) for end in range(tokens - 1, rows * tokens, tokens)])

    def _row(self, index: int) -> Logits:
        pointer = self._llama.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, (self.vocab_size,))
