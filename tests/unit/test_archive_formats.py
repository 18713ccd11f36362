"""Bringing one's own archive: X's export, as a file and in its zip, and plain text."""

import html
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import made_up
from training import TrainingError
from training.archive import Archive, Owner, read_archive


def read(path: Path) -> Archive:
    return read_archive(str(path))


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def zipped(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in files.items():
            bundle.writestr(name, text)
    return path


@pytest.mark.parametrize("part", ["tweets.part0", "tweet.part0", "tweets.part12"])
def test_an_export_gives_the_rows_of_the_archive(tmp_path: Path, part: str) -> None:
    path = written(tmp_path / "download", made_up.as_script(made_up.export(300), part))
    records = made_up.write(tmp_path / "a.csv", made_up.rows(300))
    assert read(path).rows == read(records).rows


def test_an_export_before_2019_has_tweets_that_are_not_wrapped(tmp_path: Path) -> None:
    entries = [entry["tweet"] for entry in made_up.export(5)]
    path = written(tmp_path / "tweet.js", made_up.as_script(entries, "tweet.part0"))
    assert len(read(path).rows) == 5


def test_an_exports_dates_are_utc_and_its_retweets_known_by_their_text(tmp_path: Path) -> None:
    entry = made_up.exported(made_up.row(1, "RT @teapots: the kettle sings again"))
    entry["created_at"] = "Wed Oct 10 20:19:24 +0200 2018"
    (row,) = read(written(tmp_path / "tweets.js", made_up.as_script([entry]))).rows
    assert row.is_retweet
    assert row.date == datetime(2018, 10, 10, 18, 19, 24, tzinfo=UTC)


def test_all_parts_of_an_exports_zip_are_read_in_order_and_nothing_else(tmp_path: Path) -> None:
    parts = [made_up.export(10, seed) for seed in range(11)]
    names = ["tweets.js", *(f"tweets-part{number}.js" for number in range(1, 11))]
    files = {f"data/{n}": made_up.as_script(p) for n, p in zip(names, parts, strict=True)}
    others = {
        "Your archive.html": "<html>",
        "data/like.js": made_up.as_script([], "like.part0"),
        "data/deleted-tweets.js": made_up.as_script(made_up.export(3), "deleted_tweets.part0"),
        "data/tweets_media/7.jpg": "\x89",
        "assets/list.json": "[]",
        "__MACOSX/data/._tweets.js": "\x00",
    }
    archive = read(zipped(tmp_path / "export.zip", {**files, **others}))
    texts = [entry["tweet"]["full_text"] for part in parts for entry in part]
    assert [row.text for row in archive.rows] == texts


def test_a_bad_entry_of_an_export_is_named(tmp_path: Path) -> None:
    entries = [*made_up.export(150), {"note": {}}]
    (bad,) = read(written(tmp_path / "tweets.js", made_up.as_script(entries))).bad
    assert str(bad).startswith("row 151, column id_str: must be a number")


def _script(kind: str) -> str:
    good = made_up.as_script(made_up.export(3))
    entry = made_up.exported(made_up.row(1, "tea"))
    return {
        "cut short": good[:-30],
        "no list": "window.YTD.tweets.part0 = {}",
        "no JSON": "window.YTD.tweets.part0 = [tea]",
        "no entries": made_up.as_script([]),
        "numbers": "window.YTD.tweets.part0 = [1, 2]",
        "no text": made_up.as_script([{"tweet": {"id_str": "1"}}]),
        "another part": made_up.as_script([], "like.part0"),
        "wrong dates": made_up.as_script([{**entry, "created_at": "of old"}]),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut short", "is not JSON: line .*Is it cut short"),
        ("no list", "no column .* texts"),
        ("no JSON", "is not JSON: line 1: Expecting value"),
        ("no entries", "holds no rows"),
        ("numbers", "must hold objects"),
        ("no text", "no column .* texts.*--text-column: its columns are id_str"),
        ("another part", "is the part 'like' of an X export; its tweets are in data/tweets.js"),
        ("wrong dates", "row 1, column created_at: must be a date like 2016"),
    ],
)
def test_a_wrong_export_gets_one_clear_error(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read(written(tmp_path / "tweets.js", _script(kind)))


def test_an_error_in_a_zips_part_names_the_part(tmp_path: Path) -> None:
    good = made_up.as_script(made_up.export(3))
    files = {"data/tweets.js": good, "data/tweets-part1.js": good[:-30]}
    with pytest.raises(TrainingError, match=r"export\.zip, data/tweets-part1\.js is not JSON"):
        read(zipped(tmp_path / "export.zip", files))


@pytest.mark.parametrize("files", [{}, {"a.csv": "x", "b.json": "y"}, {"README.txt": "x"}])
def test_a_zip_without_one_archive_says_what_it_must_hold(
    tmp_path: Path, files: dict[str, str]
) -> None:
    with pytest.raises(TrainingError, match=r"must hold one file of tweets \(.*; it holds "):
        read(zipped(tmp_path / "a.zip", files))


def test_a_zip_that_is_locked_is_said_to_be(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.csv": "x"})
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags, in the file's own header and in the directory: encrypted.
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(header) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(TrainingError, match="could not be unpacked: .*password"):
        read(path)


def test_of_a_zip_the_table_is_read_and_not_what_is_said_about_it(tmp_path: Path) -> None:
    files = {"README.txt": "About tea.", "a.csv": made_up.as_csv(made_up.rows(3))}
    assert len(read(zipped(tmp_path / "a.zip", files)).rows) == 3


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["tweets.txt", "download", "tweets.zip"])
def test_of_a_plain_text_each_line_is_a_tweet(tmp_path: Path, name: str, ending: str) -> None:
    text = ending.join(["Tea, at last!", "", "  ", "No, thanks\u2028to cake", 'He said "tea'])
    files = {"tweets.txt": text}
    path = tmp_path / name
    read_from = zipped(path, files) if name.endswith(".zip") else written(path, text)
    rows = read(read_from).rows
    assert [(row.id, row.text, row.date) for row in rows] == [
        (1, "Tea, at last!", None),
        (2, "No, thanks\u2028to cake", None),
        (3, 'He said "tea', None),
    ]


@pytest.mark.parametrize(
    "first",
    [
        "[1/3] A thread about tea",
        "[Thread] Tea, and what it is",
        "[] polish the teapot",
        "{sigh} No tea again",
        "{}, said the kettle",
        "date of the tea: today, at noon",
        "id",
        "window.YTD is not how a tweet begins",
    ],
)
def test_a_plain_text_may_begin_as_another_kind_does(tmp_path: Path, first: str) -> None:
    rows = read(written(tmp_path / "tweets.txt", f"{first}\nAnother line, of tea, and cake")).rows
    assert [row.text for row in rows][0] == first


def note(text: str) -> dict[str, Any]:
    return {"noteTweet": {"noteTweetId": "9", "core": {"text": text}}}


@pytest.mark.parametrize("ending", ["… https://t.co/abc", "…", ""])
def test_a_long_post_gets_its_whole_text(tmp_path: Path, ending: str) -> None:
    whole = f"{'Tea & cake, and more of it. ' * 15}The end."
    cut = whole[:270].strip().replace("&", "&amp;") + ending
    entries = [*made_up.export(3), {"tweet": made_up.exported(made_up.row(7, cut))}]
    notes = [note(whole), note("A post whose tweet is not there")]
    files = {
        "data/tweets.js": made_up.as_script(entries),
        "data/note-tweet.js": made_up.as_script(notes, "note_tweet.part0"),
    }
    archive = read(zipped(tmp_path / "export.zip", files))
    assert html.unescape(archive.rows[-1].text) == whole
    assert "long posts given their whole text: 1" in archive.found
    assert "long posts without a tweet: 1" in archive.left


def test_of_an_edited_tweet_the_last_version_stays(tmp_path: Path) -> None:
    entries = made_up.export(3)
    first, last = (entry["tweet"] for entry in entries[:2])
    both = [first["id_str"], last["id_str"]]
    first["edit_info"] = {"initial": {"editTweetIds": both[:1]}}
    last["edit_info"] = {"edit": {"initialTweetId": both[0], "editControlInitial": {
        "editTweetIds": both}}}  # fmt: skip
    archive = read(written(tmp_path / "tweets.js", made_up.as_script(entries)))
    assert [str(row.id) for row in archive.rows] == [both[1], entries[2]["tweet"]["id_str"]]
    assert archive.left == ["earlier versions of edited tweets: 1"]


def test_an_unzipped_export_is_read_by_its_folder_or_by_its_tweets(tmp_path: Path) -> None:
    parts = [made_up.export(5, seed) for seed in range(3)]
    account = [{"account": {"username": "teafan", "accountId": "5", "accountDisplayName": "Tea"}}]
    files = {
        "data/tweets.js": made_up.as_script(parts[0]),
        "data/tweets-part1.js": made_up.as_script(parts[1], "tweets.part1"),
        "data/community-tweet.js": made_up.as_script(parts[2], "community_tweet.part0"),
        "data/account.js": made_up.as_script(account, "account.part0"),
        "data/deleted-tweets.js": made_up.as_script(made_up.export(3), "deleted_tweets.part0"),
        "Your archive.html": "<html>",
    }
    for name, text in files.items():
        path = tmp_path / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written(path, text)
    expected = [entry["tweet"]["full_text"] for part in parts for entry in part]
    prefixed = {f"twitter-2026/{name}": text for name, text in files.items()}
    for source in (
        tmp_path / "export",
        tmp_path / "export/data",
        tmp_path / "export/data/tweets.js",
        zipped(tmp_path / "a.zip", prefixed),
    ):
        archive = read(source)
        assert [row.text for row in archive.rows] == expected
        assert archive.owner == Owner("Tea", "teafan", "5")
        assert "deleted-tweets.js" in archive.left[0]


def test_an_export_of_2012_to_2018_is_read_month_by_month(tmp_path: Path) -> None:
    tweets = [
        {"id_str": "1", "text": "Tea", "created_at": "2013-02-01 10:00:00 +0000"},
        {"id_str": "2", "text": "@you yes", "created_at": "2013-03-01 10:00:00 +0000",
         "in_reply_to_user_id": 9},
        {"id_str": "3", "text": "RT", "created_at": "2013-03-02 10:00:00 +0000",
         "retweeted_status": {"id_str": "8"}},
    ]  # fmt: skip
    files = {
        "data/js/user_details.js": 'var user_details = {"screen_name": "teafan", "id": "5"}',
        "data/js/tweets/2013_03.js": f"Grailbird.data.tweets_2013_03 =\n {json.dumps(tweets[1:])}",
        "data/js/tweets/2013_02.js": f"Grailbird.data.tweets_2013_02 =\n {json.dumps(tweets[:1])}",
        "tweets.csv": "tweet_id,text\n1,Tea\n",
        "README.txt": "About tea",
    }
    archive = read(zipped(tmp_path / "a.zip", files))
    assert [row.id for row in archive.rows] == [1, 2, 3]
    assert [row.is_reply for row in archive.rows] == [False, True, False]
    assert [row.is_retweet for row in archive.rows] == [False, False, True]
    assert archive.owner == Owner("teafan", "teafan", "5")


@pytest.mark.parametrize("is_wrapped", [True, False])
def test_an_export_may_have_lost_its_first_words(tmp_path: Path, is_wrapped: bool) -> None:
    entries = made_up.export(5)
    tweets = entries if is_wrapped else [entry["tweet"] for entry in entries]
    path = written(tmp_path / "tweets.json", json.dumps(tweets))
    assert read(path).rows == read(written(tmp_path / "t.js", made_up.as_script(entries))).rows


def test_a_thread_is_no_reply(tmp_path: Path) -> None:
    entries = made_up.export(2)
    for entry, to in zip(entries, ("5", "6"), strict=True):
        entry["tweet"]["in_reply_to_user_id_str"] = to
    account = made_up.as_script(
        [{"account": {"username": "me", "accountId": "5"}}], "account.part0"
    )
    files = {"data/tweets.js": made_up.as_script(entries), "data/account.js": account}
    rows = read(zipped(tmp_path / "a.zip", files)).rows
    assert [row.is_reply for row in rows] == [False, True]
