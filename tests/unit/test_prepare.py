"""Cleaning, near duplicates and splits, on made-up tweets."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests import made_up
from tests.processes import ROOT
from training import TrainingError, prepare
from training.__main__ import main
from training.archive import Archive, Owner, Row, read_archive
from training.files import written_aside

MEMORY_KIB = 300 * 1024


def run(archive: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    command = ["training", "prepare", str(archive), "--out", str(out), *options]
    monkeypatch.setattr("sys.argv", command)
    return main()


def loaded(tmp_path: Path, records: list[dict[str, str]]) -> list[Row]:
    return read_archive(str(made_up.write(tmp_path / "a.csv", records))).rows


def test_the_same_input_gives_identical_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = made_up.write(tmp_path / "a.csv.gz", made_up.rows(300))
    for name in ("one", "two"):
        assert run(archive, tmp_path / name, monkeypatch) == 0
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [
        "dev.parquet",
        "persona.json",
        "report.json",
        "retweets.parquet",
        "test.parquet",
        "test_time.parquet",
        "train.parquet",
    ]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_prepared_before_stays_if_it_cannot_all_be_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: BaseException,
) -> None:
    out = tmp_path / "out"
    assert run(made_up.write(tmp_path / "a.csv", made_up.rows(60)), out, monkeypatch) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(prepare, "write_json", Mock(side_effect=fault))
    other = made_up.write(tmp_path / "b.csv", made_up.rows(90, seed=1))
    assert run(other, out, monkeypatch) == (1 if isinstance(fault, OSError) else 130)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert "no space left" in capsys.readouterr().err or isinstance(fault, KeyboardInterrupt)


def test_what_a_killed_run_left_goes_with_the_next_and_what_another_makes_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/unit/test_cache.py kills real processes."""
    out = tmp_path / "out"
    with written_aside(out) as others:
        killed = others.with_name(f"{others.name}-killed")
        killed.mkdir()
        (killed / "train.parquet").touch()
        assert run(made_up.write(tmp_path / "a.csv", made_up.rows(60)), out, monkeypatch) == 0
        assert [path for path in out.iterdir() if path.name.startswith(".")] == [others]
    assert not list(out.glob(".*"))


OWNER = Owner("Ann Teapot", "teapot")


def archive_of(owner: Owner | None = None, is_trumps: bool = False) -> Archive:
    return Archive("tweets.zip", "0", owner=owner, is_trumps=is_trumps)


def test_whose_tweets_they_are_is_never_guessed() -> None:
    """An export names its owner, the archive's columns are its own, and all else must say."""
    found = prepare.find_author(archive_of(OWNER))
    assert (found.name, found.title) == ("Ann Teapot", "Ann Teapot or Computer Dump?")
    assert found.tweets == "Ann Teapot's tweets (@teapot)"
    assert "Trump" not in str(found.model_dump())
    assert "generated" in found.label
    unshowable = prepare.find_author(archive_of(Owner("<b>Ann\u202e", "teapot")))
    assert unshowable.name == "teapot"
    assert prepare.find_author(archive_of(is_trumps=True)).name == "Donald Trump"
    # A single author's posts may come in the archive's columns too.
    assert prepare.find_author(archive_of(OWNER, is_trumps=True)).name == "Ann Teapot"
    for nobodys in (archive_of(), archive_of(Owner("<", ">"))):
        with pytest.raises(TrainingError, match=r"tweets\.zip does not say whose .* --persona"):
            prepare.find_author(nobodys)


