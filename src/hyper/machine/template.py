"""Templates on disk: the memory and the device state of a machine that had booted and stood still.

A folder each, named by the key of all that matters for machines made from it. In use both are in memory, in files that
no process can change any more, so that what happens to the folder meanwhile is no machine's concern. What is on disk is
checked against the sums kept with it before it is used; what fails is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from hyper.system import files, memfd
from hyper.units import MIB

logger = logging.getLogger(__name__)

_VERSION: Final = 1
_ABOUT: Final = "template.json"
_PARTS: Final = ("memory", "state")
_CHUNK: Final = MIB
_PAGE: Final = 4096
_ZERO: Final = bytes(_PAGE)
#: A device state takes some 50 KiB; a file that claims more than this is none.
_MAX_STATE: Final = 16 * MIB
#: How many are kept; the least recently used ones go.
MAX_TEMPLATES: Final = 8


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the machine that is empty when it starts and takes a disk of this name and access later."""

    name: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """The guest's memory as an open file of exactly its size: the caller's descriptor, needed until the launch.

    ``state_fd`` None: the machine boots in it, what it writes is in the file. Otherwise the machine goes on from the
    device state read there; it sees what is in the file and what it writes is its own (copy on write).
    """

    fd: int
    state_fd: int | None = None


class Card(StrEnum):
    """The kind of a machine's card: how the machine is connected."""

    NONE = "none"
    TAP = "tap"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a machine, which cannot change once it exists: one template serves all machines of one shape."""

    vcpus: int
    memory_mib: int
    card: Card

    def __str__(self) -> str:
        return f"{self.vcpus} CPU, {self.memory_mib} MiB, card: {self.card}"


@dataclass(frozen=True, slots=True)
class TemplateTerms:
    """The terms of a hypervisor for templates and for machines that wait, in MiB."""

    #: Larger machines are not made from templates.
    max_memory_mib: int
    #: What a machine that waits takes, about: a copy of a template; one that booted.
    copy_mib: int
    booted_mib: int

    def copied(self, shape: Shape) -> bool:
        """Whether machines of the shape are made from a template."""
        return shape.memory_mib <= self.max_memory_mib

    def cost_mib(self, shape: Shape) -> int:
        """The memory that a machine of the shape takes while it waits."""
        return self.copy_mib if self.copied(shape) else self.booted_mib


@dataclass(frozen=True, slots=True)
class About:
    """The facts about a template on disk. Times in ns since the epoch. On disk: also SHA-256 ``sums`` of its parts."""

    key: str
    shape: Shape
    created_ns: int
    used_ns: int
    disk_bytes: int


class Template:
    """A template in memory. Close it; machines made from it do not mind."""

    def __init__(self, key: str, shape: Shape, memory_fd: int, state_fd: int) -> None:
        """A template of the files of both descriptors, which it owns; no process may write to them any more.

        Raises:
            OSError: a process can still write to one.
        """
        memfd.seal(memory_fd)
        memfd.seal(state_fd)
        self.key = key
        self.shape = shape
        self._memory_fd, self._state_fd = memory_fd, state_fd

    @contextlib.contextmanager
    def memory(self) -> Iterator[Memory]:
        """The memory that one machine is launched with. Raises: OSError (no descriptors left)."""
        state_fd = memfd.reopen(self._state_fd)
        try:
            yield Memory(self._memory_fd, state_fd)
        finally:
            os.close(state_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The template's descriptors are closed."""
        os.close(self._memory_fd)
        os.close(self._state_fd)

    def _sources(self) -> tuple[int, int]:
        return self._memory_fd, self._state_fd


