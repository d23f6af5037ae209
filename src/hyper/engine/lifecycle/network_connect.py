"""Networks that containers are connected to and disconnected from, running or not."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hyper.engine.lifecycle.container import REQUEST_TIMEOUT_S, Container
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.network.recorded_leases import endpoint_on
from hyper.engine.record.container_spec import NetworkKind
from hyper.engine.record.network import EndpointRecord, NetworkRecord
from hyper.engine.spec import agent_requests, endpoints
from hyper.errors import Conflict, Forbidden, HyperError, InvalidRequest, NotFound
from hyper.network.guest_config import ip
from hyper.proto.message import ContainerFiles, InterfaceAdd, InterfaceRemove, Request
from hyper.types.container import EndpointAsked

MAX_ENDPOINTS: Final = 24


async def connect(container: Container | Pod, network: NetworkRecord, asked: EndpointAsked) -> None:
    """The container or pod is on the network: from its next start on, or at once if it runs.

    Raises:
        Forbidden: the container runs and is on it already, or there are no networks to join here.
        InvalidRequest: the request makes no sense (Docker's words).
        Conflict: an address is in use, or the container is paused.
        HyperError: the host or the agent failed; then it is not on the network.
    """
    record = container.record
    container.host.network_driver.require_networks(f"cannot connect to network {network.name}")
    if record.spec.network.kind is NetworkKind.NONE:
        raise InvalidRequest(
            "container cannot be connected to multiple networks with one of the networks in "
            "private (none) mode"
        )
    if not record.spec.network.own:
        raise InvalidRequest(
            "container sharing network namespace with another container or host cannot be connected "
            "to any other network"
        )
    endpoint = endpoints.of(network, asked)
    await container.answering()
    async with container.lock:
        if endpoint_on(record, network.id) is not None:
            if not container.live:
                return  # as dockerd: it stays as it was asked for first
            raise Forbidden(
                f"endpoint with name {record.name} already exists in network {network.name}"
            )
        if len(record.endpoints) >= MAX_ENDPOINTS:
            raise Forbidden(f"container {record.name} is on {MAX_ENDPOINTS} networks already")
        if not container.live:
            record.endpoints.append(endpoint)
        else:
            await _connect_running(container, endpoint)
        container.save()


async def _connect_running(container: Container | Pod, endpoint: EndpointRecord) -> None:
    container.refuse_paused("connecting it")
    networks, record = container.host.container_networks, container.record
    await networks.connect(record, endpoint)
    try:
        for added in networks.interfaces_on(record, endpoint.network_id):
            await _ask(container, InterfaceAdd(added))
        await _refresh(container)
    except BaseException:
        with contextlib.suppress(HyperError):
            await _ask(container, _removal(endpoint))
        await networks.disconnect(record, endpoint)
        raise


async def disconnect(container: Container | Pod, network: NetworkRecord, *, force: bool) -> None:
    """The container or pod is not on the network any more. ``force``: also where its agent does not answer.

    Raises:
        Forbidden: it was not.
        Conflict: it is paused.
        HyperError: the host or the agent failed.
    """
    host, record = container.host, container.record
    if not force:
        await container.answering()
    async with container.lock:
        endpoint = endpoint_on(record, network.id)
        if endpoint is None:
            raise Forbidden(f"container {record.id} is not connected to network {network.name}")
        host.network_driver.require_networks(f"cannot leave network {network.name}")
        if not container.live:
            record.endpoints.remove(endpoint)
            container.save()
            return
        try:
            await _disconnect_running(container, endpoint, force=force)
        finally:
            container.save()  # the host's half is gone, whatever the agent said


async def _disconnect_running(
    container: Container | Pod, endpoint: EndpointRecord, *, force: bool
) -> None:
    container.refuse_paused("disconnecting it")
    # The host first: what a guest says about it does not matter.
    await container.host.container_networks.disconnect(container.record, endpoint)
    try:
        await _ask(container, _removal(endpoint))
        await _refresh(container)
    except HyperError:
        if not force:
            raise


async def unlink(container: Container, alias: str) -> None:
    """The container has no link ``alias``; a program that runs keeps its variables.

    Raises:
        NotFound: it had none.
        Conflict: it is paused.
        HyperError: the agent failed.
    """
    record = container.record
    await container.answering()
    async with container.lock:
        if alias not in record.links:
            raise NotFound(f"No such link: /{record.name}/{alias}")
        if container.live:
            container.refuse_paused("removing a link of it")
        del record.links[alias]
        container.save()
        container.host.container_networks.rename(record)
        if container.live:
            await _refresh(container)


def _removal(endpoint: EndpointRecord) -> InterfaceRemove:
    addresses = [ip(IPv4Address(endpoint.address), endpoint.prefix)]
    if endpoint.address6:
        addresses.append(ip(IPv6Address(endpoint.address6), endpoint.prefix6))
    return InterfaceRemove(bytes.fromhex(endpoint.mac.replace(":", "")), tuple(addresses))


async def _refresh(container: Container | Pod) -> None:
    """The guest's default route and files are up to date with the container's networks."""
    networks, record = container.host.container_networks, container.record
    for routed in networks.default_routes(record):
        await _ask(container, InterfaceAdd(routed))
    guest = networks.guest_config(record)
    kept = container.running().kept
    readers = {item.record.id: item.record for item in kept.others(None)}
    for reader in {record.id: record, **readers}.values():
        files = agent_requests.network_files(record, guest, reader=reader)
        await _ask(container, ContainerFiles(kept.placement(reader.id).container, files))


async def _ask(container: Container | Pod, request: Request) -> None:
    sandbox = container.running().sandbox
    try:
        await sandbox.session.call(request, timeout_s=REQUEST_TIMEOUT_S)
    except HyperError:
        if not container.live:
            raise Conflict(f"container {container.record.id} is not running") from None
        raise
