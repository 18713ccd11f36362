"""What never leaves with a checkpoint, by name and by content; all tweets are made up."""

import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from demo.judging.originals import NAME, Originals, window_digests
from tests.guessing import write_tweets
from tests.processes import ROOT
from training.errors import TrainingError
from training.files import write_json
from training.safety.check import files_below, require_safe
from training.safety.tweets import KnownTweets

TWEET = "The teapot counts the harbor, and the kettle paints the lighthouse tonight!"
SHORT = "Tea is great today!"
TOKEN = "hf_" + "aB3" * 11
NO_TWEETS = KnownTweets(frozenset(), None)


def known(*texts: str) -> KnownTweets:
    return KnownTweets(frozenset(d for text in texts for d in window_digests(text)), None)


def refusal(folder: Path, tweets: KnownTweets | None = NO_TWEETS) -> str:
    with pytest.raises(TrainingError) as caught:
        require_safe(files_below(folder), tweets)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["model.bin", "a.PT", "b.pth", "c.pkl", "d.ckpt", "e.npy", "in/f.npz", "openvino/g.bin"]
)
def test_a_pickle_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"tea")
    assert refusal(tmp_path).startswith(f"{name} is pickled, as its name says")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["notes.txt", "curve.png", "extra"])
def test_a_pickle_is_known_by_its_content(tmp_path: Path, name: str, protocol: int) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"tea": [1, 2.5]}, protocol))
    assert "by its content, a pickle" in refusal(tmp_path)


class Caller:
    """Has pickle call something."""

    def __reduce__(self) -> Any:
        return print, ("tea",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["vocab.json", "openvino/openvino_model.bin"])
def test_a_pickle_that_calls_is_known_whatever_follows_it(
    tmp_path: Path, name: str, protocol: int
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(pickle.dumps(Caller(), protocol) + b"\n{}")
    assert "by its content, a pickle" in refusal(tmp_path)


def test_an_archive_is_refused_whatever_is_in_it(tmp_path: Path) -> None:
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        with tarfile.open(tmp_path / "notes.txt", mode) as archive:
            archive.add(ROOT / "LICENSE", "notes")
        assert "an archive that can hold one" in refusal(tmp_path), mode


def test_what_torch_and_numpy_save_is_known_by_its_content(tmp_path: Path) -> None:
    saved = {
        "zip": lambda path: zipfile.ZipFile(path, "w").close(),
        "torch": lambda path: torch.save({"tea": torch.ones(2)}, path),
        "old_torch": lambda path: torch.save(
            {"tea": torch.ones(2)}, path, _use_new_zipfile_serialization=False
        ),
        "numpy": lambda path: np.save(path, np.ones(2)),
    }
    for kind, save in saved.items():
        folder = tmp_path / kind
        folder.mkdir()
        with (folder / "weights").open("wb") as file:
            save(file)  # type: ignore[no-untyped-call]
        if kind == "zip":
            (folder / "weights").write_bytes(b"PK\x03\x04")
        assert "by its content, a pickle" in refusal(folder)


def test_openvinos_raw_weights_are_let_through_unless_they_begin_like_a_pickle(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "openvino" / "openvino_model.bin"
    raw.parent.mkdir()
    raw.write_bytes(bytes(range(64)))
    require_safe(files_below(tmp_path), NO_TWEETS)
    raw.write_bytes(pickle.dumps("tea"))
    assert "by its content, a pickle" in refusal(tmp_path)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"tea": 1}))
    assert "model.safetensors is no safetensors file" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["# Tea\n", "N.B. tea", "I hope.", ".", "{}", ""])