class TemplateStore:
    """The templates under ``folder``, made when the first is kept. Its methods do file I/O: call them in threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[About]:
        """The templates kept, the most recently used first, without those that are not readable."""
        found = [self._about(folder) for folder in self._folders()]
        return sorted((item for item in found if item), key=lambda item: -item.used_ns)

    def keep(self, template: Template) -> None:
        """The template is on disk, whole; the least recently used ones beyond MAX_TEMPLATES are not any more.

        Raises:
            OSError: no room, or none for us. Nothing is left of the template.
        """
        files.make_private_dir(self._folder)
        draft = self._folder / f".{template.key}.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(mode=0o700)
            sums = [
                _copy_out(source, draft / name)
                for source, name in zip(template._sources(), _PARTS, strict=True)
            ]
            self._describe(draft, template, sums)
            self.remove(template.key)
            draft.rename(self._folder / template.key)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        for item in self.all()[MAX_TEMPLATES:]:
            self.remove(item.key)

    def _describe(self, folder: Path, template: Template, sums: list[str]) -> None:
        about = {
            "version": _VERSION,
            "key": template.key,
            "shape": asdict(template.shape),
            "created_ns": time.time_ns(),
            "sums": sums,
        }
        files.write_atomically(folder / _ABOUT, json.dumps(about, indent=1).encode())

    def load(self, key: str) -> Template | None:
        """The template ``key``, in memory; None if there is none, or if it was damaged: then it is removed."""
        folder = self._folder / key
        fds: list[int] = []
        try:
            about = json.loads((folder / _ABOUT).read_bytes())
            if about["version"] != _VERSION or about["key"] != key:
                raise ValueError("of another version")
            shape = _shape(about["shape"])
            sizes = (shape.memory_mib * MIB, _MAX_STATE)
            for name, size, wanted in zip(_PARTS, sizes, about["sums"], strict=True):
                fds.append(_copy_in(folder / name, size, wanted))
            os.utime(folder / _ABOUT)
            return Template(key, shape, *fds)
        except FileNotFoundError:
            found = folder.exists()
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("template %s is damaged and is removed: %s", key, error)
            found = True
        for fd in fds:
            os.close(fd)
        if found:
            self.remove(key)
        return None

    def remove(self, key: str) -> bool:
        """The template ``key`` does not exist; whether it did."""
        folder = self._folder / key
        if not folder.is_dir():
            return False
        # By another name first: nobody loads what is half gone.
        grave = self._folder / f".{key}.gone"
        shutil.rmtree(grave, ignore_errors=True)
        folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)
        return True

    def sweep(self, current: str) -> None:
        """The templates left half done by a killed daemon are gone, and those that are not made for ``current``.

        ``current``: the beginning of the keys of all templates of use.
        """
        if not self._folder.is_dir():
            return
        for entry in self._folder.iterdir():
            if not entry.name.startswith(current):
                logger.info("template %s is of no use any more", entry.name)
                shutil.rmtree(entry, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        if self._folder.is_dir():
            yield from (path for path in self._folder.iterdir() if path.name[0] != ".")

    def _about(self, folder: Path) -> About | None:
        try:
            about = json.loads((folder / _ABOUT).read_bytes())
            return About(
                key=folder.name,
                shape=_shape(about["shape"]),
                created_ns=int(about["created_ns"]),
                used_ns=(folder / _ABOUT).stat().st_mtime_ns,
                disk_bytes=sum(files.allocated_bytes(folder / name) for name in _PARTS),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _shape(kept: dict[str, object]) -> Shape:
    return Shape(int(str(kept["vcpus"])), int(str(kept["memory_mib"])), Card(str(kept["card"])))


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The pieces of the file that hold data, as (start, length), of at most a chunk each, in order."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:  # only a hole is left
            return
        end = min(os.lseek(fd, start, os.SEEK_HOLE), start + _CHUNK, size)
        yield start, end - start


def _copy_out(source: int, target: Path) -> str:
    """The sum of the pages of ``source`` that are not zero; ``target`` is a copy of it."""
    size = os.fstat(source).st_size
    with target.open("xb") as file:
        file.truncate(size)
        return _copy(source, file.fileno(), size)


def _copy_in(source: Path, max_size: int, wanted: str) -> int:
    """A descriptor of a copy of ``source`` in memory. Raises: ValueError: the sum is not ``wanted``. OSError."""
    with source.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_size:
            raise ValueError(f"{source.name} has {size} bytes")
        fd = memfd.create(source.name, size)
        try:
            if _copy(file.fileno(), fd, size) != wanted:
                raise ValueError(f"{source.name} has another checksum")
        except BaseException:
            os.close(fd)
            raise
        return fd


def _copy(reader: int, writer: int, size: int) -> str:
    """The sum of the pages that are not zero, which were copied. Holes may lie differently, the sum is the same."""
    digest = hashlib.sha256(str(size).encode())
    for start, length in _extents(reader, size):
        data = os.pread(reader, length, start)
        for offset in range(0, len(data), _PAGE):
            page = data[offset : offset + _PAGE]
            if page != _ZERO[: len(page)]:
                digest.update((start + offset).to_bytes(8, "little"))
                digest.update(page)
                os.pwrite(writer, page, start + offset)
    return digest.hexdigest()
