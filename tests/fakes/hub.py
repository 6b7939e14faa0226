"""A server on this machine that speaks as much of the hub's language as downloads need."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants

from ds4d.weights import CATALOGUE, reachability


class FakeHub:
    """Repositories with files; faults are switched on by its attributes."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}  # OWNER/REPO -> path -> content
        self.files: dict[str, bytes] = {}  # /path -> content, for what is not on the hub
        self.status: dict[str, int] = {}  # OWNER/REPO -> error that answers everything about it
        self.cuts: dict[str, list[int]] = {}  # path -> where its next downloads break off, bytes
        self.hold = threading.Event()  # downloads stop half way until it is set
        self.hold.set()
        self.silent = False  # takes questions, answers none
        self.requests: list[tuple[str, str, str]] = []  # method, path, Range header
        self.tokens: list[str] = []  # the login that came with each of them
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, name: str, content: dict[str, bytes] | None = None) -> None:
        """Put weights of the catalogue there; by default each file holds its own name."""
        weights = CATALOGUE[name]
        files = content or {file: content_of(file) for file in weights.files}
        self.repos.setdefault(weights.repo, {}).update(files)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def content_of(file: str) -> bytes:
    if file.endswith(".safetensors"):
        header = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
        return len(header).to_bytes(8, "little") + header + b"abcd"
    if file.endswith(".json"):
        return b"{}"
    if file.endswith(".onnx"):
        return b"\x08\x07"  # field 1, ir_version: 7
    return file.encode()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            hub.requests.append((self.command, self.path, self.headers.get("Range", "")))
            hub.tokens.append(self.headers.get("Authorization", ""))
            if hub.silent:
                time.sleep(5)
                return
            path = self.path.split("?")[0]
            if path in hub.files:
                return self.send(hub.files[path], body)
            api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([0-9a-f]{40})", path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path)
            repo = (api or file or [None, ""])[1]
            if repo in hub.status:
                return self.refuse(hub.status[repo])
            if repo not in hub.repos:
                return self.refuse(404)
            if api:
                return self.describe(hub.repos[repo], api[3], body, tree=api[2] == "tree")
            if file[3] not in hub.repos[repo]:
                return self.refuse(404, "EntryNotFound")
            self.send(hub.repos[repo][file[3]], body, {"X-Repo-Commit": file[2]})

        def describe(self, files: dict[str, bytes], sha: str, body: bool, tree: bool) -> None:
            if tree:
                content = [
                    {"type": "file", "path": path, "size": len(data), "oid": _sha1(data)}
                    for path, data in files.items()
                ]
            else:
                siblings = [{"rfilename": path} for path in files]
                content = {"id": "x/y", "modelId": "x/y", "sha": sha, "siblings": siblings}
            self.send(json.dumps(content).encode(), body)

        def send(self, data: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
            start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("ETag", f'"{_sha1(data)}"')
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                cuts = hub.cuts.get(self.path.split("?")[0])
                until = cuts.pop(0) if cuts else len(data)
                with contextlib.suppress(ConnectionError):  # who asked wanted the head alone
                    self.write(data[start:until])
                if until < len(data):
                    self.connection.close()

        def write(self, data: bytes) -> None:
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            if "/api/" not in self.path:
                hub.hold.wait(10)
            self.wfile.write(data[half:])
            self.wfile.flush()

        def refuse(self, status: int, code: str = "") -> None:
            self.send_response(status)
            code = code or {403: "GatedRepo", 404: "RepoNotFound"}.get(status, "")
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


NOWHERE = "http://127.0.0.1:9"
CACHES = ("HF_TOKEN", "U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TORCH_HOME")


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch, tmp_path):
    """A home without any cache, and no network: whatever is not local is at a closed port."""
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    set_endpoint(monkeypatch, NOWHERE)
    for name, weights in CATALOGUE.items():
        if weights.url:
            elsewhere = dataclasses.replace(weights, url=f"{NOWHERE}/{weights.files[0]}")
            monkeypatch.setitem(CATALOGUE, name, elsewhere)
    reachability._answers.clear()


def set_endpoint(monkeypatch, url: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(monkeypatch, empty_machine):
    """The hub, as far as huggingface_hub and we are concerned."""
    fake = FakeHub()
    set_endpoint(monkeypatch, fake.url)
    yield fake
    fake.close()
