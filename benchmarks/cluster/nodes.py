"""Two nodes of a Ray cluster, joined by a switch, and our engines on them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import BenchmarkError
from benchmarks.measuring import ROOT
from benchmarks.scale import SLOTS

HEAD, OTHER = "10.77.0.1", "10.77.0.2"
GCS_PORT = 6399
ADDRESS = f"{HEAD}:{GCS_PORT}"
CONFIG = ROOT / "deploy" / "ray" / "config.yaml"
URL = f"http://{HEAD}:8000/v1"
# As docs/scaling.md says.
VARIABLES = {
    "PYTHONPATH": str(ROOT),
    "SLOTS": str(SLOTS),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",
}
NODE = ("--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats", "--block")
HEAD_ALONE = ("--head", "--include-dashboard=false")
# A node is a machine: its processes end with the first one.
MACHINE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
# Each machine has a folder of its own there.
OWN_FOLDER = ("sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"')
START_SECONDS = 600.0
LOG_LINES = 20


class Node:
    """A machine that runs `ray start`, reached and kept on its cores by the command `within`."""

    def __init__(
        self, address: str, within: Sequence[str], options: Sequence[str], log: Path
    ) -> None:
        self.address, self._log = address, log
        ray = (sys.executable, "-m", "ray.scripts.scripts", "start", *NODE, *options)
        self._command = [*within, *ray, f"--node-ip-address={address}"]
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._process = _started(self._command, self._log)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def kill_one(self, name: str) -> None:
        """Kills the process of this node with this name or title. Raises LookupError."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if process.name() == name or " ".join(process.cmdline()).startswith(name):
                    process.kill()
                    return
        raise LookupError(f"no {name} runs on the node {self.address}")

    def processes(self) -> list[psutil.Process]:
        assert self._process
        found: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
        return found

    def said(self) -> str:
        return _end_of(self._log)


