"""How long a container waits for the address of another, from within."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Failed, by_turns
from bench.row import Goal, Row
from bench.stage import Client, Stage

SOURCE = Path(__file__).with_name("ask.c")
_QUESTIONS = 51
_NETWORK, _ASKING, _ASKED = "bench-names", "bench-asking", "bench-asked"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """A container's name → its address: one question at a time to the network's own name server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = folder / "ask"
        subprocess.run(["musl-gcc", "-static", "-O2", "-o", program, SOURCE], check=True)
        ours, theirs = (
            stack.enter_context(_asking(client, program)) for client in (stage.hyper, stage.docker)
        )
        values, peer = by_turns(runs, ours.median_ms, theirs.median_ms)
    yield Row(
        "A container's name → its address, asked in a container",
        "ms",
        values,
        Goal(2.0),
        peer,
        accelerator=stage.accelerator,
        note=f"each value: the median of {_QUESTIONS} questions over UDP by a program in the container, "
        "question sent → answer read",
    )


@dataclass(frozen=True)
class _Asking:
    client: Client
    server: str

    def median_ms(self) -> float:
        """Of some questions in a row."""
        words = ("/ask", self.server, _ASKED, str(_QUESTIONS))
        taken = self.client.run("exec", _ASKING, *words)
        return statistics.median(map(int, taken.split())) / 1000


@contextmanager
def _asking(client: Client, program: Path) -> Iterator[_Asking]:
    """A network with a container that asks and one that is asked for."""
    with ExitStack() as stack:
        client.run("network", "create", _NETWORK)
        stack.callback(client.run, "network", "rm", _NETWORK)
        for name in (_ASKING, _ASKED):
            options = ("--name", name, "--network", _NETWORK)
            client.run("run", "-d", *options, client.image, "sleep", "3600")
            stack.callback(client.run, "rm", "-f", name)
        client.run("cp", str(program), f"{_ASKING}:/ask")
        found = re.search(
            r"^nameserver (\S+)$", client.run("exec", _ASKING, "cat", "/etc/resolv.conf"), re.M
        )
        if found is None:
            raise Failed(f"{client.program}: no name server in the container")
        yield _Asking(client, found[1])
