"""A Hub that is down, dies, refuses or sends wrong bytes while the demo starts."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.checkpoints import CheckpointName, make_target
from benchmarks.stays_up import calls
from benchmarks.stays_up.app import App, Row
from tests.hub.server import Broken, Hub, Repo

MODEL_ID = "alice/teapots"
EMBEDDED = "The embedded checkpoint runs instead."
KEPT = f"The copy of {MODEL_ID} from an earlier start runs."
REFUSED = {"401 to the token": 401, "429 to everything": 429}


def hub(app: App) -> Iterator[Row]:
    """Each fault in turn, on a start that has never seen the Hub, but for the last."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        target = make_target(CheckpointName.TINY, scratch)
        repo = Repo({path.name: path.read_bytes() for path in target.folder.iterdir()})
        with _hub(repo) as stand_in:
            stand_in.stop()
            yield _started(app, stand_in, scratch / "down", "down at the start", EMBEDDED)
        with _hub(repo) as stand_in:
            stand_in.fault = "die"
            yield _started(app, stand_in, scratch / "dies", "dies in mid-download", EMBEDDED)
        with _hub(repo) as stand_in:
            stand_in.fault = "wrong_bytes"
            yield _started(app, stand_in, scratch / "wrong", "sends wrong bytes", EMBEDDED)
        for what, status in REFUSED.items():
            with _hub(repo) as stand_in:
                for step in ("info", "tree", "resolve"):
                    stand_in.broken[step] = Broken("status", status)
                yield _started(app, stand_in, scratch / str(status), f"answers {what}", EMBEDDED)
        with _hub(repo) as stand_in:
            yield _started(app, stand_in, scratch / "kept", "is well", "")
            stand_in.stop()
            yield _started(app, stand_in, scratch / "kept", "down at the second start", KEPT)


@contextmanager
def _hub(repo: Repo) -> Iterator[Hub]:
    stand_in = Hub({MODEL_ID: repo})
    stand_in.start()
    try:
        yield stand_in
    finally:
        stand_in.stop()


def _started(app: App, stand_in: Hub, home: Path, what: str, expected: str) -> Row:
    commit = stand_in.repos[MODEL_ID].commit
    with app.started(variables=_settings(stand_in, home, commit)) as server:
        notice = str(httpx.get(f"{server.url}/readyz").json()["notice"])
        (seen,) = calls.visits(server.url, 1)
    return Row(
        f"a start whose Hub {what}",
        f"one visitor got a {seen.kind}; {notice or 'no notice'}",
        f"a text, and the notice {expected!r}" if expected else "a text, and no notice",
        seen.kind == "text" and notice.endswith(expected) and bool(notice) == bool(expected),
    )


def _settings(stand_in: Hub, home: Path, commit: str) -> Mapping[str, str]:
    return {
        "MODEL_ID": MODEL_ID,
        "MODEL_REVISION": commit,
        "HF_ENDPOINT": stand_in.endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_reader",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "NO_PROXY": "localhost,127.0.0.1",
    }
