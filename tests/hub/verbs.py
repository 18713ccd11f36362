"""Runs `publish` and `deploy` against a Hub on loopback: in this process, as their command line
does, or in a process of its own, which can be killed.

The client reads HF_ENDPOINT once, when it is imported, so the address is patched into it here.
"""

import io
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from huggingface_hub import constants

from tests import tiny
from tests.forking import Forked
from tests.hub.repositories import State
from tests.hub.server import WRITER, Hub
from training import __main__ as command_line
from training import working_tree

Done = subprocess.CompletedProcess[str]
_sleep = time.sleep


def run_here(
    hub: State,
    home: Path,
    *arguments: str,
    token: str = WRITER,
    uncommitted: Sequence[str] = (),
) -> Done:
    """Runs `python -m training *arguments` in this process, to its end, in a working tree with
    these uncommitted changes. Waits between retries are cut short."""
    out, err = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(client_of(hub, home, token))
        stack.enter_context(patch.object(sys, "argv", ["training", *arguments]))
        exports = "demo.generation.openvino.exported.run_module"
        stack.enter_context(patch(exports, tiny.export_here))
        stack.enter_context(patch.object(working_tree, "changed", lambda: list(uncommitted)))
        stack.enter_context(patch.object(time, "sleep", lambda s: _sleep(min(s, 0.01))))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        stack.enter_context(warnings.catch_warnings())
        # The client's own.
        warnings.simplefilter("ignore", DeprecationWarning)
        code = command_line.main()
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Done(arguments, code, out.getvalue(), err.getvalue())


@contextmanager
def client_of(hub: State, home: Path, token: str) -> Iterator[None]:
    """Within it, the client in this process is that of `hub`, with its caches in `home`."""
    settings = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_DISABLE_XET": not hub.xet, "HF_HUB_OFFLINE": False,
        "HF_TOKEN_PATH": str(home / "hf" / "token"), "HF_HUB_CACHE": str(home / "hf" / "hub"),
        "HF_XET_CACHE": str(home / "hf" / "xet"), "HF_HUB_DISABLE_PROGRESS_BARS": True,
    }  # fmt: skip
    with ExitStack() as stack:
        for name, value in settings.items():
            stack.enter_context(patch.object(constants, name, value))
        environment = {"HF_TOKEN": token, "CACHE_DIR": str(home / "cache")}
        stack.enter_context(patch.dict(os.environ, environment))
        yield


def start_process(
    hub: Hub, home: Path, *arguments: str, cwd: Path, **options: Any
) -> "subprocess.Popen[str]":
    """The same in a process of its own, in the checkout `cwd`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    settings = {
        "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home / "hf"), "HF_TOKEN": WRITER,
        "HF_HUB_DISABLE_XET": "0" if hub.xet else "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "localhost,127.0.0.1",
        "CACHE_DIR": str(home / "cache"),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "training", *arguments], cwd=cwd, env={**kept, **settings},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def fork(hub: Hub, home: Path, *arguments: str) -> Forked:
    """`run_here` in a forked process, for tests that kill or interrupt it; what it says in the end
    is in the file `output` of `home`."""
    home.mkdir(parents=True, exist_ok=True)
    address = State(port=hub.port, xet=hub.xet)
    return Forked(home / "output", _run_and_exit, address, home, *arguments)


def _run_and_exit(hub: State, home: Path, *arguments: str) -> None:
    done = run_here(hub, home, *arguments)
    print(done.stdout, done.stderr, sep="", end="")
    sys.exit(done.returncode)


def wait_for_step(hub: Hub, step: str, process: "subprocess.Popen[str] | Forked") -> None:
    """Until the process has asked the Hub for a step ("broken" is a stalled one)."""
    deadline = time.monotonic() + 60
    while step not in hub.steps:
        assert process.poll() is None, process.poll()
        assert time.monotonic() < deadline
        time.sleep(0.01)