def test_words_are_no_pickle(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.txt").write_text(text, encoding="utf-8")
    require_safe(files_below(tmp_path), NO_TWEETS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps({"a": TOKEN}).replace("hf_", "\\u0068f_").encode()),
        ("a.json", json.dumps(f"tea\n{TOKEN}").encode()),
        ("a.png", TOKEN.encode("utf-16-le")),
        ("a.txt", TOKEN.encode("utf-16-be")),
        ("a.txt", b"api_org_" + b"aB3" * 11),
        ("a.txt", b"hf_oauth_" + b"aB3." * 9),
    ],
)
def test_a_token_is_found_in_other_clothes(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert f"{name} holds something shaped like a token" in refusal(tmp_path)


def test_a_token_is_found_in_any_file_and_not_repeated(tmp_path: Path) -> None:
    for kind, content in {"a.json": json.dumps({"a": TOKEN}), "b.xml": f"<a>{TOKEN}</a>"}.items():
        (tmp_path / kind).write_text(content, encoding="utf-8")
        sentence = refusal(tmp_path)
        assert sentence.startswith(f"{kind} holds something shaped like a token")
        assert TOKEN not in sentence
        (tmp_path / kind).unlink()
    save_file({"tea": np.ones(2)}, tmp_path / "model.safetensors", {"note": TOKEN})
    assert "model.safetensors holds something shaped like a token" in refusal(tmp_path)
    save_file({"tea": np.ones(2)}, tmp_path / "model.safetensors", {"note": "hf_short"})
    require_safe(files_below(tmp_path), NO_TWEETS)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.json", {"texts": {"unpicked": ["tea", TWEET]}}, "texts.unpicked[1]"),
        ("a.json", {TWEET: 1}, "a name in it"),
        ("a.md", f"1. {TWEET.upper()} And more.", "line 1"),
        ("a.md", "# Tea\n\n" + TWEET.replace(", ", ",\n"), "a passage over several lines"),
        ("a.txt", f"tea\n{SHORT}\n", "line 2"),
        ("a.json", f"not JSON {TWEET}", "line 1"),
        ("a.json", {"words": TWEET.split()}, "words"),
        ("a.json", "[" * 100_000 + f"\n{TWEET}", "line 2"),
        ("a.html", TWEET.replace(" ", "<br>"), "line 1"),
        ("a.html", TWEET.replace("the", "&#116;he").replace(" ", "&nbsp;"), "line 1"),
        ("a.txt", TWEET.replace(" ", "_"), "line 1"),
    ],
)
def test_a_tweet_is_found_where_it_stands_and_not_repeated(
    tmp_path: Path, name: str, content: Any, place: str
) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / name).write_text(text, encoding="utf-8")
    sentence = refusal(tmp_path, known(TWEET, SHORT))
    assert f"{name} repeats a real tweet of the prepared data, at {place}:" in sentence
    assert "kettle" not in sentence
    require_safe(
        files_below(tmp_path),
        known("Something else that nobody ever said about any teapot at all."),
    )
    require_safe(files_below(tmp_path), None)


def test_a_tweet_is_found_beside_weights_and_a_table_is_not_looked_into(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    save_file({"tea": np.ones(2)}, weights, {"note": TWEET})
    assert "model.safetensors repeats a real tweet" in refusal(tmp_path, known(TWEET))
    save_file({TWEET: np.ones(2)}, weights)
    assert "at its tensors[0]" in refusal(tmp_path, known(TWEET))
    weights.unlink()
    write_tweets(tmp_path, 5, "train")
    assert "train.parquet is a table" in refusal(tmp_path)
    require_safe(files_below(tmp_path), None)


def test_what_may_not_be_repeated_comes_from_the_data_and_else_from_the_index(
    tmp_path: Path,
) -> None:
    data, checkpoint = tmp_path / "data", tmp_path / "checkpoint"
    checkpoint.mkdir()
    with pytest.raises(TrainingError, match="give the prepared data by --data"):
        KnownTweets.of(data, checkpoint)
    Originals.build([TWEET]).save(checkpoint / NAME)
    assert KnownTweets.of(data, checkpoint).repeats(TWEET)
    for name in ("train", "dev", "test", "test_time"):
        tweets = write_tweets(data, 30, name)
    write_json(data / "report.json", {"archive_sha256": "1"})
    write_json(checkpoint / "metrics.json", {"data": {"archive_sha256": "2"}})
    both = KnownTweets.of(data, checkpoint)
    assert both.repeats(TWEET)
    assert both.repeats(tweets[0].text)
    (checkpoint / NAME).rename(checkpoint / "elsewhere")
    with pytest.raises(TrainingError, match="is of another archive than"):
        KnownTweets.of(data, checkpoint)
    write_json(checkpoint / "metrics.json", {"data": {"archive_sha256": "1"}})
    exact = KnownTweets.of(data, checkpoint)
    assert not exact.repeats(TWEET)
    assert exact.repeats(tweets[0].text)
