"""Near duplicates: texts that share most of their character 5-grams with an earlier one.

Knows texts alone; must not know ids, dates or files. Of a million texts it keeps a few bytes
for each, and their 5-grams only while they are looked at.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice

import numpy as np
from datasketch import MinHash, MinHashLSH
from datasketch.hashfunc import sha1_hash32
from numpy.typing import NDArray
from tqdm import tqdm

from demo.judging.canonical import HANDLE

# Two texts are near duplicates when they share this much of their character 5-grams (Jaccard).
SIMILARITY = 0.7
SHINGLE_CHARACTERS = 5
PERMUTATIONS = 128
# How many 5-grams' hashes, and texts' 5-grams, are remembered: a text's are met again and again.
_REMEMBERED_HASHES = 1 << 18
_REMEMBERED_TEXTS = 1 << 10
_BATCH = 1_024
ALONE = -1

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")


def distinct(texts: Sequence[str]) -> list[int]:
    """The positions of the texts that are no near duplicate of an earlier kept one.

    Candidates come from MinHash LSH (Broder 1997; datasketch's signatures and its choice of
    bands), and are then compared exactly, so that the estimate's error drops nothing that
    differs. A pair that is just as similar as the bound shares a band in 4 of 9 cases.
    """
    kept = []
    buckets: dict[int, list[int]] = defaultdict(list)
    for position, bands in enumerate(_buckets(_band_keys(texts))):
        shared = [bucket for bucket in bands.tolist() if bucket != ALONE]
        candidates = set(chain.from_iterable(buckets[bucket] for bucket in shared))
        if any(_are_near(texts[position], texts[other]) for other in candidates):
            continue
        kept.append(position)
        for bucket in shared:
            buckets[bucket].append(position)
    return kept


def _band_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """One key for each text and band (texts × bands); equal where the signatures agree."""
    index = MinHashLSH(threshold=SIMILARITY, num_perm=PERMUTATIONS)
    # A sum of products with random odd factors: should two bands ever collide, the exact
    # comparison that follows sees two more texts, and that is all.
    factors = np.random.default_rng(1).integers(2**63, size=index.r, dtype=np.uint64) * 2 + 1
    keys = np.empty((len(texts), index.b), np.uint64)
    signatures = _signatures(tqdm(texts, desc="near duplicates", unit=" tweets"))
    for start in range(0, len(texts), _BATCH):
        batch = np.stack(list(islice(signatures, _BATCH)))[:, : index.b * index.r]
        bands = batch.reshape(len(batch), index.b, index.r).astype(np.uint64)
        keys[start : start + len(batch)] = (bands * factors).sum(axis=2, dtype=np.uint64)
    return keys


def _buckets(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """For each text and band the number of the bucket that it shares, or ALONE.

    Hardly any text has company, so that what follows has few to look at.
    """
    buckets = np.empty(keys.shape, np.int32)
    used = 0
    for band in range(keys.shape[1]):
        _, inverse, sizes = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        numbers = np.full(len(sizes), ALONE, np.int32)
        shared = np.flatnonzero(sizes > 1)
        numbers[shared] = np.arange(used, used + len(shared))
        buckets[:, band] = numbers[inverse]
        used += len(shared)
    return buckets


def _signatures(texts: Iterable[str]) -> Iterator[NDArray[np.uint32]]:
    signature = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=_hash)
    for text in texts:
        signature.clear()
        signature.update_batch(shingles(text))
        yield signature.hashvalues


@lru_cache(_REMEMBERED_HASHES)
def _hash(shingle: str) -> int:
    return int(sha1_hash32(shingle.encode()))


def shingles(text: str) -> frozenset[str]:
    """Character 5-grams without case, handles and punctuation: what a copy keeps."""
    bare = HANDLE.sub(" ", text).casefold()
    letters = _NOT_ALPHANUMERIC.sub(" ", bare).strip()
    last = max(1, len(letters) - SHINGLE_CHARACTERS + 1)
    return frozenset(letters[i : i + SHINGLE_CHARACTERS] for i in range(last))


_remembered_shingles = lru_cache(_REMEMBERED_TEXTS)(shingles)


def _are_near(left: str, right: str) -> bool:
    return jaccard(_remembered_shingles(left), _remembered_shingles(right)) >= SIMILARITY


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """What two sets share of all that is in either."""
    common = len(left & right)
    return common / (len(left) + len(right) - common)
