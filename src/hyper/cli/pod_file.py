"""Reader of the file that a command is given, that makes plans of the pods it describes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from hyper.cli.flags import LocalError
from hyper.errors import InvalidRequest
from hyper.manifest.checks import MAX_FILE_BYTES
from hyper.manifest.document import MAX_BYTES
from hyper.manifest.draft import Sources
from hyper.manifest.plan import PodPlan
from hyper.manifest.read import addition, plans
from hyper.types.pod import PodVolume


def read_plans(name: str, *, only_kubernetes: bool = False) -> list[PodPlan]:
    """The pods that the file ``name`` (``-``: standard input) describes.

    Raises:
        LocalError: it cannot be read, or is malformed; the field is named.
    """
    with _named(name) as (data, sources):
        return plans(data, sources, only_kubernetes=only_kubernetes)


def read_addition(name: str, pod: dict[str, Any]) -> PodPlan:
    """The containers that the file ``name`` describes, for ``pod`` as the daemon shows it.

    Raises:
        LocalError: as ``read_plans``.
    """
    volumes = msgspec.convert(pod["Volumes"], list[PodVolume])
    with _named(name) as (data, sources):
        return addition(data, sources, volumes)


@contextmanager
def _named(name: str) -> Iterator[tuple[bytes, Sources]]:
    """The content of the file ``name``, and the sources it may refer to; errors in it are raised with its name."""
    data = _given(name)
    folder = Path.cwd() if name == "-" else Path(name).absolute().parent
    try:
        yield data, Beside(folder)
    except InvalidRequest as error:
        shown = "standard input" if name == "-" else name
        raise LocalError(f"{shown}: {error.message}", hint=error.hint) from error


def _given(name: str) -> bytes:
    """The content of the file ``name``; of one that is too large one byte more than the bound.

    Raises:
        LocalError: it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        return _read(Path(name), MAX_BYTES)
    except InvalidRequest as error:
        raise LocalError(error.message) from error


def read_plan(name: str) -> PodPlan:
    """The one pod that the file ``name`` describes.

    Raises:
        LocalError: as ``read_plans``, or there are several.
    """
    found = read_plans(name)
    if len(found) > 1:
        raise LocalError(
            f"{name}: it describes {len(found)} pods", hint="hyper play kube takes them all"
        )
    return found[0]


class Beside:
    """``Sources`` of a description: files on this machine, relative ones beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> str:
        """The absolute path of ``name``; a relative one starts at the folder."""
        return os.path.normpath(self._folder / name)

    def read(self, name: str) -> bytes:
        """The beginning of the file ``name``: one byte more than a container's file may have, if there is so much."""
        return _read(self._folder / name, MAX_FILE_BYTES)


def _read(path: Path, most: int) -> bytes:
    """The first ``most`` bytes of a file, and one more if there are more."""
    try:
        # A pipe or a terminal that somebody put there must not hold us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            # ``hyper pod run <(make-pod)`` gives us a pipe.
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise InvalidRequest(f"cannot read {path}: it is no file")
            os.set_blocking(descriptor, True)
            return file.read(most + 1)
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error
