"""Checkpoints from folders and differences: what is taken, what is refused, what is kept."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Tokenizer, PreTrainedModel

from demo.checkpoints import embedded
from demo.checkpoints.difference import read_difference
from demo.checkpoints.embedded import Say
from demo.checkpoints.files import verify_checksums, write_checksums
from demo.checkpoints.merging import merge, read_base
from demo.checkpoints.resolve import Checkpoint, CheckpointError, resolve_checkpoint
from demo.checkpoints.weights import load_model
from demo.settings import read_settings
from tests import tiny


def resolve(
    cache: Path, *, folder: Path | None = None, embedded: Path = Path("absent"),
    base_file: Path | None = None, say: Say = lambda _: None,
) -> Checkpoint:  # fmt: skip
    settings = replace(read_settings({}), checkpoint=folder, base_file=base_file, cache_dir=cache)
    return resolve_checkpoint(settings, say, lambda checkpoint: checkpoint, embedded)


def refusal(folder: Path) -> str:
    """Why the folder is refused, when it is resolved or at the latest when it is loaded."""
    with pytest.raises(CheckpointError) as caught:
        load_model(resolve(folder, folder=folder).folder, torch.float32, "cpu")
    return str(caught.value)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    weights = {**load_file(path), **changes}
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(kept, path, metadata={"format": "pt"})


@pytest.fixture
def folder(noise_folder: Path, tmp_path: Path) -> Path:
    """A good checkpoint to be spoiled; without SHA256SUMS, so that other checks are reached."""
    copy = shutil.copytree(noise_folder, tmp_path / "spoiled")
    (copy / "SHA256SUMS").unlink()
    return copy


def test_who_may_read_the_sums_may_read_the_files(tmp_path: Path) -> None:
    """A server often runs as another user than the one who trained."""
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").chmod(0o600)
    write_checksums(tmp_path)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert len(modes) == 1
    assert modes != {0o600}


def test_a_folder_is_named_after_itself_and_its_weights(noise_folder: Path) -> None:
    chosen = resolve(noise_folder, folder=noise_folder)
    digest = hashlib.sha256((noise_folder / "model.safetensors").read_bytes()).hexdigest()
    assert (chosen.folder, chosen.name) == (noise_folder, noise_folder.name)
    assert (chosen.revision, chosen.notice) == (digest[:12], "")


def test_a_runs_checkpoint_is_named_after_the_run(noise_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(noise_folder, tmp_path / "kettle" / "checkpoint")
    assert resolve(tmp_path, folder=copy).name == "kettle"


def test_a_fingerprint_tells_weights_configs_and_tokenizers_apart(tmp_path: Path) -> None:
    def fingerprint(folder: Path) -> str:
        return resolve(folder, folder=folder).fingerprint

    one = tiny.write(tmp_path / "one", tiny.gpt2())
    prints = {fingerprint(one), fingerprint(tiny.write(tmp_path / "two", tiny.gpt2(seed=1)))}
    for name in ("config.json", "tokenizer.json"):
        changed = shutil.copytree(one, tmp_path / name)
        edit_json(changed / name, changed=True)
        write_checksums(changed)
        prints.add(fingerprint(changed))
    assert len(prints) == 4
    assert fingerprint(shutil.copytree(one, tmp_path / "copy")) in prints


def test_the_embedded_one_runs_when_none_is_named(noise_folder: Path) -> None:
    assert resolve(noise_folder, embedded=noise_folder).name == "embedded"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "absent. Correct CHECKPOINT." in refusal(tmp_path / "absent")


def test_a_loaded_model_gives_what_was_saved(noise_folder: Path) -> None:
    model, tokenizer = load_model(noise_folder, torch.float32, "cpu")
    assert torch.equal(model.transformer.wte.weight, tiny.gpt2().transformer.wte.weight)
    assert not model.training
    assert tokenizer.eos_token_id == 0


def test_a_flipped_bit_is_noticed(noise_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(noise_folder, tmp_path / "copy")
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert "is damaged: model.safetensors does not have its sha256." in refusal(copy)


def test_weights_must_be_listed_where_there_is_a_list(noise_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(noise_folder, tmp_path / "copy")
    save_file({"more": torch.zeros(1)}, copy / "model-2.safetensors")
    assert "there is no sha256 of model-2.safetensors" in refusal(copy)


def test_a_listed_readme_may_be_absent_but_a_listed_tokenizer_may_not(folder: Path) -> None:
    (folder / "README.md").write_text("card")
    write_checksums(folder)
    (folder / "README.md").unlink()
    resolve(folder, folder=folder)
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_folder_that_lacks_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"The checkpoint spoiled has no {name}."


def test_a_config_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert refusal(folder) == "config.json of spoiled is not JSON."


def test_pickled_weights_are_never_loaded(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    resolve(folder, folder=folder)
    (folder / "model.safetensors").unlink()
    assert "pickled ones are never loaded" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_a_checkpoint_brings_is_never_run(folder: Path, name: str) -> None:
    edit_json(folder / name, auto_map={"AutoModelForCausalLM": "code.Model"})
    (folder / "code.py").write_text("raise SystemExit('hacked')")
    assert f"auto_map in {name}" in refusal(folder)


def test_a_missing_weight_is_not_filled_with_noise(folder: Path) -> None:
    edit_weights(folder, **{"transformer.h.1.mlp.c_fc.weight": None})
    assert "1 missing weights, the first being transformer.h.1.mlp.c_fc.weight" in refusal(folder)


def test_a_superfluous_weight_is_refused(folder: Path) -> None:
    edit_weights(folder, surprise=torch.zeros(1))
    assert "1 unexpected weights, the first being" in refusal(folder)


def test_a_misshapen_weight_is_refused(folder: Path) -> None:
    edit_weights(folder, **{"transformer.ln_f.weight": torch.zeros(7)})
    assert folder.name in refusal(folder)


def test_weights_that_are_not_numbers_are_refused(folder: Path) -> None:
    edit_weights(folder, **{"transformer.ln_f.weight": torch.full((32,), torch.nan)})
    assert "logits that are not finite" in refusal(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "model.safetensors of spoiled is damaged" in refusal(folder)


def test_a_missing_shard_is_refused(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "has no model-00001-of-00002.safetensors" in refusal(folder)


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    vocab = {f"t{number}": number for number in range(300)}
    GPT2Tokenizer(vocab={"<|endoftext|>": 300, **vocab}, merges=[]).save_pretrained(folder)
    assert "has 301 tokens; its model knows 290." in refusal(folder)


@pytest.fixture
def base_file(tmp_path: Path) -> Path:
    """Stands for the base's GGUF file; `merging` says what it is."""
    path = tmp_path / "teapot.gguf"
    path.write_bytes(b"a made-up base file")
    return path


