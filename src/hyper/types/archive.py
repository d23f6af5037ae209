"""Bodies about files of containers, and about images made of them.

Source: engine-api v1.47, paths /containers/{id}/archive (X-Docker-Container-Path-Stat), /containers/{id}/changes.
"""

from __future__ import annotations

from msgspec import Struct

from hyper.types.wire import Wire


class PathStat(Struct, rename="camel", kw_only=True):
    """The file at a path. ``mode`` is Go's FileMode, ``link_target`` where a link leads in the end."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


class ChangeAnswer(Wire):
    """A change of a container's file: ``path`` was modified (0), added (1) or deleted (2)."""

    path: str
    kind: int
