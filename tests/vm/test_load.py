"""Many clients on many machines for minutes: no error, and nothing that grows.

Run by hand: ``pytest -m soak -s [--soak-s N]``.
"""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.hyperd import Hyperd

pytestmark = [pytest.mark.vm, pytest.mark.soak]

MACHINES = 20
CLIENTS = 50
#: What the daemon may keep of all that: 256 ended execs a machine, which is 5120 at 3 KiB, and the allocator's slack.
GROWTH_MIB = 32
GROWTH_FDS = 10


def test_fifty_clients_on_twenty_machines(
    own_daemon: Hyperd, busybox: str, pytestconfig: pytest.Config
) -> None:
    """exec, logs, inspect and list by 50 clients: every answer right, p99 printed, descriptors and memory as before."""
    command = ["sh", "-c", "echo up; exec sleep 36000"]
    names = [f"load{number}" for number in range(MACHINES)]
    for name in names:
        own_daemon.run("run", "-d", "--name", name, busybox, *command)
    _round(own_daemon, names[0], 0)
    before = _fds(own_daemon), _rss_mib(own_daemon)
    until = time.monotonic() + pytestconfig.getoption("soak_s")

    def client(number: int) -> list[tuple[str, float]]:
        taken: list[tuple[str, float]] = []
        while time.monotonic() < until:
            taken += _round(own_daemon, names[number % MACHINES], number)
        return taken

    with ThreadPoolExecutor(CLIENTS) as pool:
        taken = [one for each in pool.map(client, range(CLIENTS)) for one in each]
    for verb in sorted({verb for verb, _ in taken}):
        values = sorted(ms for name, ms in taken if name == verb)
        p99 = values[math.ceil(0.99 * len(values)) - 1]
        print(f"{verb}: {len(values)}, median {values[len(values) // 2]:.0f} ms, p99 {p99:.0f} ms")
    own_daemon.run("ps")
    after = _fds(own_daemon), _rss_mib(own_daemon)
    print(f"descriptors {before[0]} -> {after[0]}, RSS {before[1]:.0f} -> {after[1]:.0f} MiB")
    assert after[0] <= before[0] + GROWTH_FDS
    assert after[1] <= before[1] + GROWTH_MIB


def _round(daemon: Hyperd, name: str, number: int) -> list[tuple[str, float]]:
    """One of each; (verb, ms). Raises: AssertionError for a wrong answer.

    Answers are looked at when the clock has stopped, and without the contract: all clients share one interpreter.
    """
    raw = daemon.api.raw
    command = json.dumps({"Cmd": ["echo", str(number)], "AttachStdout": True}).encode()

    def exec_() -> tuple[int, bytes]:
        made = json.loads(raw("POST", f"/containers/{name}/exec", command)[1])["Id"]
        return raw("POST", f"/exec/{made}/start", b'{"Detach": false}')

    answers, taken = {}, []
    for verb, ask in {
        "exec": exec_,
        "logs": lambda: raw("GET", f"/containers/{name}/logs?stdout=1"),
        "inspect": lambda: raw("GET", f"/containers/{name}/json"),
        "list": lambda: raw("GET", "/containers/json"),
    }.items():
        began = time.monotonic()
        status, answers[verb] = ask()
        taken.append((verb, (time.monotonic() - began) * 1000))
        assert status == 200, answers[verb]
    assert (answers["exec"][8:], answers["logs"][8:]) == (f"{number}\n".encode(), b"up\n")
    assert json.loads(answers["inspect"])["State"]["Running"]
    assert len(json.loads(answers["list"])) == MACHINES
    return taken


def _fds(daemon: Hyperd) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def _rss_mib(daemon: Hyperd) -> float:
    pages = int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)
