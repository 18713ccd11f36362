"""The routes of the Hub on loopback for pushing: repositories, commits, tags, large files."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.hub.repositories import (
    READER,
    STRANGER,
    WRITER,
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

LARGE_BYTES = 10 * 2**20


def routes(hub: State, kind: str, prefix: str) -> list[Route]:
    """Of the repositories of a kind ("models", "datasets", "spaces")."""
    api = f"/api/{kind}/{{owner}}/{{name}}"
    repository = f"{prefix}/{{owner}}/{{name}}.git"

    async def refs(request: Request) -> Response:
        repo_id, _ = await opened(hub, request)
        repo = hub.repos[repo_id]
        tags = [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
            for name, commit in repo.tags.items()
        ]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.commit}
        return JSONResponse({"branches": [main], "converts": [], "tags": tags})

    async def preupload(request: Request) -> Response:
        _, repo = await opened(hub, request)
        asked = (await request.json())["files"]
        return JSONResponse({"files": [_upload_mode(repo, file) for file in asked]})

    async def large_batch(request: Request) -> Response:
        await opened(hub, request)
        asked = (await request.json())["objects"]
        return JSONResponse({"transfer": "basic", "objects": [_upload(hub, o) for o in asked]})

    async def xet(request: Request) -> Response:
        await opened(hub, request)
        if request.path_params["access"] == "write":
            require_writer(request)
        expires = int(time.time()) + 3_600
        told = {"casUrl": hub.xet, "accessToken": "tea", "exp": expires}
        headers = {
            "X-Xet-Cas-Url": hub.xet,
            "X-Xet-Access-Token": "tea",
            "X-Xet-Token-Expiration": str(expires),
        }
        return JSONResponse(told, headers=headers)

    async def commit(request: Request) -> Response:
        repo_id, _ = await opened(hub, request)
        require_writer(request)
        if hub.fault == "stall_commits":
            await asyncio.sleep(3_600)
        if hub.before_commit:
            hub.before_commit()
            hub.before_commit = None
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        hub.repos[repo_id] = committed = _committed(hub, hub.repos[repo_id], lines)
        await hub.committed(repo_id)
        url = f"{hub.endpoint}{prefix}/{repo_id}/commit/{committed.commit}"
        return JSONResponse({"success": True, "commitOid": committed.commit, "commitUrl": url})

    async def tag(request: Request) -> Response:
        repo_id, at = await opened(hub, request)
        require_writer(request)
        name, repo = (await request.json())["tag"], hub.repos[repo_id]
        if name in repo.tags:
            raise refused(409, "", f"Tag reference {name} already exists")
        hub.repos[repo_id] = replace(repo, tags={**repo.tags, name: at.commit})
        return Response()

    return [
        step(hub, "refs", f"{api}/refs", refs),
        step(hub, "preupload", f"{api}/preupload/{{revision}}", preupload, ["POST"]),
        step(hub, "batch", f"{repository}/info/lfs/objects/batch", large_batch, ["POST"]),
        step(hub, "xet", f"{api}/xet-{{access}}-token/{{revision}}", xet),
        step(hub, "commit", f"{api}/commit/{{revision}}", commit, ["POST"]),
        step(hub, "tag", f"{api}/tag/{{revision}}", tag, ["POST"]),
    ]


def shared_routes(hub: State) -> list[Route]:
    """Those that belong to no repository."""

    async def create(request: Request) -> Response:
        body = await request.json()
        require_writer(request)
        repo_id = f"{body['organization']}/{body['name']}"
        known = {"url": f"{hub.endpoint}/{body['type']}s/{repo_id}", "id": repo_id}
        if repo_id in hub.repos:
            return JSONResponse(known, status_code=409)
        first = {".gitattributes": b"*.safetensors filter=lfs\n"}
        hub.repos[repo_id] = Repo(first, private=body.get("visibility") == "private")
        hub.created(repo_id, body)
        return JSONResponse(known)

    async def validate(request: Request) -> Response:
        content = (await request.json())["content"]
        try:
            yaml.safe_load(content.split("---\n")[1] if content.startswith("---\n") else "")
        except yaml.YAMLError as error:
            return JSONResponse({"errors": [{"message": str(error)}]}, status_code=400)
        return JSONResponse({"errors": [], "warnings": []})

    async def upload(request: Request) -> Response:
        digest, content = request.path_params["digest"], await request.body()
        if sha256(content) != digest:
            raise refused(400, "", "sha256 mismatch")
        hub.stored[digest] = content
        return Response()

    async def verify(request: Request) -> Response:
        body = await request.json()
        if len(hub.stored.get(body["oid"], b"")) != body["size"]:
            raise refused(404, "", "object missing")
        return JSONResponse({})

    return [
        step(hub, "create", "/api/repos/create", create, ["POST"]),
        step(hub, "validate", "/api/validate-yaml", validate, ["POST"]),
        step(hub, "upload", "/uploads/{digest}", upload, ["PUT"]),
        step(hub, "verify", "/verify", verify, ["POST"]),
    ]


def require_writer(request: Request) -> None:
    """Refuses whoever may not write."""
    given = token(request)
    if given not in (None, READER, WRITER, STRANGER):
        raise refused(401, "", "Invalid credentials in Authorization header")
    if given != WRITER:
        raise refused(403 if given else 401, "")


def _upload_mode(repo: Repo, file: Mapping[str, Any]) -> dict[str, Any]:
    """How a file is to be pushed, and what of that name is there."""
    name = file["path"]
    large = is_large(name) or file["size"] >= LARGE_BYTES
    mode = {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
    if name in repo.files:
        there = listed(name, repo.files[name])
        mode["oid"] = there["lfs"]["oid"] if large else there["oid"]
    return mode


def _upload(hub: State, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Where a large file is to be put; nowhere if it is here."""
    answer = {"oid": wanted["oid"], "size": wanted["size"]}
    if wanted["oid"] in hub.stored:
        return answer
    target = f"http://localhost:{hub.port}/uploads/{wanted['oid']}"
    verify = f"{hub.endpoint}/verify"
    return {**answer, "actions": {"upload": {"href": target}, "verify": {"href": verify}}}


def _committed(hub: State, repo: Repo, lines: list[dict[str, Any]]) -> Repo:
    """The repository with one commit more: all of its lines, or none."""
    files = dict(repo.files)
    for line in lines:
        value = line["value"]
        match line["key"]:
            case "header" if value.get("parentCommit", repo.commit) != repo.commit:
                raise refused(412, "", "A commit has happened since. Please refresh.")
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                files[value["path"]] = (
                    InXet.of(value["oid"], value["size"])
                    if hub.xet
                    else _stored(hub, repo, value["oid"])
                )
            case "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise refused(404, "EntryNotFound", "A file with this name doesn't exist")
    if hub.fault == "wrong_commit":
        name = max(files, key=lambda name: len(files[name]))
        files[name] = files[name][:-8] + b"tampered"
    return replace(repo, files=files, parent=repo)


def _stored(hub: State, repo: Repo, digest: str) -> bytes:
    """A large file that was uploaded, or is in the history."""
    every = [content for one in repo.history() for content in one.files.values()]
    for content in [*([hub.stored[digest]] if digest in hub.stored else []), *every]:
        if sha256(content) == digest:
            return content
    raise refused(400, "", f"LFS pointer {digest} points to a missing object")
