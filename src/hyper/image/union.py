"""``python -m hyper.image.union``: the process that stacks layers of the store into one tar.

The layers come as descriptors of squashfs files, lowest first. They are read twice (sqfs2tar): once to know what the
union has, once to copy the contents that are in it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from hyper.image.emit import copy_wanted, settle, write_rest
from hyper.image.tarstream import ByteSource, TarReader
from hyper.image.tree import Node, Tree, spent, stack_on
from hyper.image.worker import Facts, Report, describe, serve
from hyper.system.process import PIPE, spawn

_CHUNK = 1 << 20


async def unite(
    layers: list[int], output: BinaryIO, *, trim: Callable[[Node], None] = lambda _: None
) -> Facts:
    """Write the union of ``layers`` (descriptors) to ``output``, with what ``trim`` leaves of it.

    Raises:
        HyperError: a layer cannot be read back.
    """
    union = Tree()
    base: Node | None = None
    first = 0
    for layer in layers:
        tree = Tree()
        first = await _with_tar(layer, lambda reader, n=first, t=tree: _scan(reader, t, n))  # type: ignore[misc]
        base = spent(tree.root) if base is None else stack_on(base, tree.root)
    assert base is not None
    trim(base)
    union.root = base
    wanted, first = settle(base), 0
    for layer in layers:
        first = await _with_tar(
            layer,
            lambda reader, n=first: copy_wanted(reader, wanted, output, first=n),  # type: ignore[misc]
        )
    await asyncio.to_thread(write_rest, base, output)
    return describe(union, Facts())


def _scan(reader: TarReader, tree: Tree, first: int) -> int:
    """The next number, with the layer replayed into ``tree``, its entries numbered from ``first``."""
    number = first
    for entry in reader:
        tree.add(entry, number, overlay=True)
        number += 1
    return number


async def _with_tar(layer: int, use: Callable[[TarReader], int]) -> int:
    """The result of ``use`` with a layer's tar."""
    argv = ["sqfs2tar", "--no-skip", "--root-becomes", ".", f"/proc/self/fd/{layer}"]
    async with spawn(argv, stdout=PIPE, pass_fds=(layer,)) as child:
        fd = child.take_stdout()
        try:
            result = await asyncio.to_thread(_consume, fd, use)
        finally:
            os.close(fd)
        await child.check()
    return result


def _consume(fd: int, use: Callable[[TarReader], int]) -> int:
    source = ByteSource(_pieces(fd))
    result = use(TarReader(source))
    source.drain()
    return result


def _pieces(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _CHUNK):
        yield piece


def _work(options: dict[str, Any], report: Report, output: BinaryIO) -> Facts:
    return asyncio.run(unite(options["layers"], output))


if __name__ == "__main__":
    sys.exit(serve(_work))
