"""The folder of a published dataset: the held-out splits that the guessing game shows.

Tweets of train are never published: whoever has them can tell what the model repeats.
"""

import shutil
from pathlib import Path

from huggingface_hub import DatasetCardData

from training.files import write_json
from training.prepare import Prepared, read_prepared

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
    prepared data, or a split is not the one that the report describes: train, say."""
    prepared = read_prepared(data, SPLITS)
    for name in SPLITS:
        shutil.copyfile(data / f"{name}.parquet", out / f"{name}.parquet")
    prepared.persona.write(out)
    report = {key: prepared.report[key] for key in REPORTED if key in prepared.report}
    write_json(out / REPORT, report)
    (out / "README.md").write_text(_card(prepared), encoding="utf-8")


def _card(prepared: Prepared) -> str:
    persona = prepared.persona
    files = [{"split": name, "path": f"{name}.parquet"} for name in SPLITS]
    metadata = DatasetCardData(
        language=persona.language,
        pretty_name=f"{persona.title}: held-out tweets",
        tags=["tweets"],
        task_categories=["text-generation"],
        configs=[{"config_name": "default", "data_files": files}],
    )
    counts = "\n".join(f"| {name} | {len(prepared.texts[name]):,} |" for name in SPLITS)
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
