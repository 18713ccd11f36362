"""Our CPU engine as a completions server: `python -m demo.engine_server`.

It reads the demo's own settings (docs/settings.md). ENGINE_KEY is the key that it asks for.
"""

import gc
import platform
import signal
import sys
import threading
from dataclasses import replace
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from demo import log
from demo.loading import load, start
from demo.log import say
from demo.server.completions import completions_routes, problem_response
from demo.server.connections import OPTIONS
from demo.server.limits import BodyMiddleware
from demo.server.routes import probe_routes
from demo.server.service import Service
from demo.settings import InvalidSetting, Settings

# For readers to read that their texts were cut.
LAST_WORD_SECONDS = 1


def engine_app(service: Service, settings: Settings) -> Starlette:
    """The ASGI app over a service whose engine is OpenVINO's."""
    return Starlette(
        routes=[
            *probe_routes(service, settings.metrics_token),
            *completions_routes(service, settings.engine_key, settings.queue_size),
        ],
        middleware=[Middleware(BodyMiddleware, max_bytes=settings.max_body_bytes, calls={})],
        exception_handlers={HTTPException: problem_response},
    )


def engine_service(settings: Settings) -> Service:
    return Service(lambda: load(replace(settings, engine="openvino")))


class Server(uvicorn.Server):
    """uvicorn, which gives texts under way STOP_SECONDS once it is told to stop."""

    def __init__(self, service: Service, settings: Settings) -> None:
        options = {
            **OPTIONS,
            "host": settings.server_name,
            "port": settings.server_port,
            "timeout_graceful_shutdown": settings.stop_seconds + LAST_WORD_SECONDS,
        }
        super().__init__(uvicorn.Config(engine_app(service, settings), **options))
        self._service, self._stop_seconds = service, settings.stop_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        say("Stopping.")
        closing = threading.Timer(self._stop_seconds, self._service.close)
        closing.daemon = True
        closing.start()


def serve(settings: Settings) -> None:
    """Serves until it is told to stop."""
    if settings.engine not in ("auto", "openvino"):
        raise InvalidSetting(f"ENGINE is {settings.engine!r}; this server runs openvino.")
    log.keep_words_out()
    say("Starting.", python=platform.python_version())
    service = engine_service(settings)
    server = Server(service, settings)
    # As in app.py: full collections need not look through what was imported.
    gc.freeze()
    service.on_failure(lambda: setattr(server, "should_exit", True))
    # uvicorn has handlers of its own meanwhile, and passes on to these what it was told.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    service.begin()
    say(f"Running on http://{settings.server_name}:{settings.server_port}/v1")
    try:
        server.run()
        # Raises what kept the engine from being loaded.
        service.wait(0)
    finally:
        service.close()
    say("Stopped.")


if __name__ == "__main__":
    sys.exit(start(serve))
