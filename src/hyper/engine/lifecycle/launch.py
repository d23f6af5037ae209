"""The launch of a sandbox for its lead: volumes, network, machine, program; acquired in order, released in reverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.machine_plan import machine_plan, room, shape
from hyper.engine.lifecycle.sandboxes import KeptSandbox
from hyper.engine.network.recorded_leases import MachineNetwork
from hyper.engine.record.lead import Lead
from hyper.engine.record.pod import PodRecord
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import nfs, pod_machine
from hyper.engine.spec.program_error import program_error
from hyper.engine.volume.attachment import Attachment
from hyper.errors import GuestError
from hyper.sandbox.pool import PooledMachine
from hyper.sandbox.sandbox import Started
from hyper.sandbox.timeline import Timeline


async def launch(
    kept: KeptSandbox, lead: Lead, host: Host, timeline: Timeline, *, begins: Callable[[], None]
) -> Started:
    """The machine of ``kept`` runs with the program of ``lead``, its volumes and its lease.

    ``begins`` is called once all is there but the machine.

    Raises:
        Conflict: a port, an address or a volume is another's.
        InvalidRequest: the program cannot be run (Docker's words and codes).
        MachineError: the machine did not start. In all cases nothing is left but the sandbox, to be forgotten.
    """
    timeline.mark("start asked for")
    async with host.attachments.attach(
        lead, Placement(), room=room(host.driver(lead.spec))
    ) as attached:
        timeline.mark("volumes attached")
        if isinstance(lead, PodRecord):
            attached = replace(attached, mounts=pod_machine.shared(attached.mounts))
            lead.volume_mounts = pod_machine.kept(attached.mounts)
        wanted = shape(lead, host, attached)
        pooled = host.starter.acquire_pooled(host.driver(lead.spec), wanted, timeline)
        try:
            spare = None if pooled is None else pooled.card
            async with host.container_networks.acquire(lead, spare=spare) as network:
                timeline.mark("addresses chosen")
                if network.connected is not None:
                    network.connected.add_done_callback(lambda _: timeline.mark("network joined"))
                return await _launch(kept, lead, host, timeline, attached, network, pooled, begins)
        except BaseException:
            if pooled is not None:
                await pooled.discard()
            raise


async def _launch(
    kept: KeptSandbox,
    lead: Lead,
    host: Host,
    timeline: Timeline,
    attached: Attachment,
    network: MachineNetwork,
    pooled: PooledMachine | None,
    begins: Callable[[], None],
) -> Started:
    todo = await machine_plan(kept.record.id, lead, host, attached, network)
    timeline.mark("machine planned")
    begins()
    try:
        with nfs.named(attached.mounts):
            return await kept.launch(todo, member=lead.id, timeline=timeline, pooled=pooled)
    except GuestError as error:
        raise program_error(error, lead.spec.program.args[0]) from error
