"""Table of docs/workloads.md: what ran, what was checked, the memory it needed. Only runs write it.

Each end of a workload on an engine is written at once: a run that is interrupted, or of some workloads only, renews
what it ran and leaves the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.workloads.workload import Seen, Workload

_BEGIN, _END = "<!-- workloads: made by `make workloads` -->", "<!-- workloads: end -->"
_HEAD = "| program | checked | Hyper: used of the machine's MiB | Docker: used MiB |\n|---|---|---|---|\n"
_NOT_RUN = "not run"
_FAILED = "failed"


@dataclass
class _Cells:
    """What the last runs of a workload said, on either engine."""

    hyper: str = _NOT_RUN
    docker: str = _NOT_RUN


class Table:
    """Table of the ``workloads`` between the two marks of the file at ``path``, in their order; None: no file."""

    def __init__(self, path: Path | None, workloads: Iterable[Workload]) -> None:
        self._path = path
        self._workloads = tuple(workloads)

    def tell(self, workload: Workload, *, is_hyper: bool, seen: Seen | None) -> None:
        """File says what the run of ``workload`` on an engine showed; None: that it failed."""
        if self._path is None:
            return
        before, _, rest = self._path.read_text().partition(_BEGIN)
        old, _, after = rest.partition(_END)
        cells = _cells(old)
        own = cells.setdefault(workload.name, _Cells())
        if is_hyper:
            own.hyper = f"{seen.used_mib:.0f} of {seen.limit_mib:.0f}" if seen else _FAILED
        else:
            own.docker = f"{seen.used_mib:.0f}" if seen else _FAILED
        lines = "".join(_line(one, cells[one.name]) for one in self._workloads if one.name in cells)
        draft = self._path.with_name(f"{self._path.name}.draft")
        draft.write_text(f"{before}{_BEGIN}\n\n{_HEAD}{lines}\n{_END}{after}")
        draft.rename(self._path)


def _cells(text: str) -> dict[str, _Cells]:
    """Cells of the lines that :func:`_line` has written; what else is there names no workload."""
    found = {}
    for line in text.splitlines():
        if line.startswith("| "):
            name, *_, hyper, docker = line.strip("| ").split(" | ")
            found[name] = _Cells(hyper, docker)
    return found


def _line(workload: Workload, cells: _Cells) -> str:
    docker = workload.not_docker or cells.docker
    return f"| {workload.name} | {workload.says} | {cells.hyper} | {docker} |\n"
