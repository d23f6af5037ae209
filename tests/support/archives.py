"""Tars made by hand, and the archive route of the API."""

from __future__ import annotations

import io
import json
import tarfile
from urllib.parse import quote

from tests.support.hyperd import Hyperd


def tar_of(*members: tuple[tarfile.TarInfo, bytes] | tarfile.TarInfo) -> bytes:
    """A tar of members made by hand."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def item(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar, a file unless ``type`` is said."""
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(container: str, path: str, **options: str) -> str:
    """The archive route's path."""
    more = "".join(f"&{key}={value}" for key, value in options.items())
    return f"/containers/{container}/archive?path={quote(path)}{more}"


def put(daemon: Hyperd, container: str, path: str, tar: bytes, **options: str) -> tuple[int, str]:
    """Status and message of writing ``tar``."""
    kind = {"Content-Type": "application/x-tar"}
    status, body = daemon.api.raw("PUT", archive(container, path, **options), tar, **kind)
    return status, json.loads(body)["message"] if body else ""
