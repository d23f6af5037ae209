"""``python -m hyper.image.convert``: the process that takes a layer from outside apart.

Standard input is the blob (a seekable file), standard output becomes the tar for tar2sqfs. Normally one pass is enough.
When a later entry takes the name of a file that was already written, the process asks to be started again ``careful``:
it then reads the input twice and leaves the losers out.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from io import FileIO
from typing import Any, BinaryIO

from hyper.image import limits
from hyper.image.ahead import read_ahead
from hyper.image.decompress import chunks
from hyper.image.emit import copy_wanted, settle, write_file, write_rest
from hyper.image.tarstream import ByteSource, TarReader
from hyper.image.tree import Tree
from hyper.image.worker import Again, Facts, Report, describe, serve


def convert(
    blob: BinaryIO,
    output: BinaryIO,
    report: Report,
    *,
    careful: bool = False,
    max_bytes: int = limits.MAX_LAYER_TAR_BYTES,
    max_entries: int = limits.MAX_LAYER_ENTRIES,
) -> Facts:
    """Write the layer in ``blob`` to ``output`` in the form that overlayfs understands, for tar2sqfs.

    Raises:
        BadLayer: the layer is broken or hostile.
        Again: it needs ``careful``.
    """
    facts, sha = Facts(), hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for chunk in chunks(blob, max_bytes=max_bytes):
            sha.update(chunk)
            facts.tar_bytes += len(chunk)
            report.progress(blob.tell())
            yield chunk

    tree = Tree(max_entries=max_entries)
    with read_ahead(pieces()) as ahead:
        source = ByteSource(ahead)
        _scan(TarReader(source), tree, None if careful else output)
        source.drain()
    if careful:
        with read_ahead(chunks(blob, max_bytes=max_bytes)) as ahead:
            copy_wanted(TarReader(ByteSource(ahead)), settle(tree.root), output)
    write_rest(tree.root, output)
    facts.diff_id = "sha256:" + sha.hexdigest()
    return describe(tree, facts)


def _scan(reader: TarReader, tree: Tree, output: BinaryIO | None) -> None:
    """Replay the layer's tar into ``tree``; with ``output``, write the files on the way."""
    for number, entry in enumerate(reader):
        path = tree.add(entry, number)
        if output is not None:
            if tree.replaced:
                raise Again
            if path is not None:
                write_file(entry, reader, output)


def _work(options: dict[str, Any], report: Report, output: BinaryIO) -> Facts:
    with FileIO(0, "r", closefd=False) as blob:
        return convert(
            blob,
            output,
            report,
            careful=options["careful"],
            max_bytes=options["max_bytes"],
            max_entries=options["max_entries"],
        )


if __name__ == "__main__":
    sys.exit(serve(_work))
