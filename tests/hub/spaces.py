"""A Hub on loopback with Spaces, as far as the client needs it to deploy.

`build` decides what a Space runs: it gets the Space's files and settings and returns its address.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.hub.pushing import require_writer
from tests.hub.repositories import Repo, opened, step
from tests.hub.server import Hub


@dataclass
class Space:
    """What a Space was set to, and how it is getting on."""

    hardware: str = "cpu-basic"
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    address: str = ""


@dataclass
class SpaceHub(Hub):
    """The server. After a commit a Space goes through `stages`; it is RUNNING no sooner than its
    address answers."""

    build: Callable[[Repo, Space], str] = lambda *_: "http://127.0.0.1:9"
    stages: Sequence[str] = ("BUILDING", "APP_STARTING", "RUNNING")
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    error_message: str = ""
    tells_commit: bool = True
    spaces: dict[str, Space] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        """The Space API, and the Hub's own."""
        return [*space_routes(self), *super().routes()]

    def created(self, repo_id: str, asked: Mapping[str, Any]) -> None:
        """Sets a new Space to what was asked for."""
        if asked["type"] == "space":
            assert asked["sdk"] == "gradio"
            given = {one["key"]: one["value"] for one in asked.get("variables", ())}
            self.spaces[repo_id] = Space(asked.get("hardware") or "cpu-basic", given)

    async def committed(self, repo_id: str) -> None:
        """Builds the Space that was committed to, if one was."""
        if space := self.spaces.get(repo_id):
            space.stages = list(self.stages)
            # It starts a process, and must not keep others from being answered.
            space.address = await asyncio.to_thread(self.build, self.repos[repo_id], space)

    def described(self, repo_id: str) -> Mapping[str, Any]:
        """Where a Space is."""
        if repo_id not in self.spaces:
            return {}
        subdomain = repo_id.replace("/", "-")
        space = self.spaces[repo_id]
        hardware = {"current": space.hardware, "requested": space.hardware}
        return {
            "subdomain": subdomain,
            "host": space.address or f"http://{subdomain}.invalid",
            "runtime": {"stage": (space.stages or ["NO_APP_FILE"])[0], "hardware": hardware},
        }


def space_routes(hub: SpaceHub) -> list[Route]:
    """Those that only Spaces have."""

    async def found(request: Request) -> Space:
        repo_id, _ = await opened(hub, request)
        return hub.spaces[repo_id]

    async def variables(request: Request) -> Response:
        space = await found(request)
        require_writer(request)
        return JSONResponse({key: {"value": value} for key, value in space.variables.items()})

    async def set_variable(request: Request) -> Response:
        space = await found(request)
        # One that runs is started anew, if not at once.
        if space.stages == ["RUNNING"]:
            space.stages = ["RUNNING", "RUNNING_APP_STARTING", "RUNNING"]
        return await kept(request, space.variables)

    async def secrets(request: Request) -> Response:
        space = await found(request)
        require_writer(request)
        return JSONResponse({key: {"key": key} for key in space.secrets})

    async def set_secret(request: Request) -> Response:
        return await kept(request, (await found(request)).secrets)

    async def hardware(request: Request) -> Response:
        space = await found(request)
        require_writer(request)
        space.hardware = (await request.json())["flavor"]
        return await runtime(request)

    async def restart(request: Request) -> Response:
        space = await found(request)
        require_writer(request)
        space.stages = list(hub.stages)
        return await runtime(request)

    async def runtime(request: Request) -> Response:
        repo_id, repo = await opened(hub, request)
        space = hub.spaces[repo_id]
        told = {"stage": await next_stage(space), "gcTimeout": 172_800}
        told["hardware"] = {"current": space.hardware, "requested": space.hardware}
        if hub.tells_commit:
            told["sha"] = repo.commit
        if hub.error_message:
            told["errorMessage"] = hub.error_message
        return JSONResponse(told)

    async def logs(request: Request) -> Response:
        events = [
            {"data": f"{line}\n", "timestamp": "2026-11-25T12:00:00Z"}
            for line in hub.logs.get(request.path_params["kind"], ())
        ]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return Response(body, media_type="text/event-stream")

    space = "/api/spaces/{owner}/{name}"
    return [
        step(hub, "variables", f"{space}/variables", variables),
        step(hub, "set variable", f"{space}/variables", set_variable, ["POST"]),
        step(hub, "secrets", f"{space}/secrets", secrets),
        step(hub, "set secret", f"{space}/secrets", set_secret, ["POST"]),
        step(hub, "set hardware", f"{space}/hardware", hardware, ["POST"]),
        step(hub, "runtime", f"{space}/runtime", runtime),
        step(hub, "restart", f"{space}/restart", restart, ["POST"]),
        step(hub, "logs", f"{space}/logs/{{kind}}", logs),
    ]


async def kept(request: Request, settings: dict[str, str]) -> Response:
    """Sets one."""
    require_writer(request)
    body = await request.json()
    settings[body["key"]] = body["value"]
    return JSONResponse({})


async def next_stage(space: Space) -> str:
    """Where it is now; each asking brings it further."""
    stage = space.stages.pop(0) if len(space.stages) > 1 else (space.stages or ["NO_APP_FILE"])[0]
    if stage == "RUNNING" and not await answers(space.address):
        space.stages = ["RUNNING"]
        return "APP_STARTING"
    return stage


async def answers(address: str) -> bool:
    """Whether a demo is up there."""
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{address}/healthz", timeout=5)).is_success
    except httpx.HTTPError:
        return False
