"""What tests with real machines share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import create
from tests.support.hyperd import Hyperd


@pytest.fixture(scope="module")
def running(shared_daemon: Hyperd, busybox: str) -> Iterator[str]:
    """A container that runs while a module is tested."""
    container = create(shared_daemon, busybox, "sleep", "3600")
    shared_daemon.api.post(f"/containers/{container}/start")
    yield container
    with contextlib.suppress(AssertionError):
        shared_daemon.api.delete(f"/containers/{container}?force=1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A host directory that every user can get to."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    made = tmp_path / "shared"
    made.mkdir(mode=0o755)
    return made
