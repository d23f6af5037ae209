"""Containers as tests make, start, read and ask them, through the API and the stock docker client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.hygiene import control_groups
from tests.support.hyperd import Hyperd

#: httpd goes into the background once it listens: after "up" it answers.
SERVE = (
    "mkdir -p /w && echo hello > /w/index.html && httpd -p 80 -h /w && echo up && exec sleep 600"
)
#: Writes a mark on standard output and waits for ever.
WAIT = "echo up; exec sleep 3600"


def create(daemon: Hyperd, image: str, *cmd: str, name: str = "", **body: Any) -> str:
    """The id of a new container that runs ``cmd``."""
    query = f"?name={name}" if name else ""
    answer = daemon.api.post(
        f"/containers/create{query}", {"Image": image, "Cmd": list(cmd), **body}
    )
    return str(answer["Id"])


def run(daemon: Hyperd, image: str, *cmd: str, **body: Any) -> tuple[int, str]:
    """Exit code and log of a program run to its end."""
    container = create(daemon, image, *cmd, **body)
    daemon.api.post(f"/containers/{container}/start")
    code = daemon.api.post(f"/containers/{container}/wait")["StatusCode"]
    log = daemon.run("logs", container).decode()
    return code, log


def port_of(daemon: Hyperd, container: str, port: str) -> int:
    """The host's port that leads to the container's ``port``."""
    first = daemon.run("port", container, port).split()[0]
    return int(first.rpartition(b":")[2])


def follow(daemon: Hyperd, container: str, marker: str) -> None:
    """Return once ``marker`` stands in the container's log."""
    path = f"/containers/{container}/logs?follow=1&stdout=1&stderr=1"
    connection = daemon.api.open(path)
    try:
        seen = b""
        while marker.encode() not in seen:
            piece = connection.read1(4096)
            assert piece, f"{marker!r} never came: {seen!r}"
            seen += piece
    finally:
        connection.close()


def state(daemon: Hyperd, container: str) -> dict[str, object]:
    """The container's state as the API tells it."""
    return dict(daemon.api.get(f"/containers/{container}/json")["State"])


def cgroups(container: str) -> list[str]:
    """Control groups of a container's machine."""
    return [str(group) for group in control_groups() if group.name == container[:16]]


def pid_of(daemon: Hyperd, container: str) -> int:
    """The hypervisor's process."""
    return int(daemon.api.get(f"/containers/{container}/json")["Hyper"]["Pid"])


def until(events: Iterator[Any], action: str, name: str) -> dict[str, Any]:
    """The next event ``action`` of the container called ``name``."""
    return next(
        item
        for item in events
        if item["Action"] == action and item["Actor"]["Attributes"].get("name") == name
    )


def inspect(daemon: Hyperd, name: str) -> dict[str, Any]:
    """All about a container."""
    found: dict[str, Any] = daemon.api.get(f"/containers/{name}/json")
    return found


def exec_shell(daemon: Hyperd, container: str, script: str) -> str:
    """What a shell in a running container prints."""
    return daemon.run("exec", "-u", "0", container, "sh", "-c", script).decode().strip()


def server_of(daemon: Hyperd, container: str) -> int:
    """The pid of the container's virtiofsd, found by the machine's control group."""
    found = {
        int(pid)
        for group in cgroups(container)
        for pid in (Path(group) / "cgroup.procs").read_text().split()
    } - {pid_of(daemon, container)}
    (pid,) = found
    assert b"virtiofsd" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return pid


def run_shell(daemon: Hyperd, image: str, script: str, *options: str) -> str:
    """What a shell in a new container prints."""
    return daemon.run("run", "--rm", *options, image, "sh", "-c", script).decode()


def refused(daemon: Hyperd, *words: str) -> str:
    """What the client says of a command that fails."""
    done = daemon.docker(*words)
    assert done.returncode != 0, done.stdout
    return done.stderr.decode()


def listed(daemon: Hyperd, **filters: str) -> list[str]:
    """Names of the containers that pass, the newest first."""
    words = [f"--filter={name}={value}" for name, value in filters.items()]
    return daemon.run("ps", "-a", "--format", "{{.Names}}", *words).decode().split()
