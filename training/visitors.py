"""What visitors read: texts at the page's defaults and in its moods, held against bars.

The demo's own engine writes them, at the length that it gives whoever chooses none. A bar is for
the texts at the defaults; moods are shown beside them.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from demo.generation.engine import Engine
from demo.generation.profile import Profile, moods
from demo.generation.request import GenerationRequest
from demo.judging.canonical import ANONYMOUS_HANDLE
from demo.judging.judges import Share
from demo.judging.originals import windows_of
from training.files import rounded
from training.intervals import bootstrap_interval, share
from training.openings import first_words, frequent_openings
from training.sampling import Sample, draw
from training.text_figures import TWEET_CHARACTERS, count, ratio, repeating

FIRST_SEED = 2_000_000
OPENINGS = 20
OPENING_WORDS = 2
# Of the texts at the defaults, how large a group of its own a mood, or *Continue*, gets.
MOOD_SHARE = 1 / 8
NO_PROMPT, EXAMPLES, COMMON, CONTINUED = (
    "no prompt", "the page's examples", f"{OPENINGS} openings", "*Continue* after a whole text",
)  # fmt: skip
# What any reader sees: these figures are to be real tweets', from and to so much of theirs.
SEEN, OF_REAL = ("exclamations", "capitals"), (0.9, 1.1)
DEFAULTS = (NO_PROMPT, EXAMPLES, COMMON)
REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class Group:
    """Texts that were asked for in one way."""

    prompts: Sequence[str]
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Bar:
    """A figure of the texts at the defaults, with the least and the most that it may be."""

    name: str
    found: Share
    least: float | None
    most: float | None

    def holds(self) -> str:
        low = -np.inf if self.least is None else self.least
        high = np.inf if self.most is None else self.most
        found = self.found
        answer = "yes" if low <= found.value <= high else "no"
        is_certain = (low <= found.low and found.high <= high) or (
            found.high < low or found.low > high
        )
        return answer if is_certain else f"{answer}, not certain"


def draw_groups(
    engine: Engine,
    profile: Profile,
    real: Sequence[str],
    samples: int,
    first_seed: int = FIRST_SEED,
) -> dict[str, Group]:
    """The texts: at the defaults `samples`, half of them without a prompt, and some of each mood
    and of *Continue*.

    Args:
        real: tweets whose most frequent first words are the openings.
    """
    examples = list(profile.persona.examples)
    openings = frequent_openings(real, OPENING_WORDS, OPENINGS) or examples or [""]
    quarter, few = max(1, samples // 4), max(1, round(samples * MOOD_SHARE))
    prompts = {
        NO_PROMPT: [""] * (samples - 2 * quarter),
        EXAMPLES: _cycled(examples or openings, quarter),
        COMMON: _cycled(openings, quarter),
    }
    chosen = moods(profile.defaults)
    groups: dict[str, Group] = {}

    def write(name: str, asked: Sequence[str], settings: GenerationRequest) -> None:
        seed = first_seed + sum(len(group.samples) for group in groups.values())
        wanted = {k: v for k, v in settings.settings().items() if k != "seed"}
        groups[name] = Group(asked, draw(engine, asked, wanted, seed, name))

    for name, asked in prompts.items():
        write(name, asked, profile.defaults)
    whole = [one.text for one in groups[NO_PROMPT].samples if _may_go_on(one)]
    if whole:
        write(CONTINUED, whole[:few], profile.defaults)
    mixed = _cycled(["", *examples, "", *openings[: len(examples)]], few)
    for mood, settings in list(chosen.items())[1:]:
        write(f"mood: {mood}", mixed, settings)
    return groups


def _may_go_on(sample: Sample) -> bool:
    """Whether it is a whole tweet, which a request may have as its prompt."""
    is_tweet = sample.ended and len(sample.text) <= TWEET_CHARACTERS
    return is_tweet and not _is_broken(sample.text)


def measure_visitors(
    groups: Mapping[str, Group], train: Sequence[str], test: Sequence[str]
) -> dict[str, Any]:
    """Figures of each group and of real tweets, and the bars, for `metrics.json`."""
    known = windows_of(train)
    marks = {name: _marks(group, known) for name, group in groups.items()}
    real = _marks(_real(test), known)
    openings = frozenset(groups[COMMON].prompts)
    begun = [text for text in (*train, *test) if first_words(text, OPENING_WORDS) in openings]
    # They are of train themselves, so what they repeat of it means nothing.
    same = _marks(_real(begun), None)
    at_defaults = {
        name: np.concatenate([marks[group][name] for group in DEFAULTS]) for name in real
    }
    continued = [marks[CONTINUED]["empty"]] if CONTINUED in marks else []
    bars = _bars(at_defaults, np.concatenate([at_defaults["empty"], *continued]), real)
    shown = {**marks, "real tweets of test": real, f"real tweets with the {COMMON}": same}
    return {
        "samples": len(at_defaults["user"]),
        "first_seed": FIRST_SEED,
        "groups": {
            name: {
                "texts": len(one["user"]),
                **rounded({key: _share(counts) for key, counts in one.items()}),
            }
            for name, one in shown.items()
        },
        "bars": [{**rounded(asdict(bar)), "holds": bar.holds()} for bar in bars],
    }


def _cycled(items: Sequence[str], length: int) -> list[str]:
    return [items[i % len(items)] for i in range(length)]


def _real(texts: Sequence[str]) -> Group:
    return Group([""] * len(texts), [Sample(text, True) for text in texts])


def _share(counts: np.ndarray) -> float | None:
    """None if nothing could be counted."""
    return float(ratio(counts)) if counts[:, 1].any() else None


def _marks(group: Group, known: frozenset[bytes] | None) -> dict[str, np.ndarray]:
    """What is counted in each text and among how many: `(texts, 2)`, by name. Without `known`,
    the windows of train, no text is looked up."""
    texts = [sample.text for sample in group.samples]
    figures = count(texts, frozenset(), [sample.ended for sample in group.samples])

    def pairs(counted: Iterable[tuple[bool, bool]]) -> np.ndarray:
        return np.array(list(counted), dtype=float).reshape(-1, 2)

    # Of texts without a prompt, none is counted.
    empty = (
        (bool(prompt) and text.strip() == prompt.strip(), bool(prompt))
        for prompt, text in zip(group.prompts, texts, strict=True)
    )
    return {
        "user": pairs((ANONYMOUS_HANDLE in text, True) for text in texts),
        "exclamations": figures["exclamations"],
        "capitals": figures["capitals"],
        "within_280": figures["within_280"],
        "broken": pairs((_is_broken(text), True) for text in texts),
        "empty": pairs(empty),
        "repeats": pairs(
            (one, known is not None) for one in repeating(texts, known or frozenset())
        ),
    }


def _is_broken(text: str) -> bool:
    return any(c == REPLACEMENT or unicodedata.category(c) in ("Cc", "Cs") for c in text)


def _bars(
    ours: Mapping[str, np.ndarray], empty: np.ndarray, real: Mapping[str, np.ndarray]
) -> list[Bar]:
    def rate(counts: np.ndarray) -> Share:
        found, among = counts.sum(axis=0)
        return share(int(found), int(among))

    def against_real(name: str) -> Share:
        return _compare(ours[name], real[name], lambda a, b: a / np.maximum(b, 1e-9))

    broken = float(ratio(ours["broken"]))
    return [
        Bar("texts with `@user`", rate(ours["user"]), None, 0.02),
        Bar("texts with a !, by real tweets' share", against_real("exclamations"), *OF_REAL),
        Bar("capitals, by real tweets' share", against_real("capitals"), *OF_REAL),
        Bar("ended by themselves within 280 characters", rate(ours["within_280"]), 0.97, None),
        # Of these texts, not an estimate.
        Bar("texts with a control character or U+FFFD", Share(broken, broken, broken), None, 0.0),
        Bar("prompts after which nothing came", rate(empty), None, 0.01),
        Bar(
            "texts that repeat train, less real tweets' share",
            _compare(ours["repeats"], real["repeats"], lambda a, b: a - b),
            None,
            0.0,
        ),
    ]


def _compare(
    ours: np.ndarray, real: np.ndarray, combine: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Share:
    def statistic(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return combine(ratio(ours[a]), ratio(real[b]))

    return bootstrap_interval(statistic, (np.arange(len(ours)), np.arange(len(real))))


def render(figures: Mapping[str, Any]) -> str:
    """The tables, for a terminal."""
    names = list(next(iter(figures["groups"].values())))
    lines = [f"{'':<40}" + "".join(f"{name:>14}" for name in names)]
    for name, group in figures["groups"].items():
        cells = [f"{group[key]:>14,}" if key == "texts" else _cell(group[key]) for key in names]
        lines.append(f"{name:<40}{''.join(cells)}")
    lines.append(f"\n{'at the defaults':<52}{'found':<28}{'bar':<16}holds")
    for bar in figures["bars"]:
        found = bar["found"]
        shown = f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
        bounds = (f"{word} {bar[end]:g}" for end, word in (("least", ">="), ("most", "<="))
                  if bar[end] is not None)  # fmt: skip
        lines.append(f"{bar['name']:<52}{shown:<28}{' '.join(bounds):<16}{bar['holds']}")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'' if value is None else f'{value:.4f}':>14}"
