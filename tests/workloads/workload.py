"""Workloads: real programs in containers, what is asked of them, and the life they have to survive.

A workload is run through the stock docker client alone, so the same lines run on hyperd and on dockerd.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.dockerd import Engine

#: Seconds for anything a program does, emulated, on a busy machine.
PATIENCE_S = 3600.0
#: Command of a container in which the check is all that happens; ends when told to (sleep as PID 1 would not).
IDLE = ("sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait")


@dataclass(frozen=True)
class Part:
    """Container of a workload. ``options``, ``command``: words of ``docker run``; NAME-of-a-volume becomes its own.

    ``ready``: a shell script that ends with 0 once the program serves; it is run in the container, again and again.
    """

    name: str
    image: str
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    ready: str = "true"


@dataclass(frozen=True)
class Workload:
    """Program as its users run it.

    ``parts``: its containers, in the order in which they start, on a network of their own. ``prepare``: a script run
    once in the first part, after its start. ``check``: a script run in the part ``asked`` (the last one); what it
    prints is the result, which is ``result`` on every engine, before and after ``docker restart`` and ``docker kill``
    of the part ``ended`` (the first). ``folders``: makes what the host brings in, given a folder; called once.
    ``says``: what was checked, for the table. ``not_docker``: why dockerd does not run it here.
    ``while_running``: what the host does to the folder while the parts run; ``survives``: whether it is ended and
    started again, too.
    """

    name: str
    says: str
    parts: tuple[Part, ...]
    check: str
    result: str
    prepare: str = ""
    asked: str = ""
    ended: str = ""
    folders: Callable[[Path], None] | None = None
    volumes: tuple[str, ...] = ()
    not_docker: str = ""
    short: bool = False
    while_running: Callable[[Path], None] | None = None
    survives: bool = True


@dataclass
class Seen:
    """What a run of a workload showed: the memory its containers used and their machines' size, in MiB."""

    used_mib: float
    limit_mib: float


class Stage:
    """Engine on which one workload runs. ``folder``: what the host brings into its containers."""

    def __init__(self, engine: Engine, workload: Workload, folder: Path) -> None:
        self.engine = engine
        self.workload = workload
        self.folder = folder

    def name(self, part: str) -> str:
        """Container's name on the engine."""
        return f"{self.workload.name}-{part}"

    def docker(self, *words: str) -> str:
        """Standard output of ``docker WORDS``. Raises: AssertionError with what it said if it failed."""
        done = subprocess.run(
            ["docker", *words],
            env=self.engine.environ(),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )
        said = done.stderr.decode(errors="replace")[-3000:]
        assert done.returncode == 0, f"docker {' '.join(words)[:300]}: {done.returncode}\n{said}"
        return done.stdout.decode(errors="replace")

    def shell(self, part: str, script: str) -> str:
        """Output of a script in a part. Raises: AssertionError with the container's log if it failed."""
        try:
            return self.docker("exec", self.name(part), "sh", "-c", script)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- {part}'s log:\n{self.log(part)}") from None

    def log(self, part: str) -> str:
        """End of a part's output."""
        words = ["docker", "logs", "--tail", "60", self.name(part)]
        done = subprocess.run(words, env=self.engine.environ(), capture_output=True, check=False)
        return (done.stdout + done.stderr).decode(errors="replace")

    def await_ready(self, part: Part) -> None:
        """Program of the part serves: its script succeeds within the patience that the script has itself."""
        tries = f"i=0; until ( {part.ready} ) >/tmp/.ready 2>&1; do i=$((i+1)); "
        self.shell(
            part.name,
            f"{tries} [ $i -lt 300 ] || {{ cat /tmp/.ready >&2; exit 1; }}; sleep 0.5; done",
        )

    def start(self) -> None:
        """All parts run and serve."""
        if self.workload.folders:
            self.workload.folders(self.folder)
        self.docker("network", "create", self.workload.name)
        for volume in self.workload.volumes:
            self.docker("volume", "create", f"{self.workload.name}-{volume}")
        for part in self.workload.parts:
            options = [self._own(word) for word in part.options]
            if "--network" not in options:
                options += ["--network", self.workload.name, "--network-alias", part.name]
            self.docker(
                "run", "-d", "--name", self.name(part.name), *options, part.image, *part.command
            )
            self.await_ready(part)

    def _own(self, word: str) -> str:
        """Word of ``docker run`` with this run's folder and volumes."""
        return word.replace("@folder", str(self.folder)).replace("@volume", self.workload.name)

    def check(self) -> None:
        """Workload's check gives its result."""
        part = self.workload.asked or self.workload.parts[-1].name
        got = self.shell(part, self.workload.check).strip()
        assert got == self.workload.result, f"{got!r}\n--- {part}'s log:\n{self.log(part)}"

    def memory(self) -> Seen:
        """Memory of all parts together."""
        names = [self.name(part.name) for part in self.workload.parts]
        printed = self.docker("stats", "--no-stream", "--format", "{{json .}}", *names)
        used = limit = 0.0
        for line in printed.splitlines():
            first, _, second = json.loads(line)["MemUsage"].partition(" / ")
            used, limit = used + _mib(first), limit + _mib(second)
        return Seen(used, limit)

    def clear(self) -> None:
        """Nothing of the workload is left on the engine."""
        for part in reversed(self.workload.parts):
            self._try("rm", "-f", "-v", self.name(part.name))
        for volume in self.workload.volumes:
            self._try("volume", "rm", "-f", f"{self.workload.name}-{volume}")
        self._try("network", "rm", self.workload.name)

    def _try(self, *words: str) -> None:
        argv = ["docker", *words]
        subprocess.run(argv, env=self.engine.environ(), capture_output=True, check=False)


def play(stage: Stage) -> Seen:
    """Whole life of a workload: started, asked, restarted, asked, killed, asked. Its memory after the first check."""
    workload = stage.workload
    stage.start()
    first = workload.parts[0]
    if workload.prepare:
        stage.shell(first.name, workload.prepare)
    if workload.while_running:
        workload.while_running(stage.folder)
    stage.check()
    seen = stage.memory()
    if workload.survives:
        ended = workload.ended or first.name
        stage.docker("restart", "-t", "60", stage.name(ended))
        _all_ready(stage)
        stage.check()
        stage.docker("kill", stage.name(ended))
        stage.docker("start", stage.name(ended))
        _all_ready(stage)
        stage.check()
    return seen


def _all_ready(stage: Stage) -> None:
    for part in stage.workload.parts:
        stage.await_ready(part)


def _mib(text: str) -> float:
    """Number of MiB in the docker client's words (``1.5GiB``)."""
    units = {"GiB": 1024.0, "MiB": 1.0, "KiB": 1 / 1024, "B": 1 / 1024**2}
    for unit, factor in units.items():
        if text.strip().endswith(unit):
            return float(text.strip().removesuffix(unit)) * factor
    raise ValueError(text)
