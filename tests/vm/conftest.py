"""What tests with real machines share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.hyperd import Hyperd
from tests.vm.test_run import create


@pytest.fixture(scope="module")
def running(shared_daemon: Hyperd, busybox: str) -> Iterator[str]:
    """A container that runs while a module is tested."""
    container = create(shared_daemon, busybox, "sleep", "3600")
    shared_daemon.api.post(f"/containers/{container}/start")
    yield container
    with contextlib.suppress(AssertionError):
        shared_daemon.api.delete(f"/containers/{container}?force=1")
