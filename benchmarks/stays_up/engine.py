"""The engine's process killed, and stopped, while it writes."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil

from benchmarks.stays_up import calls
from benchmarks.stays_up.app import App, Row, state, wait_for, workers
from demo.generation.openvino.engine import LOST

TIMES = 10
NOTICED_SECONDS = 10.0
BACK_SECONDS = 15.0
WRITERS = 8


def killed(app: App) -> Iterator[Row]:
    """SIGKILL: the readers are told, another process takes over, none is left behind."""
    yield _broken(app, "SIGKILL", psutil.Process.kill)


def stopped(app: App) -> Iterator[Row]:
    """SIGSTOP: it is noticed, and as above."""
    yield _broken(app, "SIGSTOP", psutil.Process.suspend)


def _broken(app: App, signal: str, do: Callable[[psutil.Process], None]) -> Row:
    times, noticed, back, kinds = 1 if app.quick else TIMES, [], [], list[str]()
    for _ in range(times):
        with ThreadPoolExecutor(1) as pool:
            writes = threading.Event()
            writing = pool.submit(calls.crowd, app.url, WRITERS, writes, **calls.LONG)
            writes.wait(60)
            (worker,) = workers(app.server)
            do(worker)
            begun = time.monotonic()
            wait_for(lambda: state(app.server) != "ready", NOTICED_SECONDS * 2, app.server)
            noticed.append(time.monotonic() - begun)
            wait_for(lambda: state(app.server) == "ready", BACK_SECONDS * 2, app.server)
            back.append(time.monotonic() - begun - noticed[-1])
            kinds += [one.kind for one in writing.result()]
        kinds += [one.kind for one in calls.visits(app.url, 1)]
    left = len(workers(app.server))
    return Row(
        f"{signal} to the engine's process while {WRITERS} texts are written, {times} times",
        f"noticed after {max(noticed):.1f} s, another one ready {statistics.median(back):.1f} s "
        f"later (worst {max(back):.1f} s); {calls.told(kinds)}; {left} process in the end",
        f"noticed within {NOTICED_SECONDS:g} s, ready {BACK_SECONDS:g} s later; a text or that "
        "sentence for everybody; one process",
        max(noticed) <= NOTICED_SECONDS
        and max(back) <= BACK_SECONDS
        and {"text", LOST} == set(kinds)
        and left == 1,
    )
