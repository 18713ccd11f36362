"""Serves a page over an engine until it is told to stop: Gradio's server and its switches."""

import importlib.util
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from demo.game.game import build_game
from demo.game.routes import guess_routes
from demo.generation.idle import IdleWriter
from demo.generation.profile import Profile
from demo.judging.masking import unmasked
from demo.log import keep_words_out, prints_to_log, say
from demo.server.admission import Admission
from demo.server.connections import bound_connections
from demo.server.kept_answers import KeptAnswers
from demo.server.limits import AccessMiddleware, BodyMiddleware
from demo.server.metrics import Observed
from demo.server.rates import Rates
from demo.server.routes import service_routes
from demo.server.service import Service
from demo.settings import Settings
from demo.ui.about import Owner
from demo.ui.api import calls_of, end_stream
from demo.ui.embed import (
    Rewriting,
    answer_mcp_in_json,
    asset_routes,
    changes,
    close_server,
    keep_no_statistics,
    save_no_states,
)
from demo.ui.page import build_page
from demo.ui.specimens import Specimens
from demo.ui.theme import CSS_FILE, build_theme, palette_css

# Threads beyond those in which texts wait and are written: for pages and their assets.
SPARE_THREADS = 24
# Calls at once of one endpoint that does not use the engine.
OTHER_CALLS = 2
# For gzip: the highest, 9, takes half as long again and saves one byte in a thousand.
COMPRESSION = 6
# How long a signal that wakes nobody may wait for its handler.
SIGNAL_SECONDS = 1.0
# Gradio keeps 0.1 MB for each session, and a program's every call is one. None of ours has a state,
# so one that is forgotten loses nothing.
KEPT_SESSIONS = 100


def launch(service: Service, settings: Settings, profile: Profile) -> None:
    """Serves until SIGINT or SIGTERM, then lets texts under way end, and closes server and engine.
    Raises CannotListen if the port was taken meanwhile, and what kept the engine from being
    loaded."""
    stopped = threading.Event()
    _on_stop_signal(stopped.set)
    service.on_failure(stopped.set)
    if not settings.mask_slurs:
        service.mask = unmasked
    writer = IdleWriter(service.wait, service.is_idle)
    game = build_game(service, profile, settings, writer, say)
    owner = Owner(settings.contact, settings.space_id)
    page = build_page(service, profile, owner, game.off)
    specimens = Specimens(service, profile)
    writer.add(specimens.want)
    # ZeroGPU lends a GPU for what a visitor asks for, and charges the visitor for it.
    if not settings.zero_gpu:
        writer.begin()
    routes = (
        *service_routes(service, settings.metrics_token),
        *asset_routes(service, profile.persona),
        specimens.route(),
        *guess_routes(game),
    )
    try:
        _open(page, settings, routes, _middleware(service, settings, profile, page))
    except OSError:
        writer.close()
        game.close()
        page.close(verbose=False)
        # Gradio does not say whether it was the port: it was if that cannot be had now either.
        settings.require_free_port()
        raise
    try:
        # With a timeout: a signal that another thread takes, or that comes just before the wait,
        # does not end it, and only this thread runs the handler.
        while not stopped.wait(SIGNAL_SECONDS):
            pass
        # What a demo has not loaded yet when it is told to stop is no failure.
        has_failed = service.state() == "failed"
    finally:
        say("Stopping.")
        writer.close()
        service.stop(settings.stop_seconds)
        close_server(page)
        game.close()
        service.counts.log_refusals()
        say("Stopped.")
    if has_failed:
        service.wait()


def _open(
    page: gr.Blocks, settings: Settings, routes: Sequence[Route], middleware: Sequence[Middleware]
) -> None:
    """Starts Gradio's server, and returns once it answers."""
    keep_no_statistics()
    # Texts wait in the service's own queue: Gradio's would let one visitor stand before all others.
    page.queue(max_size=settings.queue_size, api_open=False, default_concurrency_limit=OTHER_CALLS)
    bound_connections()
    keep_words_out()
    with prints_to_log():
        page.launch(
            server_name=settings.server_name,
            server_port=settings.server_port,
            root_path=settings.root_path,
            max_threads=settings.queue_size + SPARE_THREADS,
            mcp_server=importlib.util.find_spec("mcp") is not None,
            theme=build_theme(),
            css=palette_css(),
            css_paths=[CSS_FILE],
            app_kwargs={"routes": list(routes), "middleware": list(middleware)},
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            # Else Gradio asks for its own page, and ends the start if a busy machine takes three
            # seconds to answer.
            _frontend=False,
            show_error=False,
            ssr_mode=False,
            pwa=False,
            run_history=False,
            enable_monitoring=False,
            max_file_size="1b",
            state_session_capacity=KEPT_SESSIONS,
            footer_links=["api"],
        )
    answer_mcp_in_json(page)
    save_no_states(page)
    say(f"Running on http://{settings.server_name}:{settings.server_port}")


def _middleware(
    service: Service, settings: Settings, profile: Profile, page: gr.Blocks
) -> Sequence[Middleware]:
    """What a request passes before Gradio, in this order."""
    calls = calls_of(page)
    rates = Rates(
        {
            "texts": settings.rate_texts,
            "calls": settings.rate_calls,
            "rounds": settings.rate_rounds,
            "parts": settings.rate_parts,
        },
        settings.rate_all,
    )
    return (
        Middleware(Observed, metrics=service.counts),
        Middleware(AccessMiddleware, rates=rates, trusted_proxies=settings.trusted_proxies),
        Middleware(KeptAnswers),
        Middleware(GZipMiddleware, compresslevel=COMPRESSION),
        Middleware(BodyMiddleware, max_bytes=settings.max_body_bytes, calls=calls),
        Middleware(
            Admission,
            ledger=service.calls,
            rates=rates,
            queue_size=settings.queue_size,
            visitor_calls=settings.visitor_queue,
            calls=calls,
            end_stream=partial(end_stream, page),
        ),
        Middleware(Rewriting, changes=changes(profile.persona, calls)),
    )


def _on_stop_signal(call: Callable[[], object]) -> None:
    """Calls at the first SIGINT or SIGTERM; the second one kills as usual."""

    def stop(number: int, frame: FrameType | None) -> None:
        call()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
