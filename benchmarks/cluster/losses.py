"""Trials of what is lost: nothing happens, an engine or its node goes, too many texts come."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from benchmarks.cluster.nodes import URL, Cluster
from benchmarks.cluster.texts import Text, at_once, readers, slowest, told_after
from benchmarks.measuring import NOTHING
from benchmarks.scale import SLOTS, TOKENS
from benchmarks.trials import Row
from demo.checkpoints.resolve import Checkpoint
from demo.generation.remote.engine import RemoteEngine
from demo.settings import Settings

READERS = 4
# How long texts are written before something happens, and after it was mended.
SETTLED_SECONDS = 5.0
TOLD_SECONDS = 10.0
# Ray asks a replica every ten seconds whether it is well, and gives it up after three failures.
NOTICED_SECONDS = 120.0
MENDED_SECONDS = 300.0
# As deploy/ray/engines.py says: so many texts wait, beside those that the engines write.
WAITING = 64
ROOM = 2 * SLOTS + WAITING
BURST, BURST_TOKENS = ROOM + 34, 10

# The columns of what was measured.
MEASURED = ("texts", "whole", "cut", "told after, s", "lost before they began",
            "slowest first word, s", "full strength after, s", "besides")  # fmt: skip
WHOLE = "every text whole"


class Stage:
    """The cluster under trial, which is started when a trial first asks for it, and the page's
    engine over it."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, settings: Settings) -> None:
        self._cluster = Cluster(folder)
        self._checkpoint, self._settings = checkpoint, settings
        self.name = f"The checkpoint {checkpoint.name}"

    def cluster(self, *, autoscaled: bool = False) -> Cluster:
        """With two engines, or with one and Ray Serve's autoscaling."""
        self._cluster.deploy(autoscaled=autoscaled)
        return self._cluster

    @cached_property
    def engine(self) -> RemoteEngine:
        """As a page has it. The cluster must serve."""
        settings = replace(self._settings, engine="remote", engine_url=URL)
        return RemoteEngine(self._checkpoint, settings, print)


Fault = Callable[[Cluster], None]


def nothing(stage: Stage) -> Iterator[Row]:
    """Texts are written, and nothing happens."""
    stage.cluster()
    with readers(stage.engine, READERS, TOKENS) as texts:
        time.sleep(4 * SETTLED_SECONDS)
    yield Row("nothing", measured(texts), WHOLE, all(text.is_whole for text in texts))


def replica_killed(stage: Stage) -> Iterator[Row]:
    """Ray Serve's process of an engine. Its own is a child, which ends with it."""
    yield _lost(stage, "a replica killed", lambda it: it.other.kill_one("ray::ServeReplica"))


def raylet_killed(stage: Stage) -> Iterator[Row]:
    """`ray start --block` ends then, and with it whatever ran on the node."""
    yield _lost(stage, "a raylet killed", lambda it: it.other.kill_one("raylet"))


def node_killed(stage: Stage) -> Iterator[Row]:
    """All processes of a node at once: its connections are closed by its system."""
    yield _lost(stage, "a node killed", lambda it: it.other.kill())


def node_frozen(stage: Stage) -> Iterator[Row]:
    """Its system lives, its processes do not: connections stay open, and nothing is said."""
    yield _lost(stage, "a node frozen", lambda it: it.other.freeze(), is_silent=True)


def node_cut_off(stage: Stage) -> Iterator[Row]:
    """Nothing reaches it and nothing comes from it; it goes on writing."""
    yield _lost(stage, "a node's cable pulled", lambda it: it.unplug(), is_silent=True)


def burst(stage: Stage) -> Iterator[Row]:
    """More texts at once than there is room for: the others get 503, and ask again."""
    stage.cluster()
    texts = at_once(stage.engine, BURST, BURST_TOKENS)
    seconds = max(text.ended for text in texts) - min(text.asked for text in texts)
    besides = f"room for {ROOM}; all over after {seconds:.1f} s"
    what = f"{BURST} texts at once"
    yield Row(what, measured(texts, besides=besides), WHOLE, all(text.is_whole for text in texts))


def _lost(stage: Stage, what: str, fault: Fault, is_silent: bool = False) -> Row:
    """What becomes of texts under way. A node that has ended is started again at once; one that is
    silent is replaced when Ray has given it up."""
    cluster = stage.cluster()
    with readers(stage.engine, READERS, TOKENS) as texts:
        time.sleep(SETTLED_SECONDS)
        fault(cluster)
        happened = time.monotonic()
        noticed = cluster.wait_for(lambda: cluster.engines < 2, NOTICED_SECONDS)
        if is_silent:
            cluster.replace()
        is_mended = noticed is not None and (
            cluster.wait_for(lambda: cluster.engines == 2, MENDED_SECONDS) is not None
        )
        mended = time.monotonic() - happened if is_mended else None
        time.sleep(SETTLED_SECONDS)
    told = told_after(texts, happened)
    besides = "Ray did not notice" if noticed is None else f"Ray gave it up after {noticed:.1f} s"
    return Row(
        f"{what}, {READERS} texts under way",
        measured(texts, told, mended, besides),
        f"cut texts told within {TOLD_SECONDS:g} s, none lost before it began, full strength again",
        # As precise as the table.
        (told is None or round(told, 1) <= TOLD_SECONDS)
        and not any(text.is_lost for text in texts)
        and is_mended,
    )


def measured(
    texts: Sequence[Text],
    told: float | None = None,
    mended: float | None = None,
    besides: str = "",
) -> Sequence[str]:
    """The cells of MEASURED."""
    return (
        str(len(texts)),
        str(sum(text.is_whole for text in texts)),
        str(sum(text.is_cut for text in texts)),
        _seconds(told),
        str(sum(text.is_lost for text in texts)),
        _seconds(slowest(texts)),
        _seconds(mended),
        besides,
    )


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
