"""Reading an archive: every format, and every way in which a file can be wrong."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import made_up
from training import TrainingError
from training.archive import Archive, read_archive


def read(path: Path) -> Archive:
    return read_archive(str(path))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.zip", "a.json"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    records = made_up.rows(30)
    archive = read(made_up.write(tmp_path / name, records))
    assert [str(row.id) for row in archive.rows] == [record["id"] for record in records]
    assert [row.text for row in archive.rows] == [record["text"] for record in records]
    assert archive.bad == []


def test_numbers_and_booleans_of_json_are_accepted(tmp_path: Path) -> None:
    record = {**made_up.row(1, "tea"), "id": 7, "favorites": 3, "isRetweet": True}
    (row,) = read(made_up.write(tmp_path / "a.json", [record])).rows
    assert (row.id, row.is_retweet) == (7, True)


def test_a_line_break_inside_a_tweet_is_kept(tmp_path: Path) -> None:
    (row,) = read(made_up.write(tmp_path / "a.csv", [made_up.row(1, "tea\r\ncake")])).rows
    assert row.text == "tea\r\ncake"


def test_a_few_bad_rows_are_counted_and_named(tmp_path: Path) -> None:
    records = made_up.rows(200)
    records[41]["date"] = "yesterday"
    archive = read(made_up.write(tmp_path / "a.csv", records))
    assert len(archive.rows) == 199
    assert str(archive.bad[0]).startswith("row 42, column date: must be a date")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("isRetweet", ""),
        ("isRetweet", "maybe"),
        ("date", "2020-02-30 00:00:00"),
        ("date", "12:30"),
    ],
)
def test_many_bad_rows_mean_the_wrong_file(tmp_path: Path, column: str, value: str) -> None:
    records = [{**record, column: value} for record in made_up.rows(10)]
    with pytest.raises(TrainingError, match=rf"10 of 10 rows are bad.*row 1, column {column}"):
        read(made_up.write(tmp_path / "a.csv", records))


def test_a_row_with_too_many_columns_is_bad(tmp_path: Path) -> None:
    text = made_up.as_csv(made_up.rows(150)) + "1,tea,f,f,x,1,2,2020-01-01 00:00:00,f,extra\r\n"
    (tmp_path / "a.csv").write_text(text)
    assert [bad.number for bad in read(tmp_path / "a.csv").bad] == [151]


def test_a_byte_order_mark_is_no_part_of_the_archive(tmp_path: Path) -> None:
    text = made_up.as_csv(made_up.rows(3))
    (tmp_path / "a.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert len(read(tmp_path / "a.csv").rows) == 3


def test_an_id_that_parquet_cannot_hold_is_bad(tmp_path: Path) -> None:
    records = [*made_up.rows(150), {**made_up.row(150, "tea"), "id": str(2**63)}]
    (bad,) = read(made_up.write(tmp_path / "a.csv", records)).bad
    assert str(bad).startswith("row 151, column id: must be at most 9223372036854775807")


def test_half_an_emoji_is_bad(tmp_path: Path) -> None:
    records = [*made_up.rows(150), made_up.row(150, "tea \ud83e")]
    (bad,) = read(made_up.write(tmp_path / "a.json", records)).bad
    assert str(bad).startswith("row 151, column text: must be whole Unicode")


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_json_of_many_pieces_is_read_whole(tmp_path: Path, indent: int | None) -> None:
    records = made_up.rows(2_000)
    (tmp_path / "a").write_text(f" \n{json.dumps(records, indent=indent)}\n")
    assert [row.text for row in read(tmp_path / "a").rows] == [r["text"] for r in records]


def _bytes(kind: str) -> bytes:
    good = made_up.as_csv(made_up.rows(50)).encode()
    return {
        "empty": b"",
        "blank": b" \n\n",
        "header only": made_up.as_csv([]).encode(),
        "other columns": b"name,age\r\nx,1\r\n",
        "latin-1": good + "1,caf\u00e9,f,f,x,1,2,2020-01-01 00:00:00,f\r\n".encode("latin-1"),
        "cut in a quotation": good + b'1,"tea and',
        "json object": b'{"tweets": []}',
        "json cut short": json.dumps(made_up.rows(3))[:-20].encode(),
        "json cut between tweets": json.dumps(made_up.rows(3)).encode().rpartition(b", {")[0],
        "json and more": json.dumps(made_up.rows(3), indent=1).encode() + b"\n]",
        "json of numbers": b"[1, 2, 3]",
        "empty json": b"[]",
        "nested json": b"[" * 100_000,
        "a long text": b'["' + b"x" * 5_000_000,
        "late latin-1": made_up.as_csv(made_up.rows(600)).encode() + b"\xe9",
        "a web page": b"<!DOCTYPE html>\n<title>Log in</title>",
        "an image": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "is empty"),
        ("blank", "is empty"),
        ("header only", "holds no rows"),
        ("other columns", "no column .* texts.*--text-column: its columns are name, age"),
        ("latin-1", "not UTF-8: line 52 has the byte 0xe9.*--encoding cp1252"),
        ("cut in a quotation", "line 52.*cut short"),
        ("json object", "holds no rows"),
        ("json cut short", "is not JSON: line 1"),
        ("json cut short", "Is it cut short"),
        ("json cut between tweets", "is not JSON: line 1: Expecting .*Is it cut short"),
        ("json and more", "is not JSON: line 36: Extra data"),
        ("json of numbers", "must hold objects or texts"),
        ("empty json", "holds no rows"),
        ("nested json", "is not JSON"),
        ("a long text", "is not JSON: line 1: an entry is longer than 4,194,304"),
        ("late latin-1", "not UTF-8: line 602 has the byte 0xe9"),
        ("a web page", "is a web page"),
        ("an image", "is an image"),
    ],
)
def test_a_wrong_file_gets_one_clear_error(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "archive"
    path.write_bytes(_bytes(kind))
    with pytest.raises(TrainingError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.zip"])
def test_a_truncated_download_is_said_to_be_cut_short(tmp_path: Path, name: str) -> None:
    path = made_up.write(tmp_path / name, made_up.rows(50))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TrainingError, match="damaged or cut short"):
        read(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no archive at"):
        read(tmp_path / "none.csv")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server over the test's folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_archive_is_read_from_the_web(tmp_path: Path, web: str) -> None:
    path = made_up.write(tmp_path / "a.csv.gz", made_up.rows(30))
    assert read_archive(f"{web}/a.csv.gz") == read(path)


def test_an_address_without_an_archive_is_a_clear_error(web: str) -> None:
    with pytest.raises(TrainingError, match=rf"no archive at {web}/none\.csv"):
        read_archive(f"{web}/none.csv")


def test_an_address_that_does_not_answer_is_a_clear_error() -> None:
    with pytest.raises(TrainingError, match="no archive at .*Cannot connect"):
        read_archive("http://127.0.0.1:1/tweets.csv")
