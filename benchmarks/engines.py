"""The engines of `raw`, each in a process of its own: token ids in, token ids out.

Every engine imports its library when it is opened, so that a process holds no other library than
the one whose memory is measured. Checkpoints are exported by `python -m benchmarks.engines
onnx|gguf CHECKPOINT FOLDER`.
"""
# ruff: noqa: PLC0415

import itertools
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

PROMPT_TOKENS = 8
LARGEST_BATCH = 16
# Positions of each text; with the prompt, none has more.
LONGEST_TEXT = 256
TEMPERATURE = 0.9
TOP_P = 0.95
SEED = 7

Logits = NDArray[np.float32]
# Token ids [batch, tokens].
Ids = NDArray[np.int64]


class Engine(Protocol):
    """Decodes a batch with temperature and top-p, without stopping at the end-of-text token."""

    def decode(self, prompts: Ids, new_tokens: int) -> Ids:
        """The new tokens [batch, new_tokens]."""
        ...

    def logits(self, prompts: Ids) -> Logits | None:
        """The logits [batch, vocabulary] after the prompts, or None if it does not give any."""
        ...


@dataclass(frozen=True)
class Timing:
    """One decoding: its seconds, prompts included, and the new tokens of all texts."""

    seconds: float
    tokens: int


def run_engine(
    parent: Connection, name: str, checkpoint: Path, folder: Path, threads: int, log: Path
) -> None:
    """A process that opens an exported checkpoint, sends the logits after one prompt, and then
    answers each pair of a batch size and a number of new tokens with a `Timing`, until the pipe is
    closed."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    engine = ENGINES[name](folder, threads, config["vocab_size"])
    parent.send(engine.logits(make_prompts(1, config["vocab_size"])))
    while True:
        try:
            batch, new_tokens = parent.recv()
        except EOFError:
            return
        prompts = make_prompts(batch, config["vocab_size"])
        started = time.perf_counter()
        made = engine.decode(prompts, new_tokens)
        seconds = time.perf_counter() - started
        assert np.shape(made) == (batch, new_tokens), np.shape(made)
        parent.send(Timing(seconds, batch * new_tokens))


def make_prompts(batch: int, vocab_size: int) -> Ids:
    """Random tokens, the same for every engine."""
    chance = random.Random(SEED)
    rows = [[chance.randrange(vocab_size) for _ in range(PROMPT_TOKENS)] for _ in range(batch)]
    return np.array(rows, np.int64)


class OpenVINO:
    """OpenVINO GenAI's continuous batching, opened as the demo opens it."""

    SLOTS = LARGEST_BATCH
    CACHE_BLOCKS = 256

    def __init__(self, folder: Path, threads: int, setting: str) -> None:
        from demo.generation.openvino.engine import EXACT, FAST
        from demo.generation.openvino.runtime import genai, ov
        from demo.generation.openvino.worker import open_pipeline

        self._genai: Any = genai
        self._ov: Any = ov
        settings: Mapping[str, str] = {"fast": FAST, "exact": EXACT}[setting]
        properties: dict[str, Any] = {**settings, "INFERENCE_NUM_THREADS": threads}
        self._pipeline = open_pipeline(str(folder), self.SLOTS, self.CACHE_BLOCKS, properties)
        # A request id that is used twice breaks the pipeline.
        self._request_ids = itertools.count()

    def decode(self, prompts: Ids, new_tokens: int) -> Ids:
        """Steps the pipeline until every text is finished."""
        handles = [
            self._pipeline.add_request(
                next(self._request_ids),
                self._ov.Tensor(prompt[None]),
                self._config(new_tokens, seed),
            )
            for seed, prompt in enumerate(prompts, start=SEED)
        ]
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        return np.array([handle.read_all()[0].generated_ids for handle in handles])

    def _config(self, new_tokens: int, seed: int) -> Any:
        return self._genai.GenerationConfig(
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            max_new_tokens=new_tokens,
            ignore_eos=True,
            rng_seed=seed,
        )

    def logits(self, prompts: Ids) -> None:
        """The pipeline keeps them; the demo's own tests hold its texts to transformers'."""


class Transformers:
    """transformers' `generate` in fp32, a static batch at a time: the baseline."""

    def __init__(self, folder: Path, threads: int) -> None:
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

    def decode(self, prompts: Ids, new_tokens: int) -> Ids:
        """All texts of the batch at once."""
        ids = self._torch.from_numpy(prompts)
        config = self._config(
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=new_tokens,
            pad_token_id=0,
        )
        mask = self._torch.ones_like(ids)
        made = self._model.generate(ids, attention_mask=mask, generation_config=config)
        rows: Ids = made[:, ids.shape[1] :].numpy()
        return rows

    def logits(self, prompts: Ids) -> Logits:
        """What the other engines are compared with."""
        with self._torch.no_grad():
            rows: Logits = self._model(self._torch.from_numpy(prompts)).logits[:, -1].numpy()
        return rows


