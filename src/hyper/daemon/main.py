"""The program hyperd: builds everything, serves until told to stop, and lets the machines go on."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiohttp import web

from hyper import log
from hyper.api import connections
from hyper.api.browsers import Browsers
from hyper.api.server import build_app
from hyper.config import Config, certs_dirs
from hyper.daemon import hypervisors, options
from hyper.daemon.hypervisors import Makers
from hyper.daemon.listen import listen
from hyper.engine.engine import Engine
from hyper.engine.events import EventBus
from hyper.engine.identities import Identities
from hyper.engine.lifecycle import startup
from hyper.engine.lifecycle.host import CONTAINER_UIDS, DAEMONS, MAX_DAEMONS, Host, machine_uids
from hyper.engine.lifecycle.register import Register
from hyper.engine.lifecycle.sandboxes import Sandboxes
from hyper.engine.lifecycle.start_log import StartLog
from hyper.engine.network.container_networks import ContainerNetworks
from hyper.engine.network.guest_view import GuestView
from hyper.engine.network.lease_table import LeaseTable
from hyper.engine.network.leases import Leases
from hyper.engine.network.names import Names
from hyper.engine.network.networks import Networks
from hyper.engine.spec import defaults
from hyper.engine.store import Store
from hyper.engine.tasks import Tasks
from hyper.engine.volume.attachments import Attachments
from hyper.engine.volume.drivers import local_drivers
from hyper.engine.volume.volume_record import Kind
from hyper.engine.volume.volumes import Volumes
from hyper.errors import HyperError
from hyper.image import proxy
from hyper.image.images import Images
from hyper.image.local_sources import LocalEngines
from hyper.machine import kernel_file
from hyper.machine.drivers import Drivers
from hyper.network import ipam
from hyper.network.bridge import taps
from hyper.network.bridge.driver import BridgeDriver
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.networks import BridgedNetworks
from hyper.network.driver import NetworkDriver, Spawn
from hyper.network.names import Views
from hyper.network.user.driver import UserDriver
from hyper.sandbox.scratch import ScratchDisks
from hyper.system import files, lock, numbers, pidfile

logger = logging.getLogger(__name__)

#: How long open requests have to end when the daemon stops.
_SHUTDOWN_S: Final = 2.0
#: Of the daemon's id: they say which of 4096 numbers it would like.
_DIGITS: Final = 3


def main(argv: Sequence[str] | None = None, *, makers: Makers = hypervisors.BUILT_IN) -> int:
    """Run hyperd with the hypervisors of ``makers``; returns its exit code."""
    try:
        config, ready_fd = options.read(argv)
        defaults.check(config)
        log.set_up(config.log_level)
        asyncio.run(serve(config, ready_fd, makers))
    except (HyperError, OSError) as error:
        print(f"hyperd: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(config: Config, ready_fd: int | None, makers: Makers) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        HyperError: hyperd cannot be started (another daemon uses the roots, a socket is in use…).
    """
    _take_all_descriptors()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, _stay)
    async with AsyncExitStack() as stack:
        if config.pidfile is not None:
            stack.enter_context(pidfile.written(config.pidfile))
        engine = await stack.enter_async_context(_engine(config, makers))
        await stack.enter_async_context(_http(config, engine))
        _say_ready(ready_fd)
        await stopped.wait()
        logger.info("stopping; machines go on")


def _stay() -> None:
    """A handler of SIGHUP that changes nothing. Service managers send it, for dockerd reads its configuration then."""
    logger.warning("SIGHUP changes nothing: the configuration is read when the daemon starts")


@asynccontextmanager
async def _engine(config: Config, makers: Makers) -> AsyncIterator[Engine]:
    """The engine with its roots locked, its store open and its walls up; released in reverse."""
    async with AsyncExitStack() as stack:
        # The group that may use the socket has to get to it; what else is there has modes of its own.
        for root, mode in ((config.data_root, 0o700), (config.exec_root, 0o711)):
            files.make_private_dir(root, mode=mode)
            stack.enter_context(lock.hold(root / "lock", purpose=f"the folder {root}"))
        # What machines there are is nobody's business; theirs are the folders within.
        for name in ("vm", "pool"):
            folder = config.exec_root / name
            folder.mkdir(mode=0o711, exist_ok=True)
            folder.chmod(0o711)
        _check_guest(config)
        drivers = hypervisors.make(config, makers)
        images = Images(
            config.data_root / "image",
            insecure_registries=config.insecure_registries,
            registry_mirrors=config.registry_mirrors,
            certs_dirs=certs_dirs(),
            authorities=config.registry_ca,
            proxies=proxy.read(config.http_proxy, config.https_proxy, config.no_proxy),
            keep_blobs=not config.discard_blobs,
            local_engines=LocalEngines(config.local_engines),
        )
        await images.open()
        stack.push_async_callback(images.close)
        store = Store(config.data_root / "hyper.db")
        register = Register()
        engine = Engine(_host(config, drivers, images, store, register, _number(store)), register)
        stack.callback(_give_number_back, engine)
        stack.push_async_callback(engine.close)
        await engine.open()
        yield engine


