"""A container engine that has one image, in-process, and misbehaves on purpose where a test says so."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.imagebuilder import Image, digest

from hyper.types.oci import OCI_INDEX


@dataclass
class Reply:
    """``cut``: bytes of the body really sent; ``end``: "close" or "hang" then (with ``cut`` 0 before the head)."""

    status: int = 200
    body: bytes = b""
    cut: int | None = None
    end: str = "close"
    headers: dict[str, str] = field(default_factory=dict)


def saved(*images: Image, tags: tuple[str, ...] = ()) -> bytes:
    """What ``docker save`` of an old Docker writes: an archive without manifests."""
    members: dict[str, bytes] = {}
    listed = []
    for image in images:
        config = f"{image.id.removeprefix('sha256:')}.json"
        layers = {f"{name.removeprefix('sha256:')}/layer.tar": data
                  for name, data in zip(image.diff_ids, image.tars, strict=True)}  # fmt: skip
        members |= {config: image.config, **layers}
        listed.append({"Config": config, "RepoTags": list(tags) or None, "Layers": [*layers]})
    members["manifest.json"] = json.dumps(listed).encode()
    return tar_of(members)


def saved_by_containerd(
    image: Image, top: bytes, blobs: dict[str, bytes], *, about: tuple[bytes, ...] = ()
) -> bytes:
    """What Docker with containerd's image store sends of ``top`` (a manifest or an index, whose digest is its id).

    ``blobs``: what it has of it, among that all of ``image``; ``about``: signatures and the like. Written after
    containerd's core/images/archive/exporter.go; its order of the members, too.
    """
    source = {"containerd.io/distribution.source.docker.io": "library/app"}
    subject = {"io.containerd.manifest.subject": image.digest}
    entries = [
        {"mediaType": json.loads(data)["mediaType"], "digest": digest(data), "size": len(data),
         "annotations": note}
        for data, note in [(top, source), *((one, subject) for one in about)]
    ]  # fmt: skip
    named = json.loads(image.manifest)
    layers = [_blob(layer["digest"]) for layer in named["layers"]]
    listed = [{"Config": _blob(named["config"]["digest"]), "RepoTags": None, "Layers": layers}]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    members = {_blob(digest(data)): data for data in (top, *blobs.values(), *about)}
    members |= {
        "blobs/": b"",
        "blobs/sha256/": b"",
        "index.json": json.dumps(index).encode(),
        "manifest.json": json.dumps(listed).encode(),
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    }
    return tar_of(dict(sorted(members.items())))


def _blob(name: str) -> str:
    return f"blobs/sha256/{name.removeprefix('sha256:')}"


def tar_of(members: dict[str, bytes]) -> bytes:
    """A tar archive of these files; a name that ends with a slash is a folder's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class FakeEngine:
    """Answers as Docker or podman (``server``) do, of one image under ``tags`` and ``digests``.

    ``replies`` holds other answers by the end of the path: ``json``, ``get``. ``requests``: the paths so far.
    """

    def __init__(
        self,
        image: Image,
        *,
        tags: tuple[str, ...] = (),
        digests: tuple[str, ...] = (),
        server: str = "Docker/20.10.24 (linux)",
    ) -> None:
        self.image = image
        self.server = server
        self.about: dict[str, Any] = {
            "Id": image.id,
            "RepoTags": list(tags),
            "RepoDigests": list(digests),
            "Os": "linux",
            "Architecture": "amd64",
        }
        self.replies: dict[str, Reply] = {}
        self.requests: list[str] = []
        self._stop = asyncio.Event()
        self._busy: set[asyncio.Task[None]] = set()

    def asked(self, end: str) -> list[str]:
        """The requests whose path ends so."""
        return [path for path in self.requests if path.endswith(end)]

    @asynccontextmanager
    async def serving(self, socket: Path) -> AsyncIterator[Path]:
        """It listens at ``socket``."""
        server = await asyncio.start_unix_server(self._serve, socket)
        try:
            yield socket
        finally:
            self._stop.set()
            server.close()
            while self._busy:
                await asyncio.wait(list(self._busy))
            socket.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head.decode().split(" ")[1], writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._busy.discard(task)

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        self.requests.append(path)
        end = path.rpartition("/")[2]
        reply = self.replies.get(end) or self._honest(path, end)
        headers = {"Server": self.server, "Content-Length": str(len(reply.body)), **reply.headers}
        lines = [
            f"HTTP/1.1 {reply.status} X",
            *(f"{key}: {value}" for key, value in headers.items()),
        ]
        if reply.cut != 0 or reply.end != "hang":
            writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body[: reply.cut])
            await writer.drain()
        if reply.end == "hang":
            await self._stop.wait()
        if reply.cut is not None or reply.end == "hang":
            raise ConnectionError("as was asked for")

    def _honest(self, path: str, end: str) -> Reply:
        names = [*self.about["RepoTags"], *self.about["RepoDigests"]]
        asked = path.removeprefix("/images/").removesuffix(f"/{end}")
        short = asked.removeprefix("docker.io/library/")
        digits = asked.removeprefix("sha256:")
        by_id = self.about["Id"].removeprefix("sha256:").startswith(digits)
        if short not in names and asked not in names and not by_id:
            return Reply(404, b'{"message":"No such image: x"}')
        if end == "json":
            return Reply(body=json.dumps(self.about).encode())
        return Reply(body=saved(self.image))
