"""Two machines in one: network namespaces, joined by a cable, in which training runs."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ADDRESSES = ("10.77.0.1", "10.77.0.2")
INTERFACE = "cable"
_NAMED = Path("/run/netns")
_NEW_NETWORK = 0x40000000


@contextmanager
def two_machines() -> Iterator[tuple[str, str]]:
    """The names of two namespaces that reach each other by ADDRESSES, over INTERFACE, and nothing
    else. Skips the test where they cannot be made."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces take root and iproute2")
    first, second = names = (f"tests-{os.getpid()}-a", f"tests-{os.getpid()}-b")
    made = []
    try:
        for name in names:
            if problem := _ip("netns", "add", name):
                pytest.skip(f"no network namespace can be made here: {problem}")
            made.append(name)
        ends = ("netns", first, "type", "veth", "peer", "name", INTERFACE, "netns", second)
        if problem := _ip("link", "add", INTERFACE, *ends):
            pytest.skip(f"no cable can be made here: {problem}")
        for name, address in zip(names, ADDRESSES, strict=True):
            assert not _ip("-n", name, "addr", "add", f"{address}/30", "dev", INTERFACE)
            for interface in ("lo", INTERFACE):
                assert not _ip("-n", name, "link", "set", interface, "up")
        yield names
    finally:
        for name in made:
            _ip("netns", "delete", name)


def move_to(machine: str) -> None:
    """Moves this process there, as `ip netns exec` does before it starts one."""
    with (_NAMED / machine).open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot move to {machine}")


def _ip(*arguments: str) -> str:
    """What was wrong, if anything was."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    return str(done.stderr)
