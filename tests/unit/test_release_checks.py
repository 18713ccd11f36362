"""What never leaves with a checkpoint, by name and by content; all tweets are made up."""

import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from demo.judging.originals import NAME, Originals, window_digests
from tests.guessing import write_tweets
from tests.processes import ROOT
from training import TrainingError
from training.files import write_json
from training.prepare import ALL_TEXTS
from training.release.checks import (
    KnownTweets,
    is_listed_type,
    list_files,
    require_no_tweet,
    require_safe,
    require_type,
)

TWEET = "The teapot counts the harbor, and the kettle paints the lighthouse tonight!"
SHORT = "Tea is great today!"
TOKEN = "hf_" + "aB3" * 11
NO_TWEETS = KnownTweets(frozenset(), None)


def known(*texts: str) -> KnownTweets:
    return KnownTweets(frozenset(d for text in texts for d in window_digests(text)), None)


def refusal(folder: Path, tweets: KnownTweets | None = NO_TWEETS) -> str:
    with pytest.raises(TrainingError) as caught:
        require_safe(list_files(folder), tweets)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["model.bin", "a.PT", "b.pth", "c.pkl", "d.ckpt", "e.npy", "in/f.npz", "openvino/g.bin",
     "h.zip", "i.joblib", "k.sh", "extra"],
)  # fmt: skip
def test_a_file_of_no_listed_type_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"tea")
    assert refusal(tmp_path).startswith(f"{name} is of a type that is never published, as pickles")
    assert not is_listed_type(name)


class Caller:
    """Has pickle call something."""

    def __reduce__(self) -> Any:
        return print, ("tea",)


