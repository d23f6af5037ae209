"""Templates in use: built in the background when a shape is first asked for, kept on disk, in memory while needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hyper.errors import HyperError, InvalidRequest, MachineError
from hyper.ids import new_id
from hyper.machine import abilities
from hyper.machine.abilities import OpenMachine
from hyper.machine.driver import Driver
from hyper.machine.spec import Limits, MachineSpec, Nic
from hyper.machine.template import (
    About,
    Card,
    Memory,
    Shape,
    Template,
    TemplateStore,
    TemplateTerms,
)
from hyper.sandbox.connection import end_machine, greet
from hyper.sandbox.shape import EMPTY_SLOTS
from hyper.sandbox.warm_up import WarmUp
from hyper.system import memfd
from hyper.units import MIB

logger = logging.getLogger(__name__)

#: A template that nobody has wanted for so long is not kept in memory.
_IDLE_S: Final = 600.0
#: After a failed build a shape is left alone for this long.
_RETRY_S: Final = 300.0
#: Work ahead yields to that which somebody waits for (1024 is everybody's share).
BACKGROUND: Final = Limits(cpu_shares=128)


@dataclass(frozen=True, slots=True)
class PrebootContext:
    """A preboot context: what templates' and pooled machines are made with, before there is a container for them."""

    kernel: Path
    initrd: Path
    #: A folder for their run folders, which need short names.
    run_root: Path
    #: An unprivileged identity of its own for a machine while the body runs; None without root.
    identity: Callable[[], AbstractContextManager[int | None]]
    #: A card of the kind, under a name made from an id.
    card: Callable[[Card, str], AbstractAsyncContextManager[tuple[Nic, ...]]]
    boot_timeout_s: float

    def spec(
        self,
        shape: Shape,
        name: str,
        *,
        uid: int | None,
        nics: tuple[Nic, ...],
    ) -> MachineSpec:
        """The spec of a machine of this shape with nothing in it, its run folder made."""
        run_dir = self.run_root / name
        run_dir.mkdir(mode=0o700, parents=True)
        return MachineSpec(
            name=name,
            vcpus=shape.vcpus,
            memory_mib=shape.memory_mib,
            kernel=self.kernel,
            initrd=self.initrd,
            disks=(),
            nics=nics,
            run_dir=run_dir,
            uid=uid,
            limits=BACKGROUND,
        )


