"""A registry per session, a store per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from hyper.image.images import Images
from hyper.image.patience import Patience
from tests.support.registry import RealRegistry, registry

#: Few attempts with short pauses, for registries that misbehave on purpose. Honest ones may be slow: so is the machine.
SHORT = Patience(
    connect_s=30.0,
    answer_s=30.0,
    stall_s=30.0,
    attempts=3,
    first_pause_s=0.01,
    longest_pause_s=0.05,
    limit_s=0.1,
)
#: For those that stand still.
HASTY = replace(SHORT, answer_s=1.0, stall_s=1.0)


@pytest.fixture(scope="session")
def real() -> Iterator[RealRegistry]:
    """Debian's docker-registry, empty at the start of the session."""
    with registry() as running:
        yield running


@pytest_asyncio.fixture
async def images(tmp_path: Path) -> AsyncIterator[Images]:
    """An open, empty store with little patience. After the test nothing half-done is in it."""
    store = Images(tmp_path / "images", patience=SHORT, certs_dirs=[tmp_path / "certs.d"])
    await store.open()
    yield store
    assert not list((tmp_path / "images/tmp").iterdir())
    await store.close()
