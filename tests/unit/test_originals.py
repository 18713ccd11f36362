"""The index of originals finds what was put in, says where, and gives nothing away."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from demo.judging.files import UnusableFile
from demo.judging.originals import WINDOW_CHARACTERS, WINDOW_WORDS, Originals, Passage
from tests import made_up
from tests.processes import ROOT

SHORT = "Teapots are great!"
LONG_WORD = "supercalifragilisticexpialidocious"


def _sentences(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [made_up.sentence(chance) for _ in range(count)]


def _passages(text: str) -> Iterator[str]:
    """The shortest runs of whole words that are 8 or have 50 characters, bare as compared."""
    words = text.split()
    for first in range(len(words)):
        for last in range(first + 1, len(words) + 1):
            run = words[first:last]
            bare = ["".join(filter(str.isalnum, word)) for word in run]
            if len(run) >= WINDOW_WORDS or len(" ".join(bare)) >= WINDOW_CHARACTERS:
                yield " ".join(run)
                break


def _around(passage: str) -> Iterator[tuple[str, int]]:
    for before in ("", "So: ", "@teapot https://t.co/x 🫖 one two  three four five six seven — "):
        for after in ("", " or so"):
            yield before + passage + after, len(before)


def test_every_passage_of_every_text_is_found_wherever_it_stands() -> None:
    texts = [*_sentences(20), f"The {LONG_WORD} {LONG_WORD} of all teapots"]
    originals = Originals.build(texts)
    for passage in (passage for text in texts for passage in _passages(text)):
        for text, start in _around(passage):
            assert originals.repeats(text) == (Passage(start, start + len(passage)),)


@pytest.mark.parametrize("text", _sentences(5, seed=3))
def test_a_whole_text_is_one_passage_from_its_first_word_to_its_last(text: str) -> None:
    assert Originals.build([text]).repeats(f"He said:\n{text} Indeed") == (
        Passage(9, 9 + len(text)),
    )


def test_two_passages_apart_are_two() -> None:
    first, second = _sentences(2)
    between = " which has nothing whatever to do with what follows here, "
    passages = Originals.build([first, second]).repeats(first + between + second)
    start = len(first + between)
    assert passages == (Passage(0, len(first)), Passage(start, start + len(second)))


def test_case_punctuation_links_and_handles_do_not_hide_a_repetition() -> None:
    original = "The naïve teapot's lid is the best lid that anybody ever made"
    disguised = "@x THE naïve, “teapots” lid https://t.co/1 -- is the BEST @y\tlid that anybody..."
    passage = Passage(disguised.index("THE"), len(disguised))
    assert Originals.build([original]).repeats(disguised) == (passage,)


def test_offsets_count_characters_of_the_text_as_it_was_given() -> None:
    [text] = _sentences(1)
    [passage] = Originals.build([text]).repeats(f"🫖  \n e\u0301 ﬁ {text}")
    assert passage.start == len("🫖  \n e\u0301 ﬁ ")


def test_a_short_text_is_repeated_only_by_being_equal() -> None:
    originals = Originals.build([SHORT])
    assert originals.repeats("teapots ARE great") == (Passage(0, 17),)
    assert originals.repeats(f"Well, {SHORT}") == ()
    assert originals.repeats(f"{SHORT} {SHORT} {SHORT} {SHORT}") == ()


def test_of_a_script_without_spaces_25_letters_are_a_passage() -> None:
    tweet = "今日はとても長い急須の話をしながら、トランプさんと一日を楽しく過ごしました。また明日！"
    originals = Originals.build([tweet])
    passage = tweet[5:36]
    for before in ("", "So: ", "昨日は"):
        text = f"{before}{passage}でした"
        assert originals.repeats(text) == (Passage(len(before), len(before) + len(passage)),)
    assert originals.repeats(f"昨日は{tweet[:15]}でした") == ()


def test_a_short_part_of_a_long_text_is_no_repetition() -> None:
    [text] = _sentences(1)
    assert Originals.build([text]).repeats(" ".join(text.split()[:5])) == ()


@pytest.mark.parametrize("text", ["", " \n ", "@user https://t.co/x", "🫖 …!", "\ud83c"])
def test_a_text_without_words_repeats_nothing(text: str) -> None:
    assert Originals.build([text, SHORT]).repeats(text) == ()


def test_half_of_a_surrogate_pair_inside_a_word_is_no_error() -> None:
    assert Originals.build([SHORT]).repeats("half\ud83c pair") == ()


def test_an_index_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no text"):
        Originals.build(["", "🫖"])


def test_many_texts_stay_within_the_size_and_say_what_that_costs(tmp_path: Path) -> None:
    chance = random.Random(0)
    few, many = ([str(chance.random()) for _ in range(count)] for count in (1_000, 60_000))
    limits = {"few": (few, 2_000_000), "many": (many, 100_000)}
    for name, (texts, max_bytes) in limits.items():
        Originals.build(texts, max_bytes).save(tmp_path / name)
        assert (tmp_path / name).stat().st_size <= max_bytes
    assert (tmp_path / "few").stat().st_size < 5_000
    few_rate, many_rate = (
        Originals.load(tmp_path / name).facts.false_positive_rate for name in limits
    )
    assert few_rate <= 1.01e-6 < 1e-3 < many_rate


@pytest.mark.slow
def test_the_default_size_is_at_most_two_megabytes_for_any_number_of_texts(tmp_path: Path) -> None:
    words = [str(number) for number in range(600_000)]
    texts = (" ".join(words[begin : begin + 6_000]) for begin in range(0, len(words), 6_000))
    Originals.build(texts).save(tmp_path / "index")
    assert 1_900_000 < (tmp_path / "index").stat().st_size <= 2_000_000


@pytest.mark.parametrize(("texts", "max_bytes"), [(20_000, 14_000), (50, 2_100)])
def test_false_positives_are_as_frequent_as_the_facts_say(texts: int, max_bytes: int) -> None:
    originals = Originals.build((f"in {number}" for number in range(texts)), max_bytes)
    rate, asked = originals.facts.false_positive_rate, 5_000
    found = sum(bool(originals.repeats(f"out {number}")) for number in range(asked))
    # Seven standard deviations of the count, and a tenth for how full this filter happens to be.
    assert abs(found - rate * asked) < 7 * (asked * rate) ** 0.5 + rate * asked / 10
    assert rate > 1e-5


def test_a_small_archive_has_no_more_false_positives_than_a_large_one() -> None:
    originals = Originals.build(f"in {number}" for number in range(20))
    assert not [number for number in range(5_000) if originals.repeats(f"out {number}")]


def test_a_file_answers_as_the_index_did(tmp_path: Path) -> None:
    texts = [*_sentences(50), SHORT]
    originals = Originals.build(texts)
    originals.save(tmp_path / "index")
    loaded = Originals.load(tmp_path / "index")
    assert loaded.facts == originals.facts
    for text in [*texts, *_sentences(50, seed=1)]:
        assert loaded.repeats(text) == originals.repeats(text)


def test_no_text_can_be_read_in_the_file(tmp_path: Path) -> None:
    texts = _sentences(50)
    Originals.build(texts).save(tmp_path / "index")
    content = (tmp_path / "index").read_bytes().lower()
    words = {word.strip(",!").lower() for text in texts for word in text.split()}
    assert not [word for word in words if len(word) > 4 and word.encode() in content]


def test_the_same_texts_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from demo.judging.originals import Originals;"
        "texts = {f'The teapot {i} and naïve 🫖 {i * i} are what we like the most' "
        "for i in range(99)};"
        "Originals.build(texts).save(Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PATH": ""}
        command = [sys.executable, "-c", program, str(tmp_path / seed)]
        subprocess.run(command, check=True, cwd=ROOT, env=environment)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Originals.build(_sentences(20)).save(tmp_path / "index")
    return tmp_path / "index"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="nowhere"):
        Originals.load(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_file_cut_short_is_refused(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UnusableFile, match="index"):
        Originals.load(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'\\"bits\\": ', b'\\"bots\\": '),
        (b'\\"bits\\": 4', b'\\"bits\\": 9'),
        (b'\\"hashes\\": 20', b'\\"hashes\\": 99'),
        (b'\\"hashes\\": 20', b'\\"hashes\\": -1'),
        (b'\\"texts\\": 20', b'\\"texts\\": {}'),
        (b'\\"window_words\\": 8', b'\\"window_words\\": 9'),
        (b'"U8"', b'"I8"'),
    ],
)
def test_a_file_with_facts_that_are_not_true_is_refused(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    with pytest.raises(UnusableFile, match="damaged"):
        Originals.load(file)


@pytest.mark.parametrize("facts", ["[]", "{}", "nonsense", '{"texts": 1}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, facts: str) -> None:
    save_file({"originals 1": np.zeros(8, np.uint8)}, tmp_path / "index", {"originals 1": facts})
    with pytest.raises(UnusableFile, match="index"):
        Originals.load(tmp_path / "index")
    save_file({"weights": np.zeros(8)}, tmp_path / "weights")
    with pytest.raises(UnusableFile, match="not of the kind"):
        Originals.load(tmp_path / "weights")
