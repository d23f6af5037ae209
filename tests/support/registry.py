"""Registries to test with: Debian's docker-registry as a real peer, and one in-process that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools import imagebuilder
from tools.imagebuilder import Image

_DEADLINE_S = 20.0
_ATTEMPTS = 5
USER, PASSWORD = "alice", "secret horse"


@dataclass
class RealRegistry:
    """A running registry. ``host`` is ``localhost:port``."""

    host: str
    folder: Path
    certs_dir: Path
    tls: bool = False
    auth: bool = False
    _layouts: int = field(default=0)

    def push(self, image: Image, name: str) -> str:
        """Push ``image`` as ``name`` (``repo:tag``); the full reference."""
        return self.push_raw(image.manifest, image.blobs, name)

    def push_raw(self, top: bytes, blobs: dict[str, bytes], name: str) -> str:
        """Push a manifest or an index with everything it needs; the full reference."""
        self._layouts += 1
        layout = self.folder / f"layout{self._layouts}"
        imagebuilder.write_layout(layout, top, blobs)
        options = ["--dest-tls-verify=false"]
        if self.auth:
            options.append(f"--dest-creds={USER}:{PASSWORD}")
        imagebuilder.push(layout, f"{self.host}/{name}", *options)
        return f"{self.host}/{name}"


@contextmanager
def registry(
    *, auth: bool = False, tls: bool = False, name: str = "registry.example"
) -> Iterator[RealRegistry]:
    """A registry with empty storage on a free loopback port. ``auth``: htpasswd; ``tls``: by a CA of its own.

    ``name``: what its certificate says beside localhost.
    """
    with tempfile.TemporaryDirectory(prefix="hyper-registry-") as made:
        folder = Path(made)
        if tls:
            _make_certificates(folder, name)
        process, port = _start(folder, auth=auth, tls=tls)
        try:
            host = f"localhost:{port}"
            certs = folder / "certs.d" / host
            certs.mkdir(parents=True)
            if tls:
                (certs / "ca.crt").write_bytes((folder / "ca.pem").read_bytes())
            yield RealRegistry(host, folder, folder / "certs.d", tls, auth)
        finally:
            process.kill()
            process.wait()


def _start(folder: Path, *, auth: bool, tls: bool) -> tuple[subprocess.Popen[bytes], int]:
    """Start it on a port that was free a moment ago; when somebody was faster, on another."""
    for _ in range(_ATTEMPTS):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (folder / "config.yml").write_text(_config(folder, port, auth=auth, tls=tls))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "config.yml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )  # fmt: skip
        answers = False
        try:
            answers = _answers(process, port)
        finally:
            if not answers:
                process.kill()
                process.wait()
        if answers:
            return process, port
    raise RuntimeError((folder / "log").read_text()[-2000:])


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the process listens (True) or died (False). It offers no better sign than that it accepts."""
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            return False
        return process.poll() is None
    return False


def _config(folder: Path, port: int, *, auth: bool, tls: bool) -> str:
    text = f"""
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http:
  addr: 127.0.0.1:{port}
"""
    if tls:
        text += f"  tls: {{certificate: {folder}/server.pem, key: {folder}/server.key}}\n"
    if auth:
        made = subprocess.run(["htpasswd", "-Bbn", USER, PASSWORD], check=True, capture_output=True)
        (folder / "htpasswd").write_bytes(made.stdout)
        text += f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    return text


def _make_certificates(folder: Path, name: str) -> None:
    """A CA (ca.pem) and a certificate of it for localhost and ``name`` (server.pem, server.key)."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    commands = [
        ["req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA"],
        ["req", "-x509", *new, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=localhost",
         "-addext", f"subjectAltName=DNS:localhost,DNS:{name},IP:127.0.0.1",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-CA", "ca.pem", "-CAkey", "ca.key"],
    ]  # fmt: skip
    for command in commands:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)


@dataclass
class Answer:
    """What the hostile registry says to one request, and how it then behaves.

    ``cut``: bytes of the body really sent; ``end``: "close", "reset" or "hang" afterwards; ``length``: the
    Content-Length it claims (None: the truth, -1: none at all).
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    end: str = "close"
    length: int | None = None


class HostileRegistry:
    """Serves one image in-process; ``script`` holds answers that come first, by a piece of the path."""

    def __init__(self, image: Image, *, tls: ssl.SSLContext | None = None) -> None:
        self.image = image
        self._tls = tls
        self.script: dict[str, list[Answer]] = {}
        self.always: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ranges = True
        self._stop = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> str:
        """``localhost:port``."""
        assert self._server is not None
        return f"localhost:{self._server.sockets[0].getsockname()[1]}"

    @property
    def reference(self) -> str:
        """The image's name here."""
        return f"{self.host}/image:latest"

    def paths(self, piece: str) -> list[str]:
        """The requests so far whose path has ``piece`` in it."""
        return [path for path, _ in self.requests if piece in path]

    async def __aenter__(self) -> HostileRegistry:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._stop.set()
        self._server.close()
        while self._busy:
            await asyncio.wait(list(self._busy))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            head = await request_head(reader)
            if head is not None:
                await self._answer(*head[1:], writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._busy.discard(task)

    async def _answer(
        self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> None:
        self.requests.append((path, headers))
        answer = self._scripted(path) or self._honest(path, headers)
        length = len(answer.body) if answer.length is None else answer.length
        lines = [f"HTTP/1.1 {answer.status} X", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if length >= 0:
            lines.append(f"Content-Length: {length}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body[: answer.cut])
        await writer.drain()
        if answer.end == "hang":
            await self._stop.wait()
        elif answer.end == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    def _scripted(self, path: str) -> Answer | None:
        for piece, answers in self.script.items():
            if piece in path and answers:
                return answers.pop(0)
        return next((answer for piece, answer in self.always.items() if piece in path), None)

    def _honest(self, path: str, headers: dict[str, str]) -> Answer:
        name = path.rpartition("/")[2]
        if "/manifests/" in path:
            body = self.image.blobs.get(name, self.image.manifest)
            return Answer(body=body, headers={"Content-Type": json.loads(body)["mediaType"]})
        body = self.image.blobs.get(name, b"")
        start = headers.get("range", "")
        if start and self.ranges:
            offset = int(start.removeprefix("bytes=").removesuffix("-"))
            where = f"bytes {offset}-{len(body) - 1}/{len(body)}"
            return Answer(206, body[offset:], {"Content-Range": where})
        return Answer(body=body)


async def request_head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    """Method, path and headers of a request; None for what is no plain HTTP (a TLS client's hello)."""
    first = await reader.read(1)
    if not first.isalpha():
        return None
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
    request, *lines = head.strip().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    method, path, _ = request.split(" ")
    return method, path, headers
