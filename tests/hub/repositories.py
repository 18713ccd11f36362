"""The state of the Hub on loopback: repositories with their history, who may see them, and the
faults that a test asks for."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

READER = "hf_reader"
WRITER = "hf_writer"
STRANGER = "hf_stranger"
Fault = Literal[
    "", "stall", "stall_files", "stall_commits", "die", "wrong_bytes", "wrong_commit",
    "wrong_small_files",
]  # fmt: skip


class InXet(bytes):
    """A file whose bytes went into Xet's store, of which the Hub has sum and size alone."""

    digest: str
    size: int

    @classmethod
    def of(cls, digest: str, size: int) -> "InXet":
        """That file: as bytes, nothing but its sum."""
        file = cls(digest.encode())
        file.digest, file.size = digest, size
        return file


@dataclass(frozen=True)
class Repo:
    """One repository at its latest commit; `parent` is how it was before that.

    A private one opens to `READER` and `WRITER` alone, a gated one shows itself but gives its files
    to `READER` alone.
    """

    files: Mapping[str, bytes]
    private: bool = False
    gated: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: "Repo | None" = None

    @property
    def commit(self) -> str:
        """40 hexadecimal digits that follow from the files and their history."""
        parts = [f"{name} {sha256(content)}" for name, content in sorted(self.files.items())]
        parts += [self.parent.commit] if self.parent else []
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()

    def history(self) -> Iterator["Repo"]:
        """The latest commit first."""
        yield self
        if self.parent:
            yield from self.parent.history()

    def at(self, revision: str) -> "Repo | None":
        """As it was at a branch, a tag or a commit."""
        commit = self.commit if revision == "main" else self.tags.get(revision, revision)
        return next((one for one in self.history() if one.commit == commit), None)


@dataclass
class Broken:
    """What goes wrong at one step of a push or a pull, the next `times` times `after` so many.

    `how` is an answer of that `status`, a connection that is `lost` or that `stalls`; what is
    `unheard` was done, and only its answer is lost or never comes.
    """

    how: Literal["status", "lost", "stalled", "unheard", "unheard_stalled"]
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1_000
    after: int = 0


@dataclass
class State:
    """Everything there is on the Hub, and what is to go wrong.

    `steps` are the names of the routes that were called, and `broken` what goes wrong at them;
    `stored` are large files by their sha256; `xet` is the address of a Xet store, for clients that
    use it. `before_commit` is called once, just before a commit is made, so that a test can push
    in between.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    fault: Fault = ""
    served: list[str] = field(default_factory=list)
    broken: dict[str, Broken] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    xet: str = ""
    before_commit: Callable[[], None] | None = None
    port: int = 0

    def created(self, repo_id: str, asked: Mapping[str, Any]) -> None:
        """Called once a repository was made."""

    async def committed(self, repo_id: str) -> None:
        """Called once a commit is there."""

    def described(self, repo_id: str) -> Mapping[str, Any]:
        """What is told of a repository besides what is told of all."""
        return {}

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"


def step(
    hub: State,
    name: str,
    path: str,
    endpoint: Callable[[Request], Awaitable[Response]],
    methods: list[str] | None = None,
) -> Route:
    """A route that is counted, and breaks when it is told to."""

    async def answer(request: Request) -> Response:
        hub.steps.append(name)
        broken = hub.broken.get(name)
        if broken is None or broken.times < 1:
            return await endpoint(request)
        if broken.after > 0:
            broken.after -= 1
            return await endpoint(request)
        broken.times -= 1
        if broken.how == "status":
            return JSONResponse({}, status_code=broken.status, headers=dict(broken.headers))
        if broken.how.startswith("unheard"):
            await endpoint(request)
        hub.steps.append("broken")
        if broken.how.endswith("stalled"):
            await asyncio.sleep(3_600)
        # uvicorn's own: without an answer, the client sees its connection end.
        request.receive.__self__.transport.abort()  # type: ignore[attr-defined]
        return Response()

    return Route(path, answer, methods=methods)


async def opened(hub: State, request: Request) -> tuple[str, Repo]:
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
    found = repo.at(request.path_params.get("revision", "main"))
    if found is None:
        raise refused(404, "RevisionNotFound")
    return model_id, found


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
    return name.endswith((".safetensors", ".bin", ".parquet", ".png"))


def listed(name: str, content: bytes) -> dict[str, Any]:
    """One file of the tree."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": blob}
    if isinstance(content, InXet):
        lfs = {"oid": content.digest, "size": content.size, "pointerSize": 130}
        entry |= {"size": content.size, "lfs": lfs}
    elif is_large(name):
        entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
    return entry
