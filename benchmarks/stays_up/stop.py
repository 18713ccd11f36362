"""SIGTERM while visitors are served."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.stays_up import calls
from benchmarks.stays_up.app import App, Row, state, wait_for
from demo.generation.engine import SHUTTING_DOWN
from demo.server.admission import STOPPED

VISITORS = 40
STOP_SECONDS = 10
SPARE_SECONDS = 2.0


def stop(app: App) -> Iterator[Row]:
    """Everybody gets a text or a sentence, /readyz says so at once, and it ends in time."""
    count = 8 if app.quick else VISITORS
    variables = {"STOP_SECONDS": str(STOP_SECONDS)}
    with app.started(variables=variables) as server, ThreadPoolExecutor(1) as pool:
        calls.visits(server.url, 1)
        writes = threading.Event()
        writing = pool.submit(calls.crowd, server.url, count, writes, **calls.LONG)
        writes.wait(60)
        server.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        told = wait_for(lambda: state(server) != "ready", 5)
        late = calls.visits(server.url, 1)[0].kind
        try:
            code: int | None = server.process.wait(STOP_SECONDS + 10 * SPARE_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        ended = time.monotonic() - begun
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
