"""Image stores with a test's patience."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hyper.image.images import Images
from hyper.image.local_engine import EnginePatience
from hyper.image.local_sources import LocalEngines
from hyper.image.patience import Patience
from hyper.units import MIB

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
#: The engines of a test are in its own process.
TRUSTED = LocalEngines(
    patience=EnginePatience(answer_s=30, export_s=30, stall_s=30), max_bytes=MIB, own_pid=-1
)


@asynccontextmanager
async def opened(root: Path, *sockets: Path, **changes: Any) -> AsyncIterator[Images]:
    """An empty store that looks at these engines; nothing half-done is left in it."""
    engines = replace(TRUSTED, sockets=sockets, **changes)
    images = Images(root / "images", patience=SHORT, local_engines=engines)
    await images.open()
    try:
        yield images
        assert not list((root / "images/tmp").iterdir())
    finally:
        await images.close()
