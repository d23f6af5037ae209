"""Workers, the processes that touch bytes from outside: no privileges, one line to the daemon.

The daemon reads JSON lines from the descriptor named in the arguments:
``{"read": bytes}`` now and then, at the end one of ``{"facts": {…}}``, ``{"again": true}`` (names were taken twice:
start over, carefully) and ``{"error": text}``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BufferedWriter, FileIO
from typing import Any, BinaryIO

from hyper.errors import HyperError
from hyper.image import limits
from hyper.image.tarstream import REGULAR
from hyper.image.tree import Tree, walk
from hyper.system import privileges

_PROGRESS_BYTES = 2 << 20
_OUTPUT_BUFFER = 1 << 20


@dataclass(slots=True)
class Facts:
    """The facts about a layer once it was read to its end."""

    diff_id: str = ""
    tar_bytes: int = 0
    content_bytes: int = 0
    entries: int = 0
    #: Nothing of the layers below is visible.
    opaque: bool = False
    #: The layer changes nothing.
    empty: bool = False


class Again(Exception):
    """The request to start over: all that was written so far must be forgotten."""


class Report:
    """The report: the worker's line to the daemon."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._told = 0

    def progress(self, position: int) -> None:
        """Tell how much of the input is used up, now and then."""
        if position - self._told >= _PROGRESS_BYTES:
            self._told = position
            self.send({"read": position})

    def send(self, message: dict[str, Any]) -> None:
        """Write one line (short enough to be atomic)."""
        os.write(self._fd, json.dumps(message).encode() + b"\n")


def serve(work: Callable[[dict[str, Any], Report, BinaryIO], Any]) -> int:
    """The exit status of a worker that runs ``work`` on the options in its argument. ``work`` returns a dataclass."""
    options = json.loads(sys.argv[1])
    report = Report(options["report"])
    privileges.drop(memory_bytes=limits.CONVERTER_MEMORY_BYTES)
    try:
        with BufferedWriter(FileIO(1, "w", closefd=False), _OUTPUT_BUFFER) as output:
            facts = work(options, report, output)
    except Again:
        report.send({"again": True})
    except HyperError as error:
        report.send({"error": error.message[:2000]})
    except MemoryError:
        report.send({"error": "the layer needs too much memory to be looked at"})
    except BrokenPipeError:
        return 1  # tar2sqfs went away, and knows why
    else:
        report.send({"facts": asdict(facts)})
    return 0


def describe(tree: Tree, facts: Facts) -> Facts:
    """The facts ``facts`` with those that the finished tree tells."""
    root = tree.root
    facts.entries = tree.entries
    facts.opaque = root.opaque
    facts.empty = not root.children and not root.whiteouts and not root.opaque
    sizes = {node.source: node.entry.size for _, node in walk(root) if node.entry.kind == REGULAR}
    facts.content_bytes = sum(sizes.values())
    return facts
