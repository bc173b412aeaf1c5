"""A Hugging Face hub on this machine: answers as the real one does to huggingface_hub, and fails when it is told to.

Two servers, as there: the hub itself (listings, metadata, redirects) and the storage host that large files come from.
Repositories hold bytes or files of this disk. What was asked for is recorded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

MAIN = "main"
LARGE = (".bin", ".pt", ".pth", ".safetensors", ".onnx", ".gz")  # suffixes that go to the storage host
CHUNK = 1 << 20
RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
CACHED = re.compile(r"/api/resolve-cache/models/(?P<repo>[^/]+/[^/]+)/(?P<revision>[^/]+)/(?P<file>.+)")
INFO = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?")
TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?")
XET_TOKEN = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/xet-read-token/(?P<revision>[^/]+)")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes:
        content: its bytes, or a file of this disk that holds them.
        large: whether it is in large file storage: its ETag is its SHA-256, and it comes from the storage host.
        claimed_sha256: said in place of the true one.
        xet: whether the hub offers it by its chunked protocol, which this hub does not have.
    """

    content: bytes | Path
    large: bool
    claimed_sha256: str = ""
    xet: bool = False

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Of the content, or what is claimed."""
        if self.claimed_sha256:
            return self.claimed_sha256
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @cached_property
    def blob(self) -> str:
        """Git's name of the file, or of the pointer that stands for a large one."""
        content = f"oid sha256:{self.sha256}".encode() if self.large else self.read(0, self.size)
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        """SHA-256 of a large file, Git's name of a small one."""
        return self.sha256 if self.large else self.blob

    def read(self, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`."""
        if isinstance(self.content, bytes):
            return self.content[start:end]
        with self.content.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)


@dataclass(frozen=True)
class Repository:
    """One state of a repository.

    Attributes:
        files: by their paths.
        commit: forty hexadecimal digits, made of the files.
        names: branches and tags that stand for this commit.
        token: only who brings this token may read; None for all.
        gated: with a token of somebody who has not accepted the licence it is refused with 403.
    """

    files: Mapping[str, HubFile]
    commit: str
    names: tuple[str, ...]
    token: str | None = None
    gated: bool = False


@dataclass(frozen=True)
class Asked:
    """A request as it came: `host` is "hub" or "storage"; the headers' names are in lower case."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Fault:
    """What goes wrong with the requests whose method and path it names.

    Attributes:
        path: part of the path.
        method: HEAD or GET; empty for both.
        host: "hub", "storage", or empty for both.
        skipped: of so many requests first nothing goes wrong.
        times: with how many requests then; the later ones are answered as usual.
        status, headers, body: of an answer in place of the usual one.
        cut: the connection ends after so many bytes of the usual answer's body.
        reset: it ends with a reset (RST) and not with an end of the stream.
        flipped: the byte at this place is another.
    """

    path: str = ""
    method: str = ""
    host: str = ""
    skipped: int = 0
    times: int = 1_000_000
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    reset: bool = False
    flipped: int | None = None

    def concerns(self, asked: Asked) -> bool:
        """Whether it goes wrong with a request; counts it."""
        named = self.path in asked.path and self.method in ("", asked.method) and self.host in ("", asked.host)
        if not named or not self.times:
            return False
        if self.skipped:
            self.skipped -= 1
            return False
        self.times -= 1
        return True


class Hub:
    """The repositories, what goes wrong, and what was asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, list[Repository]] = {}
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self.endpoint = self.storage = ""
        self.tokens: set[str] = set()  # of accounts; another token is refused, even where none is needed
        self._lock = threading.Lock()

    def add(
        self,
        repo: str,
        files: Mapping[str, bytes | Path | HubFile],
        *,
        names: tuple[str, ...] = (MAIN,),
        token: str | None = None,
        gated: bool = False,
    ) -> str:
        """Adds a commit to the repository `owner/name`, which takes the names; gives its forty digits."""
        self.tokens |= {token} if token else set()
        held = {
            path: content if isinstance(content, HubFile) else HubFile(content, path.endswith(LARGE))
            for path, content in files.items()
        }
        listing = json.dumps([repo, *((path, file.etag) for path, file in sorted(held.items()))])
        commit = hashlib.sha1(listing.encode()).hexdigest()
        self.repositories.setdefault(repo, []).insert(0, Repository(held, commit, names, token, gated))
        return commit

    def fail(self, **settings: object) -> Fault:
        """Adds a Fault with these attributes."""
        fault = Fault(**settings)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    def note(self, asked: Asked) -> Fault | None:
        """Records a request; gives what goes wrong with it."""
        with self._lock:
            self.asked.append(asked)
            return next((fault for fault in self.faults if fault.concerns(asked)), None)

    def requests(self, method: str, part: str = "", host: str = "") -> list[Asked]:
        """What was asked for by a method, with `part` in the path."""
        return [a for a in self.asked if a.method == method and part in a.path and host in ("", a.host)]

    def environment(self, home: Path) -> dict[str, str]:
        """For a process of its own: this one's environment, with this hub and a cache of its own under `home`."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        return {**own, "HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def use(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        """Has huggingface_hub in this process ask this hub, with a cache of its own under `home`, without a token."""
        from huggingface_hub import close_session, constants

        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {
            "ENDPOINT": self.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{self.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_XET_CACHE": str(home / "xet"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        close_session()  # it may be one that is offline


class _Answers(BaseHTTPRequestHandler):
    """Answers requests. Subclassed with the hub and the host's name."""

    hub: Hub
    host: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = Asked(self.host, self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        fault = self.hub.note(asked)
        if fault is not None and fault.status is not None:
            self._send(fault.status, fault.headers, fault.body)
            return
        path = unquote(urlsplit(self.path).path)
        if self.host == "storage":
            self._storage(path, fault)
        elif (place := RESOLVE.fullmatch(path) or CACHED.fullmatch(path)) is not None:
            self._resolve(place["repo"], place["revision"], place["file"], CACHED.fullmatch(path) is not None, fault)
        elif (place := TREE.fullmatch(path)) is not None:
            self._tree(place["repo"], place["revision"], place["folder"])
        elif (place := XET_TOKEN.fullmatch(path)) is not None:
            self._refuse(503, "", "the chunked storage cannot be reached")
        elif (place := INFO.fullmatch(path)) is not None:
            self._info(place["repo"], place["revision"] or MAIN)
        else:
            self._refuse(404, "", "Not Found")

    def _found(self, repo: str, revision: str) -> Repository | None:
        """The commit that is meant, if it is there and may be read; else the answer says why not."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        commits = self.hub.repositories.get(repo)
        if token and token not in self.hub.tokens:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif not commits or (commits[0].token and not token and not commits[0].gated):
            message = "Repository not found" if token else "Invalid username or password."
            self._refuse(404 if token else 401, "RepoNotFound", message)
        elif commits[0].token and token != commits[0].token and not commits[0].gated:
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif commits[0].token and token != commits[0].token:
            message = f"Access to model {repo} is restricted and you are not in the authorized list."
            self._refuse(403 if token else 401, "GatedRepo", message)
        else:
            for commit in commits:
                if revision == commit.commit or revision in commit.names:
                    return commit
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return None

    def _resolve(self, repo: str, revision: str, name: str, cached: bool, fault: Fault | None) -> None:
        commit = self._found(repo, revision)
        if commit is None:
            return
        file = commit.files.get(name)
        if file is None:
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit.commit})
            return
        headers = {"X-Repo-Commit": commit.commit, "Accept-Ranges": "bytes"}
        if file.large:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"'}
            if file.xet:
                route = f"{self.hub.endpoint}/api/models/{repo}/xet-read-token/{commit.commit}"
                headers |= {"X-Xet-Hash": file.sha256[::-1], "X-Xet-Refresh-Route": route}
            location = f"{self.hub.storage}/{repo}/{commit.commit}/{name}?signature=none"
            self._send(302, {**headers, "Location": location}, b"Found. Redirecting to the storage host")
        elif not cached:
            location = f"/api/resolve-cache/models/{repo}/{commit.commit}/{name}"
            self._send(307, {**headers, "Location": location}, b"Temporary Redirect")
        else:
            self._send_file(file, {**headers, "ETag": f'"{file.etag}"'}, fault)

    def _storage(self, path: str, fault: Fault | None) -> None:
        owner, name, commit, rest = path.removeprefix("/").split("/", 3)
        for held in self.hub.repositories.get(f"{owner}/{name}", []):
            if held.commit == commit and rest in held.files:
                file = held.files[rest]
                self._send_file(file, {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}, fault)
                return
        self._refuse(404, "", "Not Found")

    def _info(self, repo: str, revision: str) -> None:
        commit = self._found(repo, revision)
        if commit is not None:
            siblings = [{"rfilename": path} for path in commit.files]
            gated = "auto" if commit.gated else False
            facts = {"_id": "0", "id": repo, "modelId": repo, "sha": commit.commit, "siblings": siblings}
            self._send_json({**facts, "private": bool(commit.token) and not commit.gated, "gated": gated, "tags": []})

    def _tree(self, repo: str, revision: str, folder: str | None) -> None:
        commit = self._found(repo, revision)
        if commit is None:
            return
        entries: list[dict[str, object]] = []
        for path, file in commit.files.items():
            if folder is None or path.startswith(f"{folder}/"):
                entry: dict[str, object] = {"type": "file", "oid": file.blob, "size": file.size, "path": path}
                if file.large:
                    entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
                entries.append(entry)
        self._send_json(entries)

    def _refuse(self, status: int, code: str, message: str, more: Mapping[str, str] | None = None) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(more or {})}
        self._send(status, headers, json.dumps({"error": message}).encode())

    def _send_json(self, content: object) -> None:
        self._send(200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(content).encode())

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, file: HubFile, headers: Mapping[str, str], fault: Fault | None) -> None:
        """The file, or the range of it that was asked for; ends early where that is asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(wanted[1]), int(wanted[2] or file.size - 1) + 1) if wanted else (0, file.size)
        if wanted and start >= file.size:
            self._send(416, {"Content-Range": f"bytes */{file.size}"}, b"")
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{file.size}"}
        for name, value in {"Content-Type": "application/octet-stream", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        last = end if fault is None or fault.cut is None else min(end, start + fault.cut)
        for begin in range(start, last, CHUNK):
            part = file.read(begin, min(begin + CHUNK, last))
            if fault is not None and fault.flipped is not None and begin <= fault.flipped < begin + len(part):
                place = fault.flipped - begin
                part = part[:place] + bytes([part[place] ^ 1]) + part[place + 1 :]
            self.wfile.write(part)
        if last < end:
            self._hang_up(reset=fault is not None and fault.reset)

    def _hang_up(self, *, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers on two free ports of this machine until the block ends."""
    hub = Hub()
    servers = []
    for host in ("hub", "storage"):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"hub": hub, "host": host}))
        server.daemon_threads = True
        server.handle_error = lambda request, client: None  # type: ignore[method-assign]  # who was asked hung up
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
    hub.endpoint, hub.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
