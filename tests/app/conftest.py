"""What tests of the app share: a client, and a checkpoint made while they start."""

from pathlib import Path

import pytest
from gradio_client import Client

from tests import tiny
from tests.processes import AppProcess


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary checkpoint folder: a GPT-2 with random weights and its own tokenizer."""
    return tiny.write(tmp_path_factory.mktemp("tiny"), tiny.gpt2())


@pytest.fixture(scope="session")
def client(scripted_app: AppProcess) -> Client:
    """Made once: it reads the app's whole description first."""
    return Client(scripted_app.url, verbose=False, analytics_enabled=False)
