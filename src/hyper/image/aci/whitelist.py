"""A path whitelist, applied to a tree of names. Pure.

Source: appc spec v0.8.11, aci.md ("pathWhitelist": a complete and absolute set) and ace.md ("Filesystem Setup").
"""

from __future__ import annotations

from collections.abc import Iterable

from hyper.image.tarstream import SYMLINK, BadLayer
from hyper.image.tree import Node

_Trie = dict[bytes, "_Trie"]


def keep_only(root: Node, paths: Iterable[str]) -> None:
    """The tree ``root`` has the files and directories in ``paths`` and those on the way to them, and nothing else.

    A directory in ``paths`` is there without what is in it, unless that is in ``paths`` too.

    Raises:
        BadLayer: a path that is not there.
    """
    todo: list[tuple[Node, _Trie, bytes]] = [(root, _trie(paths), b"")]
    while todo:
        node, wanted, path = todo.pop()
        if node.children is None:
            if wanted:
                raise _missing(path + b"/" + next(iter(wanted)))
            continue
        kept: dict[bytes, Node] = {}
        for name, below in wanted.items():
            child = node.children.get(name)
            if child is None:
                raise _missing(path + b"/" + name)
            kept[name] = child
            todo.append((child, below, path + b"/" + name))
        node.children = kept


def owner(root: Node, path: str) -> tuple[int, int]:
    """The user and group that own the file at ``path``, no symbolic link followed.

    Raises:
        BadLayer: there is no such file.
    """
    node: Node | None = root
    for part in _parts(path):
        node = (node.children or {}).get(part) if node is not None else None
    if node is None or node.entry.kind == SYMLINK:
        raise BadLayer(f"the image runs as the owner of {path[:100]!r}, which is no file in it")
    return node.entry.uid, node.entry.gid


def _trie(paths: Iterable[str]) -> _Trie:
    root: _Trie = {}
    for path in paths:
        node = root
        for part in _parts(path):
            node = node.setdefault(part, {})
    return root


def _parts(path: str) -> list[bytes]:
    return [
        part.encode(errors="surrogateescape") for part in path.split("/") if part not in ("", ".")
    ]


def _missing(path: bytes) -> BadLayer:
    return BadLayer(f"the pathWhitelist names {path[:200]!r}, which is not there")
