"""What a test run may leave behind on the host, as a value: take one before, one after, and compare.

    before = snapshot(folders=[tmp])
    ...
    assert before.differences(snapshot(folders=[tmp])) == []

Only what appeared counts; what others removed meanwhile does not. Of processes only those count that we started (our
descendants, and programs of ours that were made to outlive us), of everything else only the kinds Hyper makes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

#: Programs that may outlive the test that started them: what is left of these is always reported.
_OURS = ("qemu-system-", "bwrap", "tar2sqfs", "skopeo", "hyperd", "virtiofsd")
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The host at one moment, each kind a set of lines that name one thing."""

    processes: frozenset[str]
    mounts: frozenset[str]
    links: frozenset[str]
    tables: frozenset[str]
    cgroups: frozenset[str]
    listeners: frozenset[str]
    sockets: frozenset[str]
    files: frozenset[str]

    def differences(self, after: Snapshot) -> list[str]:
        """``kind: name`` of everything that ``after`` has and this has not, sorted."""
        return sorted(
            f"{item.name}: {name}"
            for item in fields(self)
            for name in getattr(after, item.name) - getattr(self, item.name)
        )


def snapshot(*, folders: Iterable[Path] = ()) -> Snapshot:
    """The host now. ``folders``: whose files and unix sockets count (there may be none of them)."""
    folders = [folder.resolve() for folder in folders]
    return Snapshot(
        processes=frozenset(_processes()),
        mounts=frozenset(_mounts()),
        links=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        tables=frozenset(_tables()),
        cgroups=frozenset(map(str, control_groups())),
        listeners=frozenset(_listeners()),
        sockets=frozenset(_sockets(folders)),
        files=frozenset(str(path) for folder in folders for path in folder.rglob("*")),
    )


def _processes() -> Iterable[str]:
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text(errors="replace")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # ended meanwhile
            pid = int(entry.name)
            state, parent = stat.rpartition(")")[2].split()[:2]
            parents[pid] = int(parent)
            name = command.replace(b"\0", b" ").decode(errors="replace").strip()
            names[pid] = name or f"({state})"
    for pid, name in names.items():
        program = Path(name.split(" ")[0]).name
        if _descends(pid, os.getpid(), parents) or _is_ours(program, name):
            yield f"{pid} {name}"


def _is_ours(program: str, command: str) -> bool:
    """Hypervisors count when they have the agent's port: others may be somebody else's."""
    return program.startswith(_OURS) and ("qemu" not in program or "name=hyper.agent" in command)


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and parents[pid] != 0:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False


def _mounts() -> Iterable[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        yield f"{before.split(' ')[4]} ({after.split(' ')[0]})"


def _tables() -> Iterable[str]:
    if os.geteuid() != 0 or shutil.which("nft") is None:
        return
    listing = subprocess.run(["nft", "-j", "list", "tables"], capture_output=True, check=True)
    for item in json.loads(listing.stdout)["nftables"]:
        if "table" in item:
            yield f"{item['table']['family']} {item['table']['name']}"


def control_groups() -> Iterable[Path]:
    """Those of machines. (Not their common parent "hyper", which may stay for others.)"""
    # os.walk, not glob: groups of others vanish while we look.
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        if Path(folder).name == "hyper":
            yield from (Path(folder, name) for name in names)


def _listeners() -> Iterable[str]:
    """Listening TCP sockets of our own descendants' and Hyper's programs' user ids: port and owner."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTENING:
                port = int(columns[1].rpartition(":")[2], 16)
                yield f"{table} port {port} uid {columns[7]}"


def _sockets(folders: list[Path]) -> Iterable[str]:
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split(maxsplit=7)
        if len(columns) == 8:
            path = Path(columns[7])
            if any(path.is_relative_to(folder) for folder in folders):
                yield str(path)
