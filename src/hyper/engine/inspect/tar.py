"""Conversion between the agent's entries and members of tars. Pure."""

from __future__ import annotations

from typing import Final

from hyper.errors import InvalidRequest
from hyper.image.tarstream import BLOCK, HARDLINK, Entry, components, header, padding
from hyper.proto.limits import MAX_XATTR_BYTES, MAX_XATTRS
from hyper.proto.record import (
    BLOCK as BLOCK_DEVICE,
)
from hyper.proto.record import (
    CHARACTER,
    DIRECTORY,
    FILE,
    HARD_LINK,
    Change,
    ChangeKind,
    FileEntry,
    Xattr,
    is_inner,
)

#: What ends a tar.
TAR_END: Final = bytes(2 * BLOCK)
_KEPT_XATTRS: Final = (b"security.capability", b"user.")
_MODES: Final = (
    # of stat(2), of Go's FileMode
    (0o170000, 0o040000, 1 << 31),
    (0o170000, 0o120000, 1 << 27),
    (0o170000, 0o060000, 1 << 26),
    (0o170000, 0o020000, 1 << 26 | 1 << 21),
    (0o170000, 0o010000, 1 << 25),
    (0o170000, 0o140000, 1 << 24),
    (0o4000, 0o4000, 1 << 23),
    (0o2000, 0o2000, 1 << 22),
    (0o1000, 0o1000, 1 << 20),
)


def go_mode(mode: int) -> int:
    """The mode ``mode`` of stat(2) as Go's FileMode, which the API shows."""
    bits = sum(bit for mask, value, bit in _MODES if mode & mask == value)
    return bits | mode & 0o777


def rebased(path: bytes, base: bytes) -> bytes:
    """The name of a tree's ``path`` in an archive whose top is called ``base`` (b"": nothing; b"/": the root)."""
    if not base or not path:
        return base + path
    return base + path if base.endswith(b"/") else base + b"/" + path


def tar_header(entry: FileEntry, base: bytes) -> bytes:
    """The header blocks of an entry that came from the agent; its content and `padding` come behind."""
    name = rebased(entry.path, base)
    if entry.type == DIRECTORY and not name.endswith(b"/"):
        name += b"/"
    hard = entry.type == HARD_LINK
    return header(
        Entry(
            name,
            bytes([entry.type]),
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            size=entry.size,
            mtime=max(entry.mtime, 0),
            link=rebased(entry.link, base) if hard else entry.link,
            major=entry.major,
            minor=entry.minor,
            xattrs={item.name: item.value for item in entry.xattrs} or None,
        )
    )


def tar_padding(entry: FileEntry) -> bytes:
    """The padding that comes behind the content of ``entry``."""
    return padding(entry.size)


def tar_whiteout(change: Change) -> bytes:
    """The whiteout that a layer's tar has for a file that is gone, or for a directory that hides all below."""
    path = change.path[1:]
    if change.kind is ChangeKind.OPAQUE:
        name = path + b"/.wh..wh..opq"
    else:
        folder, slash, last = path.rpartition(b"/")
        name = folder + slash + b".wh." + last
    return header(Entry(name, bytes([FILE]), mode=0o600))


def agent_entry(entry: Entry) -> FileEntry:
    """A member of a client's tar as the agent takes it, its names cleaned as Docker does.

    Raises:
        InvalidRequest: a name that leads out of the archive, is empty or too long.
    """
    kind = entry.kind[0]
    link = entry.link
    if entry.kind == HARDLINK:
        link = _clean(link, "invalid hardlink", entry.name)
    device = kind in (CHARACTER, BLOCK_DEVICE)
    path = _clean(entry.name, "invalid path", entry.name)
    if not path and kind != DIRECTORY:
        raise InvalidRequest(f"invalid path {_shown(entry.name)}")
    return FileEntry(
        path=path,
        type=kind,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime=entry.mtime,
        size=entry.size if kind == FILE else 0,
        major=entry.major if device else 0,
        minor=entry.minor if device else 0,
        link=link if entry.link and kind in b"12" else b"",
        xattrs=_xattrs(entry),
    )


def _clean(name: bytes, what: str, shown: bytes) -> bytes:
    """The name as a path below the target: without leading slash, dots and doubled slashes."""
    parts = components(name)
    if parts is None:
        raise InvalidRequest(f"{what}: {_shown(shown)} is outside of the destination")
    path = b"/".join(parts)
    if path and not is_inner(path):
        raise InvalidRequest(f"{what}: {_shown(shown)} is too long")
    return path


def _shown(name: bytes) -> str:
    return repr(name[:100].decode(errors="replace"))


def _xattrs(entry: Entry) -> tuple[Xattr, ...]:
    kept = [
        Xattr(key, value)
        for key, value in (entry.xattrs or {}).items()
        if key.startswith(_KEPT_XATTRS) and len(key) <= 255
    ]
    total = sum(len(item.name) + len(item.value) for item in kept)
    if len(kept) > MAX_XATTRS or total > MAX_XATTR_BYTES:
        raise InvalidRequest(f"{_shown(entry.name)} has too many extended attributes")
    return tuple(kept)
