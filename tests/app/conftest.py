"""A checkpoint small enough to be made while tests start."""

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary checkpoint folder: a GPT-2 with random weights and its own tokenizer."""
    return tiny.write(tmp_path_factory.mktemp("tiny"), tiny.gpt2())
