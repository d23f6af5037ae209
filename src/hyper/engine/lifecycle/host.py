"""The daemon's parts, built once, with which all use cases work."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.config import Config
from hyper.engine.events import EventBus
from hyper.engine.identities import Identities
from hyper.engine.lifecycle.sandboxes import Sandboxes
from hyper.engine.lifecycle.start_log import StartLog
from hyper.engine.network.container_networks import ContainerNetworks
from hyper.engine.network.leases import Leases
from hyper.engine.network.networks import Networks
from hyper.engine.record.container_spec import ContainerSpec
from hyper.engine.record.folder import ContainerFolder
from hyper.engine.store import Store
from hyper.engine.tasks import Tasks
from hyper.engine.volume.attachments import Attachments
from hyper.engine.volume.volumes import Volumes
from hyper.image.images import Images
from hyper.machine.driver import Driver
from hyper.machine.drivers import Drivers
from hyper.network.driver import NetworkDriver
from hyper.sandbox.scratch import ScratchDisks
from hyper.sandbox.starter import Starter
from hyper.system import jail

#: Unprivileged identities of machines when the daemon is root: one each, none in /etc/passwd. Every daemon of a host
#: has a range of its own (by its number, above what probes share), so that two daemons' machines are strangers too.
_FIRST_UID: Final = jail.FIRST_MACHINE_UID + jail.MACHINE_UID_COUNT
_UIDS_PER_DAEMON: Final = 16384
#: The first of them are containers'; the others are for machines that exist before their container does.
CONTAINER_UIDS: Final = 12288

#: Which daemon of the host has which number, and how many there are.
DAEMONS: Final = Path("/run/hyper-daemons.json")
MAX_DAEMONS: Final = 4096


def machine_uids(number: int) -> range:
    """The identities that daemon ``number`` gives to its machines."""
    first = _FIRST_UID + number * _UIDS_PER_DAEMON
    return range(first, first + _UIDS_PER_DAEMON)


@dataclass(frozen=True, slots=True)
class Host:
    """The parts of the daemon. ``uids``: its machines' identities if it runs as root; None: they run as itself."""

    config: Config
    store: Store
    images: Images
    drivers: Drivers
    scratch: ScratchDisks
    volumes: Volumes
    attachments: Attachments
    events: EventBus
    tasks: Tasks
    uids: range | None
    networks: Networks
    network_driver: NetworkDriver
    leases: Leases
    container_networks: ContainerNetworks
    identities: Identities
    starter: Starter
    start_log: StartLog
    sandboxes: Sandboxes

    @property
    def privileged(self) -> bool:
        """Whether the daemon runs as root."""
        return self.uids is not None

    def uid(self, identity: int | None) -> int | None:
        """The user id of the machine of a container with ``identity``; None: the daemon's own."""
        return None if self.uids is None or identity is None else self.uids[identity]

    def driver(self, spec: ContainerSpec) -> Driver:
        """The driver of the hypervisor that ``spec`` asks for.

        Raises:
            InvalidRequest: this daemon does not have it.
        """
        return self.drivers.get(spec.hypervisor)

    def folder(self, container_id: str) -> ContainerFolder:
        """The folder of a container or pod: its files beside its record."""
        return ContainerFolder(self.config.data_root / "containers" / container_id)

    async def remove_folder(self, id: str) -> None:
        """The folder of a container or pod is gone, with all that it held. Raises: OSError."""
        await asyncio.to_thread(_remove_tree, self.folder(id).path)


def _remove_tree(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