def test_a_file_of_lines_must_say_whose_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(row["text"] for row in made_up.rows(60)), encoding="utf-8")
    assert run(lines, tmp_path / "out", monkeypatch) == 1
    assert "lines.txt does not say whose tweets it holds" in capsys.readouterr().err
    assert not (tmp_path / "out" / "persona.json").exists()
    persona = ("--persona", str(prepare.PERSONA))
    assert run(lines, tmp_path / "out", monkeypatch, *persona) == 0
    assert "Persona: Donald Trump" in capsys.readouterr().out
    assert run(made_up.write(tmp_path / "a.csv", made_up.rows(60)), tmp_path, monkeypatch) == 0
    other = [{"when": row["date"], "text": row["text"]} for row in made_up.rows(60)]
    (tmp_path / "other.json").write_text(json.dumps(other), encoding="utf-8")
    assert run(tmp_path / "other.json", tmp_path, monkeypatch) == 1


def test_every_dropped_row_is_counted(tmp_path: Path) -> None:
    records = made_up.rows(100)
    records += [
        made_up.row(100, "RT @a: a perfectly good tweet about tea"),
        made_up.row(101, '"@a: a perfectly good tweet about tea"'),
        made_up.row(102, "somebody else's tweet about teapots", isRetweet="t"),
        made_up.row(103, "this one was cut off in the midd… https://t.co/x"),
        made_up.row(104, "https://t.co/x"),
        made_up.row(105, records[0]["text"]),
        made_up.row(106, f"{records[1]['text']} https://t.co/y"),
        made_up.row(107, records[2]["text"].upper().replace("!", "!!!")),
        dict(records[3]),
    ]
    tweets, _, counts = prepare.clean(loaded(tmp_path, records))
    assert counts == {
        "valid rows": 109,
        "repeated ids": 1,
        "retweets": 1,
        "retweets by hand": 2,
        "cut off": 1,
        "too short": 1,
        "exact duplicates": 2,
        "near duplicates": 1,
        "kept": 100,
        "handles kept": 0,
    }
    assert [tweet.text for tweet in tweets] == [record["text"] for record in records[:100]]


def test_retweets_by_hand_are_kept_apart_if_no_tweet_is_like_them(tmp_path: Path) -> None:
    records = made_up.rows(40)
    records += [
        made_up.row(40, "RT @a: a perfectly good tweet about tea"),
        made_up.row(41, '"@a: @b another perfectly good tweet" So true!'),
        made_up.row(42, '"@c another perfectly good tweet" So true'),
        made_up.row(43, f"“@a {records[0]['text']}”"),
        made_up.row(44, "RT @a: this one was cut off in the midd…"),
        made_up.row(45, "RT @a: tea"),
    ]
    tweets, retweets, counts = prepare.clean(loaded(tmp_path, records))
    assert [tweet.text for tweet in tweets] == [record["text"] for record in records[:40]]
    assert (counts["retweets by hand"], counts["kept"]) == (6, 40)
    assert [tweet.text for tweet in retweets] == [
        "a perfectly good tweet about tea",
        '"@user another perfectly good tweet" So true!',
    ]


def test_of_near_duplicates_the_first_by_id_stays(tmp_path: Path) -> None:
    text = made_up.sentence(random.Random(9))
    records = [made_up.row(5, f"{text} Yes"), made_up.row(2, text)]
    tweets, _, _ = prepare.clean(loaded(tmp_path, records))
    assert [tweet.text for tweet in tweets] == [text]


def test_the_splits_share_no_tweet_and_time_comes_last(tmp_path: Path) -> None:
    tweets, _, _ = prepare.clean(loaded(tmp_path, made_up.rows(400)))
    splits = prepare.split(tweets, seed=1)
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 324, "dev": 18, "test": 18, "test_time": 40,
    }  # fmt: skip
    assert sorted(t.id for part in splits.values() for t in part) == [t.id for t in tweets]
    assert max(t.date for name in ("train", "dev", "test") for t in splits[name]) <= min(
        t.date for t in splits["test_time"]
    )


def test_another_seed_gives_another_split_of_the_same_tweets(tmp_path: Path) -> None:
    tweets, _, _ = prepare.clean(loaded(tmp_path, made_up.rows(200)))
    assert prepare.split(tweets, 1)["test"] != prepare.split(tweets, 2)["test"]
    assert prepare.split(tweets, 1) == prepare.split(tweets[::-1], 1)