# Every file of a published checkpoint, and of a Space, whose type has a form of its own.
FORMED = (
    "model.safetensors", "vocab.json", "curve.png", "test.parquet", "SHA256SUMS", "app.py",
    "demo/ui/static/preview.svg", "openvino/openvino_model.xml", "openvino/openvino_model.bin",
)  # fmt: skip


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", FORMED)
def test_a_pickle_under_another_name_is_refused_by_its_content(
    tmp_path: Path, name: str, protocol: int
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    for content in (
        pickle.dumps({"tea": [1, 2.5]}, protocol),
        pickle.dumps(Caller(), protocol) + b"\n{}",
    ):
        (tmp_path / name).write_bytes(content)
        assert f"{name} is not what its name says" in refusal(tmp_path)


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_no_text(tmp_path: Path, protocol: int) -> None:
    """One of protocol 0 is; a text is never loaded as one."""
    for name in ("README.md", "requirements.txt", "demo/a.js"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(pickle.dumps({"tea": [1, 2.5]}, protocol))
        assert f"{name} is not what its name says" in refusal(tmp_path)
        (tmp_path / name).unlink()


def test_archives_and_what_torch_and_numpy_save_are_refused_under_every_name(
    tmp_path: Path,
) -> None:
    def tar(mode: Any) -> Callable[[BinaryIO], Any]:
        def save(file: BinaryIO) -> None:
            with tarfile.open(fileobj=file, mode=mode) as archive:
                archive.add(ROOT / "LICENSE", "notes")

        return save

    def zipped(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.write(ROOT / "LICENSE", "notes")

    tensors = {"tea": torch.ones(2)}
    savers: list[Callable[[BinaryIO], Any]] = [
        *(tar(mode) for mode in ("w", "w:gz", "w:bz2", "w:xz")),
        zipped,
        lambda file: torch.save(tensors, file),
        lambda file: torch.save(tensors, file, _use_new_zipfile_serialization=False),
        lambda file: np.save(file, np.ones(2)),
    ]
    for save in savers:
        for name in (*FORMED, "notes.txt"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                save(file)
            with pytest.raises(TrainingError, match="is not what its name says"):
                require_type(path, name)


def test_openvinos_raw_weights_are_as_long_as_their_model_says(tmp_path: Path) -> None:
    raw = tmp_path / "openvino" / "openvino_model.bin"
    raw.parent.mkdir()
    raw.write_bytes(bytes(range(64)))
    assert "is not what its name says" in refusal(tmp_path)
    raw.with_suffix(".xml").write_text('<net><data offset="0" size="24"/><data a="b"/>'
                                       '<data offset="24" size="40"/></net>')  # fmt: skip
    require_safe(list_files(tmp_path), NO_TWEETS)
    raw.write_bytes(pickle.dumps("tea"))
    assert "openvino/openvino_model.bin is not what its name says" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["# Tea\n", "N.B. tea", "I hope.", ".", "{}", "", "café 😀\r\n\t"])
def test_words_are_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.txt").write_text(text, encoding="utf-8")
    require_safe(list_files(tmp_path), NO_TWEETS)


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
    require_safe(list_files(tmp_path), NO_TWEETS)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.json", {"texts": {"unpicked": ["tea", TWEET]}}, "texts.unpicked[1]"),
        ("a.json", {TWEET: 1}, "a name in it"),
        ("a.md", f"1. {TWEET.upper()} And more.", "line 1"),
        ("a.md", "# Tea\n\n" + TWEET.replace(", ", ",\n"), "a passage over several lines"),
        ("a.txt", f"tea\n{SHORT}\n", "line 2"),
        ("a.json", {"words": TWEET.split()}, "words"),
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
        list_files(tmp_path),
        known("Something else that nobody ever said about any teapot at all."),
    )
    require_safe(list_files(tmp_path), None)


@pytest.mark.parametrize(
    ("text", "place"), [(f"not JSON {TWEET}", "line 1"), ("[" * 100_000 + f"\n{TWEET}", "line 2")]
)
def test_what_is_no_json_though_named_so_is_refused_and_a_tweet_found_in_it(
    tmp_path: Path, text: str, place: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    assert "a.json is not what its name says" in refusal(tmp_path)
    with pytest.raises(TrainingError, match=f"a.json repeats a real tweet.*, at {place}:"):
        require_no_tweet(path, path.name, known(TWEET))


def test_a_tweet_is_found_beside_weights_and_a_table_is_not_looked_into(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    save_file({"tea": np.ones(2)}, weights, {"note": TWEET})
    assert "model.safetensors repeats a real tweet" in refusal(tmp_path, known(TWEET))
    save_file({TWEET: np.ones(2)}, weights)
    assert "at its tensors[0]" in refusal(tmp_path, known(TWEET))
    weights.unlink()
    write_tweets(tmp_path, 5, "train")
    assert "train.parquet is a table" in refusal(tmp_path)
    require_safe(list_files(tmp_path), None)


def test_what_may_not_be_repeated_comes_from_the_data_and_else_from_the_index(
    tmp_path: Path,
) -> None:
    data, checkpoint = tmp_path / "data", tmp_path / "checkpoint"
    checkpoint.mkdir()
    with pytest.raises(TrainingError, match="Give the prepared data by --data"):
        KnownTweets.of(data, checkpoint)
    Originals.build([TWEET]).save(checkpoint / NAME)
    assert KnownTweets.of(data, checkpoint).repeats(TWEET)
    for name in ALL_TEXTS:
        tweets = write_tweets(data, 30, name)
    write_json(data / "report.json", {"archive_sha256": "1"})
    write_json(checkpoint / "metrics.json", {"data": {"archive_sha256": "2"}})
    both = KnownTweets.of(data, checkpoint)
    assert both.repeats(TWEET)
    assert both.repeats(tweets[0].text)
    (checkpoint / NAME).rename(checkpoint / "elsewhere")
    with pytest.raises(TrainingError, match="is not what .* learnt from"):
        KnownTweets.of(data, checkpoint)
    write_json(checkpoint / "metrics.json", {"data": {"archive_sha256": "1"}})
    exact = KnownTweets.of(data, checkpoint)
    assert not exact.repeats(TWEET)
    assert exact.repeats(tweets[0].text)
