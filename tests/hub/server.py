"""A Hub on loopback, as far as `huggingface_hub` needs one to fetch a snapshot, to make a
repository and to commit small files.

Knows the Hub's paths, headers and error codes, and how to misbehave; knows nothing of models.
Large files are redirected from 127.0.0.1 to localhost, which stands for the Hub's file store.
"""

import asyncio
import base64
import hashlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

READER = "hf_reader"
WRITER = "hf_writer"
STRANGER = "hf_stranger"
Fault = Literal["", "stall", "stall_files", "stall_commits", "die", "wrong_bytes"]


@dataclass(frozen=True)
class Repo:
    """One repository with one commit. A private one opens to `READER` and `WRITER` alone, a
    gated one shows itself but gives its files to `READER` alone."""

    files: Mapping[str, bytes]
    private: bool = False
    gated: bool = False

    @property
    def commit(self) -> str:
        """40 hexadecimal digits that follow from the files."""
        parts = [f"{name} {sha256(content)}" for name, content in sorted(self.files.items())]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()


@dataclass
class Hub:
    """The server: runs in a thread on a port that stays its own across restarts."""

    repos: dict[str, Repo] = field(default_factory=dict)
    fault: Fault = ""
    served: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begins to listen; nothing happens if it does already."""
        if self._server is not None:
            return
        # One socket for both names: localhost may be ::1 as well, where nobody listens.
        listening = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        config = uvicorn.Config(
            application(self), log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuses connections from now on."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=10)
        self._server = None


def application(hub: Hub) -> Starlette:
    """The Hub's API, file addresses and file store, for the repositories of `hub`."""

    async def info(request: Request) -> Response:
        model_id, repo = await opened(hub, request)
        siblings = [{"rfilename": name} for name in repo.files]
        known = {"_id": "1", "id": model_id, "modelId": model_id, "sha": repo.commit}
        return JSONResponse({**known, "private": repo.private, "siblings": siblings})

    async def tree(request: Request) -> Response:
        _, repo = await opened(hub, request)
        return JSONResponse([listed(name, content) for name, content in repo.files.items()])

    async def resolve(request: Request) -> Response:
        _, repo = await opened(hub, request)
        if repo.gated and token(request) != READER:
            raise refused(403, "GatedRepo")
        name = request.path_params["path"]
        content = repo.files.get(name)
        if content is None:
            raise refused(404, "EntryNotFound")
        if request.method == "GET":
            hub.served.append(name)
        return await resolved(hub, repo, name, content)

    async def store(request: Request) -> Response:
        every = (content for repo in hub.repos.values() for content in repo.files.values())
        content = next(c for c in every if sha256(c) == request.path_params["digest"])
        return await stored(hub, content)

    async def paths(request: Request) -> Response:
        _, repo = await opened(hub, request)
        asked = (await request.form()).getlist("paths")
        return JSONResponse([listed(n, c) for n, c in repo.files.items() if n in asked])

    async def create(request: Request) -> Response:
        body = await request.json()
        if token(request) != WRITER:
            raise refused(403 if token(request) else 401, "")
        repo_id = f"{body['organization']}/{body['name']}"
        known = {"url": f"{hub.endpoint}/{body['type']}s/{repo_id}", "id": repo_id}
        if repo_id in hub.repos:
            return JSONResponse(known, status_code=409)
        hub.repos[repo_id] = Repo({}, private=body.get("visibility") == "private")
        return JSONResponse(known)

    async def preupload(request: Request) -> Response:
        await opened(hub, request)
        asked = (await request.json())["files"]
        known = {"uploadMode": "regular", "shouldIgnore": False}
        return JSONResponse({"files": [{"path": file["path"], **known} for file in asked]})

    async def commit(request: Request) -> Response:
        repo_id, repo = await opened(hub, request)
        if token(request) != WRITER:
            raise refused(403, "")
        if hub.fault == "stall_commits":
            await asyncio.sleep(3_600)
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        new = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        hub.repos[repo_id] = committed = replace(repo, files={**repo.files, **new})
        url = f"{hub.endpoint}/datasets/{repo_id}/commit/{committed.commit}"
        return JSONResponse({"success": True, "commitOid": committed.commit, "commitUrl": url})

    repository = "{owner}/{name}"
    both = ["GET", "HEAD"]
    routes = [
        Route("/store/{digest}", store),
        Route("/api/repos/create", create, methods=["POST"]),
    ]
    for kind, prefix in (("models", ""), ("datasets", "/datasets")):
        api = f"/api/{kind}/{repository}"
        routes += [
            Route(f"{api}/revision/{{revision}}", info),
            Route(f"{api}/tree/{{revision}}", tree),
            Route(f"{api}/paths-info/{{revision}}", paths, methods=["POST"]),
            Route(f"{api}/preupload/{{revision}}", preupload, methods=["POST"]),
            Route(f"{api}/commit/{{revision}}", commit, methods=["POST"]),
            Route(
                f"{prefix}/{repository}/resolve/{{revision}}/{{path:path}}", resolve, methods=both
            ),
        ]
    return Starlette(routes=routes)


async def opened(hub: Hub, request: Request) -> tuple[str, Repo]:
    """The repository that is asked for, if this token and this commit open it."""
    if hub.fault == "stall":
        await asyncio.sleep(3_600)
    given = token(request)
    if given not in (None, READER, WRITER, STRANGER):
        raise refused(401, "", "Invalid credentials in Authorization header")
    model_id = f"{request.path_params['owner']}/{request.path_params['name']}"
    repo = hub.repos.get(model_id)
    if repo is None or (repo.private and given not in (READER, WRITER)):
        raise refused(404 if given else 401, "RepoNotFound")
    if request.path_params["revision"] not in ("main", repo.commit):
        raise refused(404, "RevisionNotFound")
    return model_id, repo


def token(request: Request) -> str | None:
    """The bearer token, if one was sent."""
    sent = request.headers.get("authorization", "")
    return sent.removeprefix("Bearer ") or None


def refused(status: int, code: str, message: str = "refused") -> HTTPException:
    """An error as the client reads it."""
    return HTTPException(status, headers={"X-Error-Code": code, "X-Error-Message": message})


def sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def is_large(name: str) -> bool:
    """True for what the Hub keeps in its file store rather than in git."""
    return name.endswith((".safetensors", ".bin"))


def listed(name: str, content: bytes) -> dict[str, object]:
    """One file of the tree."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": blob}
    if is_large(name):
        entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
    return entry


async def resolved(hub: Hub, repo: Repo, name: str, content: bytes) -> Response:
    """A small file itself, or where a large one is."""
    blob = str(listed(name, content)["oid"])
    headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{blob}"'}
    if not is_large(name):
        return Response(content, headers=headers)
    digest = sha256(content)
    headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
    location = f"http://localhost:{hub.port}/store/{digest}"
    return Response(status_code=302, headers={**headers, "Location": location})


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
