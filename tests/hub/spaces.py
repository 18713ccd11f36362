"""A Hub on loopback that has Spaces, as far as the real client needs one to deploy to it.

Knows the paths of the Hub's Space API, and how to refuse, stall and hang up; models are served by
`tests.hub.server`. What a Space runs is its caller's: `build` gets the files, and says where.
"""

import asyncio
import base64
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from tests.hub import server
from tests.hub.server import READER, STRANGER, WRITER, Hub, Repo, listed, refused, sha256, token

HANG_UP = 0
STALL = -1


@dataclass(frozen=True)
class Fault:
    """What a step is answered instead: a status, or HANG_UP or STALL; `times` requests long."""

    status: int
    message: str = "refused"
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""


@dataclass
class Space:
    """One Space: its files now, and everything that it was told."""

    private: bool = False
    hardware: str = "cpu-basic"
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"* lfs\n"})
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    address: str = ""

    @property
    def commit(self) -> str:
        return Repo(self.files).commit


@dataclass
class SpaceHub:
    """The server. After a commit a Space goes through `stages`; it is RUNNING no sooner than its
    address answers."""

    build: Callable[[Space], str] = lambda _: "http://127.0.0.1:9"
    stages: Sequence[str] = ("BUILDING", "APP_STARTING", "RUNNING")
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    error_message: str = ""
    tells_commit: bool = True
    spaces: dict[str, Space] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    models: Hub = field(default_factory=Hub)
    stored: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.models.port = self._listening.getsockname()[1]
        config = uvicorn.Config(
            application(self), log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listening],), daemon=True
        )
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return self.models.endpoint

    def stop(self) -> None:
        """Refuses connections from now on."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=10)
        self._listening.close()


def application(hub: SpaceHub) -> Starlette:
    """The Space API in front of the models."""
    steps: Mapping[str, Callable[[SpaceHub, Request], Awaitable[Response]]] = {
        "/api/repos/create": _create,
        "/api/validate-yaml": _accept,
        f"{_SPACE}": _info,
        f"{_SPACE}/variables": _variables,
        f"{_SPACE}/secrets": _secrets,
        f"{_SPACE}/hardware": _hardware,
        f"{_SPACE}/runtime": _runtime,
        f"{_SPACE}/logs/{{kind}}": _logs,
        f"{_SPACE}/preupload/{{revision}}": _preupload,
        f"{_SPACE}/commit/{{revision}}": _commit,
        f"{_SPACE}/revision/{{revision}}": _info,
        "/spaces/{owner}/{name}/info/lfs/objects/batch": _lfs_batch,
        "/lfs/{digest}": _lfs_put,
        "/api/{kind:str}/{owner}/{name}/revision/{revision}": _repo_info,
    }
    methods = ["GET", "POST", "PUT", "DELETE"]
    routes = [Route(path, _watched(hub, step), methods=methods) for path, step in steps.items()]
    return Starlette(routes=[*routes, Mount("/", app=server.application(hub.models))])


_SPACE = "/api/spaces/{owner}/{name}"


def _watched(
    hub: SpaceHub, step: Callable[[SpaceHub, Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    name = step.__name__.lstrip("_")

    async def handler(request: Request) -> Response:
        hub.asked.append(f"{request.method} {name}")
        if token(request) not in (None, READER, WRITER, STRANGER):
            raise refused(401, "", "Invalid credentials in Authorization header")
        fault = hub.faults.get(f"{request.method} {name}") or hub.faults.get(name)
        if fault is None:
            return await step(hub, request)
        if fault.status == STALL:
            await asyncio.sleep(3_600)
        if fault.status == HANG_UP:
            return StreamingResponse(_hang_up(), headers={"Content-Length": "100"})
        headers = {"X-Error-Message": fault.message, "X-Error-Code": fault.code, **fault.headers}
        return JSONResponse({"error": fault.message}, fault.status, headers=headers)

    return handler


async def _hang_up() -> AsyncIterator[bytes]:
    yield b"{"
    raise ConnectionResetError


def _named(request: Request) -> str:
    return f"{request.path_params['owner']}/{request.path_params['name'].removesuffix('.git')}"


def _opened(hub: SpaceHub, request: Request, write: bool = False) -> Space:
    space = hub.spaces.get(_named(request))
    if space is None or (space.private and token(request) not in (READER, WRITER)):
        raise refused(404, "RepoNotFound", "Repository not found")
    if write and token(request) != WRITER:
        raise refused(403, "", "You need the role write")
    return space


async def _create(hub: SpaceHub, request: Request) -> Response:
    body = await request.json()
    name = f"{body['organization']}/{body['name']}"
    if token(request) != WRITER:
        raise refused(403, "", f"You don't have the rights to create a space under {name}")
    known = {"url": f"{hub.endpoint}/spaces/{name}", "id": name}
    if name in hub.spaces:
        return JSONResponse({"error": "You already created this space repo", **known}, 409)
    assert (body["type"], body["sdk"]) == ("space", "gradio")
    private = body.get("visibility") == "private"
    hub.spaces[name] = Space(private, body.get("hardware") or "cpu-basic")
    return JSONResponse(known)


async def _accept(hub: SpaceHub, request: Request) -> Response:
    return JSONResponse({"errors": [], "warnings": []})


async def _info(hub: SpaceHub, request: Request) -> Response:
    space, name = _opened(hub, request), _named(request)
    siblings = [{"rfilename": path} for path in space.files]
    known = {"_id": "1", "id": name, "sha": space.commit, "private": space.private}
    subdomain = name.replace("/", "-")
    where = {"subdomain": subdomain, "host": space.address or f"http://{subdomain}.invalid"}
    return JSONResponse({**known, **where, "siblings": siblings, "tags": [], "likes": 0})


async def _repo_info(hub: SpaceHub, request: Request) -> Response:
    name, asked = _named(request), request.path_params["revision"]
    repo = hub.models.repos.get(name)
    if repo is None or (repo.private and token(request) not in (READER, WRITER)):
        raise refused(404, "RepoNotFound", "Repository not found")
    if asked not in ("main", repo.commit) and hub.tags.get(asked) != repo.commit:
        raise refused(404, "RevisionNotFound", f"Invalid rev id: {asked}")
    siblings = [{"rfilename": path} for path in repo.files]
    known = {"_id": "1", "id": name, "modelId": name, "sha": repo.commit, "gated": repo.gated}
    return JSONResponse({**known, "private": repo.private, "siblings": siblings})


async def _keys(kept: dict[str, str], request: Request) -> None:
    body = await request.json()
    kept[body["key"]] = body["value"]


async def _variables(hub: SpaceHub, request: Request) -> Response:
    space = _opened(hub, request, write=True)
    if request.method == "POST":
        await _keys(space.variables, request)
        # One that runs is started anew, if not at once.
        if space.stages == ["RUNNING"]:
            space.stages = ["RUNNING", "RUNNING_APP_STARTING", "RUNNING"]
    return JSONResponse({key: {"value": value} for key, value in space.variables.items()})


async def _secrets(hub: SpaceHub, request: Request) -> Response:
    space = _opened(hub, request, write=True)
    if request.method == "POST":
        await _keys(space.secrets, request)
    return JSONResponse({key: {"key": key} for key in space.secrets})


async def _hardware(hub: SpaceHub, request: Request) -> Response:
    space = _opened(hub, request, write=True)
    space.hardware = (await request.json())["flavor"]
    return await _runtime(hub, request)


async def _runtime(hub: SpaceHub, request: Request) -> Response:
    space = _opened(hub, request)
    stage = space.stages.pop(0) if len(space.stages) > 1 else (space.stages or ["NO_APP_FILE"])[0]
    if stage == "RUNNING" and not await _answers(space.address):
        stage, space.stages = "APP_STARTING", ["RUNNING"]
    hardware = {"current": space.hardware, "requested": space.hardware}
    told: dict[str, Any] = {"stage": stage, "hardware": hardware, "gcTimeout": 172_800}
    if hub.tells_commit:
        told["sha"] = space.commit
    if hub.error_message:
        told["errorMessage"] = hub.error_message
    return JSONResponse(told)


async def _answers(address: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{address}/healthz", timeout=5)).is_success
    except httpx.HTTPError:
        return False


async def _logs(hub: SpaceHub, request: Request) -> Response:
    events = [
        {"data": f"{line}\n", "timestamp": "2026-11-25T12:00:00Z"}
        for line in hub.logs.get(request.path_params["kind"], ())
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Response(body, media_type="text/event-stream")


async def _preupload(hub: SpaceHub, request: Request) -> Response:
    space, answers = _opened(hub, request, write=True), []
    for file in (await request.json())["files"]:
        path = file["path"]
        large = path.endswith((".safetensors", ".png"))
        answer = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if path in space.files:
            content = space.files[path]
            answer["oid"] = sha256(content) if large else listed(path, content)["oid"]
        answers.append(answer)
    return JSONResponse({"files": answers})


async def _lfs_batch(hub: SpaceHub, request: Request) -> Response:
    objects = []
    for wanted in (await request.json())["objects"]:
        href = f"{hub.endpoint}/lfs/{wanted['oid']}"
        missing = wanted["oid"] not in hub.stored
        actions = {"actions": {"upload": {"href": href}}} if missing else {}
        objects.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
    return JSONResponse({"transfer": "basic", "objects": objects})


async def _lfs_put(hub: SpaceHub, request: Request) -> Response:
    content = await request.body()
    assert sha256(content) == request.path_params["digest"]
    hub.stored[sha256(content)] = content
    return Response()


async def _commit(hub: SpaceHub, request: Request) -> Response:
    space, name = _opened(hub, request, write=True), _named(request)
    files = dict(space.files)
    for line in map(json.loads, (await request.body()).splitlines()):
        match line:
            case {"key": "header", "value": {"parentCommit": parent}} if parent != space.commit:
                raise refused(412, "", "A commit has happened since. Please refresh and try again.")
            case {"key": "file", "value": {"path": path, "content": content}}:
                files[path] = base64.b64decode(content)
            case {"key": "lfsFile", "value": {"path": path, "oid": digest}}:
                files[path] = hub.stored[digest]
            case {"key": "deletedFile", "value": {"path": path}}:
                del files[path]
    space.files = files
    space.commits.append(space.commit)
    space.stages = list(hub.stages)
    # It starts a process, and must not keep others from being answered.
    space.address = await asyncio.to_thread(hub.build, space)
    url = f"{hub.endpoint}/spaces/{name}/commit/{space.commit}"
    return JSONResponse({"success": True, "commitOid": space.commit, "commitUrl": url})
