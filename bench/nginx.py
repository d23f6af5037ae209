"""A real server: `run` of an nginx image until its page comes out of the published port."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import demo_image

from bench.measure import REST_S, TIMEOUT_S, Failed, by_turns
from bench.row import Goal, Row
from bench.stage import Client, Stage

_POLLER = Path(__file__).with_name("first_page.py")
_BOX = "bench-nginx"
_REPOSITORY = "nginx:latest"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """From before the client's spawn to the first 200; the container is removed outside of it."""
    image = stage.registry.push(demo_image.nginx(), _REPOSITORY)
    stage.hyper.run("pull", "-q", image)
    loaded: list[Client] = []

    def docker() -> float:
        if not loaded:
            _load(stage.docker, image)
            loaded.append(stage.docker)
        # Its ports are published in a network namespace of its own.
        pid = int((stage.docker.folder / "pid").read_text())
        return _first_page_ms(stage.docker, _REPOSITORY, ("nsenter", f"--net=/proc/{pid}/ns/net"))

    try:
        ours, theirs = by_turns(
            runs, lambda: _first_page_ms(stage.hyper, image), docker, rest_s=REST_S
        )
    finally:
        stage.hyper.run("rmi", image)
        for client in loaded:
            client.run("rmi", _REPOSITORY)
    yield Row(
        "nginx: `run` → first HTTP 200 on the published port",
        "ms",
        ours,
        Goal(1.0, ratio=True),
        theirs,
        accelerator=stage.accelerator,
        command="`hyper run -d -p 127.0.0.1:PORT:80 nginx`, the same with docker",
        note="Debian's nginx in an image of four layers; asked again within 1 ms of a refusal, and each 10 ms "
        "while earlier questions wait (first_page.py)",
    )


def _load(client: Client, image: str) -> None:
    """An engine that cannot reach the registry has the image."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        archive = Path(folder) / "image.tar"
        source, target = f"docker://{image}", f"docker-archive:{archive}:{_REPOSITORY}"
        argv = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false"]
        subprocess.run([*argv, source, target], check=True)
        client.run("load", "-q", "-i", str(archive))


def _first_page_ms(client: Client, image: str, before: Sequence[str] = ()) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("run", "-d", "--name", _BOX, "-p", f"127.0.0.1:{port}:80", image)
    argv = [*before, sys.executable, "-S", "-E", str(_POLLER), str(port), *client.argv(*words)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, env=client.environ, timeout=TIMEOUT_S
        )
    finally:
        client.attempt("rm", "-f", _BOX)
    if done.returncode != 0:
        raise Failed(f"{client.program} {' '.join(words)}: {done.stderr[-500:]}")
    return float(done.stdout)
