"""A Hub on loopback, as far as `huggingface_hub` needs one to create repositories, push and fetch:
history, tags, large files by git-lfs, and faults.

Large files are redirected from 127.0.0.1 to localhost, which stands for the Hub's file store. The
routes for pushing are in pushing.py. A client must set HF_HUB_DISABLE_XET unless the Hub is given a
Xet store, from which it then also serves what was pushed there.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import MISSING, dataclass, fields

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.hub import pushing, xet
from tests.hub.repositories import (
    READER,
    STRANGER,
    WRITER,
    Broken,
    InXet,
    Repo,
    State,
    is_large,
    listed,
    opened,
    refused,
    sha256,
    step,
    token,
)
from tests.processes import free_port

# What tests need of a Hub, whichever module it is in.
__all__ = ["READER", "STRANGER", "WRITER", "Broken", "Hub", "InXet", "Repo"]


@dataclass
class Hub(State):
    """The server: runs in a thread on a port that stays its own across restarts."""

    def __post_init__(self) -> None:
        self.port = free_port()
        self._socket: socket.socket | None = bound(self.port)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def reset(self) -> None:
        """Everything is as in a new one, but for its port."""
        for one in fields(self):
            if one.default_factory is not MISSING:
                setattr(self, one.name, one.default_factory())
            elif one.name != "port":
                setattr(self, one.name, one.default)

    def __del__(self) -> None:
        # Of one that was never started.
        if self._socket is not None:
            self._socket.close()

    def start(self) -> None:
        """Begins to listen; nothing happens if it does already."""
        if self._server is not None:
            return
        # One socket for both names: localhost may be ::1 as well, where nobody listens.
        listening, self._socket = self._socket or bound(self.port), None
        listening.listen()
        config = uvicorn.Config(
            Starlette(routes=self.routes()),
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()

    def routes(self) -> list[Route]:
        """Everything that it answers to."""
        return hub_routes(self)

    def stop(self) -> None:
        """Refuses connections from now on."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=10)
        self._server = None


def bound(port: int) -> socket.socket:
    """A socket that nobody else can take, and that refuses connections until it listens."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", port))
    return taken


def hub_routes(hub: Hub) -> list[Route]:
    """The Hub's API, file addresses and file store, for the repositories of `hub`."""

    async def info(request: Request) -> Response:
        model_id, repo = await opened(hub, request)
        siblings = [{"rfilename": name} for name in repo.files]
        known = {"_id": "1", "id": model_id, "modelId": model_id, "sha": repo.commit}
        access = {"private": repo.private, "gated": repo.gated}
        more = hub.described(model_id)
        return JSONResponse({**known, **access, **more, "siblings": siblings, "tags": []})

    async def tree(request: Request) -> Response:
        _, repo = await opened(hub, request)
        return JSONResponse([listed(name, content) for name, content in repo.files.items()])

    async def resolve(request: Request) -> Response:
        repo_id, repo = await opened(hub, request)
        if repo.gated and token(request) != READER:
            raise refused(403, "GatedRepo")
        name = request.path_params["path"]
        content = repo.files.get(name)
        if content is None:
            raise refused(404, "EntryNotFound")
        if request.method == "GET":
            hub.served.append(name)
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{listed(name, content)["oid"]}"'}
        if isinstance(content, InXet):
            headers["X-Xet-Hash"] = xet.hash_of(hub.xet, content.digest)
            api = f"{hub.endpoint}/api/{kind_of(request)}/{repo_id}"
            headers["X-Xet-Refresh-Route"] = f"{api}/xet-read-token/{repo.commit}"
        elif not is_large(name):
            if hub.fault == "wrong_small_files":
                content = b"<html>"
            return Response(content, headers=headers)
        return elsewhere(hub, content, headers)

    async def store(request: Request) -> Response:
        heads = (one for repo in hub.repos.values() for one in repo.history())
        every = (file for one in heads for file in one.files.items())
        name, content = next(f for f in every if sha256(f[1]) == request.path_params["digest"])
        hub.served.append(name)
        return await stored(hub, content)

    async def paths(request: Request) -> Response:
        _, repo = await opened(hub, request)
        asked = (await request.form()).getlist("paths")
        return JSONResponse([listed(n, c) for n, c in repo.files.items() if n in asked])

    repository = "{owner}/{name}"
    both = ["GET", "HEAD"]
    routes = [Route("/store/{digest}", store)]
    for kind, prefix in (("models", ""), ("datasets", "/datasets"), ("spaces", "/spaces")):
        api, at = f"/api/{kind}/{repository}", f"{prefix}/{repository}/resolve/{{revision}}"
        routes += [
            step(hub, "info", api, info),
            step(hub, "info", f"{api}/revision/{{revision}}", info),
            step(hub, "tree", f"{api}/tree/{{revision}}", tree),
            step(hub, "paths", f"{api}/paths-info/{{revision}}", paths, ["POST"]),
            step(hub, "resolve", f"{at}/{{path:path}}", resolve, both),
            *pushing.routes(hub, kind, prefix),
        ]
    return [*routes, *pushing.shared_routes(hub)]


def kind_of(request: Request) -> str:
    """Of the repository whose file is asked for, as the API names it."""
    first = request.url.path.split("/")[1]
    return first if first in ("datasets", "spaces") else "models"


def elsewhere(hub: Hub, content: bytes, headers: Mapping[str, str]) -> Response:
    """Where a large file is."""
    digest, size = sha256(content), len(content)
    if isinstance(content, InXet):
        digest, size = content.digest, content.size
    linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(size)}
    location = f"http://localhost:{hub.port}/store/{digest}"
    return Response(status_code=302, headers={**headers, **linked, "Location": location})


async def stored(hub: Hub, content: bytes) -> Response:
    """A large file, or what the fault makes of it."""
    if hub.fault == "wrong_bytes":
        content = content[:-8] + b"tampered"
    half = len(content) // 2 if hub.fault in ("die", "stall_files") else len(content)

    async def body() -> AsyncIterator[bytes]:
        yield content[:half]
        if hub.fault == "die":
            assert hub._server is not None
            hub._server.should_exit = hub._server.force_exit = True
            raise ConnectionResetError
        if half < len(content):
            await asyncio.sleep(3_600)

    length = {"Content-Length": str(len(content))}
    whole = Response(content) if half == len(content) else None
    return whole or StreamingResponse(body(), headers=length)