class _Stepwise:
    """An engine that leaves the loop and the draw to its caller."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(SEED)

    def forward(self, ids: Ids, position: int) -> Logits:
        """The logits [batch, vocabulary] after ids [batch, tokens], the first of which has this
        position; 0 begins a new batch."""
        raise NotImplementedError

    def decode(self, prompts: Ids, new_tokens: int) -> Ids:
        """Draws in numpy."""
        made = [draw(self.forward(prompts, 0), self._random)]
        for position in range(PROMPT_TOKENS, PROMPT_TOKENS + new_tokens - 1):
            made.append(draw(self.forward(made[-1][:, None], position), self._random))
        return np.stack(made, axis=1)

    def logits(self, prompts: Ids) -> Logits:
        """After the last token of each prompt."""
        return self.forward(prompts, 0)


def draw(logits: Logits, chance: np.random.Generator) -> Ids:
    """One token for each row of logits [batch, vocabulary], by temperature and top-p
    (Holtzman et al. 2020)."""
    weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(TEMPERATURE))
    return np.array(
        [_draw(*row) for row in zip(weights, chance.random(len(logits)), strict=True)], np.int64
    )


def _draw(weights: Logits, point: float) -> int:
    total = weights.sum()
    # All tokens below this weight together are less than what top-p leaves out, so the nucleus is
    # among the others: only they need to be sorted.
    candidates = np.flatnonzero(weights >= total * (1 - TOP_P) / weights.size)
    order = candidates[np.argsort(weights[candidates])[::-1]]
    shares = np.cumsum(weights[order], dtype=np.float64)
    nucleus = int(np.searchsorted(shares, TOP_P * total)) + 1
    return int(order[np.searchsorted(shares, point * shares[nucleus - 1], side="right")])


class OnnxRuntime(_Stepwise):
    """ONNX Runtime with int8 weights, on the graph that `export_onnx` wrote."""

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime as ort

        super().__init__()
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
                name: self._empty(np.zeros((batch, shape[1], 0, shape[3]), np.float32))
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


def export_onnx(checkpoint: Path, folder: Path) -> None:
    """Writes the checkpoint as an ONNX graph with int8 weights, by transformers' own exporter."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter
    from transformers.exporters.quantizers import quantizer_onnxruntime as quantizers
    from transformers.exporters.utils import decompose_prefill_decode

    model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    model.generation_config = GenerationConfig(pad_token_id=0)
    # A head that shares the embedding's matrix would stay fp32.
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    ids = torch.from_numpy(make_prompts(2, model.config.vocab_size))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    # A step of several tokens after a cache: with an empty cache, that is a prompt as well.
    _, step = decompose_prefill_decode(model, inputs, multi_token_decode=True)["decode"]
    quantizer = quantizers.OnnxRuntimeQuantizer(
        quantizers.OnnxRuntimeDynamicConfig(per_channel=True)
    )
    config = OnnxConfig(dynamic=True, ort_fusions="cpu", quantizer=quantizer)
    OnnxExporter().export(model, step, config).save_pretrained(folder)


class LlamaCpp(_Stepwise):
    """llama.cpp with 8-bit weights (q8_0), on the file that `export_gguf` wrote."""

    def __init__(self, folder: Path, threads: int, vocab_size: int) -> None:
        import llama_cpp

        super().__init__()
        self._llama, self._vocab_size = llama_cpp, vocab_size
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
        return np.ctypeslib.as_array(pointer, (self._vocab_size,))


def export_gguf(checkpoint: Path, folder: Path) -> None:
    """Writes the checkpoint as GGUF: matrices in q8_0, the rest in fp32, without a vocabulary.

    llama.cpp's own `convert_hf_to_gguf.py` is in no package of its authors: the package `gguf`
    brings the names and the formats alone.
    """
    import gguf
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(checkpoint)
    arch = {"gpt2": gguf.MODEL_ARCH.GPT2, "llama": gguf.MODEL_ARCH.LLAMA}[config.model_type]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    folder.mkdir()
    writer = gguf.GGUFWriter(folder / "model.gguf", config.model_type, use_temp_file=True)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    for key, tensor in _gguf_tensors(checkpoint, config):
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if tensor.ndim == 2 and name != "position_embd.weight":
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_tensors(checkpoint: Path, config: Any) -> Iterator[tuple[str, Logits]]:
    """The checkpoint's tensors in llama.cpp's layout: matrices are [out, in], and the rows of a
    rotated head alternate between the halves that transformers keeps apart."""
    from safetensors.numpy import load_file

    rotated = {
        "q_proj.weight": config.num_attention_heads,
        "k_proj.weight": getattr(config, "num_key_value_heads", 0),
    }
    for key, tensor in load_file(checkpoint / "model.safetensors").items():
        if config.model_type == "gpt2" and ".h." in key and tensor.ndim == 2:
            tensor = np.ascontiguousarray(tensor.T)
        heads = rotated.get(".".join(key.split(".")[-2:]))
        if heads:
            halves = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2)
            tensor = np.ascontiguousarray(halves).reshape(tensor.shape)
        yield key, tensor


# By the names that `raw` uses; each takes the exported folder, threads, and vocabulary size.
ENGINES: Mapping[str, Callable[[Path, int, int], Engine]] = {
    "openvino-fast": lambda folder, threads, _: OpenVINO(folder, threads, "fast"),
    "openvino-exact": lambda folder, threads, _: OpenVINO(folder, threads, "exact"),
    "onnxruntime": lambda folder, threads, _: OnnxRuntime(folder, threads),
    "llama.cpp": LlamaCpp,
    "transformers": lambda folder, threads, _: Transformers(folder, threads),
}
EXPORTERS = {"onnx": export_onnx, "gguf": export_gguf}


def main(arguments: Sequence[str]) -> None:
    """`python -m benchmarks.engines onnx|gguf CHECKPOINT FOLDER`."""
    kind, checkpoint, folder, *_ = arguments
    EXPORTERS[kind](Path(checkpoint), Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
