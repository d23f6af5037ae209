"""Control groups of either version: one group per machine under ``hyper/``, wherever its controllers are.

Source: cgroups(7), kernel Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import signal
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from hyper.system.pidfd import Pidfd

log = logging.getLogger(__name__)

_PARENT = "hyper"
_PERIOD_US = 100_000
#: Below one millisecond a period the kernel refuses a quota.
_MINIMUM_QUOTA_US = 1000
#: How often in a row others may take our groups' parent along while we make a group in it.
_ATTEMPTS = 100
_WANTED = ("cpu", "pids", "memory")


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """The limits of a control group. ``cpus`` in CPUs (infinite: no limit from now on), ``pids`` counts threads.

    None: unlimited, or left as it is.
    ``cpu_shares``: the weight against others where CPUs are short, 2 to 262144; others have 1024.
    """

    cpus: float | None = None
    memory_bytes: int | None = None
    pids: int | None = None
    cpu_shares: int | None = None

    def files(self, version: int) -> dict[str, dict[str, str]]:
        """The limits as {controller: {file: content}} in ``version`` (1 or 2) of the interface."""
        wanted: dict[str, dict[str, str]] = {}
        cpu = self._cpu_files(version)
        if cpu:
            wanted["cpu"] = cpu
        if self.memory_bytes is not None:
            name = "memory.limit_in_bytes" if version == 1 else "memory.max"
            wanted["memory"] = {name: str(self.memory_bytes)}
        if self.pids is not None:
            wanted["pids"] = {"pids.max": str(self.pids)}
        return wanted

    def _cpu_files(self, version: int) -> dict[str, str]:
        files: dict[str, str] = {}
        if self.cpus is not None:
            endless = math.isinf(self.cpus)
            quota = 0 if endless else max(_MINIMUM_QUOTA_US, round(self.cpus * _PERIOD_US))
            if version == 1:
                files["cpu.cfs_period_us"] = str(_PERIOD_US)
                files["cpu.cfs_quota_us"] = "-1" if endless else str(quota)
            else:
                files["cpu.max"] = f"{'max' if endless else quota} {_PERIOD_US}"
        if self.cpu_shares is not None:
            # 2 to 262144 become 1 to 10000, as runc does it.
            weight = 1 + (self.cpu_shares - 2) * 9999 // 262142
            files |= (
                {"cpu.shares": str(self.cpu_shares)}
                if version == 1
                else {"cpu.weight": str(weight)}
            )
        return files


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mount point where groups can be made, and which controllers it has."""

    version: int
    folder: Path
    controllers: frozenset[str]


class Groups:
    """The control groups that this process may make. ``reasons``: what it cannot limit, in words, and why."""

    def __init__(self, hierarchies: Iterable[Hierarchy], reasons: Iterable[str] = ()) -> None:
        self._hierarchies = tuple(hierarchies)
        self.reasons = tuple(reasons)

    @property
    def controllers(self) -> frozenset[str]:
        """The controllers there are here, of cpu, pids, memory."""
        return frozenset().union(*(item.controllers for item in self._hierarchies))

    def create(self, name: str, limits: GroupLimits) -> Group:
        """The group ``hyper/NAME`` with ``limits`` as far as there are controllers; an existing one is taken over.

        Raises:
            OSError: the kernel refused a value; nothing is left behind.
        """
        group = self.find(name)
        try:
            for hierarchy, folder in group.places:
                _make(hierarchy, folder)
            group.limit(limits)
        except OSError:
            group.remove()
            raise
        return group

    def find(self, name: str) -> Group:
        """The group ``hyper/NAME``, existing or not."""
        return Group(tuple((item, item.folder / _PARENT / name) for item in self._hierarchies))


