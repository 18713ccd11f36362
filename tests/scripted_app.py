"""Starts the real app with the scripted engine: `python -m tests.scripted_app`.

CONTROL names a folder through which a test steers it: the engine is loaded once the file `load` is
there, texts with the prompt "held" go on once `go` is, and `peak` says how many texts were written
at once at most. LOAD_ERROR is why the engine cannot be loaded, TEXTS_AT_ONCE how many texts it
writes at once, NOTICE what visitors are told, STORIES that each seed gives another text, BUSY that
Gradio finds the machine too busy to answer, PATIENT that a reader has longer to read why its text
was cut, and that Gradio waits for its server until that has ended.

At SIGUSR1 it gives back the memory that nothing uses, and prints GIVEN_BACK.
"""

import ctypes
import gc
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gradio import http_server, networking

from demo import log
from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.persona import Persona
from demo.generation.profile import Profile
from demo.judging.judges import read_metrics
from demo.launch import launch
from demo.server import service as service_module
from demo.server.service import Loaded, Service
from demo.settings import read_settings
from tests.guessing import StoryTeller
from tests.scripted import GIVEN_BACK, ScriptedEngine, scripted_judges

PERSONA_FILE = Path(__file__).parent.parent / "training" / "persona.toml"


def load() -> Loaded:
    control = Path(os.environ["CONTROL"]) if "CONTROL" in os.environ else None
    while control and not (control / "load").exists():
        time.sleep(0.05)
    if os.environ.get("LOAD_ERROR"):
        raise RuntimeError(os.environ["LOAD_ERROR"])
    notice = os.environ.get("NOTICE", "")
    plot = EMBEDDED / "curve.png"
    engine = StoryTeller() if os.environ.get("STORIES") else ScriptedEngine()
    engine.control = control
    engine.slots = int(os.environ.get("TEXTS_AT_ONCE", "1"))
    return Loaded(engine, notice, scripted_judges(), read_metrics(EMBEDDED), plot)


def give_back(*_: object) -> None:
    gc.collect()
    # glibc's; other systems' allocators give back by themselves.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    print(GIVEN_BACK, flush=True)


def close(server: Any) -> None:
    """As Gradio does it, which goes on after five seconds."""
    server.should_exit = True
    server.thread.join()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, give_back)
    if os.environ.get("BUSY"):
        networking.url_ok = lambda url: False
    if os.environ.get("PATIENT"):
        service_module.LAST_WORD_SECONDS = 5
        gradio: Any = http_server
        gradio.Server.close = close
    settings = read_settings()
    log.set_up(settings.log_format)
    service = Service(load)
    service.begin()
    launch(service, settings, Profile(Persona.read(PERSONA_FILE)))
    sys.exit(0)
