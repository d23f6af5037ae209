"""What a cancelled pull or load still has in a thread is over before anything that it needs is closed or let go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hyper.image import layer
from hyper.image.download import download
from hyper.image.worker import Facts
from hyper.types.oci import Descriptor

DIGEST = "sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"  # of b"data"


class Gate:
    """A function that is entered, and does what it does only once it may."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self._function = function

    def __call__(self, *words: Any) -> Any:
        self.entered.set()
        self.opened.wait()
        return self._function(*words)


async def ends_early(gate: Gate, work: Coroutine[Any, Any, Any]) -> bool:
    """Whether ``work``, cancelled while its thread is at ``gate``, ends before that goes through."""
    task = asyncio.ensure_future(work)
    await asyncio.to_thread(gate.entered.wait)
    task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    early = task.done()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    return early


class OneBlob:
    """The part of a registry that a download sees."""

    async def on_endpoints(self, ask: Callable[[Any], Any]) -> Any:
        return await ask(None)

    @contextlib.asynccontextmanager
    async def blob(
        self, endpoint: None, digest: str, offset: int
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"data"

        yield 0, pieces()


async def test_a_download_does_not_write_after_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes to a number, which may be another file's by then."""
    gate = Gate(os.pwrite)
    monkeypatch.setattr(os, "pwrite", gate)
    blob = Descriptor(DIGEST, 4)
    work = download(OneBlob(), blob, tmp_path / "blob", lambda _: None)  # type: ignore[arg-type]
    assert not await ends_early(gate, work)
    assert (tmp_path / "blob").read_bytes() == b"data"


async def test_a_layer_is_not_put_where_it_is_after_its_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is not pinned, a collection may have been: nobody would remove it."""
    pinned = []

    async def squash(source: Path, built: Path, **_: Any) -> Facts:
        built.write_bytes(b"built")
        return Facts(DIGEST)

    @contextlib.contextmanager
    def pin(diff_ids: list[str]) -> Iterator[None]:
        pinned[:] = diff_ids
        yield
        pinned.clear()

    async def keep() -> None:
        with contextlib.ExitStack() as pins:
            raw = layer.Received(tmp_path / "raw", DIGEST, 4)
            await layer.keep_layer(store, bounds, raw, pins, keep_blob=False)

    seen: list[list[str]] = []
    gate = Gate(lambda *_: seen.append(list(pinned)))
    monkeypatch.setattr(layer, "squash", squash)
    monkeypatch.setattr(layer, "_adopt", gate)
    store: Any = SimpleNamespace(tmp=tmp_path, pinned=pin)
    bounds: Any = None
    assert not await ends_early(gate, keep())
    assert seen == [[DIGEST]]
