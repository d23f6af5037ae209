"""Debian's docker-registry as a test peer. One context manager owns the process, its folder and its port."""

from __future__ import annotations

import socket
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
def registry(*, auth: bool = False, tls: bool = False) -> Iterator[RealRegistry]:
    """A registry with empty storage on a free loopback port. ``auth``: htpasswd; ``tls``: by a CA of its own."""
    with tempfile.TemporaryDirectory(prefix="hyper-registry-") as name:
        folder = Path(name)
        if tls:
            _make_certificates(folder)
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
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"OTEL_TRACES_EXPORTER": "none"},
            )  # fmt: skip
        if _answers(process, port):
            return process, port
        process.kill()
        process.wait()
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


def _make_certificates(folder: Path) -> None:
    """A CA (ca.pem) and a certificate of it for localhost (server.pem, server.key)."""
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    commands = [
        ["req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA"],
        ["req", "-x509", *new, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
         "-CA", "ca.pem", "-CAkey", "ca.key"],
    ]  # fmt: skip
    for command in commands:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