def test_too_small_an_archive_names_the_limit(tmp_path: Path) -> None:
    tweets, _, _ = prepare.clean(loaded(tmp_path, made_up.rows(39)))
    with pytest.raises(TrainingError, match="39 tweets .* at least 40"):
        prepare.split(tweets, 1)


def test_the_report_holds_every_count_and_what_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = made_up.rows(200)
    records[3]["id"] = "not a number"
    run(made_up.write(tmp_path / "a.csv", records), tmp_path / "out", monkeypatch)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["rows"], report["bad_rows"], report["seed"]) == (200, 1, 20210108)
    assert len(report["archive_sha256"]) == 64
    kept = sum(report["splits"][name]["tweets"] for name in prepare.SPLITS)
    assert kept == report["counts"]["kept"]
    assert "row 4, column id" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", ["a folder that is a file", "no archive"])
def test_an_unusable_path_is_one_line_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    archive = made_up.write(tmp_path / "a.csv", made_up.rows(60))
    out = archive if wrong == "a folder that is a file" else tmp_path / "out"
    source = tmp_path / "none.csv" if wrong == "no archive" else archive
    assert run(source, out, monkeypatch) == 1
    printed = capsys.readouterr().err
    named = out if wrong == "a folder that is a file" else source
    assert printed.splitlines()[-1].startswith("prepare: ")
    assert str(named) in printed.splitlines()[-1]
    assert "Traceback" not in printed


def test_a_plain_text_keeps_its_last_lines_for_test_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [made_up.sentence(random.Random(seed)) for seed in range(100)]
    (tmp_path / "tweets.txt").write_text("\n".join(lines), encoding="utf-8")
    persona = ("--persona", str(prepare.PERSONA))
    assert run(tmp_path / "tweets.txt", tmp_path / "out", monkeypatch, *persona) == 0
    assert prepare.read_texts(tmp_path / "out", "test_time") == lines[-10:]
    assert "none: by the order of the archive" in capsys.readouterr().out


def test_of_an_export_a_retweet_is_counted_as_one(tmp_path: Path) -> None:
    entries = [*made_up.export(50), made_up.exported(made_up.row(50, "RT @a: some good tea"))]
    (tmp_path / "tweets.js").write_text(made_up.as_script(entries))
    rows = read_archive(str(tmp_path / "tweets.js")).rows
    _, _, counts = prepare.clean(rows)
    assert (counts["retweets"], counts["retweets by hand"], counts["kept"]) == (1, 0, 50)


def test_replies_are_left_out_if_asked_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = made_up.rows(60)
    records += [made_up.row(60 + n, f"@you {made_up.sentence(random.Random(n))}") for n in range(7)]
    archive = made_up.write(tmp_path / "a.csv", records)
    arguments = ["training", "prepare", str(archive), "--no-replies", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert main() == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["counts"]["kept"], report["left"]) == (60, ["replies: 7"])
    printed = capsys.readouterr().out
    assert "a.csv: 67 tweets (a table with commas; text from text, date from date" in printed
    assert "left out: replies: 7" in printed


@pytest.mark.slow
def test_twenty_thousand_tweets_stay_small_in_memory(tmp_path: Path) -> None:
    """Kept signatures and 5-grams alone once took some 15 KB a tweet."""
    archive = made_up.write(tmp_path / "a.csv", list(made_up.varied(20_000)))
    code = "from training.__main__ import main; main(); print(open('/proc/self/status').read())"
    done = subprocess.run(
        [sys.executable, "-c", code, "prepare", str(archive), "--out", str(tmp_path / "out")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    # Of the child's own pages; what `getrusage` says of a child counts its parent's too.
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(peak_kib) < MEMORY_KIB


def test_a_folder_without_prepared_data_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="python -m training prepare"):
        prepare.read_texts(tmp_path, "train")
