"""Turns tweets into rows of token ids to train on.

A document is one tweet, opened and closed by the tokenizer's end-of-text token.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from training.recipe import Recipe

# The label that cross-entropy ignores.
UNSCORED = -100
# The share of the documents that rows should hold whole, and how far rows may grow for it: memory
# grows with them. All tokens in multiples of a step.
FITTING = 0.99
LONGEST_BLOCK = 1_024
BLOCK_STEP = 64
# Opens a retweet by hand, and is not scored: no tweet is to begin as others' do.
RETWEET_OPENING = "RT:"


@dataclass(frozen=True)
class Document:
    """Token ids `[eos, text…, eos]`; `scored_bytes` is the UTF-8 size of the text that fits, plus
    one for the closing token if that fits too."""

    ids: list[int]
    scored_bytes: int


def tokenise(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int | None = None
) -> list[Document]:
    """One document a text, cut to `max_tokens` tokens if that is given. Control tokens typed in a
    text are read as the characters they are."""
    eos = tokenizer.eos_token_id
    if not texts:
        return []
    # All at once: in threads.
    encoded = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)
    documents = []
    for text, ids in zip(texts, encoded["input_ids"], strict=True):
        if max_tokens is None or len(ids) + 2 <= max_tokens:
            documents.append(Document([eos, *ids, eos], len(text.encode()) + 1))
        else:
            cut = ids[: max_tokens - 1]
            documents.append(Document([eos, *cut], len(str(tokenizer.decode(cut)).encode())))
    return documents


def fit_block(recipe: Recipe, lengths: Sequence[int], context: int, ranks: int) -> Recipe:
    """The recipe with rows in which nearly all documents, of these lengths in tokens, fit whole.

    The block grows as `suitable_block` says, as far as the model's context allows; a batch keeps
    its tokens, in a number of rows that `ranks` processes can share. A block over the context is
    cut to it."""
    block = min(recipe.block_size, context)
    if recipe.rows == "packed":
        block = max(block, min(suitable_block(lengths), context))
    if block == recipe.block_size:
        return recipe
    # At least a row for each process and portion.
    share = ranks * recipe.gradient_accumulation
    rows = recipe.batch_size * recipe.block_size // block // share * share
    changed: dict[str, Any] = {"block_size": block, "batch_size": max(rows, share)}
    if recipe.scratch is not None:
        changed["scratch"] = recipe.scratch.model_copy(update={"n_positions": context})
    return recipe.changed(**changed)


def suitable_block(lengths: Sequence[int]) -> int:
    """The least multiple of BLOCK_STEP that FITTING of the lengths are within, but at most
    LONGEST_BLOCK."""
    if not lengths:
        return BLOCK_STEP
    needed = sorted(lengths)[math.ceil(FITTING * len(lengths)) - 1]
    return min(math.ceil(needed / BLOCK_STEP) * BLOCK_STEP, LONGEST_BLOCK)


class TokenRows(Dataset[dict[str, Tensor]]):
    """Rows of one length; `tokens` is how many there are in all, padding not counted, `in_pieces`
    how many documents are longer than a row. A row has int64 tensors of shape (block_size,) named
    input_ids, labels and position_ids."""

    def __init__(self, rows: Sequence[dict[str, Tensor]], tokens: int, in_pieces: int = 0) -> None:
        self._rows, self.tokens, self.in_pieces = rows, tokens, in_pieces

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self._rows[index]

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return iter(self._rows)

    def with_columns(self, columns: Mapping[str, Tensor]) -> "TokenRows":
        """The same rows with further tensors, of which the first dimension counts the rows."""
        rows = [
            {**row, **{name: values[i] for name, values in columns.items()}}
            for i, row in enumerate(self._rows)
        ]
        return TokenRows(rows, self.tokens, self.in_pieces)

    def most_frequent(self, count: int) -> Tensor:
        """The ids of the tokens that occur most often, at most so many, in ascending order."""
        occurrences = torch.bincount(torch.cat([row["input_ids"] for row in self._rows]))
        return occurrences.topk(min(count, len(occurrences))).indices.sort().values


def build_rows(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    retweets: Sequence[str] = (),
) -> TokenRows:
    """The texts of the train split as rows, in the way that the recipe names. `retweets` go with
    packed rows alone."""
    if recipe.rows == "notebook":
        return cut_blocks(tokenizer(notebook_text(texts))["input_ids"], recipe.block_size)
    marked = [f"{RETWEET_OPENING} {text}" for text in retweets]
    documents = tokenise([*texts, *marked], tokenizer)
    if recipe.rows == "blocks":
        return cut_blocks([i for document in documents for i in document.ids], recipe.block_size)
    opening = tokenizer(RETWEET_OPENING, add_special_tokens=False)["input_ids"]
    return pack_documents(documents, recipe.block_size, tokenizer.eos_token_id, opening)


def cut_blocks(ids: Sequence[int], block_size: int) -> TokenRows:
    """Running tokens cut every `block_size`, wherever that falls; the rest at the end is dropped.
    Everything is scored, and attends to whatever stands before it in its block."""
    tokens = len(ids) // block_size * block_size
    positions = torch.arange(block_size)
    blocks = torch.tensor(ids[:tokens]).view(-1, block_size)
    rows = [{"input_ids": row, "labels": row, "position_ids": positions} for row in blocks]
    return TokenRows(rows, tokens)


def pack_documents(
    documents: Sequence[Document], block_size: int, padding: int, opening: Sequence[int] = ()
) -> TokenRows:
    """Documents packed into rows of `block_size` tokens, longest first (best fit); one that is
    longer is packed in pieces.

    Each document's positions start at 0, by which transformers masks attention across documents
    when `use_cache` is off. A document's opening token is never scored, since it would be predicted
    from the document before; everything else is, and so is each token of a piece but its first,
    which is the last of the piece before. Nor are the tokens `opening` where a document begins with
    them.
    """
    pieces = [piece for document in documents for piece in cut_pieces(document.ids, block_size)]
    packed = _pack(pieces, block_size)
    rows = [_row(members, block_size, padding, list(opening)) for members in packed]
    in_pieces = sum(len(document.ids) > block_size for document in documents)
    return TokenRows(rows, sum(map(len, pieces)), in_pieces)


def cut_pieces(ids: list[int], block_size: int) -> list[list[int]]:
    """Pieces of at most `block_size` tokens, each beginning with the token that the one before
    ended with."""
    return [ids[i : i + block_size] for i in range(0, len(ids) - 1, block_size - 1)]


def _pack(documents: Sequence[list[int]], block_size: int) -> list[list[list[int]]]:
    """Documents, longest first, each into the fullest row that still has room for it."""
    by_room: dict[int, list[int]] = {}
    rows: list[list[list[int]]] = []
    for ids in sorted(documents, key=len, reverse=True):
        room = next((r for r in range(len(ids), block_size + 1) if by_room.get(r)), None)
        index = by_room[room].pop() if room else len(rows)
        if room is None:
            rows.append([])
        rows[index].append(ids)
        by_room.setdefault((room or block_size) - len(ids), []).append(index)
    return rows


def _row(
    members: list[list[int]], block_size: int, padding: int, opening: list[int]
) -> dict[str, Tensor]:
    fill = block_size - sum(map(len, members))
    ids = [token for member in members for token in member]
    labels = []
    for member in members:
        # A piece of a long document may begin like this by chance: a few tokens are no loss.
        unscored = 1 + len(opening) if member[1 : 1 + len(opening)] == opening else 1
        labels += [UNSCORED] * unscored + member[unscored:]
    positions = [position for member in members for position in range(len(member))]
    return {
        "input_ids": torch.tensor(ids + [padding] * fill),
        "labels": torch.tensor(labels + [UNSCORED] * fill),
        "position_ids": torch.tensor(positions + list(range(fill))),
    }


def notebook_text(texts: Sequence[str]) -> str:
    """The running text that the 2023 notebook really tokenised, its faults included, so that the
    recipe `original-as-run` is the original as it ran.

    `amp` was deleted wherever it stood, which turns "campaign" into "caign". The file was CSV:
    texts with a comma or a quotation mark are quoted, and only a line break ends a tweet.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([text.replace("amp", "")] for text in texts)
    return file.getvalue()
