"""Table of docs/workloads.md, which runs of workloads write."""

from __future__ import annotations

from pathlib import Path

from tests.workloads.table import Table
from tests.workloads.workload import Part, Seen, Workload

_MARKS = "<!-- workloads: made by `make workloads` -->\n<!-- workloads: end -->"


def _workload(name: str, not_docker: str = "") -> Workload:
    part = Part("app", "data")
    return Workload(
        name=name, says=f"{name} runs", parts=(part,), check="", result="", not_docker=not_docker
    )


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("| ")][1:]


def test_each_run_renews_what_it_ran(tmp_path: Path) -> None:
    """A row is written as soon as it is known, in the workloads' order, and keeps what another run found."""
    path = tmp_path / "workloads.md"
    path.write_text(f"before\n{_MARKS}\nafter\n")
    one, two, host = _workload("one"), _workload("two"), _workload("host", "it needs a host")
    first = Table(path, (one, two, host))
    first.tell(host, is_hyper=True, seen=Seen(3.4, 256))
    first.tell(two, is_hyper=False, seen=Seen(7.6, 24000))
    second = Table(path, (one, two, host))
    second.tell(one, is_hyper=True, seen=None)
    second.tell(two, is_hyper=True, seen=Seen(20, 512))
    assert _lines(path) == [
        "| one | one runs | failed | not run |",
        "| two | two runs | 20 of 512 | 8 |",
        "| host | host runs | 3 of 256 | it needs a host |",
    ]
    assert path.read_text().startswith("before\n<!-- ")
    assert path.read_text().endswith("end -->\nafter\n")


def test_a_workload_that_is_gone_leaves_the_table(tmp_path: Path) -> None:
    """A row without a workload does not stay."""
    path = tmp_path / "workloads.md"
    path.write_text(_MARKS)
    gone, kept = _workload("gone"), _workload("kept")
    Table(path, (gone, kept)).tell(gone, is_hyper=True, seen=Seen(1, 2))
    Table(path, (kept,)).tell(kept, is_hyper=True, seen=Seen(1, 2))
    assert _lines(path) == ["| kept | kept runs | 1 of 2 | not run |"]


def test_no_file_was_asked_for() -> None:
    """Nothing is written then."""
    Table(None, ()).tell(_workload("one"), is_hyper=True, seen=None)
