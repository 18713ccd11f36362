"""The engine's process killed or stopped, and the app ended, while texts are written."""

import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil

from benchmarks.servers import Server, started, wait_for
from benchmarks.stays_up import calls
from benchmarks.stays_up.app import LIMITS, App
from benchmarks.trials import Row
from demo.generation.engine import SHUTTING_DOWN
from demo.generation.openvino.engine import LOST
from demo.generation.openvino.process import WORKER
from demo.server.admission import STOPPED

TIMES = 10
NOTICED_SECONDS = 10.0
BACK_SECONDS = 15.0
WRITERS = 8
VISITORS = 40
STOP_SECONDS = 10
SPARE_SECONDS = 2.0


def killed(app: App) -> Iterator[Row]:
    """SIGKILL: the readers are told, another process takes over, none is left behind."""
    yield _broken(app, signal.SIGKILL)


def stopped(app: App) -> Iterator[Row]:
    """SIGSTOP: it is noticed, and as above."""
    yield _broken(app, signal.SIGSTOP)


def _broken(app: App, number: signal.Signals) -> Row:
    times, noticed, back, kinds = 1 if app.quick else TIMES, [], [], list[str]()
    for _ in range(times):
        with ThreadPoolExecutor(1) as pool:
            writes = threading.Event()
            writing = pool.submit(calls.crowd, app.url, WRITERS, writes, **calls.LONG)
            writes.wait(60)
            (worker,) = _workers(app.server)
            worker.send_signal(number)
            begun = time.monotonic()
            wait_for(lambda: app.server.state() != "ready", NOTICED_SECONDS * 2, app.server)
            noticed.append(time.monotonic() - begun)
            wait_for(lambda: app.server.state() == "ready", BACK_SECONDS * 2, app.server)
            back.append(time.monotonic() - begun - noticed[-1])
            kinds += [one.kind for one in writing.result()]
        kinds += [one.kind for one in calls.visits(app.url, 1)]
    left = len(_workers(app.server))
    return Row(
        f"{number.name} to the engine's process while {WRITERS} texts are written, {times} times",
        f"noticed after {max(noticed):.1f} s, another one ready {statistics.median(back):.1f} s "
        f"later (worst {max(back):.1f} s); {calls.told(kinds)}; {left} process in the end",
        f"noticed within {NOTICED_SECONDS:g} s, ready {BACK_SECONDS:g} s later; a text or that "
        "sentence for everybody; one process",
        max(noticed) <= NOTICED_SECONDS
        and max(back) <= BACK_SECONDS
        and {"text", LOST} == set(kinds)
        and left == 1,
    )


def _workers(server: Server) -> list[psutil.Process]:
    """The processes in which the app's engine runs."""
    found = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.Error):
            found += [child] * (WORKER in child.cmdline())
    return found


def stop(app: App) -> Iterator[Row]:
    """SIGTERM: everybody gets a text or a sentence, /readyz says so at once, it ends in time."""
    count = 8 if app.quick else VISITORS
    variables = {**LIMITS, "STOP_SECONDS": str(STOP_SECONDS)}
    with started(variables=variables) as server, ThreadPoolExecutor(1) as pool:
        calls.visits(server.url, 1)
        writes = threading.Event()
        writing = pool.submit(calls.crowd, server.url, count, writes, **calls.LONG)
        writes.wait(60)
        server.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        told = wait_for(lambda: server.state() != "ready", 5)
        late = calls.visits(server.url, 1)[0].kind
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(STOP_SECONDS + 10 * SPARE_SECONDS)
        code, ended = server.process.poll(), time.monotonic() - begun
        kinds = [one.kind for one in writing.result()]
    limit = STOP_SECONDS + SPARE_SECONDS
    yield Row(
        f"SIGTERM under {count} visitors",
        f"{calls.told(kinds)}; /readyz said so after {told or 0:.2f} s; one who came then got "
        f"{late}; exit {code} after {ended:.1f} s",
        "a text or a sentence for everybody, a text for some; /readyz within 1 s; exit 0 within "
        f"{limit:g} s",
        {"text"} <= set(kinds) <= {"text", "503", STOPPED, SHUTTING_DOWN}
        and late == "503"
        and told is not None
        and told <= 1
        and code == 0
        and ended <= limit,
    )
