"""Starts the real app with the scripted engine: `python -m tests.scripted_app`.

Knows how the app is launched; everything else is the app's own. LOAD_SECONDS is how long the
engine takes to load, LOAD_ERROR why it does not, TEXTS_AT_ONCE how many texts it writes at once,
NOTICE what its visitors are told, STORIES that every text is to be a new one.
"""

import os
import sys
import time
from pathlib import Path

from demo.checkpoints.persona import Persona
from demo.generation.profile import Profile
from demo.judging.judges import read_metrics
from demo.launch import launch
from demo.server.service import Loaded, Service
from demo.settings import read_settings
from tests.guessing import Stories
from tests.scripted import ScriptedEngine, scripted_judges

PERSONA_FILE = Path(__file__).parent.parent / "training" / "persona.toml"
EMBEDDED = Path(__file__).parent.parent / "embedded"


def load() -> Loaded:
    time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
    if os.environ.get("LOAD_ERROR"):
        raise RuntimeError(os.environ["LOAD_ERROR"])
    notice = os.environ.get("NOTICE", "")
    plot = EMBEDDED / "curve.png"
    engine = ScriptedEngine(Stories()) if os.environ.get("STORIES") else ScriptedEngine()
    engine.slots = int(os.environ.get("TEXTS_AT_ONCE", "1"))
    return Loaded(engine, notice, scripted_judges(), read_metrics(EMBEDDED), plot)


if __name__ == "__main__":
    settings = read_settings()
    service = Service(load, settings.slots)
    service.begin()
    launch(service, settings, Profile(Persona.read(PERSONA_FILE)))
    sys.exit(0)
