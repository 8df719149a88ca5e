"""A small hub on loopback: the endpoints of huggingface.co that downloading, sharing and pushing use.

It keeps commits, branches and large files as the real one does, and can be told to misbehave: `Faults`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_a_token_that_may_write"
READ_TOKEN = "hf_a_token_that_may_read"
LARGE = (".h5", ".pt", ".bin", ".png", ".safetensors")  # kept as large files, under their SHA-256


@dataclass
class Faults:
    """What is wrong with a repository."""

    listing: Callable[[list[dict[str, Any]]], Any] = lambda files: None  # changes the listing in place
    content: dict[str, bytes] = field(default_factory=dict)  # sent in place of what is listed
    endless: bool = False  # sends large files without a length, and does not stop in time
    status: int | None = None  # answers everything with this


@dataclass
class Repo:
    """Commits (files by name, by hash), branches and tags."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    gated: bool = False

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        known = json.dumps({name: sha256(content) for name, content in files.items()}, sort_keys=True)
        commit = hashlib.sha1(f"{len(self.commits)} {known}".encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.refs["main"]]


class Hub:
    """The state of the server, and its address."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""
        self.large_url = ""  # where large files are sent from: another host, as the real one's are

    def add(self, name: str, files: dict[str, bytes], **options: Any) -> Repo:
        repo = self.repos[name] = Repo(**options)
        repo.commit(files)
        return repo


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.large_url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Refused(Exception):
    def __init__(self, status: int, code: str | None = None, message: str | None = None):
        self.status, self.code, self.text = status, code, message


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.state.requests.append(format % args)

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.body = self._chunked_body()
        else:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        try:
            for route, methods, handle in _ROUTES:
                match = re.fullmatch(route, path)
                if match and method in methods.split():
                    return handle(self, *match.groups())
            raise _Refused(404)
        except _Refused as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.text}
            body = json.dumps({"error": refusal.text or "no"}).encode()
            self._send(refusal.status, body, {key: value for key, value in headers.items() if value})

    def _chunked_body(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes = b"", headers: dict[str, Any] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": len(body), **(headers or {})}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, values: Any) -> None:
        self._send(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def _token(self, write: bool) -> str:
        """The user's token; 401 as the real hub answers when it is none that it knows."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (TOKEN, READ_TOKEN):
            raise _Refused(401, None, "Invalid credentials in Authorization header")
        if write and token != TOKEN:
            raise _Refused(403, None, "you must use a write token")
        return token

    def _repo(self, name: str) -> Repo:
        if self.headers.get("Authorization"):
            self._token(write=False)
        repo = self.state.repos.get(name)
        if repo is None or (repo.private and not self.headers.get("Authorization")):
            raise _Refused(
                401 if not self.headers.get("Authorization") else 404, "RepoNotFound", "Repository not found"
            )
        if repo.faults.status:
            raise _Refused(repo.faults.status, None, "this hub is not well")
        return repo

    def _revision(self, repo: Repo, revision: str | None) -> str:
        commit = repo.refs.get(revision or "main", revision)
        if commit not in repo.commits:
            raise _Refused(404, "RevisionNotFound", "Invalid rev id")
        return commit

    def whoami(self) -> None:
        self._token(write=False)
        self._json({"type": "user", "name": "user"})

    def info(self, name: str, _: str, revision: str | None) -> None:
        repo = self._repo(name)
        commit = self._revision(repo, revision)
        siblings = []
        for file, content in repo.commits[commit].items():
            entry = {"rfilename": file, "size": len(content), "blobId": git_sha1(content)}
            if file.endswith(LARGE):
                entry["lfs"] = {"size": len(content), "sha256": sha256(content), "pointerSize": 130}
            siblings.append(entry)
        repo.faults.listing(siblings)
        self._json({"id": name, "sha": commit, "private": repo.private, "siblings": siblings})

    def resolve(self, name: str, revision: str, file: str) -> None:
        repo = self._repo(name)
        if repo.gated and not self.headers.get("Authorization"):
            raise _Refused(401, "GatedRepo", "Access to this model is restricted")
        commit = self._revision(repo, revision)
        if file not in repo.commits[commit]:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        content = repo.commits[commit][file]
        headers = {"X-Repo-Commit": commit}
        if file.endswith(LARGE):
            headers |= {"X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": len(content)}
            return self._send(302, b"", {**headers, "Location": f"{self.state.large_url}/cdn/{name}/{commit}/{file}"})
        sent = repo.faults.content.get(file, content)
        return self._send(200, sent, {**headers, "ETag": f'"{git_sha1(content)}"'})

    def cdn(self, name: str, commit: str, file: str) -> None:
        if self.headers.get("Authorization"):
            raise _Refused(400, None, "a signed address takes no token")
        repo = self.state.repos[name]
        content = repo.faults.content.get(file, repo.commits[commit][file])
        if not repo.faults.endless:
            return self._send(200, content)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for _ in range(64):
                self.wfile.write(b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def create(self) -> None:
        self._token(write=True)
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if not name.startswith("user/"):
            raise _Refused(403, None, "You don't have the rights to create a model under this namespace")
        if name in self.state.repos:
            raise _Refused(409, None, "You already created this model repo")
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.state.add(name, {".gitattributes": b"*.h5 filter=lfs\n"}, private=private)
        self._json({"url": f"{self.state.url}/{name}", "id": "1", "name": name})

    def validate_yaml(self) -> None:
        import yaml

        content = json.loads(self.body)["content"]
        try:
            card = yaml.safe_load(content.split("---\n")[1])
            errors = [] if isinstance(card["license"], str) else ["license must be a string"]
        except (yaml.YAMLError, IndexError, KeyError) as error:
            errors = [str(error)]
        body = {"errors": [{"message": error} for error in errors], "warnings": []}
        self._send(400 if errors else 200, json.dumps(body).encode())

    def preupload(self, name: str, revision: str) -> None:
        self._token(write=True)
        files = json.loads(self.body)["files"]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in files
        ]
        self._json({"files": modes})

    def lfs_batch(self, name: str) -> None:
        self._token(write=True)
        wanted = json.loads(self.body)
        assert wanted["operation"] == "upload" and wanted["hash_algo"] == "sha256"
        objects = []
        for item in wanted["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.state.large:
                answer["actions"] = {
                    "upload": {"href": f"{self.state.url}/lfs/{item['oid']}"},
                    "verify": {"href": f"{self.state.url}/verify/{name}"},
                }
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        if sha256(self.body) != oid:
            raise _Refused(400, None, "the content has another hash")
        self.state.large[oid] = self.body
        self._send(200)

    def lfs_verify(self, name: str) -> None:
        wanted = json.loads(self.body)
        if len(self.state.large.get(wanted["oid"], b"")) != wanted["size"]:
            raise _Refused(404, None, "not uploaded")
        self._json({})

    def commit(self, name: str, revision: str) -> None:
        self._token(write=True)
        repo = self._repo(name)
        files = dict(repo.commits[self._revision(repo, revision)])
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.state.large[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        commit = repo.commit(files, revision)
        self._json({"success": True, "commitOid": commit, "commitUrl": f"{self.state.url}/{name}/commit/{commit}"})


_REPO = r"([\w.-]+/[\w.-]+)"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    (r"/api/whoami-v2", "GET", _Handler.whoami),
    (r"/api/repos/create", "POST", _Handler.create),
    (r"/api/validate-yaml", "POST", _Handler.validate_yaml),
    (rf"/api/models/{_REPO}/preupload/(.+)", "POST", _Handler.preupload),
    (rf"/api/models/{_REPO}/commit/(.+)", "POST", _Handler.commit),
    (rf"/api/models/{_REPO}(/revision/(.+))?", "GET", _Handler.info),
    (rf"/{_REPO}\.git/info/lfs/objects/batch", "POST", _Handler.lfs_batch),
    (rf"/{_REPO}/resolve/(.+)/([^/]+)", "GET HEAD", _Handler.resolve),
    (rf"/cdn/{_REPO}/(\w+)/([^/]+)", "GET HEAD", _Handler.cdn),
    (r"/lfs/(\w+)", "PUT", _Handler.lfs_put),
    (rf"/verify/{_REPO}", "POST", _Handler.lfs_verify),
]
