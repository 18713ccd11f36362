"""A demo that resolves its checkpoint, in a process of its own: the real client reads HF_ENDPOINT
once. Its other end is client.py.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.checkpoints.resolve import HUB_PATIENCE_SECONDS
from tests.hub.server import Hub

INSTEAD = "The embedded checkpoint runs instead."


@dataclass(frozen=True)
class Result:
    """What the client process tells of one call."""

    folder: Path
    name: str
    revision: str
    notice: str
    said: list[str]
    seconds: float

    def is_embedded_because(self, reason: str) -> bool:
        """True if the embedded one runs, and the notice says why."""
        said_so = reason in self.notice and self.notice.endswith(INSTEAD)
        return self.name == "embedded" and said_so and self.notice in self.said


class Client:
    """A process with the real client in it, whose Hub is `hub`."""

    def __init__(self, hub: Hub, embedded: Path, home: Path, by_xet: bool = False) -> None:
        self._embedded, self._cache = embedded, home / "cache"
        self.hub_cache = home / "hf" / "hub"
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_DISABLE_XET": "0" if by_xet else "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
            "NO_PROXY": "localhost,127.0.0.1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hub.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )

    def resolve(
        self,
        model_id: str,
        revision: str,
        token: str = "",
        patience: float = HUB_PATIENCE_SECONDS,
    ) -> Result:
        """One `resolve_checkpoint` there."""
        answer = self._ask(model_id, revision, token=token, patience=patience)
        return Result(**{**answer, "folder": Path(answer["folder"])})

    def early(self, model_id: str, revision: str, patience: float = HUB_PATIENCE_SECONDS) -> Path:
        """One `early_folder` there, for the small files that the page is built from."""
        answer = self._ask(model_id, revision, token="", patience=patience, early=True)
        return Path(answer["early"])

    def _ask(self, model_id: str, revision: str, **more: Any) -> dict[str, Any]:
        settings = {"MODEL_ID": model_id, "MODEL_REVISION": revision, "CACHE_DIR": str(self._cache)}
        arguments = {"settings": settings, "embedded": str(self._embedded), **more}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """Ends the process, whatever its threads still wait for."""
        self._process.kill()
        self._process.communicate()
