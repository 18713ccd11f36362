"""What `run_module` may start, `python -m tests.children WHAT OUT`: a process that lacks memory or
space, or one that works until it is ended."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

from demo.subprocesses import end_with_parent

SIZE = 2**20


def main(what: str, out: Path) -> None:
    """Does it."""
    end_with_parent()
    if what == "memory":
        resource.setrlimit(resource.RLIMIT_AS, (100 * SIZE, 100 * SIZE))
        print(len(bytearray(200 * SIZE)))
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "space":
        resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, SIZE))
        out.write_bytes(bytes(2 * SIZE))
    else:
        out.mkdir()
        (out / "half").write_text("made")
        print(os.getpid(), flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
