"""The folder of a published dataset: the held-out splits that the guessing game shows.

Tweets of train are never published: whoever has them can tell what the model repeats.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData

from demo.checkpoints.files import CheckpointError
from demo.checkpoints.persona import Persona, persona_of
from training import TrainingError
from training.files import read_json, write_json
from training.prepare import read_texts

REPORT = "report.json"
SPLITS = ("dev", "test")
# Everything that is published; the game's counts may lie beside it.
PUBLISHED = ("README.md", REPORT, "persona.json", *(f"{name}.parquet" for name in SPLITS))
# Parts of the report that quote no row of the archive.
REPORTED = (
    "archive_sha256", "canonical_version", "seed", "rows", "bad_rows", "counts", "splits"
)  # fmt: skip


def build_dataset(data: Path, out: Path) -> None:
    """Fills the empty folder `out` from prepared data. Raises TrainingError if these are no
    prepared data, a split is not the one that the report describes."""
    report = _read_report(data)
    try:
        for name in SPLITS:
            # A train split under another name would be published otherwise.
            digest = hashlib.sha256("\n".join(read_texts(data, name)).encode()).hexdigest()
            if digest != report["splits"][name]["texts_sha256"]:
                raise TrainingError(
                    f"{data / f'{name}.parquet'} does not hold the tweets that {REPORT} tells of: "
                    "run `python -m training prepare` again."
                )
            shutil.copyfile(data / f"{name}.parquet", out / f"{name}.parquet")
        persona = persona_of(data)
        persona.write(out)
        write_json(out / REPORT, {key: report[key] for key in REPORTED if key in report})
        (out / "README.md").write_text(_card(persona, report), encoding="utf-8")
    except CheckpointError as error:
        raise TrainingError(str(error)) from error


def _read_report(data: Path) -> dict[str, Any]:
    try:
        report = read_json(data / REPORT)
        for name in SPLITS:
            int(report["splits"][name]["tweets"]), str(report["splits"][name]["texts_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{data} holds no prepared data with a {REPORT}: run `python -m training prepare`, or "
            "name its folder by --data."
        ) from error
    return report


def _card(persona: Persona, report: dict[str, Any]) -> str:
    files = [{"split": name, "path": f"{name}.parquet"} for name in SPLITS]
    metadata = DatasetCardData(
        language="en",
        pretty_name=f"{persona.title}: held-out tweets",
        tags=["tweets"],
        task_categories=["text-generation"],
        configs=[{"config_name": "default", "data_files": files}],
    )
    counts = "\n".join(f"| {name} | {report['splits'][name]['tweets']:,} |" for name in SPLITS)
    return f"""---
{metadata}
---

# Held-out tweets

Real tweets, from {persona.tweets}, that a language model of them did not learn from: for the
guessing game of its demo, which is given this dataset by `TWEETS_DATASET` and `TWEETS_REVISION`.
They are cleaned: no retweets, links or private handles. The tweets that the model learnt from are
not here, and must not be added. The texts are their authors'; no license is given to them.

| split | tweets |
|---|---:|
{counts}
"""
