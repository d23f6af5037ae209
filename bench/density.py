"""Many idle sandboxes at once: how fast the next one starts, and what each costs the host's memory."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.measure import REST_S, Missing, wall_ms
from bench.processes import available_mib, busy_ms, family, name_of, rollup_mib
from bench.row import Goal, Row
from bench.stage import Client, Stage

#: Of Docker's containers: it is known how they grow.
_DOCKER_MOST = 50
#: A host with less than this left gets no more of them.
_SPARE_MIB = 2048
#: How long all are left alone before the first ones, the last ones and the reading of memory: longer than starts in a
#: row count as demand for waiting machines.
_SETTLE_S = 15.0
#: How long the host's processor time is watched while all are idle.
_WATCH_S = 10.0
_ENDS = 10
#: A program about as large as the client.
_CONTROL = "import json, asyncio, http.client"
_NAME = "bench-density"


@dataclass
class _Crowd:
    """What was seen of containers that were started one after the other and live at once."""

    latencies_ms: list[float] = field(default_factory=list)
    #: Of a process that has nothing to do with containers, before each of the first and the last ones.
    control_ms: list[float] = field(default_factory=list)
    #: Of each container, all of its processes together; and of all processes of a name.
    pss_mib: list[float] = field(default_factory=list)
    by_name_mib: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    used_mib: float = 0.0
    #: What the whole host spends in a second.
    busy_ms: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.latencies_ms)

    @property
    def pss_each_mib(self) -> float:
        """The sum by their number."""
        return sum(self.pss_mib) / self.count

    @property
    def used_each_mib(self) -> float:
        """A share of what the host gave."""
        return self.used_mib / self.count

    @property
    def busy_each_ms(self) -> float:
        """A share of the processor time."""
        return self.busy_ms / self.count

    @property
    def said(self) -> str:
        """More about the PSS."""
        parts = [f"{name} {mib / self.count:.1f}" for name, mib in self.by_name_mib.items()]
        return f"{', '.join(parts)}; from {min(self.pss_mib):.1f} to {max(self.pss_mib):.1f} MiB"

    @property
    def controls(self) -> tuple[list[float], list[float]]:
        """The same process beside the first ones and the last ones."""
        return self.control_ms[:_ENDS], self.control_ms[-_ENDS:]

    @property
    def ends(self) -> tuple[list[float], list[float]]:
        """Latencies of the first ones and the last ones."""
        size = min(_ENDS, self.count // 2) or 1
        return self.latencies_ms[:size], self.latencies_ms[-size:]


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """Once, whatever ``runs``: each figure is of as many sandboxes as `--sandboxes` says."""
    wanted, on = stage.sizes.sandboxes, stage.accelerator
    with stage.warm_hyperd() as (_, client):
        ours = _crowd(client, wanted, "{{.Hyper.Pid}}")
    theirs = _docker(stage, min(wanted, _DOCKER_MOST))
    command = f"{ours.count} times `hyper run -d busybox sleep 86400`"
    if theirs:
        command += f", {theirs.count} times the same with docker"
    yield Row(
        "Idle busybox sandboxes alive at once",
        "sandboxes",
        [ours.count],
        Goal(wanted, least=True),
        accelerator=on,
        command=command,
        note=f"no more are started when the host has less than {_SPARE_MIB} MiB left",
    )
    first, last = ours.ends
    yield Row(
        f"`run -d`, the last {len(last)} of {ours.count} beside the first {len(first)}",
        "ms",
        last,
        Goal(1.3, ratio=True),
        first,
        accelerator=on,
        peer_name=f"the first {len(first)}",
        command=command,
        note=f"one after the other, whole process of the client; {_SETTLE_S:g} s before the first of either ten, "
        f"{REST_S:g} s before each of them",
    )
    before, after = ours.controls
    yield Row(
        f"the same of `python -c '{_CONTROL}'`",
        "ms",
        after,
        peer=before,
        part=True,
        peer_name=f"the first {len(before)}",
        note="what part the host has in it: this process knows nothing of Hyper",
    )
    yield Row(
        f"PSS of an idle sandbox, {ours.count} alive",
        "MiB",
        [ours.pss_each_mib],
        Goal(25),
        [theirs.pss_each_mib] if theirs else [],
        accelerator=on,
        note=f"smaps_rollup of all its processes together, shared pages by share; for each of {ours.count}: {ours.said}"
        + (f". Docker, for each of {theirs.count}: {theirs.said}" if theirs else ""),
    )
    yield Row(
        f"The host's memory for an idle sandbox, {ours.count} alive",
        "MiB",
        [ours.used_each_mib],
        peer=[theirs.used_each_mib] if theirs else [],
        accelerator=on,
        note="MemAvailable before the first less after the last, a share each (templates were there before); in all "
        f"{ours.used_mib:.0f} MiB" + (f", docker's {theirs.used_mib:.0f} MiB" if theirs else ""),
    )
    yield Row(
        f"Processor time for an idle sandbox, {ours.count} alive",
        "ms/s",
        [ours.busy_each_ms],
        peer=[theirs.busy_each_ms] if theirs else [],
        accelerator=on,
        note=f"all that the host does within {_WATCH_S:g} s, a share each: its daemons and all else count, too",
    )


def _control_ms() -> float:
    """How long a process takes that the crowd has no part in, but for the memory that it has taken."""
    return wall_ms([sys.executable, "-c", _CONTROL], {})


def _docker(stage: Stage, count: int) -> _Crowd | None:
    try:
        with stage.fresh_docker() as client:
            client.run("run", "--rm", client.image, "true")
            return _crowd(client, count, "{{.State.Pid}}")
    except Missing:
        return None


def _crowd(client: Client, count: int, pid_of: str) -> _Crowd:
    """``count`` idle containers, measured and gone. ``pid_of``: a template for `inspect` that says a process."""
    crowd = _Crowd()
    names: list[str] = []
    time.sleep(_SETTLE_S)
    before = available_mib()
    try:
        for number in range(count):
            if available_mib() < _SPARE_MIB:
                break
            if number == count - _ENDS:
                time.sleep(_SETTLE_S)
            names.append(f"{_NAME}{number}")
            if not _ENDS <= number < count - _ENDS:
                crowd.control_ms.append(_control_ms())
                time.sleep(REST_S)
            words = ("--name", names[-1], client.image, "sleep", "86400")
            crowd.latencies_ms.append(client.time_ms("run", "-d", *words))
        time.sleep(_SETTLE_S)
        crowd.used_mib = before - available_mib()
        busy = busy_ms()
        time.sleep(_WATCH_S)
        crowd.busy_ms = (busy_ms() - busy) / _WATCH_S
        for pid in client.run("inspect", "-f", pid_of, *names).split():
            parts = [(name_of(one), rollup_mib(one, "Pss")) for one in family(int(pid))]
            crowd.pss_mib.append(sum(mib for _, mib in parts))
            for name, mib in parts:
                crowd.by_name_mib[name] += mib
    finally:
        client.attempt("rm", "-f", *names)
    return crowd
