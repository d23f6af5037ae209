"""``python -m hyper.image.aci.render``: the process that stacks an image on its dependencies and leaves things out.

Layers come as descriptors of squashfs files, lowest first; standard output becomes the tar of their union, with only
what the whitelist names.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from io import FileIO
from typing import Any, BinaryIO

import msgspec

from hyper.image.aci.whitelist import keep_only, owner
from hyper.image.tree import Node
from hyper.image.union import unite
from hyper.image.worker import Report, serve


@dataclass(slots=True)
class Rendered:
    """The owners: user and group of each file that was asked for."""

    owners: list[tuple[int, int]] = field(default_factory=list)


def _work(options: dict[str, Any], report: Report, output: BinaryIO) -> Rendered:
    with FileIO(options["paths"], "r", closefd=False) as file:
        paths = msgspec.json.decode(file.read(), type=list[str])
    found = Rendered()

    def trim(root: Node) -> None:
        if paths:
            keep_only(root, paths)
        found.owners = [owner(root, path) for path in options["owners"]]

    asyncio.run(unite(options["layers"], output, trim=trim))
    return found


if __name__ == "__main__":
    sys.exit(serve(_work))
