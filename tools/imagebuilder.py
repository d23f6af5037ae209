"""Container images without a container engine: layers as lists of entries, written as an OCI layout.

Everything is deterministic: the same entries give the same digests on every machine. Used by tests and by
tools/demo_image.py; pushing is skopeo's work.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

EPOCH = 1_700_000_000
CREATED = "2023-11-14T22:13:20Z"
BUSYBOX = Path("/bin/busybox")


@dataclass
class Item:
    """One member of a layer's tar, in the words of tarfile."""

    name: str
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = EPOCH
    link: str = ""
    major: int = 0
    minor: int = 0
    pax: dict[str, str] = field(default_factory=dict)


def file(name: str, data: bytes | str, **options: Any) -> Item:
    """A regular file."""
    return Item(name, data.encode() if isinstance(data, str) else data, **options)


def directory(name: str, *, mode: int = 0o755, **options: Any) -> Item:
    """A directory."""
    return Item(name, type=tarfile.DIRTYPE, mode=mode, **options)


def symlink(name: str, target: str, **options: Any) -> Item:
    """A symbolic link."""
    return Item(name, type=tarfile.SYMTYPE, link=target, mode=0o777, **options)


def hardlink(name: str, target: str, **options: Any) -> Item:
    """A further name of a file that came before."""
    return Item(name, type=tarfile.LNKTYPE, link=target, **options)


def whiteout(name: str) -> Item:
    """Hide ``name`` of the layers below."""
    folder, _, base = name.rpartition("/")
    return Item(f"{folder}/.wh.{base}" if folder else f".wh.{base}")


def opaque(name: str) -> Item:
    """Hide everything that the layers below have in the directory ``name``."""
    return Item(f"{name}/.wh..wh..opq" if name else ".wh..wh..opq")


def tar(items: Iterable[Item]) -> bytes:
    """The tar of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.type, info.mode, info.uid, info.gid = item.type, item.mode, item.uid, item.gid
            info.mtime, info.linkname, info.pax_headers = item.mtime, item.link, dict(item.pax)
            info.devmajor, info.devminor, info.size = item.major, item.minor, len(item.data)
            archive.addfile(info, io.BytesIO(item.data))
    return buffer.getvalue()


def compress(data: bytes, how: str) -> bytes:
    """``data`` as "gzip", "zstd" or "none"."""
    if how == "gzip":
        return gzip.compress(data, compresslevel=6, mtime=0)
    if how == "zstd":
        return zstandard.ZstdCompressor(level=3).compress(data)
    return data


MEDIA_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "none": "application/vnd.oci.image.layer.v1.tar",
}


def digest(data: bytes) -> str:
    """The sha256 digest of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Image:
    """An image in memory: everything a registry would hold of it."""

    manifest: bytes
    config: bytes
    blobs: dict[str, bytes]
    tars: list[bytes]

    @property
    def id(self) -> str:
        """The image id: the digest of the configuration."""
        return digest(self.config)

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest(self.manifest)

    @property
    def diff_ids(self) -> list[str]:
        """The layers' diff ids, lowest first."""
        return [digest(data) for data in self.tars]


def image(
    layers: Iterable[Iterable[Item] | bytes],
    config: dict[str, Any] | None = None,
    *,
    compression: str = "gzip",
    architecture: str = "amd64",
    history: list[dict[str, Any]] | None = None,
) -> Image:
    """An image of ``layers`` (entries, or a finished tar) and the ``config`` part of its configuration."""
    tars = [layer if isinstance(layer, bytes) else tar(layer) for layer in layers]
    packed = [compress(data, compression) for data in tars]
    steps = [{"created": CREATED, "created_by": f"step {n}"} for n in range(len(tars))]
    whole = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": CREATED,
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in tars]},
            "history": steps if history is None else history,
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", whole),
            "layers": [_descriptor(MEDIA_TYPES[compression], data) for data in packed],
        }
    ).encode()
    blobs = {digest(data): data for data in [*packed, whole, manifest]}
    return Image(manifest, whole, blobs, tars)


def index(images: dict[str, Image]) -> tuple[bytes, dict[str, bytes]]:
    """An index of images by platform (``linux/arm64``): its bytes, and all blobs."""
    entries, blobs = [], {}
    for platform, one in images.items():
        os_name, architecture, *variant = platform.split("/")
        where = {"os": os_name, "architecture": architecture}
        if variant:
            where["variant"] = variant[0]
        entry = _descriptor("application/vnd.oci.image.manifest.v1+json", one.manifest)
        entries.append({**entry, "platform": where})
        blobs.update(one.blobs)
    data = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": entries,
        }
    ).encode()
    return data, {**blobs, digest(data): data}


def write_layout(folder: Path, top: bytes, blobs: dict[str, bytes]) -> None:
    """Write an OCI layout whose only image is ``top`` (a manifest or an index among ``blobs``)."""
    store = folder / "blobs/sha256"
    store.mkdir(parents=True)
    for name, data in blobs.items():
        (store / name.removeprefix("sha256:")).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    media_type = json.loads(top)["mediaType"]
    entry = {
        **_descriptor(media_type, top),
        "annotations": {"org.opencontainers.image.ref.name": "image"},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def push(folder: Path, target: str, *options: str) -> None:
    """Push the image of an OCI layout to ``host:port/name:tag`` as it is, with every image of an index."""
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests", *options,
         f"oci:{folder}:image", f"docker://{target}"],
        check=True,
    )  # fmt: skip


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def busybox_items() -> list[Item]:
    """A small root file system: Debian's static busybox with a link per applet, users, /tmp."""
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
    folders = ("bin", "dev", "etc", "home", "home/app", "proc", "root", "sys", "usr", "usr/bin",
               "usr/sbin", "var", "var/log", "var/www")  # fmt: skip
    items = [directory(name) for name in folders]
    items[6].mode = 0o700
    items.append(directory("tmp", mode=0o1777))
    items.append(file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755))
    names = sorted(set(applets.stdout.split()) - {"busybox"})
    items += [symlink(f"bin/{name}", "busybox") for name in names]
    return items + account_items()


def account_items() -> list[Item]:
    """/etc/passwd and friends: root, nobody, www-data, and the user app (1000) in the group staff (50)."""
    return [
        file("etc/passwd",
             "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"
             "app:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        file("etc/group", "root:x:0:\nwww-data:x:33:\nstaff:x:50:app\napp:x:1000:\nnogroup:x:65534:\n"),
        file("etc/hosts", ""),
        file("etc/nsswitch.conf", "hosts: files dns\n"),
    ]  # fmt: skip


BUSYBOX_CONFIG: dict[str, Any] = {
    "Cmd": ["sh"],
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
}


def busybox() -> Image:
    """The image ``busybox``: one layer."""
    return image([busybox_items()], BUSYBOX_CONFIG)
