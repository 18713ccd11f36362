"""`blind`: a sheet of texts, half of them real, on which people say which is which, and its score.

The answers lie in a file of their own, beside the sheet.
"""

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from scipy.stats import binomtest
from typer import Option

from demo.checkpoints.embedded import EMBEDDED
from demo.judging import canonical
from training import TrainingError
from training.files import read_json, require_writable, resolve_folder, write_json
from training.prepare import ALL_TEXTS, read_texts
from training.sampling import draw, open_engine, read_decoding

SHEET, ANSWERS = "sheet.csv", "answers.json"
COLUMNS = ("number", "text", "real or computer")
# A pair's texts differ by at most so many characters: length alone must not tell.
NEAR_CHARACTERS = 10
# Of each pair that is wanted, how many texts are drawn: some may not be shown or find no twin.
DRAWN_PER_PAIR = 3
FIRST_SEED = 7_000_000

Kind = Literal["real", "computer"]


def blind(
    checkpoint: Annotated[Path, Option(help="default: embedded/", show_default=False)] = EMBEDDED,
    data: Annotated[Path, Option(help="what prepare wrote")] = Path("data"),
    out: Annotated[Path, Option(help="the folder for the sheet and its answers")] = Path("blind"),
    texts: Annotated[int, Option(min=2, max=1_000, help="how many, half of them real")] = 100,
    seed: Annotated[int, Option(min=0, help="another seed gives another sheet")] = 0,
    score: Annotated[
        list[Path] | None, Option(help="a sheet that was filled in; may be given again")
    ] = None,
) -> None:
    if score:
        print(_scores(score, read_json(out / ANSWERS)))
        return
    require_writable(out)
    if (out / ANSWERS).exists():
        raise TrainingError(f"{out} holds a sheet already. Name another folder with --out.")
    splits = {name: read_texts(data, name) for name in ALL_TEXTS}
    all_real = {text for found in splits.values() for text in found}
    handles = canonical.handles_in(all_real)
    # None that the model was trained on.
    real = [text for text in splits["test"] if _may_be_shown(text)]
    pairs = texts // 2
    decoding = read_decoding(checkpoint)
    first_seed = FIRST_SEED + seed * 10_000
    with open_engine(resolve_folder(checkpoint)) as engine:
        drawn = draw(engine, [""] * (pairs * DRAWN_PER_PAIR), decoding, first_seed, "texts")
        identity = engine.identity
    cleaned = [canonical.clean(sample.text, handles) for sample in drawn if sample.ended]
    generated = [text for text in cleaned if _may_be_shown(text) and text not in all_real]
    rng = random.Random(seed)
    rows: list[tuple[str, Kind]] = []
    for ours, theirs in pair_by_length(generated, real, pairs, rng):
        rows += [(ours, "computer"), (theirs, "real")]
    rng.shuffle(rows)
    _write_sheet(out / SHEET, [text for text, _ in rows])
    answers = {
        **{"seed": seed, "first_seed": first_seed, "decoding": decoding, **asdict(identity)},
        "texts": [{"text": text, "kind": kind} for text, kind in rows],
    }
    write_json(out / ANSWERS, answers)
    print(
        f"{out / SHEET}: {len(rows)} texts, half of them written by {identity.checkpoint}. Have "
        f'people write "real" or "computer" into the last column, each in a copy of their own, '
        f"then: python -m training blind --out {out} --score COPY.csv"
    )


def pair_by_length(
    generated: Sequence[str], real: Sequence[str], pairs: int, rng: random.Random
) -> list[tuple[str, str]]:
    """Generated texts, each with a real one of about its length, no text twice. Raises
    TrainingError if there are fewer than `pairs`."""
    free = list(real)
    rng.shuffle(free)
    found: list[tuple[str, str]] = []
    for text in generated:
        twin = min(free, key=lambda one: abs(len(one) - len(text)), default=None)
        if len(found) == pairs or twin is None:
            break
        if abs(len(twin) - len(text)) <= NEAR_CHARACTERS:
            free.remove(twin)
            found.append((text, twin))
    if len(found) < pairs:
        raise TrainingError(
            f"Only {len(found)} pairs of about the same length were found, of the {pairs} that "
            "the sheet takes. Ask for fewer --texts."
        )
    return found


def _may_be_shown(text: str) -> bool:
    """Whether nothing but its words can tell what it is."""
    # Real texts were skipped by the same rules, and no engine of ours writes @user.
    return not (
        canonical.is_too_short(text)
        or canonical.is_manual_retweet(text)
        or canonical.is_cut_off(text)
        or canonical.ANONYMOUS_HANDLE in text
    )


def _write_sheet(path: Path, texts: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        # In quotation marks: a spreadsheet would take what begins with @ or = for a formula.
        writer.writerows((number, f"“{text}”", "") for number, text in enumerate(texts, 1))


def _scores(sheets: Sequence[Path], answers: Mapping[str, Any]) -> str:
    texts = [(row["text"], row["kind"]) for row in answers["texts"]]
    read = {str(path): read_sheet(path, texts) for path in sheets}
    if len(read) > 1:
        read["all"] = [guess for guesses in list(read.values()) for guess in guesses]
    return "\n".join(
        [f"{'':<24}{'right':>14}{'95 % interval':>18}{'fooled':>16}{'real doubted':>16}"]
        + [_score_line(name, guesses) for name, guesses in read.items()]
        + ["A coin is right 50 % of the time. Fooled: a computer's text that was called real."]
    )


def read_sheet(path: Path, texts: Sequence[tuple[str, Kind]]) -> list[tuple[Kind, Kind]]:
    """What was said of each text that was answered, and what it is. Raises TrainingError if the
    sheet is another one, or an answer is neither real nor computer."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # Spreadsheets of some countries write semicolons.
            separator = ";" if ";" in file.readline() else ","
            rows = list(csv.reader(file, delimiter=separator))
    except (OSError, UnicodeError, csv.Error) as error:
        raise TrainingError(f"{path} could not be read: {error}.") from error
    guesses: list[tuple[Kind, Kind]] = []
    for row in rows:
        number, text, said = [*row, "", "", ""][:3]
        if not number.isdecimal() or not 1 <= int(number) <= len(texts):
            raise TrainingError(f"{path} has a row {number[:20]!r}, which the sheet does not have.")
        shown, kind = texts[int(number) - 1]
        if text.strip("“”") != shown.strip("“”"):
            raise TrainingError(f"Text {number} of {path} is not that of this sheet.")
        answer = said.strip().lower()
        if answer not in ("", "real", "computer"):
            raise TrainingError(
                f"{path} says {said[:20]!r} of text {number}; it must be real, computer or empty."
            )
        if answer:
            guesses.append(("real" if answer == "real" else "computer", kind))
    if not guesses:
        raise TrainingError(f"{path} holds no answer.")
    return guesses


def _score_line(name: str, guesses: Sequence[tuple[Kind, Kind]]) -> str:
    right = sum(said == kind for said, kind in guesses)
    interval = binomtest(right, len(guesses)).proportion_ci(0.95, "exact")

    def wrong(kind: Kind) -> str:
        of_kind = [said for said, is_kind in guesses if is_kind == kind]
        return f"{sum(said != kind for said in of_kind)} of {len(of_kind)}"

    return (
        f"{name[-23:]:<24}{f'{right} of {len(guesses)}':>14}"
        f"{f'{interval.low:.0%} to {interval.high:.0%}':>18}"
        f"{wrong('computer'):>16}{wrong('real'):>16}"
    )