def _number(store: Store) -> int | None:
    """The number of this daemon among the host's, for as long as machines of it run; None without root."""
    if os.geteuid() != 0:
        return None
    preferred = int(store.daemon_id[:_DIGITS], 16)
    number = numbers.claim(DAEMONS, store.daemon_id, preferred=preferred, count=MAX_DAEMONS)
    logger.debug("daemon %d of this host", number)
    return number


def _give_number_back(engine: Engine) -> None:
    if engine.host.privileged and not engine.host.sandboxes.any():
        numbers.give_back(DAEMONS, engine.host.store.daemon_id)


def _volume_kind(config: Config, *, root: bool) -> Kind:
    """The kind of volumes that do not ask for one. Only root's file server can give files other owners."""
    if config.default_volume_type == "auto":
        return Kind.DIRECTORY if root else Kind.IMAGE
    return Kind(config.default_volume_type)


def _host(
    config: Config,
    drivers: Drivers,
    images: Images,
    store: Store,
    register: Register,
    number: int | None,
) -> Host:
    events, tasks = EventBus(), Tasks()
    scratch = ScratchDisks(config.data_root / "scratch")
    folder = config.data_root / "volume"
    volumes = Volumes(folder, events, local_drivers(folder, scratch))
    uids = None if number is None else machine_uids(number)
    identities = Identities(
        None if uids is None else uids[CONTAINER_UIDS:], used=lambda: sandboxes.uids()
    )
    table = LeaseTable()
    names = Names(table, register.id_of)
    network = _network_driver(config, store, number, uids, names.view, tasks.spawn)
    networks = Networks(store, events, network)
    leases = Leases(networks, network, table)
    starter = startup.starter(config, drivers, scratch, identities, network)
    sandboxes = Sandboxes(store, drivers, starter, config.exec_root)
    return Host(
        config=config,
        store=store,
        images=images,
        drivers=drivers,
        scratch=scratch,
        volumes=volumes,
        attachments=Attachments(volumes, default=_volume_kind(config, root=uids is not None)),
        events=events,
        tasks=tasks,
        uids=uids,
        networks=networks,
        network_driver=network,
        leases=leases,
        container_networks=ContainerNetworks(
            networks, leases, GuestView(table, network), find=register.record_of
        ),
        identities=identities,
        starter=starter,
        start_log=StartLog(),
        sandboxes=sandboxes,
    )


def _network_driver(
    config: Config,
    store: Store,
    number: int | None,
    uids: range | None,
    views: Views,
    spawn: Spawn,
) -> NetworkDriver:
    """The network driver that this process can have: bridges take root, and TAPs."""
    obstacle = taps.obstacle()
    if number is None or obstacle is not None:
        if number is not None:
            logger.warning("networks are limited to user networking: %s", obstacle)
        return UserDriver(obstacle or "", uids=uids, table=f"hyper_{store.daemon_id[:12]}")
    fabric = Fabric(store.daemon_id, number)
    pools = [ipam.pool(text) for text in config.default_address_pools] or ipam.DEFAULT_POOLS
    networks = BridgedNetworks(
        fabric, seed=store.daemon_id, pools=pools, host_services=config.host_services
    )
    return BridgeDriver(fabric, networks, views=views, spawn=spawn)


def _check_guest(config: Config) -> None:
    """A check of the guest's files. Raises: HyperError: one is missing, or the kernel configured is none."""
    for name in ("vmlinux", "initrd"):
        if not (config.assets / name).is_file():
            raise HyperError(
                f"the guest's {name} is missing in {config.assets}",
                hint="run `make setup` in Hyper's source folder, or say --assets DIR",
            )
    if config.kernel is not None:
        kernel_file.read(config.kernel)


@asynccontextmanager
async def _http(config: Config, engine: Engine) -> AsyncIterator[None]:
    runner = web.AppRunner(
        build_app(engine, Browsers.of(config)),
        access_log=None,
        logger=connections.logger(),
        handler_cancellation=True,
        keepalive_timeout=connections.IDLE_TIMEOUT_S,
        shutdown_timeout=_SHUTDOWN_S,
    )
    await runner.setup()
    async with AsyncExitStack() as gone, AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        for host in config.hosts:
            served = await stack.enter_async_context(listen(runner, host, config, gone))
            logger.info("serving on %s", served)
        yield


def _take_all_descriptors() -> None:
    """The highest limit of descriptors is set: a machine takes some eight, and shells usually give 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say_ready(fd: int | None) -> None:
    if fd is not None:
        os.write(fd, b"1")
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main())
