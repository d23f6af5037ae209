"""Table of docs/workloads.md: what ran, what was checked, the memory it needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dockerd import Engine
from tests.workloads.workload import Seen

_BEGIN, _END = "<!-- workloads: made by `make workloads` -->", "<!-- workloads: end -->"
_HEAD = "| program | checked | Hyper: used of the machine's MiB | Docker: used MiB |\n|---|---|---|---|\n"


@dataclass
class Row:
    """Line of the table."""

    name: str
    says: str
    not_docker: str = ""
    hyper: Seen | None = None
    docker: Seen | None = None

    def text(self) -> str:
        """Row in Markdown."""
        hyper = (
            f"{self.hyper.used_mib:.0f} of {self.hyper.limit_mib:.0f}" if self.hyper else "failed"
        )
        docker = f"{self.docker.used_mib:.0f}" if self.docker else self.not_docker or "failed"
        return f"| {self.name} | {self.says} | {hyper} | {docker} |\n"


@dataclass
class Table:
    """Rows in the order in which workloads first ended."""

    rows: dict[str, Row] = field(default_factory=dict)

    def add(self, row: Row, engine: Engine, seen: Seen) -> None:
        """Workload of ``row`` has passed on ``engine``."""
        row = self.rows.setdefault(row.name, row)
        if engine.is_hyper:
            row.hyper = seen
        else:
            row.docker = seen

    def write(self, path: Path) -> None:
        """File at ``path`` has the table between its two marks."""
        before, _, rest = path.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        lines = "".join(row.text() for row in self.rows.values())
        path.write_text(f"{before}{_BEGIN}\n\n{_HEAD}{lines}\n{_END}{after}")
