"""Python imports this at the start of every process whose PYTHONPATH names this folder.

Writes the name of each host outside this machine that the process looks up or connects to
into the file `OUTSIDE_LOG`; must not change what the process does.
"""

import os
import sys
from typing import Any

_INSIDE = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", None)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in _INSIDE:
        with open(os.environ["OUTSIDE_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{event} {host}\n")


sys.addaudithook(_watch)
