"""An archive on the Hub: `prepare hf://…` reads it with the real client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import made_up
from tests.hub.server import READER, Hub, Repo
from tests.hub.verbs import Done, run_here


def prepare(hub: Hub, source: str, out: Path) -> Done:
    """The verb, whose Hub is `hub`."""
    return run_here(hub, out, "prepare", source, "--out", str(out), token=READER)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    archive = made_up.write(tmp_path / "a.csv.gz", made_up.rows(100))
    served = Hub({"me/tweets": Repo({"archive.csv.gz": archive.read_bytes()}, private=True)})
    served.start()
    yield served
    served.stop()


def test_an_archive_is_read_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    commit = hub.repos["me/tweets"].commit
    source = f"hf://datasets/me/tweets@{commit}/archive.csv.gz"
    done = prepare(hub, source, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "train.parquet").is_file()


def test_an_archive_that_the_hub_does_not_have_is_named(hub: Hub, tmp_path: Path) -> None:
    done = prepare(hub, "hf://datasets/me/teapots/archive.csv.gz", tmp_path / "data")
    assert done.returncode == 1
    assert "hf://datasets/me/teapots/archive.csv.gz" in done.stderr
