"""X's exports, and others of several files: which of them hold tweets, whose they are, and what
completes or replaces a tweet."""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from training import TrainingError
from training.archive.encodings import open_text
from training.archive.files import File
from training.archive.json_lists import JsonReader
from training.archive.tweets import Owner, Record

# Since 2018 data/tweets.js (tweet.js at first), whose later parts are tweets-part1.js and so on.
_TWEETS = re.compile(r"(community-)?tweets?(?:-part(\d+))?\.js")
_NOTES = re.compile(r"note-tweets?(?:-part\d+)?\.js")
# From 2012 to 2018 one file a month, and all of them in tweets.csv too.
_MONTH = re.compile(r"(?:.*/)?data/js/tweets/\d{4}_\d{2}\.js")
_OF_EXPORT = re.compile(r"(?:.*/)?data/[\w-]+\.js|.*\bYour archive\.html")
_OUTBOX = "outbox.json"
_BLUESKY = re.compile(r"(?:.*/)?app\.bsky\.feed\.post/[\w.~-]+\.json")
_OWNERS = ("account.js", "manifest.js", "user_details.js", "actor.json", "self.json")
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
# What lies beside tables, and on the Hub and Kaggle describes them.
_ABOUT = re.compile(
    r"(read[-_ ]?me|licen[cs]e|notice|copying|changelog|requirements"
    r"|dataset[-_](infos?|metadata)|state\.json).*",
    re.IGNORECASE,
)
_LISTED = 8
_LINK = re.compile(r"https?://\S+")
# So many characters of a long post are enough to know it by.
_KEY_CHARACTERS = 40
# X cuts a text at 280 characters, at 140 of Japanese and the like.
_CUT_CHARACTERS = 130


@dataclass(frozen=True)
class Selection:
    """The files that hold tweets, in order, the whole texts of long posts, and the owner; and those
    that are left."""

    tweets: list[File]
    notes: list[File] = field(default_factory=list)
    owners: list[File] = field(default_factory=list)
    left: list[File] = field(default_factory=list)


def select(files: Sequence[File], name: str) -> Selection:
    """Which of an archive's files are read. Raises TrainingError if none holds tweets, or it cannot
    be told which."""
    found = _tweets_among(files, name)
    notes = [file for file in files if _NOTES.fullmatch(base_name(file))]
    owners = [file for file in files if base_name(file) in _OWNERS]
    read = {file.name for file in (*found, *notes, *owners)}
    left = [file for file in files if file.name not in read]
    return Selection(found, notes, owners, left)


def is_part(name: str) -> bool:
    """Whether a file of that name is a part of X's export that others lie beside."""
    return _TWEETS.fullmatch(name) is not None


def _tweets_among(files: Sequence[File], name: str) -> list[File]:
    parts = [
        # By number: part10 comes after part9.
        (bool(match[1]), int(match[2] or 0), index)
        for index, file in enumerate(files)
        if (match := _TWEETS.fullmatch(base_name(file)))
    ]
    if parts:
        return [files[index] for *_, index in sorted(parts)]
    months = [file for file in files if _MONTH.fullmatch(file.name)]
    if months:
        return sorted(months, key=lambda file: file.name)
    if any(_OF_EXPORT.fullmatch(file.name) for file in files):
        raise TrainingError(
            f"{name} is an export of X without tweets: there is no tweets.js in it. It holds "
            f"{listed(files)}."
        )
    for chosen in (
        [file for file in files if base_name(file) == _OUTBOX],
        [file for file in files if _BLUESKY.fullmatch(file.name)],
    ):
        if chosen:
            return chosen
    likely = [file for file in files if not _ABOUT.match(base_name(file))]
    endings = (_TABLES, ".txt", (".gz", ".bz2", ".xz", ".zip"))
    by_kind = ([file for file in likely if file.name.lower().endswith(one)] for one in endings)
    found = next(filter(None, by_kind), likely if len(files) == 1 else [])
    if len({PurePosixPath(file.name).suffix.lower() for file in found}) != 1:
        raise TrainingError(
            f"{name} must hold one file of tweets (.csv, .json, .jsonl, .parquet, .txt), several "
            f"of one kind, or X's export; it holds {listed(files)}."
        )
    return found


def listed(files: Sequence[File]) -> str:
    """The names of a few of them, and how many more there are."""
    if not files:
        return "nothing"
    more = f" and {len(files) - _LISTED:,} more" if len(files) > _LISTED else ""
    return ", ".join(file.name for file in files[:_LISTED]) + more


def base_name(file: File) -> str:
    """Its name without folders."""
    return PurePosixPath(file.name).name


def read_owner(files: Iterable[File]) -> Owner | None:
    """Whose archive it is, from the files that say so; None if none does."""
    for file in files:
        try:
            with open_text(file, None) as text:
                found = _owner(next(JsonReader(text, str(file)).entries(), None))
        except (UnicodeDecodeError, TrainingError):
            continue
        if found:
            return found
    return None


def _owner(entry: Any) -> Owner | None:
    if not isinstance(entry, dict):
        return None
    for wrapper in ("account", "userInfo"):
        if isinstance(entry.get(wrapper), dict):
            entry = entry[wrapper]
    name = _text_of(entry, "accountDisplayName", "displayName", "full_name", "name")
    handle = _text_of(entry, "username", "userName", "screen_name", "preferredUsername")
    if not (name or handle):
        return None
    return Owner(name or handle, handle.lstrip("@"), _text_of(entry, "accountId", "id"))


def _text_of(entry: Record, *names: str) -> str:
    return next((str(entry[n]).strip() for n in names if isinstance(entry.get(n), str | int)), "")


class Notes:
    """The whole texts of long posts, of which tweets.js has the beginning."""

    def __init__(self, files: Iterable[File]) -> None:
        self._by_key: defaultdict[str, list[str]] = defaultdict(list)
        self.count = self.used = 0
        for text in _texts_of_notes(files):
            self._by_key[_key(text)].append(text)
            self.count += 1

    def complete(self, tweet: str) -> str:
        """The whole text of which the tweet is the beginning, or the tweet."""
        start = _comparable(html.unescape(tweet))
        beginning = start.removesuffix("…").rstrip()
        # A short tweet may begin like a long post, and be another.
        if start == beginning and len(tweet) < _CUT_CHARACTERS:
            return tweet
        notes = self._by_key.get(_key(beginning), [])
        for text in notes:
            if len(text) > len(beginning) and _comparable(text).startswith(beginning):
                notes.remove(text)
                self.used += 1
                # A tweet has entities, a note has none, and the canonical text unescapes once.
                return html.escape(text, quote=False)
        return tweet


def _texts_of_notes(files: Iterable[File]) -> Iterator[str]:
    for file in files:
        with open_text(file, None) as text:
            for entry in JsonReader(text, str(file)).entries():
                note = entry.get("noteTweet") if isinstance(entry, dict) else None
                core = note.get("core") if isinstance(note, dict) else None
                whole = core.get("text") if isinstance(core, dict) else None
                if isinstance(whole, str):
                    yield whole


def _comparable(text: str) -> str:
    return " ".join(_LINK.sub(" ", text).split())


def _key(text: str) -> str:
    return _comparable(text)[:_KEY_CHARACTERS]


def versions(record: Record) -> list[int]:
    """The ids of all versions of an edited tweet, as one of them names them."""
    return list(_ids_in(record.get("edit_info") or record.get("edit_history_tweet_ids")))


def _ids_in(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _ids_in(inner)
    elif isinstance(value, list):
        yield from (int(one) for one in value if str(one).isdecimal())
