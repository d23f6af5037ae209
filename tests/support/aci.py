"""App Container Images to test with, and servers to find them on. Written with tarfile and gpg, none of our code."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.server
import json
import lzma
import os
import select
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.imagebuilder import BUSYBOX, Item, busybox_items, directory, tar

from tests.support.certificates import authority

NAME = "example.com/app"
LABELS = {"version": "1.0", "os": "linux", "arch": "amd64"}


def manifest(
    name: str = NAME,
    *,
    labels: dict[str, str] | None = None,
    app: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An image manifest; ``app`` on top of a user and a group that are root."""
    whole: dict[str, Any] = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": name,
        "labels": pairs(LABELS if labels is None else labels),
    }
    if app is not None:
        whole["app"] = {"user": "0", "group": "0"} | app
    return whole | more


def pairs(values: dict[str, str]) -> list[dict[str, str]]:
    """A mapping as appc writes it."""
    return [{"name": name, "value": value} for name, value in values.items()]


def rootfs(items: Iterable[Item]) -> list[Item]:
    """The files of a layer where an image has them."""
    return [
        directory("rootfs"),
        *(
            replace(
                item,
                name=f"rootfs/{item.name}",
                link=f"rootfs/{item.link}" if item.type == b"1" else item.link,
            )
            for item in items
        ),
    ]


def archive(described: dict[str, Any] | bytes, items: Iterable[Item]) -> bytes:
    """The uncompressed tar of an image of these files, which stand in rootfs."""
    data = described if isinstance(described, bytes) else json.dumps(described).encode()
    return tar([Item("manifest", data), *rootfs(items)])


def image_id(tar_bytes: bytes) -> str:
    """The image id of an uncompressed archive."""
    return "sha512-" + hashlib.sha512(tar_bytes).hexdigest()


def compressed(data: bytes, how: str) -> bytes:
    """``data`` as "gzip", "bzip2", "xz" or "none"."""
    if how == "gzip":
        return gzip.compress(data, mtime=0)
    if how == "bzip2":
        return bz2.compress(data)
    return lzma.compress(data) if how == "xz" else data


def busybox(
    app: dict[str, Any] | None = None, name: str = NAME, extra: Iterable[Item] = (), **more: Any
) -> bytes:
    """An image of busybox that runs ``app``."""
    given = {"exec": ["/bin/sh", "-c", "echo hello"]} if app is None else app
    return archive(manifest(name, app=given, **more), [*busybox_items(), *extra])


def by_hand(folder: Path, described: dict[str, Any]) -> Path:
    """The spec's example, with its own words (aci.md, "Image Archives"): tar, then gzip; without encrypting it."""
    (folder / "manifest").write_text(json.dumps(described))
    programs = folder / "rootfs/usr/bin"
    programs.mkdir(parents=True)
    shutil.copy(BUSYBOX, programs / "busybox")
    for name in ("reduce-worker", "data-downloader", "deregister-worker"):
        script = programs / name
        script.write_text(f'#!/usr/bin/busybox sh\necho "{name} $*"\n')
        script.chmod(0o755)
    (folder / "rootfs/opt/work").mkdir(parents=True)
    subprocess.run(["tar", "cf", "reduce-worker.tar", "manifest", "rootfs"], cwd=folder, check=True)
    image = folder / "reduce-worker.aci"
    with image.open("wb") as output:
        subprocess.run(["gzip", "reduce-worker.tar", "-c"], cwd=folder, check=True, stdout=output)
    return image


