"""What is measured on: a hyperd, dockerds, a registry; each started when first asked for, all gone in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.dockerd import Engine, dockerd, why_not
from tests.support.hyperd import Hyperd, hyperd
from tests.support.registry import RealRegistry, registry
from tools import imagebuilder

from bench.measure import Failed, Missing, wall_ms

HYPER = Path(sys.prefix) / "bin/hyper"
BUILD = Path(__file__).parents[1] / "build"
#: hyperd without machines that wait, and without templates: the next slower ways to start.
NO_POOL = ("--pool-memory", "0")
NO_TEMPLATES = ("--templates=false",)
#: Makes what fast starts need at once instead of in the background. A hyper that does not know it is left as it is.
_PREPARE = ("template", "build")
#: Starts that do not count, before a daemon counts as warm.
_WARM_STARTS = 3
_WAITING_TIMEOUT_S = 20.0
#: What argparse says of an option it does not have.
_REFUSED = "unrecognized arguments"


@dataclass(frozen=True)
class Sizes:
    """How much of everything. Fewer are for trying things out."""

    sandboxes: int = 200
    creations: int = 100
    at_once: int = 50


@dataclass(frozen=True)
class Client:
    """A command line and the engine it speaks to. ``image``: a busybox that this engine has."""

    program: str
    host: str
    image: str

    def argv(self, *words: str) -> list[str]:
        """The command line of ``words``."""
        return [self.program, *words]

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which it finds its engine (hyper takes DOCKER_HOST too)."""
        return Engine(self.host, "").environ()

    def time_ms(self, *words: str) -> float:
        """How long the command takes, as a whole process. Raises: Failed."""
        return wall_ms(self.argv(*words), self.environ)

    def run(self, *words: str) -> str:
        """What the command prints. Raises: Failed."""
        done = subprocess.run(self.argv(*words), capture_output=True, env=self.environ, text=True)
        if done.returncode != 0:
            raise Failed(f"{self.program} {words[0]}: {done.stderr[-500:]}")
        return done.stdout

    def attempt(self, *words: str) -> bool:
        """Whether the command worked."""
        argv = self.argv(*words)
        return subprocess.run(argv, capture_output=True, env=self.environ).returncode == 0

    @property
    def folder(self) -> Path:
        """Of its engine's socket and files."""
        return Path(self.host.removeprefix("unix://")).parent


class Stage(AbstractContextManager["Stage"]):
    """The engines. ``accelerator``: what hyperd is told to run machines on."""

    def __init__(self, accelerator: str, sizes: Sizes) -> None:
        self.accelerator = accelerator
        self.sizes = sizes
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def registry(self) -> RealRegistry:
        """Debian's docker-registry on a loopback port."""
        return self._stack.enter_context(registry())

    @cached_property
    def busybox(self) -> str:
        """The reference of a busybox image in the registry."""
        return self.registry.push(imagebuilder.busybox(), "busybox:latest")

    @contextmanager
    def fresh_hyperd(self, *options: str) -> Iterator[Hyperd]:
        """Another hyperd with empty roots, while the block lasts.

        Raises:
            Missing: this hyperd does not have one of ``options``.
        """
        with ExitStack() as stack:
            try:
                daemon = hyperd("--accelerator", self.accelerator, *options)
                started = stack.enter_context(daemon)
            except AssertionError as error:
                if options and _REFUSED in str(error):
                    raise Missing(f"not built yet: hyperd has no `{' '.join(options)}`") from None
                raise
            yield started

    @contextmanager
    def warm_hyperd(self, *options: str) -> Iterator[tuple[Hyperd, Client]]:
        """The same with the busybox image, and as fast as it gets. Raises: Missing, Failed."""
        with self.fresh_hyperd(*options) as daemon:
            client = Client(str(HYPER), daemon.host, self.busybox)
            client.run("pull", "-q", self.busybox)
            client.run("run", "--rm", self.busybox, "true")
            client.attempt(*_PREPARE)
            for _ in range(_WARM_STARTS):
                client.run("run", "--rm", self.busybox, "true")
            _await_machine(daemon)
            yield daemon, client

    @cached_property
    def _warm(self) -> tuple[Hyperd, Client]:
        return self._stack.enter_context(self.warm_hyperd())

    @property
    def hyperd(self) -> Hyperd:
        """A hyperd that has the busybox image and has run it."""
        return self._warm[0]

    @cached_property
    def cold(self) -> tuple[Hyperd, Client]:
        """One that boots every machine."""
        try:
            return self._stack.enter_context(self.warm_hyperd(*NO_TEMPLATES))
        except Missing:
            return self._warm

    @property
    def hyper(self) -> Client:
        """hyper, speaking to ``hyperd``."""
        return self._warm[1]

    @cached_property
    def docker(self) -> Client:
        """docker with its default network and storage; it cannot reach our registry. Raises: Missing."""
        return self._stack.enter_context(self.fresh_docker())

    @cached_property
    def docker_puller(self) -> Client:
        """docker that reaches our registry, its containers without a network. Raises: Missing."""
        return self._stack.enter_context(self.fresh_docker(bridge=False))

    @contextmanager
    def fresh_docker(self, *options: str, bridge: bool = True) -> Iterator[Client]:
        """Another dockerd with empty roots, while the block lasts. Raises: Missing."""
        if (reason := why_not()) is not None:
            raise Missing(reason)
        with dockerd(*options, bridge=bridge, storage="overlay2") as engine:
            yield Client("docker", engine.host, engine.image)

    def used_accelerator(self, container: str) -> str:
        """What runs the machine of a running container."""
        return str(self.hyperd.api.get(f"/containers/{container}/json")["Hyper"]["Accelerator"])


@dataclass(frozen=True)
class Waiting:
    """Machines of a daemon that wait for containers; starts that took one, and that found none."""

    machines: int
    taken: int
    missed: int
    limit_mib: int


def waiting(daemon: Hyperd) -> Waiting | None:
    """Those of now; None where hyperd does not say."""
    status, answer = daemon.api.raw("GET", "/hyper/v1/pool")
    if status != 200:
        return None
    pool = json.loads(answer)
    machines = sum(shelf["Waiting"] for shelf in pool["Shelves"])
    return Waiting(machines, pool["Taken"], pool["Missed"], pool["LimitMiB"])


def _await_machine(daemon: Hyperd) -> None:
    """A machine waits, if any ever will."""
    deadline = time.monotonic() + _WAITING_TIMEOUT_S
    while (now := waiting(daemon)) and now.limit_mib and not now.machines:
        if time.monotonic() > deadline:
            raise Failed("hyperd has no machine waiting")
        time.sleep(0.05)


def unpacked_programs_too() -> None:
    """Programs that `make setup-test` unpacked instead of installing are found, after those installed."""
    extra = [str(BUILD / "debs/usr" / name) for name in ("bin", "sbin")]
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin", *extra])
