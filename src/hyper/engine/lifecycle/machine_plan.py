"""Plans of machines and of what comes into them, from containers' records, volumes and networks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from hyper.engine.lifecycle import kernels, own_files
from hyper.engine.lifecycle.host import Host
from hyper.engine.network import nics
from hyper.engine.network.container_networks import request_of
from hyper.engine.network.recorded_leases import MachineNetwork
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.lead import Lead
from hyper.engine.record.pod import PodRecord
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import agent_requests, pod_machine, resources
from hyper.engine.volume.attachment import Attachment, in_share
from hyper.engine.volume.attachments import Room
from hyper.machine.abilities import SharedFolders
from hyper.machine.driver import Driver
from hyper.machine.spec import Disk, FileBlocks, MachineSpec
from hyper.machine.template import Card, Shape
from hyper.sandbox.sandbox import Joining, Plan
from hyper.sandbox.shape import layer_disks
from hyper.system import affinity

#: Disks a machine has beside volumes: its scratch, and at least one with the image's layers.
_OTHER_DISKS: Final = 2


def room(driver: Driver) -> Room:
    """The room for volumes that a machine has when it is launched."""
    return Room(
        disks=driver.max_disks(shared=False) - _OTHER_DISKS,
        disks_beside_share=driver.max_disks(shared=True) - _OTHER_DISKS,
        shares=isinstance(driver, SharedFolders),
    )


def shape(record: Lead, host: Host, attached: Attachment) -> Shape | None:
    """The shape of a pooled machine that would do for ``record``; None: none would."""
    spec = record.spec
    if attached.shared or spec.kernel:
        return None
    size = resources.next_size(spec, available=affinity.available())
    if not spec.network.own:
        return Shape(size.vcpus, size.memory_mib, Card.NONE)
    kind = host.network_driver.spare_kind(request_of(record))
    return None if kind is None else Shape(size.vcpus, size.memory_mib, Card(kind))


async def _layers(record: Lead, host: Host, most: int) -> list[Path]:
    if isinstance(record, PodRecord):
        return [pod_machine.layer(host.config)]
    return await host.images.disks(record.spec.image.id, max_disks=most)


async def machine_plan(
    sandbox_id: str,
    record: Lead,
    host: Host,
    attached: Attachment,
    network: MachineNetwork,
) -> Plan:
    """The plan of a sandbox of ``record``'s own, with its volumes and lease.

    Raises:
        Forbidden: the hypervisor does not take the cards.
        HyperError: a layer of the image is missing, or there are more than the machine takes.
    """
    available = affinity.available()
    size = resources.next_size(record.spec, available=available)
    driver = host.driver(record.spec)
    nics.check_taken(driver, network.nics)
    await kernels.check(record.spec.kernel, joins=False)
    beside = 1 + len(attached.disks)
    most = layer_disks(driver, beside=beside, shared=bool(attached.shared))
    layers = await _layers(record, host, most)
    guest = network.guest
    scratch = host.folder(record.id).scratch
    disks = [
        Disk(agent_requests.layer_name(Placement(), n, path), FileBlocks(path), True)
        for n, path in enumerate(layers)
    ]
    spec = MachineSpec(
        name=sandbox_id[:16],
        vcpus=size.vcpus,
        memory_mib=size.memory_mib,
        kernel=kernels.of(record.spec, host.config),
        initrd=host.config.guest_initrd,
        disks=(
            *disks,
            Disk(agent_requests.scratch_name(Placement()), FileBlocks(scratch), False),
            *attached.disks,
        ),
        shared=attached.shared,
        nics=network.nics,
        run_dir=host.sandboxes.run_dir(sandbox_id),
        uid=host.uid(record.identity),
        limits=resources.machine_limits(record.spec.limits, available=available),
    )
    return Plan(
        driver=driver,
        spec=spec,
        setup=agent_requests.sandbox_setup(record, guest),
        container=agent_requests.container_create(
            record,
            Placement(),
            layers,
            agent_requests.network_files(record, guest),
            attached.mounts,
        ),
        program=agent_requests.main_program(record, Placement()),
        limits=resources.guest_limits(Placement(), record.spec.limits),
        connected=network.connected,
    )


async def join_plan(
    record: ContainerRecord,
    placement: Placement,
    lead: Lead,
    host: Host,
    attached: Attachment,
) -> Joining:
    """The plan for a start of ``record`` in the running machine of ``lead``, whose network and share it has there.

    Raises:
        Conflict: the container mounts a directory of the host that is not in the machine's share.
        HyperError: a layer of the image is missing, or there are more than the machine takes.
    """
    there = host.attachments.shared_paths(lead) if attached.shared else ()
    mounts = in_share(attached.mounts, attached.shared, there)
    most = layer_disks(host.driver(lead.spec), beside=0, shared=False)
    layers = await host.images.disks(record.image_id, max_disks=most)
    scratch = host.folder(record.id).scratch
    files = agent_requests.network_files(
        lead, host.container_networks.guest_config(lead), reader=record
    )
    if record.member is not None and isinstance(lead, PodRecord):
        mounts = (*pod_machine.member_mounts(record, lead), *mounts)
        files = (*files, *await asyncio.to_thread(own_files.read, host.folder(record.id)))
    return Joining(
        disks=(
            *(
                Disk(agent_requests.layer_name(placement, n, path), FileBlocks(path), True)
                for n, path in enumerate(layers)
            ),
            Disk(agent_requests.scratch_name(placement), FileBlocks(scratch), False),
            *attached.disks,
        ),
        container=agent_requests.container_create(record, placement, layers, files, mounts),
        program=agent_requests.main_program(record, placement),
        limits=resources.guest_limits(placement, record.spec.limits),
    )
