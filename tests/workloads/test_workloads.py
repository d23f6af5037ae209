"""Programs of Debian run as their users run them; on hyperd, and on dockerd where it can run them here.

CI runs those marked ``short`` on hyperd; ``make workloads`` runs all on both engines and writes docs/workloads.md.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dockerd import Engine, dockerd, why_not
from tests.support.hyperd import hyperd
from tests.workloads import databases, programs, system, web
from tests.workloads.roots import root_of
from tests.workloads.table import Table
from tests.workloads.workload import Stage, Workload, play

pytestmark = pytest.mark.vm

WORKLOADS = (*databases.ALL, *web.ALL, *system.ALL, *programs.ALL)


class Images:
    """Images of one engine, imported when the first workload wants them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._made: set[str] = set()

    def bring(self, name: str) -> None:
        """Engine has the image ``name``."""
        if name in self._made:
            return
        argv = ["docker", "import", str(root_of(name)), name]
        done = subprocess.run(argv, env=self.engine.environ(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        self._made.add(name)


@pytest.fixture(scope="session")
def hyper_images() -> Iterator[Images]:
    """A hyperd with its defaults."""
    with hyperd() as daemon:
        yield Images(Engine(daemon.host, "", is_hyper=True))


@pytest.fixture(scope="session")
def docker_images() -> Iterator[Images]:
    """A dockerd with its default network, in a network namespace of its own."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with dockerd(bridge=True, storage="overlay2") as engine:
        yield Images(engine)


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Table:
    """Table of docs/workloads.md if it was asked for."""
    path = request.config.getoption("--workloads-table")
    return Table(Path(path) if path else None, WORKLOADS)


def _cases(*, docker: bool) -> list[object]:
    """All workloads, those that CI leaves out marked; ``docker``: what dockerd cannot run is left out."""
    chosen = [one for one in WORKLOADS if not (docker and one.not_docker)]
    long = pytest.mark.workload
    return [
        pytest.param(one, id=one.name, marks=() if one.short and not docker else long)
        for one in chosen
    ]


@pytest.mark.parametrize("workload", _cases(docker=False))
def test_on_hyper(workload: Workload, hyper_images: Images, table: Table, tmp_path: Path) -> None:
    """Workload gives its result in a machine, and again after ``docker restart`` and ``docker kill``."""
    _run(workload, hyper_images, table, tmp_path)


@pytest.mark.parametrize("workload", _cases(docker=True))
def test_on_docker(workload: Workload, docker_images: Images, table: Table, tmp_path: Path) -> None:
    """Workload gives the same result as a container of dockerd."""
    _run(workload, docker_images, table, tmp_path)


def _run(workload: Workload, images: Images, table: Table, folder: Path) -> None:
    for part in workload.parts:
        images.bring(part.image)
    stage = Stage(images.engine, workload, folder)
    seen = None
    try:
        seen = play(stage)
    finally:
        table.tell(workload, is_hyper=images.engine.is_hyper, seen=seen)
        stage.clear()