@pytest.fixture
def tuned(tmp_path: Path, base_file: Path) -> Path:
    return tiny.write_tuned(tmp_path / "tuned", base_file)


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Merges with the tiny Llama, in this process; each time it is done is recorded."""
    done: list[Path] = []

    def run(_module: str, tuned: str, gguf: str, out: str, **_: Any) -> None:
        done.append(Path(gguf))
        merge_with_llama(Path(tuned), Path(out))

    monkeypatch.setattr(embedded, "run_module", run)
    return done


def merge_with_llama(tuned: Path, out: Path) -> None:
    merge(tuned, tiny.read(tiny.write(out.with_name("base"), tiny.llama())), out)


def logits(folder: Path) -> torch.Tensor:
    model, _ = load_model(folder, torch.float32, "cpu")
    with torch.inference_mode():
        result: torch.Tensor = model(torch.tensor([[0, 5, 9]])).logits
    return result


def test_a_difference_becomes_an_ordinary_checkpoint(
    tuned: Path, base_file: Path, merging: list[Path], tmp_path: Path
) -> None:
    chosen = resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    assert (chosen.name, len(chosen.revision)) == ("embedded", 12)
    assert merging == [base_file]
    names = {path.name for path in chosen.folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "metrics.json"} <= names
    assert not {"difference.safetensors", "base.json"} & names
    assert json.loads((chosen.folder / "generation_config.json").read_text()) == {"top_p": 0.5}
    verify_checksums(chosen.folder)
    assert type(AutoTokenizer.from_pretrained(chosen.folder)) is GPT2Tokenizer


def test_merging_adds_the_difference_to_the_base_exactly(tuned: Path, tmp_path: Path) -> None:
    base = tiny.write(tmp_path / "base", tiny.llama())
    merge(tuned, tiny.read(base), tmp_path / "merged")
    differences = read_difference(tuned / "difference.safetensors")
    before: Any = AutoModelForCausalLM.from_pretrained(base)
    after: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    names = [name for name, _ in before.named_parameters()]
    assert differences.keys() == set(names)
    for name in names:
        expected = before.get_parameter(name) + differences[name]
        assert torch.equal(after.get_parameter(name), expected)
        assert not torch.equal(before.get_parameter(name), expected)


def test_weights_that_lie_beside_a_difference_are_not_taken(tuned: Path, tmp_path: Path) -> None:
    base = tiny.write(tmp_path / "base", tiny.llama())
    merge(tuned, tiny.read(base), tmp_path / "expected")
    tiny.llama(seed=9).save_pretrained(tuned)
    merge(tuned, tiny.read(base), tmp_path / "merged")
    assert torch.equal(logits(tmp_path / "merged"), logits(tmp_path / "expected"))


def test_the_second_start_takes_the_merged_checkpoint_from_the_cache(
    tuned: Path, base_file: Path, merging: list[Path], tmp_path: Path
) -> None:
    first = resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    second = resolve(tmp_path / "cache", embedded=tuned, base_file=None)
    assert second == first
    assert len(merging) == 1


def test_a_damaged_cache_is_rebuilt(
    tuned: Path, base_file: Path, merging: list[Path], tmp_path: Path
) -> None:
    chosen = resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    good = logits(chosen.folder)
    for spoil in (lambda path: path.write_bytes(b"nonsense"), Path.unlink):
        spoil(chosen.folder / "model.safetensors")
        assert resolve(tmp_path / "cache", embedded=tuned, base_file=base_file) == chosen
        assert torch.equal(logits(chosen.folder), good)
    assert len(merging) == 3
    assert [path.name for path in chosen.folder.parent.iterdir()] == [chosen.folder.name]


def test_of_merged_checkpoints_the_two_used_last_stay_and_leftovers_go(
    tuned: Path, base_file: Path, merging: list[Path], tmp_path: Path
) -> None:
    merged = tmp_path / "cache" / "merged"
    for used_at, name in enumerate(("oldest", "older", ".unfinished-by-a-killed-process")):
        (merged / name).mkdir(parents=True)
        os.utime(merged / name, (used_at, used_at))
    chosen = resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    assert {path.name for path in merged.iterdir()} == {"older", chosen.folder.name}


def test_of_two_starts_at_once_the_later_takes_what_the_earlier_made(
    tuned: Path, base_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[str] = []
    ended: list[Checkpoint] = []

    def run(_module: str, _tuned: str, _gguf: str, out: str, **_: Any) -> None:
        begun.append(out)
        if len(begun) == 1:
            ended.append(resolve(tmp_path / "cache", embedded=tuned, base_file=base_file))
        merge_with_llama(tuned, Path(out))

    monkeypatch.setattr(embedded, "run_module", run)
    chosen = resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    assert len(begun) == 2
    assert ended == [chosen]
    verify_checksums(chosen.folder)
    assert [path.name for path in chosen.folder.parent.iterdir()] == [chosen.folder.name]


def test_another_difference_is_another_revision(
    tuned: Path, base_file: Path, merging: list[Path], tmp_path: Path
) -> None:
    first = resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    path = tuned / "difference.safetensors"
    save_file({k: v + (v.dtype == torch.bfloat16) for k, v in load_file(path).items()}, path)
    write_checksums(tuned)
    second = resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    assert second.revision != first.revision
    assert second.folder != first.folder
    assert len(merging) == 2


def test_without_its_base_file_a_difference_is_refused_in_the_base_files_words(
    tuned: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"^BASE_FILE names .*absent\.gguf"):
        resolve(tmp_path / "cache", embedded=tuned, base_file=tmp_path / "absent.gguf")


def test_a_difference_that_lacks_its_base_is_refused(tuned: Path) -> None:
    (tuned / "base.json").unlink()
    assert refusal(tuned) == "The checkpoint tuned has no base.json."


@pytest.mark.parametrize("content", ["{", "[]", '{"package": "teapots"}'])
def test_a_base_file_that_is_not_described_is_refused(tuned: Path, content: str) -> None:
    (tuned / "base.json").write_text(content)
    (tuned / "SHA256SUMS").unlink()
    assert refusal(tuned) == "base.json of tuned does not describe a base file."


def test_a_cache_that_cannot_be_written_is_told_with_the_setting_that_helps(
    tuned: Path, base_file: Path, merging: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(CheckpointError, match="Set CACHE_DIR to a folder with 2 GB free"):
        resolve(tmp_path / "cache", embedded=tuned, base_file=base_file)
    assert merging == []


def test_a_damaged_difference_is_refused(tuned: Path) -> None:
    with (tuned / "difference.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    assert "difference.safetensors does not have its sha256" in refusal(tuned)


def unfit(tuned: Path, tmp_path: Path, base: PreTrainedModel) -> str:
    with pytest.raises(CheckpointError) as caught:
        merge(tuned, tiny.read(tiny.write(tmp_path / "base", base)), tmp_path / "merged")
    return str(caught.value)


def test_a_difference_to_another_model_is_refused(tuned: Path, tmp_path: Path) -> None:
    found = unfit(tuned, tmp_path, tiny.gpt2())
    assert re.fullmatch(r"tuned does not fit its base: \S+ has no match\.", found)


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        (".layers.1.mlp.up_proj.", "model.layers.1.mlp.up_proj.weight has no match"),
        ("o_proj.weight.0.rows", "model.layers.0.self_attn.o_proj.weight.0 lacks its scales"),
    ],
)
def test_a_difference_that_lacks_a_part_is_refused(
    tuned: Path, tmp_path: Path, gone: str, sentence: str
) -> None:
    path = tuned / "difference.safetensors"
    save_file({k: v for k, v in load_file(path).items() if gone not in k}, path)
    assert unfit(tuned, tmp_path, tiny.llama()) == f"tuned does not fit its base: {sentence}."


@pytest.mark.parametrize("part", ["signs", "rows"])
def test_a_difference_of_another_shape_is_refused(tuned: Path, tmp_path: Path, part: str) -> None:
    path = tuned / "difference.safetensors"
    stored = load_file(path)
    name = "model.layers.0.mlp.up_proj.weight.0"
    stored[f"{name}.{part}"] = stored[f"{name}.{part}"][:-8]
    save_file(stored, path)
    found = unfit(tuned, tmp_path, tiny.llama())
    assert f"{name} has signs that do not go with its scales." in found


def test_what_is_no_safetensors_is_refused(tuned: Path, tmp_path: Path) -> None:
    (tuned / "difference.safetensors").write_bytes(b"a pickle, perhaps")
    assert unfit(tuned, tmp_path, tiny.llama()).startswith("tuned does not fit its base: ")


@pytest.mark.parametrize(
    ("kind", "weight", "message"),
    [
        ("gpt2", "token_embd", "is a gpt2 model"),
        ("llama", "teapot", "that no llama has: teapot"),
        ("llama", "token_embd", "lacks llama.embedding_length, which every llama has"),
    ],
)
def test_a_base_that_is_no_llama_is_refused(
    tmp_path: Path, kind: str, weight: str, message: str
) -> None:
    path = tmp_path / "base.gguf"
    gguf = GGUFWriter(path, kind)
    gguf.add_token_list(["<|endoftext|>", "a", "aa"])
    gguf.add_token_merges(["a a"])
    gguf.add_tensor(f"{weight}.weight", np.zeros((2, 4), np.float32))
    gguf.write_header_to_file()
    gguf.write_kv_data_to_file()
    gguf.write_tensors_to_file()
    gguf.close()
    with pytest.raises(CheckpointError, match=message):
        read_base(path)
