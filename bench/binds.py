"""Many small files on a bind mount, a volume and in the container's own files: what `npm install` and its users do."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from bench.measure import Failed, Missing
from bench.row import Row
from bench.stage import Client, Stage

SOURCE = Path(__file__).with_name("timed.c")
_FILES = 3000
_BYTES = 2048
#: Of the tree that is unpacked: directories with a directory each, and files in both.
_PACKAGES = 300
_BOX = "bench-binds"
_VOLUME = "bench-binds"
#: Where a tree is unpacked, and what that is.
_PLACES = {"/bind": "a bind mount", "/dir": "a volume", "/own": "own files"}
#: What is done with a directory full of files that the host has made since the last time.
_FOUND = {
    "read, first time": "cat /bind/flat/*",
    "read, again": "cat /bind/flat/*",
    "look at each": "find /bind/flat -size +1000k",
}
#: What is done with a tree, in this order.
_UNPACKED = {
    "unpack": "tar xf /dev/shm/tree.tar -C {0}",
    "look at each": "find {0}/tree -size +1000k",
    "read": "find {0}/tree -type f -exec cat {{}} +",
    "remove": "rm -r {0}/tree",
}
_NOTES = {
    "read, first time": "`cat` of one directory's",
    "read, again": "the same at once again",
    "look at each": "`find -size`",
    "unpack": f"`tar x` of {_PACKAGES} directories with a directory each, without `sync`",
    "read": "`find -type f -exec cat {} +`",
    "remove": "`rm -r`",
}


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """3,000 small files: read, looked at, unpacked, removed; on a bind, a volume and in own files, beside docker's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        folder.chmod(0o755)
        program = folder / "timed"
        subprocess.run(["musl-gcc", "-static", "-O2", "-o", program, SOURCE], check=True)
        sides = [_Side.started(stack, stage.hyper, folder / "hyper", program)]
        try:
            sides.append(_Side.started(stack, stage.docker, folder / "docker", program))
        except Missing as error:
            print(f"bench: no peer: {error}")
        taken: list[dict[str, list[float]]] = [{} for _ in sides]
        for number in range(-1, runs):
            for side, values in zip(sides, taken, strict=True):
                for name, value in side.measure():
                    if number >= 0:
                        values.setdefault(name, []).append(value)
    ours, theirs = taken[0], taken[1] if len(taken) > 1 else {}
    for name, values in ours.items():
        yield Row(
            f"{_FILES:,} files of 2 KiB, {name}",
            "ms",
            values,
            peer=theirs.get(name, ()),
            accelerator=stage.accelerator,
            note=_NOTES[name.rpartition(": ")[2]] + "; in the container, its process included",
        )


@dataclass(frozen=True)
class _Side:
    """A container of an engine's with all places, and the host's end of its bind mount."""

    client: Client
    folder: Path

    @classmethod
    def started(cls, stack: ExitStack, client: Client, folder: Path, program: Path) -> _Side:
        """It runs until the end of ``stack``."""
        folder.mkdir()
        client.run("volume", "create", _VOLUME)
        stack.callback(client.attempt, "volume", "rm", "-f", _VOLUME)
        mounts = ("-v", f"{folder}:/bind", "-v", f"{_VOLUME}:/dir")
        words = ("run", "-d", "--name", _BOX, *mounts, client.image, "sleep", "36000")
        client.run(*words)
        stack.callback(client.attempt, "rm", "-f", _BOX)
        client.run("cp", str(program), f"{_BOX}:/timed")
        (folder / "tree.tar").write_bytes(_tree())
        client.run("exec", _BOX, "sh", "-c", "mkdir /own; mv /bind/tree.tar /dev/shm")
        return cls(client, folder)

    def measure(self) -> Iterator[tuple[str, float]]:
        """What is done, and the milliseconds that it took; nothing is left."""
        flat = self.folder / "flat"
        flat.mkdir()
        for number in range(_FILES):
            (flat / f"f{number:04}").write_bytes(_content(number))
        names = [f"{_PLACES['/bind']}, of the host's: {deed}" for deed in _FOUND]
        yield from self._timed(names, list(_FOUND.values()))
        shutil.rmtree(flat)
        for place, what in _PLACES.items():
            commands = [command.format(place) for command in _UNPACKED.values()]
            yield from self._timed([f"{what}: {deed}" for deed in _UNPACKED], commands)

    def _timed(self, names: Sequence[str], commands: Sequence[str]) -> Iterator[tuple[str, float]]:
        script = "; ".join(f"/timed {command}" for command in commands)
        out = self.client.run("exec", _BOX, "sh", "-c", script).split()
        if len(out) != len(names):
            raise Failed(f"{self.client.program}: one of these failed: {script}")
        yield from zip(names, (int(text) / 1e6 for text in out), strict=True)


def _content(number: int) -> bytes:
    return (f"file {number} ".encode() * (_BYTES // 6))[:_BYTES]


def _tree() -> bytes:
    """A tar of a tree as of node_modules."""
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for number in range(_PACKAGES):
            for name in (f"tree/package{number}", f"tree/package{number}/lib"):
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
        for number in range(_FILES):
            inner = "lib/" if number >= _FILES // 2 else ""
            file = tarfile.TarInfo(f"tree/package{number % _PACKAGES}/{inner}file{number}.js")
            file.size = _BYTES
            tar.addfile(file, BytesIO(_content(number)))
    return made.getvalue()
