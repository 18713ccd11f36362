"""The shapes that archives have: tables, JSON, texts, packed files and folders as people have
them, told by their content."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import made_up
from training import TrainingError
from training.archive import Archive, Options, files, read_archive, reading

ROWS = made_up.rows(40)
TEXTS = [row["text"] for row in ROWS]
CSV = made_up.as_csv(ROWS)
LAST = datetime.strptime(ROWS[-1]["date"], made_up.DATE_FORMAT).replace(tzinfo=UTC)


def read(path: Path, **options: str) -> Archive:
    return read_archive(str(path), Options(**options))


def texts(path: Path, **options: str) -> list[str]:
    return [row.text for row in read(path, **options).rows]


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(columns: Mapping[str, Callable[[dict[str, Any]], str]], separator: str = ",") -> str:
    lines = [separator.join(columns)]
    lines += [separator.join(f'"{value(row)}"' for value in columns.values()) for row in ROWS]
    return "\r\n".join(lines)


def tarred(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as bundle:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        bundle.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(entries: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in entries.items():
            bundle.writestr(name, content)
    return stream.getvalue()


def zstandard(content: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return packed


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        zstandard,
        lambda content: tarred("tweets.csv", content),
        lambda content: gzip.compress(tarred("tweets.csv", content)),
        lambda content: lzma.compress(tarred("a/tweets.csv", content)),
        lambda content: zipped({"a\\tweets.csv": content, "a\\README.txt": b"tea"}),
        lambda content: zipped({"tweets.csv.gz": gzip.compress(content)}),
        lambda content: zipped({"__MACOSX/._tweets.csv": b"\0", "tweets.csv": content}),
        lambda content: tarred("tweets.zip", zipped({"tweets.csv": content})),
    ],
)  # fmt: skip
def test_what_a_file_is_its_content_says_not_its_name(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    assert texts(written(tmp_path / "download", pack(CSV.encode()))) == TEXTS


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        CSV.encode("utf-16-le"),
        CSV.encode("utf-16-be"),
        CSV.encode("utf-32"),
        CSV.replace(",f,", ",False,").replace(",1,", ",1.0,").encode(),
        table({c: lambda row, c=c: row[c] for c in ("text", "id", "date")}, ";").encode(),  # type: ignore[misc]
        table({c: lambda row, c=c: row[c] for c in ("id", "text")}, "\t").encode(),  # type: ignore[misc]
        table({"Tweet": lambda row: row["text"]}).encode(),
        "\n".join(f'"{text}"' for text in TEXTS).encode(),
        f"sep=,\r\n{CSV}".encode(),
        "\n".join(map(json.dumps, ROWS)).encode(),
        json.dumps(ROWS, indent=1).strip("[]").encode(),
        json.dumps({"meta": [1], "data": ROWS}).encode(),
        "\n".join(json.dumps({"data": ROWS[at : at + 20]}) for at in (0, 20)).encode(),
        json.dumps(TEXTS).encode(),
        json.dumps(TEXTS).replace("]", ",]").encode(),
        json.dumps({row["id"]: row for row in ROWS}).encode(),
        json.dumps({"name": "me", "tweets": {row["id"]: row for row in ROWS}}).encode(),
        "\n".join(json.dumps({"data": row, "matching_rules": []}) for row in ROWS).encode(),
        json.dumps({"records": [{"uri": "at://", "value": row} for row in ROWS]}).encode(),
        json.dumps([{"text": [text[:9], {"text": text[9:]}]} for text in TEXTS]).encode(),
        table(
            {"id": lambda row: row["id"], "text": lambda row: str(row["text"].encode())}
        ).encode(),
        "".join(f"<|startoftext|>{text}<|endoftext|>\n" for text in TEXTS).encode(),
        "<|endoftext|>".join(TEXTS).encode(),
    ],
)
def test_every_shape_of_text_gives_the_same_tweets(tmp_path: Path, content: bytes) -> None:
    assert texts(written(tmp_path / "download", content)) == TEXTS


def test_a_quotation_mark_inside_a_text_may_stand_behind_a_backslash(tmp_path: Path) -> None:
    lines = [rf'"{row["id"]}","A \"tea\", {row["text"]}"' for row in ROWS]
    content = "\n".join(['"id","text"', *lines])
    assert texts(written(tmp_path / "a.csv", content)) == [f'A "tea", {text}' for text in TEXTS]


def test_where_tabs_part_columns_a_quotation_mark_may_mean_nothing(tmp_path: Path) -> None:
    lines = [f'{row["id"]}\t"Tea" and {row["text"]}' for row in ROWS]
    content = "\n".join(["id\ttext", *lines, '7\t"Tea'])
    expected = [f'"Tea" and {text}' for text in TEXTS]
    assert texts(written(tmp_path / "a.tsv", content)) == [*expected, '"Tea']


def test_what_lies_beside_tables_is_left(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(2):
        part = pa.table({"text": TEXTS[20 * number : 20 * number + 20]})
        pq.write_table(part, tmp_path / f"data/train-{number}.parquet")
    for name in ("README.md", "dataset_infos.json", "dataset-metadata.json"):
        (tmp_path / name).write_text("{}")
    assert texts(tmp_path) == TEXTS


def test_columns_of_other_collectors_tell_retweets_and_replies(tmp_path: Path) -> None:
    posts = [
        {"rawContent": "Tea", "retweetedTweet": None, "inReplyToTweetId": 7},
        {"rawContent": "Tea", "retweetedTweet": {"id": 7}, "inReplyToTweetId": None},
    ]
    rows = read(written(tmp_path / "a", "\n".join(map(json.dumps, posts)))).rows
    assert [(row.is_retweet, row.is_reply) for row in rows] == [(False, True), (True, False)]
    feed = [{"post": {"record": {"text": text}}} for text in ("Tea", "Cake")]
    feed[0]["reason"] = {"by": {}}
    rows = read(written(tmp_path / "c", json.dumps({"feed": feed}))).rows
    assert [(row.text, row.is_retweet) for row in rows] == [("Tea", True), ("Cake", False)]
    flagged = "text,repost_flag,reply\nTea,True,False\nCake,False,False\n"
    rows = read(written(tmp_path / "b", flagged)).rows
    assert [(row.is_retweet, row.is_reply) for row in rows] == [(True, False), (False, False)]


def test_parquet_is_read(tmp_path: Path) -> None:
    columns = {"content": TEXTS, "date": [LAST] * 40, "is_retweet": [False] * 40}
    pq.write_table(pa.table(columns), tmp_path / "a")
    assert read(tmp_path / "a").rows[3].date == LAST
    packed = written(tmp_path / "a.zip", zipped({"a.parquet": (tmp_path / "a").read_bytes()}))
    assert texts(packed) == TEXTS


@pytest.mark.parametrize(
    "value",
    [
        f"{LAST:%Y-%m-%dT%H:%M:%SZ}",
        f"{LAST:%Y-%m-%d %H:%M:%S+00:00}",
        f"{LAST:%Y-%m-%d} 12:00:00 +0200",
        f"{LAST:%a %b %d %H:%M:%S +0000 %Y}",
        f"{LAST:%d.%m.%Y %H:%M}",
        f"{LAST:%B %d, %Y %I:%M %p}",
        f"{LAST:%y-%m-%d %H:%M}",
        f"{LAST.year}年{LAST.month}月{LAST.day}日 {LAST.hour}時{LAST.minute:02}分",
        f"{LAST.timestamp():.0f}",
        f"{LAST.timestamp() * 1000:.0f}",
    ],
)
def test_dates_of_any_form_are_utc(tmp_path: Path, value: str) -> None:
    columns = {"text": lambda row: row["text"], "created_at": lambda row: value}
    assert read(written(tmp_path / "a.csv", table(columns))).rows[0].date == LAST


def test_a_row_without_a_date_is_a_tweet_without_one(tmp_path: Path) -> None:
    rows = read(written(tmp_path / "a.csv", "text,date\na,2020-01-02\nb,\nc,\\N\n")).rows
    assert [row.date for row in rows] == [datetime(2020, 1, 2, tzinfo=UTC), None, None]


def test_lines_of_json_may_hold_any_line_break(tmp_path: Path) -> None:
    line = json.dumps({"text": "tea\u2028cake\x85"}, ensure_ascii=False)
    assert texts(written(tmp_path / "a", f"\ufeff{line}\n{line}\n")) == ["tea\u2028cake\x85"] * 2


def test_sentences_with_as_many_commas_are_no_table(tmp_path: Path) -> None:
    lines = [f"Tea {number}, and cake" for number in range(30)]
    assert texts(written(tmp_path / "a", "\r".join(lines))) == lines


def test_which_number_is_the_day_the_whole_file_says(tmp_path: Path) -> None:
    lines = ["text,date", "a,03/04/2020", "b,25/12/2020"]
    first, second = read(written(tmp_path / "a.csv", "\n".join(lines))).rows
    assert (first.date, second.date) == (
        datetime(2020, 4, 3, tzinfo=UTC),
        datetime(2020, 12, 25, tzinfo=UTC),
    )


def test_columns_of_any_name_are_named_by_options(tmp_path: Path) -> None:
    columns = {"Wort": lambda row: row["text"], "Tag": lambda row: row["date"]}
    path = written(tmp_path / "a.csv", table(columns, ";"))
    with pytest.raises(TrainingError, match=r"--text-column: its columns are Wort, Tag\."):
        read(path)
    rows = read(path, text_column="Wort", date_column="Tag").rows
    assert ([row.text for row in rows], rows[-1].date) == (TEXTS, LAST)
    with pytest.raises(TrainingError, match="no column 'Datum'. Name one with --date-column"):
        read(path, text_column="Wort", date_column="Datum")


def test_a_table_without_a_header_has_numbers_for_columns(tmp_path: Path) -> None:
    lines = [f'"0","{number}","me","{text}"' for number, text in enumerate(TEXTS)]
    assert texts(written(tmp_path / "a.csv", "\n".join(lines)), text_column="4") == TEXTS


def test_another_encoding_is_named_and_then_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", CSV.replace("The", "Thé “tea”").encode("cp1252"))
    with pytest.raises(TrainingError, match="not UTF-8: line 2 .*--encoding cp1252"):
        read(path)
    assert texts(path, encoding="cp1252")[0].startswith("Thé “tea”")
    with pytest.raises(TrainingError, match="--encoding 'tea' is not known"):
        read(path, encoding="tea")


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (lambda row: "1.344E+18", "rounded by a spreadsheet"),
        (lambda row: "7", "the same number many times"),
        (lambda row: f"post-{row['id']}", "are no numbers"),
    ],
)
def test_ids_that_tell_nothing_are_not_used(
    tmp_path: Path, ids: Callable[[dict[str, Any]], str], problem: str
) -> None:
    columns = {"id": ids, "text": lambda row: row["text"]}
    archive = read(written(tmp_path / "a.csv", table(columns)))
    assert [row.id for row in archive.rows] == list(range(1, 41))
    assert problem in archive.found[0]


def test_control_characters_are_removed_and_counted(tmp_path: Path) -> None:
    archive = read(written(tmp_path / "a.csv", CSV.replace("The", "T\0he", 3)))
    assert [row.text for row in archive.rows] == TEXTS
    assert archive.left == ["texts with control characters, which were removed from them: 1"]


def test_texts_with_blank_lines_between_them_may_have_several_lines(tmp_path: Path) -> None:
    posts = [f"{text}\nYes, really." for text in TEXTS]
    assert texts(written(tmp_path / "a.txt", "\n\n".join(posts))) == posts


def test_the_fediverses_posts_are_text_and_those_to_few_are_left_out(tmp_path: Path) -> None:
    public = "https://www.w3.org/ns/activitystreams#Public"
    note = {
        "content": '<p>Tea &amp; cake<br>for <a href="x"><span>@</span>all</a></p><p>Yes</p>',
        "inReplyTo": None,
        "id": "https://m.example/users/me/statuses/17",
    }
    activity = {"type": "Create", "published": "2021-01-01T08:00:00Z", "to": [public]}
    items = [
        {**activity, "object": note},
        {
            **activity,
            "object": {
                **note,
                "id": "https://m.example/users/me/statuses/18",
                "inReplyTo": "https://m.example/users/you/statuses/9",
            },
        },
        {**activity, "to": ["https://m.example/users/you"], "object": note},
        {
            **activity,
            "type": "Announce",
            "id": "https://m.example/users/me/statuses/19/activity",
            "object": "https://m.example/users/you/statuses/9",
        },
    ]
    outbox = written(tmp_path / "m/outbox.json", json.dumps({"orderedItems": items}))
    actor = {"name": "Tea Fan", "preferredUsername": "teafan"}
    written(tmp_path / "m/actor.json", json.dumps(actor))
    archive = read(outbox.parent)
    first = archive.rows[0]
    assert (first.id, first.text) == (17, "Tea &amp; cake\nfor @all\n\nYes")
    assert [row.is_reply for row in archive.rows] == [False, True, False]
    assert [row.is_retweet for row in archive.rows] == [False, False, True]
    assert "posts that are not public: 1" in archive.left
    assert archive.owner is not None
    assert (archive.owner.name, archive.owner.handle) == ("Tea Fan", "teafan")


def test_tweets_of_xs_api_are_known_in_both_its_versions(tmp_path: Path) -> None:
    me = {"id_str": "5", "name": "Tea Fan", "screen_name": "teafan"}
    first = {"user": me, "id_str": "1", "full_text": "Tea", "created_at": ROWS[0]["date"]}
    lines: list[dict[str, Any]] = [
        {**first, "in_reply_to_user_id_str": "5"},
        {**first, "in_reply_to_user_id_str": "6"},
        {**first, "retweeted_status": {"id_str": "9"}},
        {**first, "extended_tweet": {"full_text": "Tea and cake"}},
    ]
    archive = read(written(tmp_path / "one", "\n".join(map(json.dumps, lines))))
    assert [row.is_reply for row in archive.rows] == [False, True, False, False]
    assert [row.is_retweet for row in archive.rows] == [False, False, True, False]
    assert archive.rows[3].text == "Tea and cake"
    assert archive.owner is not None
    assert archive.owner.handle == "teafan"
    tweets = [
        {"id": "1", "text": "Tea", "referenced_tweets": [{"type": "retweeted", "id": "8"}]},
        {"id": "2", "text": "Tea…", "note_tweet": {"text": "Tea and cake"}},
    ]
    rows = read(written(tmp_path / "two", json.dumps({"data": tweets}))).rows
    assert [(row.text, row.is_retweet) for row in rows] == [("Tea", True), ("Tea and cake", False)]


def test_several_files_of_one_kind_are_read_as_one(tmp_path: Path) -> None:
    halves = {"2017.csv": made_up.as_csv(ROWS[:20]), "2018.csv": made_up.as_csv(ROWS[20:])}
    assert texts(written(tmp_path / "a.zip", zipped(halves))) == TEXTS
    for name, content in halves.items():
        written(tmp_path / "years" / name, content)
    assert texts(tmp_path / "years") == TEXTS
    plain = {"a.txt": "\n".join(TEXTS[:20]), "b.txt": "\n".join(TEXTS[20:])}
    rows = read(written(tmp_path / "b.zip", zipped(plain))).rows
    assert [row.id for row in rows] == list(range(1, 41))


def test_blueskys_own_tool_writes_a_folder_that_is_read(tmp_path: Path) -> None:
    for number, text in enumerate(TEXTS):
        post = {"$type": "app.bsky.feed.post", "text": text, "createdAt": "2024-11-20T08:00:00Z"}
        written(tmp_path / f"did/app.bsky.feed.post/{number:04}.json", json.dumps(post))
    written(tmp_path / "did/app.bsky.actor.profile/self.json", '{"displayName": "Tea Fan"}')
    archive = read(tmp_path)
    assert [row.text for row in archive.rows] == TEXTS
    assert archive.owner is not None
    assert archive.owner.name == "Tea Fan"
    assert archive.found[-1] == "and 20 more files like these"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x3a\xa2\x65roots\x81\xd8", "Bluesky .*goat repo unpack"),
        (zipped({"[Content_Types].xml": "<x/>", "xl/workbook.xml": "<x/>"}), "Excel.*as CSV"),
        (b"SQLite format 3\0" + bytes(100), "SQLite. Export its table as CSV"),
        (b"\x80\x04\x95" + bytes(100), "pickle"),
        (bytes(range(256)) * 20, r"no text: .*Tried: gzip.*UTF-16"),
        (zipped({"data/like.js": "[]", "data/README.txt": "tea"}), "no tweets.js in it"),
        (zipped({"README.md": "tea", "LICENSE.txt": "tea"}), "must hold one file of tweets"),
        ("window.__THAR_CONFIG = {}", "is a script"),
        ('<?xml version="1.0"?><rss/>', "is a file of XML"),
        (r"{\rtf1\ansi tea}", "is a document of RTF"),
        ("- text: tea\n- text: cake", "is a file of YAML"),
        ("-- MySQL dump 10.13\nINSERT INTO tweets VALUES (1, 'tea')", "is a dump of SQL"),
        ("[12/31/20, 9:41:03 PM] Ann: tea", "is a chat of WhatsApp"),
        ("31.12.20, 21:41 - Ann: tea", "is a chat of WhatsApp"),
        ('id,text\n1,"Tea" is great', "line 2: .* must be doubled"),
        (b"\xff\xff\xff\xff" + bytes(40), "is an Arrow file. Save the table as parquet"),
        ("1344000000000000001\n1344000000000000002", "ids of tweets and not their texts"),
        ('{"text": {"0": "tea", "1": "cake"}}', "orient='records'"),
        (b"PAR1" + bytes(40), "no parquet that can be read"),
        ('{"a": 1', "is not JSON: line 1: .*cut short"),
        ('{"a": 1}\n{b: 2}', "is not JSON: line 2"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(
    tmp_path: Path, content: bytes | str, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        read(written(tmp_path / "download", content))


def test_a_line_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="a line of more than 4,194,304 characters"):
        read(written(tmp_path / "a.txt", "tea and cake\n" + "x" * (1 << 23)))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda c: zipped({"a.csv": c})])
def test_a_bomb_is_refused_while_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(files, "FREE_BYTES", 1 << 18)
    line = b"1,tea and cake,f\r\n"
    path = written(tmp_path / "a", pack(b"id,text,isRetweet\r\n" + line * 40_000))
    with pytest.raises(TrainingError, match="unpacks to more than 200 times its"):
        read(path)


def test_a_bomb_of_many_layers_or_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = CSV.encode()
    for _ in range(6):
        content = gzip.compress(content)
    with pytest.raises(TrainingError, match="packed more than 3 times"):
        read(written(tmp_path / "a", content))
    content = CSV.encode()
    for _ in range(6):
        content = zipped({"a.zip": content})
    with pytest.raises(TrainingError, match="packed too many times"):
        read(written(tmp_path / "b", content))
    monkeypatch.setattr(reading, "MAX_ROWS", 30)
    with pytest.raises(TrainingError, match="more than 30 rows"):
        read(written(tmp_path / "c", CSV))


def test_links_that_lead_nowhere_and_pipes_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(TrainingError, match="symbolic link that leads to no file"):
        read(loop)
    with pytest.raises(TrainingError, match="neither a file nor a folder"):
        read(Path("/dev/zero"))
    written(tmp_path / "folder/tweets.csv", CSV)
    (tmp_path / "folder/again").symlink_to(tmp_path / "folder")
    assert texts(tmp_path / "folder") == TEXTS
