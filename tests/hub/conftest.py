"""A Hub for the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.hub.server import Hub


@pytest.fixture(scope="module")
def one_hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.stop()


@pytest.fixture
def hub(one_hub: Hub) -> Hub:
    """The Hub, up, empty and well-behaved."""
    one_hub.reset()
    one_hub.start()
    return one_hub
