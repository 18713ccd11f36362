"""Specimens: texts that the running model writes for a page before anybody asks for one."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.generation.engine import Engine
from demo.generation.profile import Profile
from demo.generation.request import GenerationRequest
from demo.server.service import Service
from demo.ui.results import Draft, TextResult

WANTED = 3
# Of a model that seldom writes a text that may be shown.
MAX_ATTEMPTS = 24
# Long enough to be a tweet, and short enough.
CHARACTERS = range(60, 281)
PAUSE_SECONDS = 1.0


class Specimens:
    """A few texts that begin with the persona's examples. They are written once the engine is there
    and no visitor needs it, with seeds from 1 on: as any visitor could have them written again."""

    def __init__(self, service: Service, profile: Profile) -> None:
        self._service, self._profile = service, profile
        self._texts: list[TextResult] = []

    def begin(self) -> None:
        """Starts to write, and returns at once."""
        threading.Thread(target=self._run, name="specimens", daemon=True).start()

    def route(self) -> Route:
        """GET `/specimen`: one of them as `/generate` would send it, 204 while there is none."""

        async def specimen(_: Request) -> Response:
            headers = {"cache-control": "no-store"}
            if not self._texts:
                return Response(status_code=204, headers=headers)
            return JSONResponse(asdict(random.choice(self._texts)), headers=headers)

        return Route("/specimen", specimen)

    def _run(self) -> None:
        try:
            engine = self._service.wait()
            assert engine is not None
            for request in self._requests():
                draft = self._write(engine, request)
                if self._may_be_shown(draft):
                    self._texts.append(draft.result())
                if len(self._texts) == WANTED:
                    break
        except Exception:
            # No engine, or none any more: the server says why.
            return

    def _requests(self) -> Iterator[GenerationRequest]:
        examples = self._profile.persona.examples
        for i in range(MAX_ATTEMPTS):
            prompt = examples[i % len(examples)]
            yield replace(self._profile.defaults, prompt=prompt, seed=1 + i)

    def _write(self, engine: Engine, request: GenerationRequest) -> Draft:
        """The finished text; begun again as often as a visitor comes."""
        while True:
            while not self._service.is_idle():
                time.sleep(PAUSE_SECONDS)
            draft = Draft(self._profile.persona, request, engine.identity, mask=self._service.mask)
            with closing(engine.stream(request)) as stream:
                for chunk in stream:
                    draft = draft.extend(chunk, self._service.judges_for_visitors())
                    if draft.ending:
                        return draft
                    if not self._service.is_idle():
                        break

    def _may_be_shown(self, draft: Draft) -> bool:
        """Whether it is a whole tweet, of nobody else's words."""
        ended = draft.ending is not None and draft.ending.reason == "end_of_tweet"
        is_plain = draft.shown == draft.text and not draft.repeats
        return ended and is_plain and len(draft.text) in CHARACTERS
