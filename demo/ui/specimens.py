"""Specimens: texts that the running model writes for a page before anybody asks for one."""

import random
from dataclasses import asdict, replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.generation.engine import Chunk
from demo.generation.idle import Wanted, Written
from demo.generation.profile import Profile
from demo.generation.request import GenerationRequest
from demo.server.service import Service
from demo.ui.results import Draft, TextResult

WANTED = 3
# Of a model that seldom writes a text that may be shown.
MAX_ATTEMPTS = 24
# Long enough to be a tweet, and short enough.
CHARACTERS = range(60, 281)


class Specimens:
    """A few texts that begin with the persona's examples. Their seeds are 1, 2 and so on: any
    visitor could have them written again."""

    def __init__(self, service: Service, profile: Profile) -> None:
        self._service, self._profile = service, profile
        self._texts: list[TextResult] = []
        self._attempts = 0

    def route(self) -> Route:
        """GET `/specimen`: one of them as `/generate` would send it, 204 while there is none."""

        async def specimen(_: Request) -> Response:
            headers = {"cache-control": "no-store"}
            if not self._texts:
                return Response(status_code=204, headers=headers)
            return JSONResponse(asdict(random.choice(self._texts)), headers=headers)

        return Route("/specimen", specimen)

    def want(self) -> Wanted | None:
        """The next one to be written."""
        if len(self._texts) == WANTED or self._attempts == MAX_ATTEMPTS:
            return None
        examples = self._profile.persona.examples
        prompt = examples[self._attempts % len(examples)]
        self._attempts += 1
        request = replace(self._profile.defaults, prompt=prompt, seed=self._attempts)
        return Wanted(request, lambda written: self._take(request, written))

    def _take(self, request: GenerationRequest, written: Written) -> bool:
        """Keeps a whole tweet of nobody else's words."""
        chunk = Chunk(written.generated, written.ending)
        draft = Draft(self._profile.persona, request, written.identity, mask=self._service.mask)
        draft = draft.extend(chunk, self._service.judges_for_visitors())
        is_plain = draft.shown == draft.text and not draft.repeats
        if not (written.is_whole() and is_plain and len(draft.text) in CHARACTERS):
            return False
        self._texts.append(draft.result())
        return True
