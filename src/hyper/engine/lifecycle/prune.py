"""Removal of unused objects: stopped containers, networks that no container is on. Volumes prune themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from hyper.engine.lifecycle import removal
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.containers import Containers
from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.lead import Lead
from hyper.engine.record.network import PREDEFINED, NetworkRecord
from hyper.errors import Conflict


async def written_bytes(container: Container) -> int:
    """Bytes on disk of what ``container`` has written to its own files."""
    disk = container.host.folder(container.record.id).scratch
    return await asyncio.to_thread(container.host.scratch.written_bytes, disk)


async def prune_containers(
    host: Host, containers: Containers, wanted: Callable[[ContainerRecord], bool]
) -> tuple[list[str], int]:
    """Containers that do not run, belong to no pod and are ``wanted`` are removed: their ids, the bytes they took.

    A container that is started meanwhile stays. Cancelled: what was removed is gone, and no event says so.
    """
    deleted, reclaimed = [], 0
    for container in containers.all():
        if container.record.member is not None:
            continue  # it goes with its pod
        if container.up or not wanted(container.record):
            continue
        written = await written_bytes(container)
        try:
            await removal.remove(container, force=False)
        except Conflict:
            continue  # it was started meanwhile
        deleted.append(container.record.id)
        reclaimed += written
    host.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
    return deleted, reclaimed


async def prune_networks(
    host: Host,
    containers: Containers,
    pods: Iterable[Pod],
    wanted: Callable[[NetworkRecord], bool],
) -> list[str]:
    """Networks of users that no container is on, running or not, and that are ``wanted`` are removed: their names."""
    leads: list[Lead] = [*(item.record for item in containers.all()), *(pod.record for pod in pods)]
    connected = {endpoint.network_id for lead in leads for endpoint in lead.endpoints}
    deleted = []
    for record in host.networks.all():
        if record.name in PREDEFINED or record.id in connected or not wanted(record):
            continue
        await host.leases.remove_network(record)
        deleted.append(record.name)
    host.events.publish("network", "prune", "", {"reclaimed": "0"})
    return deleted