@dataclass(frozen=True, slots=True)
class Group:
    """A control group, in one or several hierarchies (version 1 has one a controller)."""

    places: tuple[tuple[Hierarchy, Path], ...]

    def add(self, pid: int) -> None:
        """Move a process (with all its threads) into the group.

        Raises:
            OSError: the process is gone, or the kernel refused.
        """
        for _, folder in self.places:
            (folder / "cgroup.procs").write_text(str(pid))

    def limit(self, limits: GroupLimits) -> None:
        """The group is held to ``limits`` as far as there are controllers.

        Raises:
            OSError: the group is gone, or the kernel refused a value.
        """
        for hierarchy, folder in self.places:
            for controller, files in limits.files(hierarchy.version).items():
                if controller in hierarchy.controllers:
                    _write_all(folder, files)

    async def end(self) -> None:
        """The group is empty: its processes got SIGKILL. No process may be put into it meanwhile."""
        while members := self._members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    held = Pidfd.open(pid)
                    held.send(signal.SIGKILL)
                    await held.wait()
                    held.close()

    def _members(self) -> set[int]:
        found: set[int] = set()
        for _, folder in self.places:
            with contextlib.suppress(FileNotFoundError):
                found |= {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
        return found

    def remove(self) -> None:
        """The group is gone if all its processes have ended: one in use stays, with a warning."""
        for _, folder in self.places:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("control group %s stays: %s", folder, error.strerror)
            with contextlib.suppress(OSError):  # others still use it
                folder.parent.rmdir()


def _make(hierarchy: Hierarchy, folder: Path) -> None:
    """The group ``folder`` and its parent exist, although another daemon removes that with its last group.

    Raises:
        OSError: the kernel refused.
    """
    for attempt in range(_ATTEMPTS):
        try:
            _make_parent(hierarchy.version, folder.parent, hierarchy.controllers)
            folder.mkdir(exist_ok=True)
            return
        except OSError as error:  # taken again meanwhile
            if error.errno not in (errno.ENOENT, errno.ENODEV) or attempt == _ATTEMPTS - 1:
                raise


def _make_parent(version: int, folder: Path, controllers: Set[str]) -> None:
    """The parent group ``folder`` exists, and groups in it can have ``controllers``. Raises: OSError."""
    folder.mkdir(exist_ok=True)
    if version == 2:
        _enable(folder, controllers)


def _write_all(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).write_text(content)


def discover(*, mountinfo: str | None = None) -> Groups:
    """The control groups that this process can make now. Never fails: what is missing has a reason."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    hierarchies: list[Hierarchy] = []
    reasons: list[str] = []
    for version, folder, options in _mounts(text):
        found = _usable(version, folder, options, reasons)
        if found is not None:
            hierarchies.append(found)
    have = frozenset().union(*(item.controllers for item in hierarchies))
    reasons += [f"no cgroup controller: {name}" for name in _WANTED if name not in have]
    return Groups(hierarchies, reasons)


def _mounts(mountinfo: str) -> list[tuple[int, Path, set[str]]]:
    """The (version, mount point, super options) of every cgroup mount in a /proc/PID/mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            version = 1 if kind == "cgroup" else 2
            found.append((version, Path(before.split(" ")[4]), set(options.split(","))))
    return found


def _usable(version: int, folder: Path, options: set[str], reasons: list[str]) -> Hierarchy | None:
    try:
        controllers = options & set(_WANTED) if version == 1 else _delegate(folder)
        if not controllers:
            return None
        _make_parent(version, folder / _PARENT, controllers)
        if not os.access(folder / _PARENT, os.W_OK):  # made by root's daemon, and we are not root
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reasons.append(f"no groups in {folder}: {error.strerror}")
        return None
    return Hierarchy(version, folder, frozenset(controllers))


def _delegate(folder: Path) -> set[str]:
    """The controllers that children of ``folder`` can have (version 2), switched on."""
    available = set((folder / "cgroup.controllers").read_text().split()) & set(_WANTED)
    _enable(folder, available)
    return available


def _enable(folder: Path, controllers: Set[str]) -> None:
    control = folder / "cgroup.subtree_control"
    missing = controllers - set(control.read_text().split())
    if missing:
        control.write_text(" ".join(f"+{name}" for name in sorted(missing)))
