"""dockerd and hyperd on one host: ``unshare --net python -m tests.support.beside`` prints what was seen, as JSON.

A network namespace is the host here: what dockerd does to packet filters would be in everybody's way elsewhere.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from tools import imagebuilder

from tests.support.dockerd import Engine, dockerd
from tests.support.hyperd import Hyperd, hyperd
from tests.support.programs import add_unpacked_programs
from tests.support.registry import registry

SERVER = "mkdir /w; echo {name} >/w/index.html; httpd -h /w; echo serving; exec sleep 1000"


def main() -> None:
    """Two engines, each with a server and a client on a network of its own; then what each can reach."""
    add_unpacked_programs()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with registry() as images, hyperd() as ours:
        image = images.push(imagebuilder.busybox(), "busybox:latest")
        ours.run("pull", "-q", image)
        # A network from before dockerd sets the filter's policy, and one from after. It does so if it is dockerd that
        # has the kernel forward packets.
        ours.run("network", "create", "early")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        with dockerd(bridge=True, namespace=False) as theirs:
            seen = _both(ours, theirs, image)
        seen["after"] = _fetch(ours, "early-web")
    print(json.dumps(seen))


def _both(ours: Hyperd, theirs: Engine, image: str) -> dict[str, Any]:
    _docker(theirs, "network", "create", "net")
    ours.run("network", "create", "late")
    for network in ("early", "late"):
        _serve(ours, f"{network}-web", network, image)
    _docker(
        theirs,
        *("run", "-d", "--name", "web", "--network", "net", "-p", "127.0.0.1::80"),
        *(theirs.image, "sh", "-c", SERVER.format(name="docker") + " & exec tail -f /dev/null"),
    )
    info = ours.api.get("/info")
    seen: dict[str, Any] = {
        "warnings": info["Warnings"],
        "early": _fetch(ours, "early-web"),
        "late": _fetch(ours, "late-web"),
        "names": _says(ours, image, "nslookup -type=a early-web"),
        "subnets": _subnets(ours, theirs),
    }
    port = int(_docker(theirs, "port", "web", "80/tcp").split()[0].rpartition(":")[2])
    _docker_says(theirs, "web")
    seen["docker"] = _get(port)
    seen["docker-names"] = _docker(
        theirs, "run", "--rm", "--network", "net", theirs.image, "nslookup", "web"
    )
    _docker(theirs, "rm", "-f", "web")
    _docker(theirs, "network", "rm", "net")
    return seen


def _docker_says(engine: Engine, name: str) -> None:
    """Return once a container of Docker has written its first line."""
    argv = ["docker", "logs", "-f", name]
    with subprocess.Popen(argv, env=engine.environ(), stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        following.stdout.readline()
        following.terminate()


def _serve(ours: Hyperd, name: str, network: str, image: str) -> None:
    options = ["--name", name, "--network", network, "-p", "127.0.0.1::80"]
    ours.run("run", "-d", *options, image, "sh", "-c", SERVER.format(name=name))
    with ours.api.open(f"/containers/{name}/logs?follow=1&stdout=1") as log:
        log.readline()


def _says(ours: Hyperd, image: str, script: str) -> str:
    return ours.run("run", "--rm", "--network", "early", image, "sh", "-c", script).decode()


def _fetch(ours: Hyperd, name: str) -> str:
    return _get(int(ours.run("port", name, "80/tcp").decode().split()[0].rpartition(":")[2]))


def _get(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := stream.recv(4096):
            answer += piece
    return answer.decode().split("\r\n\r\n")[1].strip()


def _docker(engine: Engine, *words: str) -> str:
    done = subprocess.run(
        ["docker", *words], env=engine.environ(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _subnets(ours: Hyperd, theirs: Engine) -> list[str]:
    """Of every network of both."""
    networks = ours.api.get("/networks")
    names = _docker(theirs, "network", "ls", "-q").split()
    networks += json.loads(_docker(theirs, "network", "inspect", *names))
    return [item["Subnet"] for network in networks for item in network["IPAM"]["Config"] or []]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
