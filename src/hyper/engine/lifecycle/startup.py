"""The starter with pool and templates, put together from the daemon's configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Final

from hyper.config import Config
from hyper.engine.identities import Identities
from hyper.engine.network.nics import nic_of
from hyper.engine.spec import capabilities, kernel_paths
from hyper.machine import abilities
from hyper.machine.drivers import Drivers
from hyper.machine.spec import Nic
from hyper.machine.template import Card, TemplateStore
from hyper.network.driver import NetworkDriver
from hyper.network.guest_config import interface
from hyper.proto.message import ContainerCreate, File, ProcessFlag, ProcessStart
from hyper.sandbox import warm_up
from hyper.sandbox.pool import Pool
from hyper.sandbox.scratch import ScratchDisks
from hyper.sandbox.shape import SCRATCH_DISK, layer_disk
from hyper.sandbox.starter import FastStart, Starter
from hyper.sandbox.templates import PrebootContext, Templates
from hyper.sandbox.warm_up import WarmUp
from hyper.system import memory
from hyper.types.container import HostConfig

#: The warm-up's layer, in the folder of the guest's files.
_LAYER: Final = "exercise.squashfs"
#: Where a machine is while it is warmed up: no packet of it leads anywhere.
_MAC: Final = "02:00:00:00:00:01"
_NETWORK: Final = IPv4Network("192.0.2.0/24")
_MTU: Final = 1500


def starter(
    config: Config,
    drivers: Drivers,
    scratch: ScratchDisks,
    identities: Identities,
    network: NetworkDriver,
) -> Starter:
    """The starter of sandboxes, as ``config`` wants it: fast for the best driver that makes templates."""
    fast = None
    able = [driver for driver in drivers if isinstance(driver, abilities.Templates)]
    if config.templates and able:
        fast = _fast(config, able[0], scratch, identities, network)
    return Starter(fast, boot_timeout_s=config.boot_timeout_s)


def _warm_up(config: Config, scratch: ScratchDisks) -> WarmUp:
    """The warm-up: a usual container, as far as that can be known before there is one."""
    host = HostConfig()
    program = ProcessStart(
        process=warm_up.MAIN,
        container=warm_up.CONTAINER,
        args=(warm_up.PROGRAM, "wait"),
        flags=ProcessFlag.INIT,
        env=("PATH=/bin",),
        capabilities=capabilities.mask(capabilities.names(host)),
    )
    card = interface(_MAC, _NETWORK[1], _NETWORK.prefixlen, gateway=_NETWORK[2], mtu=_MTU)
    return WarmUp(
        layer=config.assets / _LAYER,
        scratch=scratch,
        interfaces=(card,),
        container=ContainerCreate(
            container=warm_up.CONTAINER,
            hostname="exercise",
            layers=(layer_disk(0),),
            scratch=SCRATCH_DISK,
            files=tuple(
                File(f"/etc/{name}", b"\n") for name in ("hostname", "hosts", "resolv.conf")
            ),
            masked=kernel_paths.MASKED,
            readonly=kernel_paths.READONLY,
        ),
        main=program,
        other=replace(
            program, process=warm_up.OTHER, args=(warm_up.PROGRAM,), flags=ProcessFlag.NONE
        ),
    )


def _fast(
    config: Config,
    driver: abilities.Templates,
    scratch: ScratchDisks,
    identities: Identities,
    network: NetworkDriver,
) -> FastStart:
    @asynccontextmanager
    async def card(kind: Card, id: str) -> AsyncIterator[tuple[Nic, ...]]:
        if kind is Card.NONE:
            yield ()
            return
        async with network.spare(id) as spare:
            yield (nic_of(spare),)

    preboot = PrebootContext(
        kernel=config.guest_kernel,
        initrd=config.guest_initrd,
        run_root=config.exec_root / "pool",
        identity=identities.lease,
        card=card,
        boot_timeout_s=config.boot_timeout_s,
    )
    work = _warm_up(config, scratch)
    templates = Templates(driver, TemplateStore(config.data_root / "template"), preboot, work)
    pool = Pool(
        driver,
        templates,
        preboot,
        work,
        limit_mib=config.pool_memory_mib,
        available_mib=memory.available_mib,
    )
    return FastStart(driver, templates, pool)