class Cluster:
    """The head, which this process is on, and another node. Nodes that end are started again, as a
    supervisor would, whenever this is waited for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ray_folder = folder / "ray"
        ray_folder.mkdir()
        # Its network lasts as long as the process that holds it.
        self._holder, other = _join()
        first, second = _cores()
        self.head = Node(
            HEAD,
            ["taskset", "--cpu-list", first, *MACHINE],
            [f"--port={GCS_PORT}", f"--temp-dir={ray_folder}", *HEAD_ALONE],
            folder / "head.log",
        )
        self.other = Node(
            OTHER,
            [*other, "taskset", "--cpu-list", second, *MACHINE, *OWN_FOLDER, str(ray_folder)],
            [f"--address={ADDRESS}"],
            folder / "other.log",
        )
        # Whether the other node is to be there.
        self.is_whole = False
        self._served: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[str] | None = None
        self._config: dict[str, Any] = {}
        self._engines = 0

    def deploy(self, *, autoscaled: bool) -> None:
        """Serves our engines by deploy/ray/config.yaml: with its autoscaling, or always two. Starts
        the head first; once an engine runs there, the other node."""
        if not self._config:
            self.head.start()
            self.wait_for(_listens, START_SECONDS, is_needed=True)
        config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        if not autoscaled:
            (deployment,) = config["applications"][0]["deployments"]
            del deployment["autoscaling_config"]
            deployment["num_replicas"] = 2
        if config != self._config:
            self._serve(config)
        # One node after the other: on few cores they would starve each other.
        self.wait_for(lambda: self.engines > 0, START_SECONDS, is_needed=True)
        self.is_whole = True
        wanted = 1 if autoscaled else 2
        self.wait_for(lambda: self.engines == wanted, START_SECONDS, is_needed=True)

    @property
    def engines(self) -> int:
        """How many run, as Ray Serve last said."""
        return self._engines

    def unplug(self) -> None:
        """Takes the other node's cable out of the switch: whatever is sent is lost."""
        _ip("link", "set", "port1", "nomaster")

    def replace(self) -> None:
        """A new node for the other one, whatever became of that, with its cable in the switch."""
        self.other.kill()
        _ip("link", "set", "port1", "master", "switch")

    def wait_for(
        self, holds: Callable[[], bool], seconds: float, is_needed: bool = False
    ) -> float | None:
        """After how many seconds it holds; None if it does not within so many, or, if it is needed,
        TimeoutError. Raises BenchmarkError if the head or the application ends."""
        begun = time.monotonic()
        while not holds():
            if not self.head.is_running():
                raise BenchmarkError(f"The head ended. The end of its log:\n{self.head.said()}")
            if self._served and self._served.poll() is not None:
                log = _end_of(self._folder / "serve.log")
                raise BenchmarkError(f"`serve run` ended. The end of its log:\n{log}")
            if self.is_whole and not self.other.is_running() and _listens():
                self.other.start()
            if time.monotonic() - begun > seconds:
                if is_needed:
                    raise TimeoutError(
                        f"It did not come about within {seconds:g} s. The other node:\n"
                        f"{self.other.said()}"
                    )
                return None
            time.sleep(0.1)
        return time.monotonic() - begun

    def _serve(self, config: dict[str, Any]) -> None:
        for process in (self._watch, self._served):
            if process:
                # `serve run` then takes the application down.
                process.send_signal(signal.SIGINT)
                process.wait(START_SECONDS)
        self._config, self._engines = config, 0
        path, log = self._folder / "config.yaml", self._folder / "serve.log"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        serve = (sys.executable, "-m", "ray.serve.scripts", "run")
        command = [*serve, f"--address={ADDRESS}", str(path)]
        self._served = _started(command, log)
        self._watch = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cluster.replicas"],
            env=os.environ | VARIABLES,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=(self._folder / "watch.log").open("wb"),
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self._watch,), daemon=True).start()

    def _read(self, watch: "subprocess.Popen[str]") -> None:
        assert watch.stdout
        for line in watch.stdout:
            # Ray prints there, too.
            if watch is self._watch and line.strip().isdecimal():
                self._engines = int(line)


def _started(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """A process that Ctrl-C does not reach: it ends with this one."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | VARIABLES,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def _cores() -> tuple[str, str]:
    """For each node a half of this machine's cores; the only one, if it has no more, for both."""
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))]
    half = len(cores) // 2
    return ",".join(cores[:half] or cores), ",".join(cores[half:])


def _join() -> tuple["subprocess.Popen[bytes]", Sequence[str]]:
    """Makes the switch and the network of the other node; returns the process that holds it, and
    how a command is run in it."""
    # Nothing else is known by name here.
    socket.sethostname("localhost")
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], start_new_session=True)
    network = Path(f"/proc/{holder.pid}/ns/net")
    while network.readlink() == Path("/proc/self/ns/net").readlink():
        time.sleep(0.01)
    within = ("nsenter", f"--net={network}")
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "switch", "type", "bridge")
    _ip("link", "add", "port1", "type", "veth", "peer", "name", "cable1")
    _ip("link", "set", "cable1", "netns", str(holder.pid))
    _ip("link", "set", "port1", "master", "switch", "up")
    for name, address, where in (("switch", HEAD, ()), ("cable1", OTHER, within)):
        _ip("address", "add", f"{address}/24", "dev", name, within=where)
        _ip("link", "set", name, "up", within=where)
        # Ray finds out its own address by asking which way leads to one on the internet.
        _ip("route", "add", "default", "dev", name, within=where)
    _ip("link", "set", "lo", "up", within=within)
    return holder, within


def _ip(*words: str, within: Sequence[str] = ()) -> None:
    done = subprocess.run([*within, "ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}")


def _listens() -> bool:
    with suppress(OSError), socket.create_connection((HEAD, GCS_PORT), timeout=1):
        return True
    return False


def _end_of(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(said.splitlines()[-LOG_LINES:])
