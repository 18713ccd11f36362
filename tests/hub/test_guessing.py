"""The game's tweets from a dataset, and its counts in one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.forking import Forked
from tests.guessing import write_tweets
from tests.hub.guessing import live
from tests.hub.repositories import State
from tests.hub.server import READER, WRITER, Broken, Hub, Repo

COUNTS = "alice/counts"
TWEETS = "alice/tweets"
KEPT = b'{"answers": 10, "right": 5, "detector_answers": 8, "detector_right": 4}'


@pytest.fixture
def life(hub: Hub, tmp_path: Path) -> Any:
    """Runs `tests.hub.guessing` against the Hub."""

    def run(*arguments: str, token: str = WRITER, stop_seconds: float = 30.0) -> dict[str, Any]:
        output = tmp_path / "output"
        told = (State(port=hub.port), tmp_path, token, stop_seconds, *arguments)
        process = Forked(output, live, *told)
        code, printed = process.wait(120), output.read_text()
        process.kill()
        assert code == 0, printed
        record: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return record

    return run


def counted(life: Any, answers: int, token: str = WRITER) -> dict[str, Any]:
    record: dict[str, Any] = life("counts", COUNTS, str(answers), token=token)
    return record


def on_the_hub(hub: Hub) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(hub.repos[COUNTS].files["counts.json"])
    return content


def test_counts_survive_a_restart(hub: Hub, life: Any) -> None:
    first = counted(life, 3)
    assert (first["answers"], first["kept"], first["said"]) == (3, True, [])
    assert hub.repos[COUNTS].private
    assert on_the_hub(hub)["answers"] == 3
    second = counted(life, 4)
    assert (second["answers"], second["right"], second["kept"]) == (7, 7, True)
    assert on_the_hub(hub)["answers"] == 7


def test_a_dataset_without_counts_is_begun_in(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"README.md": b"tea"})
    assert counted(life, 2)["kept"]
    assert on_the_hub(hub)["answers"] == 2


def test_what_was_kept_is_gone_on_from_and_its_neighbours_stay(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT, "README.md": b"tea"}, private=True)
    assert counted(life, 2)["answers"] == 12
    assert on_the_hub(hub) == {
        "answers": 12, "right": 7, "detector_answers": 8, "detector_right": 4,
    }  # fmt: skip
    assert set(hub.repos[COUNTS].files) == {"counts.json", "README.md"}


def test_two_processes_that_share_a_dataset_lose_none_of_their_answers(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT}, private=True)
    assert life("two", COUNTS) == {"a": 13, "b": 17, "said": []}
    assert on_the_hub(hub) == {
        "answers": 17, "right": 12, "detector_answers": 8, "detector_right": 4,
    }  # fmt: skip


def test_who_loses_a_race_adds_to_what_the_winner_wrote(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT}, private=True)

    def win() -> None:
        counts = json.loads(KEPT) | {"answers": 110, "right": 55}
        files = {"counts.json": json.dumps(counts).encode()}
        hub.repos[COUNTS] = replace(hub.repos[COUNTS], files=files, parent=hub.repos[COUNTS])

    hub.before_commit = win
    record = counted(life, 3)
    assert (record["answers"], record["kept"], record["said"]) == (113, True, [])
    assert on_the_hub(hub)["right"] == 58


def test_a_conflict_by_another_name_is_one_too(hub: Hub, life: Any) -> None:
    hub.broken["commit"] = Broken("status", status=409, times=2)
    record = counted(life, 2)
    assert (record["kept"], record["said"]) == (True, [])
    assert on_the_hub(hub)["answers"] == 2


def test_a_commit_of_which_only_the_answer_is_lost_counts_once(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT}, private=True)
    hub.broken["commit"] = Broken("unheard", times=1)
    record = counted(life, 3)
    assert len(record["said"]) == 2
    assert on_the_hub(hub)["answers"] == 13


def test_a_hub_that_is_down_at_the_start_leaves_the_counts_alone(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT}, private=True)
    # The client has a copy of them from an earlier run, which must not pass for what is there.
    counted(life, 2)
    hub.stop()
    alone = counted(life, 2)
    assert (alone["answers"], alone["kept"]) == (2, False)
    (sentence,) = alone["said"]
    assert "counts cannot be kept and alice/counts is left as it is" in sentence
    assert on_the_hub(hub)["answers"] == 12


def test_a_hub_that_was_down_at_the_start_gets_the_answers_later(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT}, private=True)
    hub.broken["info"] = Broken("status", status=500, times=1)
    record = counted(life, 3)
    assert (record["answers"], record["kept"]) == (3, False)
    assert record["said"][1:] == ["The game's counts are kept again."]
    assert on_the_hub(hub)["answers"] == 13


@pytest.mark.parametrize("content", [b"", b"teapot", b'{"answers": 1, "right": 2}'])
def test_nonsense_is_not_counted_on_and_not_overwritten(
    hub: Hub, life: Any, content: bytes
) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": content}, private=True)
    record = counted(life, 2)
    assert (record["answers"], record["kept"]) == (2, False)
    (sentence,) = record["said"]
    assert "counts.json: " in sentence
    assert hub.repos[COUNTS].files["counts.json"] == content


def test_who_may_not_write_counts_in_memory_and_is_told_once(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT}, private=True)
    record = counted(life, 3, token=READER)
    assert (record["kept"], len(record["said"])) == (False, 1)
    assert hub.repos[COUNTS].files["counts.json"] == KEPT


def test_a_hub_that_stalls_at_the_end_is_not_waited_for(hub: Hub, life: Any) -> None:
    hub.repos[COUNTS] = Repo({"counts.json": KEPT}, private=True)
    hub.broken["commit"] = Broken("stalled", after=1)
    record = life("counts", COUNTS, "2", stop_seconds=2.0)
    assert (record["answers"], record["kept"]) == (12, True)
    assert 2 <= record["seconds"] < 7
    assert on_the_hub(hub)["answers"] == 11


def test_only_what_a_game_needs_of_a_dataset_is_fetched(
    hub: Hub, life: Any, tmp_path: Path
) -> None:
    write_tweets(tmp_path / "data", 30, "test")
    write_tweets(tmp_path / "data", 40, "train")
    files = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    hub.repos[TWEETS] = repo = Repo({**files, "report.json": b"{}"}, private=True)
    fetched = life("tweets", TWEETS, repo.commit, token=READER)
    assert fetched == {"files": ["test.parquet"], "shown": 30}
    assert hub.served == ["test.parquet"]
    hub.stop()
    assert life("tweets", TWEETS, repo.commit, token=READER) == fetched


def test_a_dataset_that_cannot_be_had_is_named_with_its_setting(hub: Hub, life: Any) -> None:
    hub.repos[TWEETS] = Repo({"test.parquet": b"tea"})
    assert life("tweets", TWEETS, "0" * 40)["error"] == (
        f"{TWEETS} has no commit {'0' * 40}: correct TWEETS_REVISION."
    )
    assert "does not exist, or HF_TOKEN may not read it" in life("tweets", "a/b", "0" * 40)["error"]
