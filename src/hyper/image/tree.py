"""The tree that a layer's tar would unpack to, kept in memory: names and attributes, no contents. Pure.

Replaying the tar here instead of on a file system is what makes hostile layers harmless: a symbolic link in the way, a
name twice, a hard link to nowhere only move names about in this tree. Semantics are those of Docker's unpacking (the
last entry wins, a directory replaces anything but a directory and the other way round) and of the OCI whiteouts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hyper.image import limits
from hyper.image.tarstream import (
    CHARACTER,
    DIRECTORY,
    HARDLINK,
    REGULAR,
    SYMLINK,
    BadLayer,
    Entry,
    components,
)

_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_AUFS: Final = b".wh..wh."
_OVERLAY_XATTRS: Final = (b"trusted.overlay.", b"user.overlay.")
#: What squashfs can store.
_XATTR_CLASSES: Final = (b"security.", b"user.", b"trusted.")
OPAQUE_XATTR: Final = b"trusted.overlay.opaque"
_MAX_LINKS = 40


class Node:
    """A node: a file of any kind. Hard links are one node in several places."""

    __slots__ = ("children", "entry", "implicit", "opaque", "source", "whiteouts")

    def __init__(self, entry: Entry, source: int = -1, *, implicit: bool = False) -> None:
        self.entry = entry
        #: Which body of the input is the content (regular files).
        self.source = source
        self.implicit = implicit
        self.opaque = False
        self.children: dict[bytes, Node] | None = {} if entry.kind == DIRECTORY else None
        self.whiteouts: set[bytes] | None = None


class Tree:
    """The tree of a layer. Feed it with `add`; `replaced` tells whether a body seen before lost its name since."""

    def __init__(self, *, max_entries: int = limits.MAX_LAYER_ENTRIES) -> None:
        self.root = _implicit()
        self.replaced = False
        self.entries = 0
        self._max_entries = max_entries

    def add(self, entry: Entry, source: int, *, overlay: bool = False) -> bytes | None:
        """Apply one entry. ``source`` numbers its body. ``overlay``: whiteouts come in overlayfs form.

        Returns the path at which a regular file landed, None for everything else.

        Raises:
            BadLayer: the entry is one that no honest layer has.
        """
        self.entries += 1
        if self.entries > self._max_entries:
            raise BadLayer(f"more than {self._max_entries} entries")
        parts = _clean(entry.name)
        if not parts:
            self._add_root(entry, overlay=overlay)
            return None
        if any(part.startswith(_AUFS) and part != _OPAQUE for part in parts):
            return None  # bookkeeping of aufs, which Docker skips too
        parent, where = self._resolve(parts[:-1], entry.name)
        name = parts[-1]
        if not overlay and name.startswith(_WHITEOUT):
            _whiteout(parent, name, entry)
            return None
        if entry.kind == CHARACTER and (entry.major, entry.minor) == (0, 0):
            _add_whiteout(parent, name)
            return None
        return self._place(parent, where, name, entry, source, overlay=overlay)

    def _add_root(self, entry: Entry, *, overlay: bool) -> None:
        if entry.kind != DIRECTORY:
            raise BadLayer(f"{entry.name[:80]!r} would replace the root directory")
        self._update_directory(self.root, entry, overlay=overlay)

    def _place(
        self, parent: Node, where: bytes, name: bytes, entry: Entry, source: int, *, overlay: bool
    ) -> bytes | None:
        path = where + name
        if entry.kind == SYMLINK and not 0 < len(entry.link) <= limits.MAX_PATH_BYTES:
            raise BadLayer(f"{path[:80]!r} is a symbolic link to nothing, or too far")
        if len(name) > limits.MAX_NAME_BYTES or len(path) > limits.MAX_PATH_BYTES:
            raise BadLayer(f"a name that is too long: {path[:80]!r}…")
        assert parent.children is not None
        old = parent.children.get(name)
        if entry.kind == DIRECTORY and old is not None and old.children is not None:
            self._update_directory(old, entry, overlay=overlay)
            return None
        node = self._link(entry) if entry.kind == HARDLINK else Node(entry, source)
        if node is old:
            return None
        if node.children is not None:
            self._update_directory(node, entry, overlay=overlay)
        else:
            _filter_xattrs(node.entry)
        if old is not None:
            self.replaced = True
        entry.name = path
        parent.children[name] = node
        return path if entry.kind == REGULAR else None

    def _link(self, entry: Entry) -> Node:
        parts = _clean(entry.link)
        target = None
        if parts:
            parent, _ = self._resolve(parts[:-1], entry.name)
            target = (parent.children or {}).get(parts[-1])
        if target is None:
            raise BadLayer(
                f"{entry.name[:80]!r} is a hard link to {entry.link[:80]!r}, which is not in the layer"
            )
        if target.children is not None:
            raise BadLayer(f"{entry.name[:80]!r} is a hard link to a directory")
        return target

    def _update_directory(self, node: Node, entry: Entry, *, overlay: bool) -> None:
        if overlay and (entry.xattrs or {}).get(OPAQUE_XATTR) == b"y":
            node.opaque = True
        _filter_xattrs(entry)
        node.entry = entry
        node.implicit = False

    def _resolve(self, parts: list[bytes], shown: bytes) -> tuple[Node, bytes]:
        """The directory that ``parts`` lead to and its path with a slash; symbolic links are followed inside."""
        links = 0
        todo = parts[::-1]
        done: list[tuple[bytes, Node]] = []
        while todo:
            part = todo.pop()
            if part == b"..":
                if done:
                    done.pop()
                continue
            node = self._child(done[-1][1] if done else self.root, part)
            if node.children is not None:
                done.append((part, node))
            elif node.entry.kind == SYMLINK and links < _MAX_LINKS:
                links += 1
                target = node.entry.link
                if target.startswith(b"/"):
                    done.clear()
                todo += [word for word in target.split(b"/") if word not in (b"", b".")][::-1]
            else:
                raise BadLayer(f"{shown[:80]!r}: {part[:80]!r} on the way is no directory")
        path = b"".join(name + b"/" for name, _ in done)
        return (done[-1][1] if done else self.root), path

    def _child(self, parent: Node, name: bytes) -> Node:
        assert parent.children is not None
        node = parent.children.get(name)
        if node is None:
            if len(name) > limits.MAX_NAME_BYTES:
                raise BadLayer(f"a name that is too long: {name[:80]!r}…")
            if name.startswith(_WHITEOUT):
                raise BadLayer(f"a directory with the reserved name {name[:80]!r}")
            node = parent.children[name] = _implicit()
            self.entries += 1
        return node


def walk(root: Node) -> Iterator[tuple[bytes, Node]]:
    """The nodes under ``root`` with their paths, parents first; the root itself is ``b""``."""
    stack: list[tuple[bytes, Node]] = [(b"", root)]
    while stack:
        path, node = stack.pop()
        yield path, node
        if node.children:
            prefix = path + b"/" if path else b""
            stack += [(prefix + name, child) for name, child in reversed(node.children.items())]


def stack_on(lower: Node, upper: Node) -> Node:
    """The union of two layers, ``upper`` wins; whiteouts and opaque marks of ``upper`` are spent. Both are used up."""
    todo = [(lower, upper)]
    while todo:
        below, above = todo.pop()
        assert below.children is not None
        assert above.children is not None
        if above.opaque:
            below.children.clear()
        for name in above.whiteouts or ():
            below.children.pop(name, None)
        below.entry = above.entry
        for name, child in above.children.items():
            old = below.children.get(name)
            if old is None or old.children is None or child.children is None:
                below.children[name] = spent(child)
            else:
                todo.append((old, child))
    return lower


def spent(node: Node) -> Node:
    """The node as part of the lowest layer: there is nothing left for its marks to hide."""
    todo = [node]
    while todo:
        current = todo.pop()
        current.opaque = False
        current.whiteouts = None
        todo += (current.children or {}).values()
    return node


def _implicit() -> Node:
    return Node(Entry(b"", DIRECTORY, mode=0o755), implicit=True)


def _clean(name: bytes) -> list[bytes]:
    parts = components(name)
    if parts is None:
        raise BadLayer(f"{name[:80]!r} leads out of the image")
    return parts


def _whiteout(parent: Node, name: bytes, entry: Entry) -> None:
    if name == _OPAQUE:
        parent.opaque = True
        return
    hidden = name[len(_WHITEOUT) :]
    if hidden in (b"", b".", b".."):
        raise BadLayer(f"a whiteout of nothing: {entry.name[:80]!r}")
    _add_whiteout(parent, hidden)


def _add_whiteout(parent: Node, name: bytes) -> None:
    if len(name) > limits.MAX_NAME_BYTES:
        raise BadLayer(f"a name that is too long: {name[:80]!r}…")
    if parent.whiteouts is None:
        parent.whiteouts = set()
    parent.whiteouts.add(name)


def _filter_xattrs(entry: Entry) -> None:
    """The attributes without those that squashfs cannot hold, and those that would speak to overlayfs in our name."""
    if entry.xattrs:
        entry.xattrs = {
            key: value
            for key, value in entry.xattrs.items()
            if key.startswith(_XATTR_CLASSES) and not key.startswith(_OVERLAY_XATTRS)
        }