class Signer:
    """A key of a gpg of its own. Use as context manager: its agent ends with it."""

    def __init__(self, user: str = "Tester <tester@example.com>", *, at: str = "") -> None:
        """``at``: the time it is for gpg, like 20200101T000000; the key is valid for a year then."""
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))
        self._clock = ["--faked-system-time", f"{at}!"] if at else []
        self._gpg("--quick-gen-key", user, "ed25519", "sign", "1y" if at else "never")

    def _gpg(self, *words: str, data: bytes = b"") -> bytes:
        argv = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet"]
        secret = ["--pinentry-mode", "loopback", "--passphrase", ""]
        done = subprocess.run(
            [*argv, *self._clock, *secret, *words], input=data, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    @property
    def public(self) -> bytes:
        """The public key, armored."""
        return self._gpg("--armor", "--export")

    @property
    def secret(self) -> bytes:
        """The secret key, armored."""
        return self._gpg("--armor", "--export-secret-keys")

    @property
    def fingerprint(self) -> str:
        """Of the key, as gpg tells it."""
        lines = self._gpg("--with-colons", "--list-keys").decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr:"))

    def revoke(self) -> None:
        """The key's owner has taken it back."""
        (ready,) = (self.home / "openpgp-revocs.d").glob("*.rev")
        self._gpg("--import", data=ready.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))

    def sign(self, data: bytes) -> bytes:
        """A detached, armored signature."""
        return self._gpg("--armor", "--detach-sign", "--output", "-", data=data)

    def __enter__(self) -> Signer:
        return self

    def __exit__(self, *_: object) -> None:
        # The agent removes its sockets only after it has said that it will end.
        agent = os.pidfd_open(self._agent())
        try:
            subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)
            select.select([agent], [], [])
        finally:
            os.close(agent)
        shutil.rmtree(self.home)

    def _agent(self) -> int:
        argv = ["gpg-connect-agent", "--homedir", str(self.home), "GETINFO pid", "/bye"]
        told = subprocess.run(argv, capture_output=True, check=True).stdout
        return int(told.split()[1])


@dataclass
class Site:
    """A web server with its own CA. ``files``: what it has, by path with query; ``asked``: what it was asked for."""

    name: str
    port: int
    ca: Path
    files: dict[str, bytes | int | str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Its name with its port."""
        return f"{self.name}:{self.port}"

    def announce(self, page: str, *templates: str) -> None:
        """``page`` has a discovery tag for each template."""
        head = f'<meta name="ac-discovery" content="{self.name}'
        tags = "".join(f'{head} {one}">' for one in templates)
        self.files[f"{page}?ac-discovery=1"] = f"<html><head>{tags}</head></html>".encode()

    def publish(self, name: str, data: bytes, signature: bytes | None = None) -> str:
        """An image is at a path below /images; its URL."""
        self.files[f"/images/{name}.aci"] = data
        if signature is not None:
            self.files[f"/images/{name}.aci.asc"] = signature
        return f"https://{self.host}/images/{name}.aci"

    @property
    def template(self) -> str:
        """Where discovery finds what `publish` puts there under NAME-VERSION."""
        return f"https://{self.host}/images/{{name}}-{{version}}.{{ext}}"


@contextmanager
def site(name: str = "localhost", address: str = "127.0.0.1", port: int = 0) -> Iterator[Site]:
    """A serving `Site`, on a port of its own choice without ``port``."""
    folder = Path(tempfile.mkdtemp(prefix="site-"))
    made = authority(folder / "ca", name, address)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.asked.append(self.path)
            found = shown.files.get(self.path, 404)
            self.send_response(
                found if isinstance(found, int) else 302 if isinstance(found, str) else 200
            )
            if isinstance(found, str):
                self.send_header("Location", found)
            data = found if isinstance(found, bytes) else b""
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.folder / "server.pem", made.folder / "server-key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    shown = Site(name, server.server_address[1], made.folder / "ca.pem")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield shown
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        shutil.rmtree(folder)


def trust_site(certs_dir: Path, served: Site) -> None:
    """``certs_dir`` (a daemon's) has the authority of ``served``."""
    folder = certs_dir / served.host
    folder.mkdir(parents=True)
    shutil.copy(served.ca, folder / "ca.crt")


def spec_example() -> dict[str, Any]:
    """The image manifest of the spec's example, word by word (aci.md), without its dependency and its whitelist."""
    return json.loads((Path(__file__).parents[1] / "vectors/aci/reduce-worker.json").read_bytes())  # type: ignore[no-any-return]
