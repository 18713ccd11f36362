"""Which files of a checkout go into a Space, and which make a deploy end."""

import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.guessing import write_tweets
from tests.processes import ROOT
from training import TrainingError, working_tree
from training.release import space_files
from training.release.space_files import checkout_files, render_space_readme

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
FILES = {"app.py", "requirements.txt", "LICENSE", "demo/tea.py", "embedded/originals.safetensors"}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one, under git."""
    for name in ("app.py", "requirements.txt", "LICENSE", "README.md", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("demo", "embedded", "training"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tea.py").write_text("kettle = 1\n", encoding="utf-8")
    (tmp_path / "embedded" / "tea.py").unlink()
    shutil.copy(ROOT / "embedded" / "originals.safetensors", tmp_path / "embedded")
    subprocess.run([*GIT, "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(working_tree, "ROOT", tmp_path)
    monkeypatch.setattr(space_files, "EMBEDDED", tmp_path / "embedded")
    return tmp_path


def add(checkout: Path) -> None:
    """Everything, to git."""
    subprocess.run([*GIT, "add", "-f", "."], cwd=checkout, check=True)


def refusal(checkout: Path) -> str:
    """Why, once everything is under git."""
    add(checkout)
    with pytest.raises(TrainingError) as caught:
        checkout_files()
    return str(caught.value)


def test_what_git_keeps_of_app_demo_and_checkpoint_goes_and_nothing_else(checkout: Path) -> None:
    add(checkout)
    (checkout / "demo" / "__pycache__").mkdir()
    (checkout / "demo" / "__pycache__" / "tea.pyc").write_bytes(b"tea")
    assert set(checkout_files()) == FILES


def test_outside_git_what_is_neither_hidden_nor_a_cache_goes(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    (checkout / "demo" / ".secret").write_bytes(b"tea")
    (checkout / "demo" / "__pycache__").mkdir()
    (checkout / "demo" / "__pycache__" / "tea.pyc").write_bytes(b"tea")
    assert set(checkout_files()) == FILES


def test_what_git_does_not_keep_ends_it(checkout: Path) -> None:
    add(checkout)
    (checkout / "demo" / "key.pem").write_bytes(b"tea")
    with pytest.raises(TrainingError, match=r"demo/key.pem is not under git"):
        checkout_files()


def test_a_link_is_not_followed(checkout: Path) -> None:
    (checkout / "demo" / "link").symlink_to("/etc/hostname")
    assert "demo/link is a link" in refusal(checkout)


def test_a_pickle_a_token_and_tables_of_tweets_stay_here(checkout: Path) -> None:
    wrong = {
        "embedded/training_args.bin": (pickle.dumps("tea"), "is of a type that is never published"),
        "demo/key.js": (b"const key_hf_" + b"aB3" * 11, "shaped like a token of the Hub"),
    }
    for name, (content, reason) in wrong.items():
        (checkout / name).write_bytes(content)
        assert reason in refusal(checkout)
        (checkout / name).unlink()
    write_tweets(checkout / "embedded", 5, "train")
    assert "train.parquet is a table" in refusal(checkout)


def test_a_checkout_that_an_outer_repository_knows_nothing_of_is_walked(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = checkout / "inner"
    inner.mkdir()
    for name in ("app.py", "requirements.txt", "LICENSE", "README.md", "demo", "embedded"):
        shutil.move(checkout / name, inner / name)
    (checkout / ".gitignore").write_text("inner\n", encoding="utf-8")
    monkeypatch.setattr(working_tree, "ROOT", inner)
    monkeypatch.setattr(space_files, "EMBEDDED", inner / "embedded")
    assert set(checkout_files()) == FILES
    assert working_tree.changed() is None


def test_where_git_does_not_say_nothing_goes(checkout: Path) -> None:
    (checkout / ".git" / "HEAD").unlink()
    with pytest.raises(TrainingError, match=r"git does not say .*not a git repository"):
        checkout_files()


def test_links_to_what_a_space_does_not_have_become_their_words(checkout: Path) -> None:
    stays = "[a](demo/a.html), [c](https://example.org/c), [d](#d), [e](app.py)"
    with (checkout / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"{stays}, [b](docs/b.md), ![f](docs/f.png)")
    assert render_space_readme(checkout, "", "", [], "").endswith(f"{stays}, b, f")


def test_a_part_that_git_does_not_keep_any_more_is_named(checkout: Path) -> None:
    for name in ("app.py", "demo/tea.py"):
        (checkout / name).rename(checkout / "training" / "kept.py")
        assert f"{name.split('/')[0]} is no part of this checkout" in refusal(checkout)
        (checkout / "training" / "kept.py").rename(checkout / name)


def test_a_name_that_is_no_text_is_refused(checkout: Path) -> None:
    (checkout / os.fsdecode(b"demo/caf\xe9.py")).write_text("tea = 1", encoding="utf-8")
    assert r"'demo/caf\udce9.py' is no name that the Hub takes" in refusal(checkout)


def test_a_file_that_is_gone_is_named(checkout: Path) -> None:
    add(checkout)
    (checkout / "app.py").unlink()
    with pytest.raises(TrainingError, match=r"app.py cannot be read: No such file"):
        checkout_files()


def test_the_working_tree_is_told_as_git_sees_it(checkout: Path) -> None:
    assert working_tree.changed() == [".gitignore", "LICENSE", "README.md", "app.py", "demo/",
                                      "embedded/", "requirements.txt", "training/"]  # fmt: skip
    add(checkout)
    subprocess.run([*GIT, "commit", "-qm", "all of it"], cwd=checkout, check=True)
    assert working_tree.changed() == []
    assert len(working_tree.revision()) == 40
    (checkout / "app.py").write_text("tea = 1\n", encoding="utf-8")
    assert working_tree.revision().endswith("+changes")
    shutil.rmtree(checkout / ".git")
    assert (working_tree.changed(), working_tree.revision()) == (None, "")
