"""Containers that run in another's machine (``--network container:X``): one kernel, one network, each its own files.

The machine is X's: its size is X's, and it ends with X. Source of the rules: moby, runconfig/hostconfig_unix.go
validateNetMode, daemon/container_operations_unix.go; errors in its words.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import structs

from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.folder import ContainerFolder
from hyper.engine.record.mount import BIND
from hyper.engine.record.sandbox import Placement
from hyper.engine.record.state import Status
from hyper.engine.spec import agent_requests, nfs, pod_machine, resources
from hyper.engine.spec.program_error import program_error
from hyper.engine.volume.attachment import Attachment, in_share
from hyper.errors import Conflict, GuestError, HyperError, InvalidRequest, NotFound
from hyper.machine.spec import Disk, FileBlocks
from hyper.proto.message import File, ProcessInfo, ProcessSignal
from hyper.sandbox.sandbox import Joining, Sandbox, Started
from hyper.sandbox.shape import layer_disks
from hyper.system.files import write_atomically

if TYPE_CHECKING:
    from hyper.engine.lifecycle.container import Container

_START_TIMEOUT_S: Final = 60.0
_END_TIMEOUT_S: Final = 10.0


def check_mounts(record: ContainerRecord, find: Callable[[str], Container]) -> None:
    """The mounts of ``record`` can be brought into a machine that runs, or are there.

    Raises:
        InvalidRequest: other paths of the host than the joined container's: a machine gets its share when it is made.
    """
    named = record.spec.network.joins
    if not named:
        return
    there: set[str] = set()
    with contextlib.suppress(NotFound):  # said when it is started
        there = {point.source for point in find(named).record.mounts if point.kind == BIND}
    for point in record.mounts:
        if point.kind == BIND and point.source not in there:
            raise InvalidRequest(
                f"conflicting options: bind mount {point.source} and the container type network mode: "
                "paths of the host cannot be brought into a machine that runs",
                hint="use a volume, or mount the path in the container that is joined",
            )


def owner_of(container: Container) -> Container:
    """The container whose machine ``container`` is to run in; it runs.

    Raises:
        NotFound: that container is gone.
        Conflict: it does not run, or is paused.
    """
    owner = container.find(container.record.spec.network.joins)
    if not owner.live or owner.sandbox is None:
        raise Conflict(f"cannot join network of a non running container: {owner.record.id}")
    owner.refuse_paused("joining its network")
    return owner


async def owner_answers(container: Container) -> None:
    """The machine that ``container`` is to run in answers, as far as is known.

    Raises:
        NotFound: its container is gone. Unavailable: the machine is silent since the daemon started.
    """
    await container.find(container.record.spec.network.joins).answering()


async def owner_is_found(container: Container) -> None:
    """The machine that ``container`` is to run in, should it be another's, has answered, or is known to be gone."""
    name = container.record.spec.network.joins
    if name:
        with contextlib.suppress(NotFound):
            await container.find(name).found.wait()


async def owner_is_back(container: Container) -> None:
    """The container whose machine ``container`` wants is not about to be started again: it runs, or will not."""
    name = container.record.spec.network.joins
    with contextlib.suppress(NotFound):
        owner = container.find(name) if name else container
        if owner is not container and owner.record.status is Status.RESTARTING:
            either: list[asyncio.Future[Any]] = [
                asyncio.ensure_future(owner.wait_started()),
                owner.exits.next(),
            ]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for future in either:
                    future.cancel()


