"""Limits of a container that exists, running or not, changed by POST /containers/{id}/update."""

from __future__ import annotations

from msgspec import structs

from hyper.engine.lifecycle.container import REQUEST_TIMEOUT_S, Container
from hyper.engine.record.container_spec import NetworkKind, ResourceLimits
from hyper.engine.spec import create, from_docker, resources, restart
from hyper.errors import Conflict, GuestError
from hyper.sandbox.sandbox import Sandbox
from hyper.system import affinity, memory
from hyper.types.container import HostConfig
from hyper.units import MIB

_NOT_NOW = "takes effect when the container is started again: its machine has been made"


async def update(container: Container, new: HostConfig) -> list[str]:
    """The limits that ``new`` names hold, at once where the container runs; warnings.

    Raises:
        InvalidRequest: values that make no sense.
        Conflict: the container is being removed, or wants more memory than its running machine has.
        GuestError, MachineError: a limit was refused; nothing is kept then. Unavailable: the machine is silent.
    """
    container.refuse_removed()
    await container.answering()
    available = affinity.available()
    changed = resources.updated(container.record.host_config, new)
    changed, warnings = resources.checked(changed, available=available)
    warnings += [item for item in create.ignored(new) if item not in warnings]
    restart.check(changed)
    spec = structs.replace(
        container.record.spec,
        limits=resources.limits(changed),
        restart=from_docker.restart_rule(changed.restart_policy),
    )
    joins = spec.network.kind is NetworkKind.JOINED
    size = resources.size(
        spec.limits,
        spec.size.memory_mib,
        joins=joins,
        cpus=len(available),
        available_mib=memory.total_mib(),
    )
    if container.live and container.sandbox is not None:
        _check_fits(container, spec.limits)
        await _apply(container, container.sandbox, spec.limits)
        there = container.sandbox.machine.record.vcpus
        if size.vcpus > there and not container.placement.joined:
            warnings.append(f"More than {there} CPUs {_NOT_NOW}.")
    if not joins:
        size = resources.next_size(spec, available=available)
        spec = structs.replace(spec, size=size)
    container.record.host_config, container.record.spec = changed, spec
    container.save()
    container.publish("update")
    return warnings


def _check_fits(container: Container, limits: ResourceLimits) -> None:
    size = container.size.memory_mib
    if limits.memory_bytes > size * MIB:
        raise Conflict(
            f"Cannot update container {container.record.id}: its running machine has {size} MiB of memory",
            hint="stop it, update it, and start it again: the machine is made with its memory",
        )


async def _apply(container: Container, sandbox: Sandbox, changed: ResourceLimits) -> None:
    old = container.record.spec.limits
    request = resources.guest_change(container.placement, old, changed)
    if request is not None:
        try:
            async with sandbox.power.awake():
                await sandbox.session.call(request, timeout_s=REQUEST_TIMEOUT_S)
        except GuestError as error:
            raise Conflict(
                f"Cannot update container {container.record.id}: {error.message}"
            ) from error
    available = affinity.available()
    limits = resources.machine_limits(changed, available=available)
    shared = container.placement.joined  # the machine is another's
    if limits != resources.machine_limits(old, available=available) and not shared:
        await sandbox.machine.limit(limits)
