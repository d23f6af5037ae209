"""A `Tree` as the strict tar that tar2sqfs gets. Pure but for the stream it writes to.

Regular files come first, in the order of the input; everything without content follows, because only at the end is
known which directories are opaque and which whiteouts count.
"""

from __future__ import annotations

from typing import BinaryIO

from hyper.image.tarstream import (
    BLOCK,
    CHARACTER,
    HARDLINK,
    REGULAR,
    Entry,
    TarReader,
    header,
    padding,
)
from hyper.image.tree import OPAQUE_XATTR, Node, walk


def write_file(entry: Entry, reader: TarReader, output: BinaryIO) -> None:
    """Write the reader's current file with its content, as ``entry``."""
    output.write(header(entry))
    reader.copy_body(output.write)
    output.write(padding(entry.size))


def settle(root: Node) -> dict[int, Entry]:
    """Give every regular file the first of its names; the wanted bodies of the input, each with its entry."""
    wanted: dict[int, Entry] = {}
    for path, node in walk(root):
        if node.entry.kind == REGULAR and node.source not in wanted:
            node.entry.name = path
            wanted[node.source] = node.entry
    return wanted


def copy_wanted(
    reader: TarReader, wanted: dict[int, Entry], output: BinaryIO, *, first: int = 0
) -> int:
    """Copy the bodies in ``wanted`` from a tar whose entries are numbered from ``first``; the next number."""
    number = first
    for _ in reader:
        entry = wanted.get(number)
        if entry is not None:
            write_file(entry, reader, output)
        number += 1
    return number


def write_rest(root: Node, output: BinaryIO) -> None:
    """Write everything that has no content, and the end of the tar."""
    names: dict[int, bytes] = {}
    for path, node in walk(root):
        if node.children is not None:
            _write_directory(path, node, output)
            continue
        regular = node.entry.kind == REGULAR
        first = node.entry.name if regular else names.setdefault(id(node), path)
        if first != path:
            output.write(header(Entry(path, HARDLINK, link=first)))
        elif not regular:
            node.entry.name = path
            output.write(header(node.entry))
    output.write(bytes(2 * BLOCK))
    output.flush()


def _write_directory(path: bytes, node: Node, output: BinaryIO) -> None:
    entry, children = node.entry, node.children or {}
    entry.name = path + b"/" if path else b"./"
    if node.opaque and path:
        entry.xattrs = {**(entry.xattrs or {}), OPAQUE_XATTR: b"y"}
    output.write(header(entry))
    for name in sorted(node.whiteouts or ()):
        child = children.get(name)
        if child is None:
            output.write(header(Entry(path + b"/" + name if path else name, CHARACTER, mode=0)))
        elif child.children is not None:
            # Removed below and made anew here: nothing may shine through.
            child.opaque = True
