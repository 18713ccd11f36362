"""Whether a model completes tweets that it was trained on, given their beginnings (Carlini et al.
2022).

A tweet counts as completed if each of its tokens after the beginning is the model's likeliest one:
then a greedy continuation writes it. Tweets held out show what can be guessed, and the base before
fine-tuning what it may have seen of these tweets in its own training.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from training.bits_per_byte import Batch, run_model
from training.documents import tokenise
from training.files import rounded
from training.intervals import share

# The literature takes 50; a tweet has about 33 on average, so few are that long.
PREFIX_TOKENS = (10, 50)
# A tweet hardly longer than its beginning would be completed by chance.
MIN_COMPLETED_TOKENS = 10
TEXTS = 1_000
SEED = 2_000_000

Model = tuple[Any, PreTrainedTokenizerBase]


def measure_memorisation(
    models: Mapping[str, Model], sets: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """By length of the beginning, model and set: of how many tweets, drawn by seed, which share was
    completed, with its interval."""
    rows = []
    for tokens in PREFIX_TOKENS:
        for name, (model, tokenizer) in models.items():
            for split, texts in sets.items():
                chosen = choose_texts(texts, tokenizer, tokens + MIN_COMPLETED_TOKENS)
                label = f"{name}, {split} from {tokens} tokens"
                batches = run_model(chosen, model, tokenizer, label)
                completed = sum(sum(completions(batch, tokens)) for batch in batches)
                row = {"prefix_tokens": tokens, "model": name, "set": split, "texts": len(chosen)}
                found = share(completed, len(chosen))
                rows.append({**row, "completed": rounded(found)})
    return rows


def choose_texts(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, least_tokens: int
) -> list[str]:
    """At most `TEXTS` of those with so many tokens, drawn by seed."""
    documents = tokenise(texts, tokenizer)
    long = [
        text
        for text, document in zip(texts, documents, strict=True)
        if len(document.ids) - 2 >= least_tokens
    ]
    return random.Random(SEED).sample(long, min(TEXTS, len(long)))


def completions(batch: Batch, prefix_tokens: int) -> list[bool]:
    """Of each text that was read, whether all its tokens after so many are the likeliest."""
    likeliest = batch.output.logits[:, :-1].argmax(dim=-1)
    is_likeliest = (likeliest == batch.ids[:, 1:]).tolist()
    # The opening token predicts the first one. The closing token is not asked for.
    return [
        all(row[prefix_tokens : len(document.ids) - 2])
        for row, document in zip(is_likeliest, batch.documents, strict=True)
    ]


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"{'completed from':<16}{'model':<28}{'set':<8}{'texts':>7}  {'share':>8}  95 %"]
    for row in rows:
        found = row["completed"]
        interval = f"[{found['low']:.4f}, {found['high']:.4f}]"
        tokens = f"{row['prefix_tokens']} tokens"
        start = f"{tokens:<16}{row['model']:<28}{row['set']:<8}{row['texts']:>7,}"
        lines.append(f"{start}  {found['value']:>8.4f}  {interval}")
    return "\n".join(lines)
