"""Fixtures of more than one ring: the app in a process of its own, over a scripted engine."""

import gc
import signal
from collections.abc import Generator, Iterator

import pytest

from tests import forking
from tests.processes import AppProcess, running_app
from tests.scripted import ScriptedEngine

NOTICE = "The <embedded> checkpoint answers, because no other one was named."


# Those with long tests first: whatever runs last, runs while other processes have nothing to do.
RINGS = ("training", "hub", "browser", "app", "benchmarks", "unit")
LONGEST_OF_ITS_RING = "test_openvino_engine.py"


def pytest_configure() -> None:
    """Before the processes that run the tests are started: they share one fork server."""
    forking.session_folder()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports all tests. They leave 700,000 objects that are never garbage: looking through them
    again and again takes a fifth of the time that importing them does."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the rings; within one, the order stays random, but for a file of a minute."""

    def order(item: pytest.Item) -> tuple[int, bool]:
        return RINGS.index(item.path.parent.name), item.path.name != LONGEST_OF_ITS_RING

    items.sort(key=order)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell that runs the tests in the background has them ignore Ctrl-C, and with them every
    process that they start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def engine() -> ScriptedEngine:
    """A language model in this process whose replies are written beforehand."""
    return ScriptedEngine()


@pytest.fixture(scope="session")
def scripted_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """The real app over a scripted engine, started once for all tests."""
    folder = tmp_path_factory.mktemp("scripted_app")
    # All tests are one visitor.
    settings = {"NOTICE": NOTICE, "RATE_TEXTS": "1000/second", "RATE_CALLS": "1000/second"}
    with running_app(["-m", "tests.scripted_app"], folder, settings) as app:
        yield app
