"""Merges of deep images for few disks: the lowest layers become one squashfs."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import ExitStack
from pathlib import Path

from hyper.errors import HyperError
from hyper.image.shared import SharedWork
from hyper.image.squash import run_worker
from hyper.image.store import Store, chain_ids


class Merger:
    """The merger decides which layers are merged, and keeps the results in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: SharedWork[str, None, None] = SharedWork()

    async def disks(self, image_id: str, max_disks: int) -> list[Path]:
        """The disks of an image: at most ``max_disks`` files, lowest first. See `Images.disks`."""
        stack = self._store.stack_of(image_id)
        paths = [self._store.layer_path(diff_id) for diff_id in stack]
        if len(stack) <= max_disks:
            return paths
        count = len(stack) - max_disks + 1
        chain = chain_ids(stack)[count - 1]
        if not self._store.has_merged(chain):
            await self._jobs.run(chain, lambda _: self._merge(chain, paths[:count]), lambda _: None)
        return [self._store.merged_path(chain), *paths[count:]]

    async def _merge(self, chain: str, layers: list[Path]) -> None:
        target = self._store.tmp / f"{secrets.token_hex(8)}.sqfs"
        try:
            await merge(layers, target)
            await asyncio.to_thread(self._store.add_merged, chain, target)
        except OSError as error:
            raise HyperError(f"cannot merge {len(layers)} layers: {error.strerror}") from error
        finally:
            target.unlink(missing_ok=True)


async def merge(layers: list[Path], target: Path) -> None:
    """Make the squashfs ``target`` (new, synced) of the union of ``layers``, lowest first. See `squash.squash`.

    Raises:
        HyperError, OSError: as `squash.squash`.
    """
    with ExitStack() as stack:
        fds = []
        for layer in layers:
            fds.append(os.open(layer, os.O_RDONLY | os.O_CLOEXEC))
            stack.callback(os.close, fds[-1])
        worker = {"module": "hyper.image.union", "layers": fds}
        await run_worker(worker, target, pass_fds=fds)
