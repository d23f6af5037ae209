"""What processes have in memory, by /proc."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from bench.measure import Failed

#: Parents that are there for one container only, and count to it.
_HOLDERS = ("bwrap", "containerd-shim")


def family(pid: int) -> list[int]:
    """The processes of a container one of which is ``pid``: what holds it, and all below that."""
    parents, names = _table()
    while names.get(parents.get(pid, 0), "").startswith(_HOLDERS):
        pid = parents[pid]
    children = defaultdict(list)
    for child, parent in parents.items():
        children[parent].append(child)
    found = [pid]
    for one in found:
        found += children[one]
    return found


def _table() -> tuple[dict[int, int], dict[int, str]]:
    """Parent and name of every process."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                head, _, tail = (entry / "stat").read_text(errors="replace").rpartition(")")
            except OSError:
                continue  # ended meanwhile
            names[int(entry.name)] = head.partition("(")[2]
            parents[int(entry.name)] = int(tail.split()[1])
    return parents, names


def name_of(pid: int) -> str:
    """The name of a process. Source: proc(5), comm."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def rollup_mib(pid: int, key: str) -> float:
    """A value of smaps_rollup: "Pss", "Rss"… Raises: Failed."""
    try:
        return kib(Path(f"/proc/{pid}/smaps_rollup").read_text(), key) / 1024
    except OSError as error:
        raise Failed(f"process {pid}: {error}") from None


def resident_mib(pid: int) -> float:
    """What a process has in memory."""
    return kib(Path(f"/proc/{pid}/status").read_text(), "VmRSS") / 1024


def available_mib() -> float:
    """What the host could still give."""
    return kib(Path("/proc/meminfo").read_text(), "MemAvailable") / 1024


def busy_ms() -> float:
    """CPU time that all cores together have spent on work since the machine's start. Source: proc(5)."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) * 10.0


def kib(text: str, key: str) -> int:
    """A value of a file in /proc that has ``key: n kB``. Raises: Failed."""
    found = re.search(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise Failed(f"no {key} in {text[:100]!r}")
    return int(found[1])
