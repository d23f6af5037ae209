"""A registry per session, a store per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from hyper.image.images import Images
from tests.support.image_store import SHORT
from tests.support.registry import RealRegistry, registry


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
