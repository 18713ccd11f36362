"""Near duplicates: what is dropped is what the definition says, found by MinHash LSH."""

import random

import pytest
from datasketch import MinHash, MinHashLSH

from tests import made_up
from training import near_duplicates
from training.near_duplicates import SIMILARITY, find_distinct, jaccard, shingles


def _texts(count: int) -> list[str]:
    return list(dict.fromkeys(row["text"] for row in made_up.varied(count)))


def _by_datasketchs_index(texts: list[str]) -> list[int]:
    """The same, as datasketch's own index has it, which keeps every signature."""
    index = MinHashLSH(threshold=SIMILARITY, num_perm=near_duplicates.PERMUTATIONS)
    distinct: list[int] = []
    for position, text in enumerate(texts):
        signature = MinHash(num_perm=near_duplicates.PERMUTATIONS, seed=1)
        signature.update_batch([piece.encode() for piece in shingles(text)])
        own = shingles(text)
        if all(jaccard(own, shingles(texts[i])) < SIMILARITY for i in index.query(signature)):
            index.insert(position, signature)
            distinct.append(position)
    return distinct


def test_the_same_are_dropped_as_by_datasketchs_own_index() -> None:
    texts = _texts(2_500)
    found = find_distinct(texts)
    assert found == _by_datasketchs_index(texts)
    assert 100 < len(texts) - len(found) < 500


def test_whatever_is_dropped_is_near_to_an_earlier_distinct_one() -> None:
    texts = _texts(600)
    found = find_distinct(texts)
    for position in sorted(set(range(len(texts))) - set(found)):
        own, earlier = shingles(texts[position]), [i for i in found if i < position]
        assert any(jaccard(own, shingles(texts[i])) >= SIMILARITY for i in earlier)


def test_a_text_near_to_a_dropped_one_alone_stays() -> None:
    words = [made_up.word(random.Random(seed)) * 3 for seed in range(24)]
    first, second, third = (" ".join(words[start : start + 16]) for start in (0, 2, 4))
    near = [jaccard(shingles(a), shingles(b)) for a, b in ((first, second), (first, third))]
    assert near[0] > SIMILARITY > near[1]
    assert find_distinct([first, second, third]) == [0, 2]


@pytest.mark.parametrize("change", [str.upper, lambda t: f"@teapots {t}!!", lambda t: f"“{t}”"])
def test_case_handles_and_punctuation_make_no_difference(change: object) -> None:
    text = made_up.sentence(random.Random(1))
    assert callable(change)
    assert find_distinct([text, made_up.sentence(random.Random(2)), change(text)]) == [0, 1]


@pytest.mark.parametrize("count", [0, 1, 1_024, 1_025])
def test_any_number_of_texts_will_do(count: int) -> None:
    texts = [made_up.sentence(random.Random(seed)) for seed in range(count)]
    assert find_distinct(texts) == list(range(count))