class Templates:
    """The templates of this daemon. ``open`` before use, ``close`` at the end."""

    def __init__(
        self,
        driver: abilities.Templates,
        store: TemplateStore,
        preboot: PrebootContext,
        warm_up: WarmUp,
    ) -> None:
        self._driver = driver
        self._store = store
        self._preboot = preboot
        self._warm_up = warm_up
        self._ready: dict[str, Template] = {}
        self._building: dict[str, asyncio.Task[Template]] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._dropped: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._building_now = asyncio.Lock()

    @property
    def driver(self) -> Driver:
        """The hypervisor whose machines they are made of."""
        return self._driver

    @property
    def terms(self) -> TemplateTerms:
        """The hypervisor's terms: which machines are made from templates."""
        return self._driver.terms

    @property
    def kernel(self) -> Path:
        """The kernel that all of them have booted."""
        return self._preboot.kernel

    async def open(self) -> None:
        """The templates that cannot be used any more are gone from the disk."""
        prefix = await self._driver.template_prefix()
        await asyncio.to_thread(self._store.sweep, prefix)

    async def close(self) -> None:
        """The templates are closed: none is in memory or being built, and nothing is left of one that was."""
        building = list(self._building.values())
        for task in building:
            task.cancel()
        await asyncio.gather(*building, return_exceptions=True)
        for timer in self._timers.values():
            timer.cancel()
        for key in list(self._ready):
            self._put_away(key)

    async def find(self, shape: Shape) -> Template | None:
        """The template of ``shape`` if it can be had without a boot."""
        key = await self._key(shape)
        self._used(key)
        found = self._ready.get(key)
        if found is None:
            found = await asyncio.to_thread(self._store.load, key)
            if found is not None:
                other = self._ready.setdefault(key, found)
                if other is not found:  # somebody else has loaded it meanwhile
                    found.close()
                    found = other
        return found

    def _used(self, key: str) -> None:
        """The template ``key`` stays in memory for a while from now on."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(_IDLE_S, self._put_away, key)

    def _put_away(self, key: str) -> None:
        """The template, unused for a while, is not in memory any more: on disk it takes none, and is soon back."""
        self._timers.pop(key, None)
        template = self._ready.pop(key, None)
        if template is not None:
            template.close()

    def drop(self, template: Template, why: str) -> None:
        """The template, which does not work, is gone; the next start of its shape has it built anew."""
        if self._ready.pop(template.key, None) is None:
            return
        logger.warning("template %s is thrown away: %s", template.key, why)
        now = time.monotonic()
        # Dropped again so soon: the next one would not be better.
        if now - self._dropped.get(template.key, -_RETRY_S) < _RETRY_S:
            self._failed[template.key] = (now, why)
        self._dropped[template.key] = now
        template.close()
        self._store.remove(template.key)

    def refusal(self, key: str) -> str | None:
        """The reason why no template with this key is being built for a while; None: there is none."""
        at, why = self._failed.get(key, (0.0, ""))
        return why if why and time.monotonic() - at < _RETRY_S else None

    async def build(self, shape: Shape) -> Template:
        """A template of ``shape``, built if there is none. One build at a time; a second caller waits for the same.

        Raises:
            HyperError: the template cannot be built.
        """
        if not self.terms.copied(shape):
            raise InvalidRequest(
                f"machines of {shape.memory_mib} MiB are not made from templates: "
                f"{self.terms.max_memory_mib} MiB is the most"
            )
        key = await self._key(shape)
        running = self._building.get(key)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._build(key, shape))
            self._building[key] = running
            running.add_done_callback(lambda _: self._building.pop(key, None))
        return await asyncio.shield(running)

    async def want(self, shape: Shape) -> None:
        """A template of ``shape`` will be there, unless it lately could not be built."""
        if self.refusal(await self._key(shape)) is None:
            with contextlib.suppress(HyperError, OSError):  # logged and remembered
                await self.build(shape)

    async def all(self) -> list[About]:
        """The templates on disk, the most recently used first."""
        return await asyncio.to_thread(self._store.all)

    async def remove(self, key: str) -> bool:
        """The template ``key`` does not exist; whether it did."""
        loaded = self._ready.pop(key, None)
        if loaded is not None:
            loaded.close()
        return await asyncio.to_thread(self._store.remove, key) or loaded is not None

    def is_loaded(self, key: str) -> bool:
        """Whether the template is in memory."""
        return key in self._ready

    async def _key(self, shape: Shape) -> str:
        spec = MachineSpec(
            name="template",
            vcpus=shape.vcpus,
            memory_mib=shape.memory_mib,
            kernel=self._preboot.kernel,
            initrd=self._preboot.initrd,
            disks=(),
            nics=(),
            run_dir=Path("/"),
        )
        return await self._driver.template_key(spec, shape.card, EMPTY_SLOTS)

    async def _build(self, key: str, shape: Shape) -> Template:
        async with self._building_now:
            found = await self.find(shape)
            if found is not None:
                return found
            try:
                template = await self._boot_and_save(key, shape)
            except (HyperError, OSError) as error:
                self._failed[key] = (time.monotonic(), str(error))
                logger.warning("no template for %s: %s", shape, error)
                raise
            self._failed.pop(key, None)
            self._ready[key] = template
            try:
                await asyncio.to_thread(self._store.keep, template)
            except (HyperError, OSError) as error:
                logger.warning("template %s is not kept on disk: %s", key, error)
            return template

    async def _boot_and_save(self, key: str, shape: Shape) -> Template:
        began = time.monotonic()
        with contextlib.ExitStack() as undo:
            memory_fd = memfd.create("memory", shape.memory_mib * MIB)
            undo.callback(os.close, memory_fd)
            state_fd = memfd.create("state")
            undo.callback(os.close, state_fd)
            await self._save(shape, memory_fd, state_fd)
            template = Template(key, shape, memory_fd, state_fd)
            undo.pop_all()
        took_ms = (time.monotonic() - began) * 1000
        logger.info("template %s for %s was built in %.0f ms", key, shape, took_ms)
        return template

    async def _save(self, shape: Shape, memory_fd: int, state_fd: int) -> None:
        name = f"tmpl-{new_id()[:11]}"
        async with self._made(shape, name) as spec:
            memory = Memory(memory_fd)
            machine = await self._driver.launch_open(spec, slots=EMPTY_SLOTS, memory=memory)
            try:
                await self._prepare(machine, spec.run_dir, card=shape.card is not Card.NONE)
                await machine.save(state_fd)
            finally:
                await end_machine(machine)

    @contextlib.asynccontextmanager
    async def _made(self, shape: Shape, name: str) -> AsyncIterator[MachineSpec]:
        """The spec of the machine to be saved; what it is made with is given back."""
        preboot = self._preboot
        card = preboot.card(shape.card, name.partition("-")[2])
        with preboot.identity() as uid:
            async with card as nics:
                spec = preboot.spec(shape, name, uid=uid, nics=nics)
                try:
                    # Somebody may soon wait for it.
                    yield replace(spec, limits=Limits())
                finally:
                    shutil.rmtree(spec.run_dir, ignore_errors=True)

    async def _prepare(self, machine: OpenMachine, folder: Path, *, card: bool) -> None:
        """The machine has booted and done everything once; no session with it is open any more."""
        session, _ = await greet(machine, resync=False, timeout_s=self._preboot.boot_timeout_s)
        try:
            await self._warm_up.run(machine, session, folder, card=card)
        finally:
            session.abort(MachineError("the template is being saved"))