async def join(container: Container, owner: Container, attached: Attachment) -> Started:
    """The program of ``container`` runs in ``owner``'s machine.

    Raises:
        Conflict: the container mounts a directory of the host that is not in the machine's share.
        InvalidRequest: the program cannot be run.
        HyperError: the machine does not take the container; nothing of it is left there.
    """
    sandbox, record, host = owner.sandbox, container.record, container.host
    assert sandbox is not None
    first = container.find(record.seat.owner).record  # whose network and share it is
    there = host.attachments.shared_paths(first) if attached.shared else ()
    mounts = in_share(attached.mounts, attached.shared, there)
    most = layer_disks(host.driver, beside=0, shared=False)
    layers = await host.images.disks(record.image_id, max_disks=most)
    scratch = host.folder(record.id).scratch
    disks = (
        *(
            Disk(agent_requests.layer_name(record.seat, n, path), FileBlocks(path), True)
            for n, path in enumerate(layers)
        ),
        Disk(agent_requests.scratch_name(record.seat), FileBlocks(scratch), False),
        *attached.disks,
    )
    record.seat = structs.replace(record.seat, disks=tuple(disk.name for disk in disks))
    container.save()  # first: a daemon killed now must know what to take away
    files = agent_requests.network_files(
        first, host.container_networks.guest_config(first), reader=record
    )
    if record.member is not None:
        mounts = (*pod_machine.member_mounts(record, first), *mounts)
        own = await asyncio.to_thread(_own_files, host.folder(record.id))
        files = (*files, *own)
    todo = Joining(
        disks=disks,
        container=agent_requests.container_create(record, record.seat, layers, files, mounts),
        program=agent_requests.main_program(record, record.seat),
        limits=resources.guest_limits(record.seat, record.spec.limits),
    )
    try:
        with nfs.named(mounts):
            return await sandbox.join(todo, timeout_s=_START_TIMEOUT_S)
    except GuestError as error:
        raise program_error(error, record.command[0]) from error


def keep_files(folder: ContainerFolder, files: list[File]) -> None:
    """The files that are put into a container are kept with it. Raises: OSError."""
    write_atomically(folder.files, msgspec.json.encode(files))


def _own_files(folder: ContainerFolder) -> tuple[File, ...]:
    try:
        data = folder.files.read_bytes()
    except FileNotFoundError:
        return ()
    return tuple(msgspec.json.decode(data, type=list[File]))


def sit_down(record: ContainerRecord, owner: Container) -> None:
    """The record has a placement in ``owner``'s machine, and that machine's host name, domain name and size."""
    sandbox = owner.sandbox
    assert sandbox is not None
    first = owner.record.seat.owner or owner.record.id
    record.seat = Placement(first, sandbox.new_container(), sandbox.new_process())
    record.config.hostname = agent_requests.hostname(owner.record)
    record.config.domainname = owner.record.spec.domainname
    record.spec = structs.replace(
        record.spec,
        size=owner.record.spec.size,
        hostname=record.config.hostname,
        domainname=record.config.domainname,
    )


async def recover(
    container: Container, owner: Container | None
) -> tuple[Sandbox, ProcessInfo] | None:
    """The sandbox that ``container`` still runs in after the daemon's death, and its program as the agent tells of it.

    None: it does not run any more, and nothing of it is left in the machine of ``owner`` (None: that is gone).
    """
    record = container.record
    sandbox = owner.sandbox if owner is not None else None
    if sandbox is None:
        return None
    sandbox.found(record.seat.container, record.seat.disks)
    known = (info for info in sandbox.hello.processes if info.process == record.seat.process)
    info = next(known, None)
    if container.live and info is not None:
        return sandbox, info
    if info is not None:
        await _end(sandbox, info)
    await sandbox.part(record.seat.container, record.seat.disks)
    return None


async def _end(sandbox: Sandbox, info: ProcessInfo) -> None:
    """The program, whose start an earlier daemon did not live to keep, has ended, unless the agent does not answer."""
    process = sandbox.session.process(
        info.process, tty=False, start={0: info.stdin, 1: info.stdout, 2: info.stderr}
    )
    process.resume()
    sandbox.session.post(ProcessSignal(info.process, signal.SIGKILL))
    with contextlib.suppress(TimeoutError, HyperError):
        async with asyncio.timeout(_END_TIMEOUT_S):
            await process.exited
        sandbox.session.forget(info.process)
