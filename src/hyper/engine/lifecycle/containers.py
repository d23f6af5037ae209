"""All containers: made, found, listed, and found again after the daemon's death."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from hyper.engine.lifecycle import kernels, removal
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.host import CONTAINER_UIDS, Host
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.lifecycle.recovery import Recovery
from hyper.engine.lifecycle.register import Register
from hyper.engine.network import nics
from hyper.engine.output import log_segment
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.container_spec import ContainerSpec
from hyper.engine.record.lead import Lead
from hyper.engine.record.mount import MountPoint
from hyper.engine.record.pod import Member
from hyper.engine.record.sandbox import Placement
from hyper.engine.record.state import Status
from hyper.engine.spec import (
    agent_requests,
    endpoints,
    from_docker,
    links,
    mounts,
    request,
    resources,
    restart,
    seccomp,
    shared_sandbox,
)
from hyper.engine.spec.request import Facts, Surroundings
from hyper.engine.volume import policy
from hyper.errors import Conflict, HyperError, InvalidRequest, NotFound
from hyper.ids import NAME_PATTERN, is_valid_name, new_id, random_name
from hyper.image import platform as image_platform
from hyper.machine.abilities import SharedFolders
from hyper.system import affinity, files, memory
from hyper.types.container import ContainerConfig, CreateBody, Healthcheck, HostConfig

logger = logging.getLogger(__name__)

MAX_CONTAINERS: Final = 10_000
#: Containers a starting daemon starts at the same time, per CPU.
_STARTS_PER_CPU: Final = 2


class Containers:
    """All containers of this daemon: made, found again, started with the daemon.

    ``register`` has every container from its creation on.
    """

    def __init__(self, host: Host, register: Register) -> None:
        self._host = host
        self._register = register
        #: Names of containers that are kept and not in the table yet.
        self._making: set[str] = set()

    # Finding

    def get(self, name: str) -> Container:
        """The container called ``name``: as Register.get. Raises: NotFound, InvalidRequest; Conflict: it is a pod."""
        return self._register.get(name)

    def lead(self, name: str) -> Container | Pod:
        """The container or pod called ``name``: as Register.lead. Raises: NotFound, InvalidRequest."""
        return self._register.lead(name)

    def all(self) -> list[Container]:
        """All containers, the newest first."""
        return sorted(self._register, key=lambda item: -item.record.created_ns)

    def by_image(self, *, up: bool = False) -> dict[str, list[str]]:
        """The ids of containers by their images' ids; with ``up`` only of those that run or will."""
        found: dict[str, list[str]] = {}
        for item in self._register:
            if item.up or not up:
                found.setdefault(item.record.image_id, []).append(item.record.id)
        return found

    # Making

    async def create(
        self,
        name: str | None,
        body: CreateBody,
        *,
        platform: str = "",
        member: Member | None = None,
        liveness: Healthcheck | None = None,
    ) -> tuple[Container, list[str]]:
        """A new container and warnings about what has no effect; nothing runs yet. ``member``: it is one of a pod's.

        ``liveness``: the check whose failure ends its program.

        ``platform``: the image has to be for it. What can be found out at the start only, such as a network that is
        not there yet, is left to the start, as dockerd does.

        Raises:
            NotFound: the image is not here ("No such image"), or not for ``platform``; nothing else, since clients pull
                it then and try again.
            InvalidRequest, NotImplementedYet: the container cannot be as asked.
            Conflict: the name is taken.
        """
        self.check_room()
        facts = self.facts()
        host, warnings = request.of_body(body, facts)
        wanted = image_platform.parse(platform) if platform else None
        image = self._host.images.get(body.image)
        host, more = request.with_image(host, image, body, wanted, facts)
        warnings += more
        filter_ = await seccomp.of_container(host)
        await kernels.check(from_docker.kernel(host), joins=shared_sandbox.owner_named(host) != "")
        # From here to where the name is taken nothing else happens in this daemon.
        self.check_name(name)
        host = self._by_id(host)
        around = Surroundings(self._mounts_of, os.path.exists)
        spec, config = request.build(
            body, host, image, facts, around, seccomp=filter_, liveness=liveness
        )
        if spec.hypervisor:
            self._check_hypervisor(spec)
        record = self._record(name, config, host, spec)
        record.member = member
        record.links = links.of_new_container(host, self._linked)
        record.endpoints = endpoints.of_new_container(
            host, body.networking_config, body.mac_address, self._host.networks.get, late=True
        )
        dry_run(record, self._joined(record))
        return await self._keep(record), [*warnings, *self._mount_warnings(record)]

    def _mount_warnings(self, record: ContainerRecord) -> list[str]:
        """Warnings about mounts that work, and not as the client may think."""
        shared = self._host.volumes.shared(record.mounts)
        return [
            *mounts.warnings(record.mounts, is_socket=files.is_socket),
            *mounts.shared_warnings(shared, self._in_other_machines(record)),
        ]

    def _joined(self, record: ContainerRecord) -> Lead | None:
        """The record of the container or pod whose machine ``record`` asks for; None: it asks for its own."""
        if record.member is not None:
            return self._register.pod_of_id(record.member.pod).record
        try:
            return self._register.lead(record.spec.network.joins).record
        except NotFound:  # the start will say so
            return None

    def _in_other_machines(
        self, record: ContainerRecord
    ) -> Iterator[tuple[str, Iterable[MountPoint]]]:
        """Names and mounts of containers that run in other machines than the one that ``record`` asks for."""
        lead = self._joined(record)
        joined = "" if lead is None else lead.id
        for other in self._register:
            if other.live and not (other.kept is not None and joined in other.kept.record.members):
                yield other.record.name, other.record.mounts

    def _check_hypervisor(self, spec: ContainerSpec) -> None:
        """A check of the hypervisor that a client has named, which can be found out before the start.

        Raises:
            InvalidRequest: the container runs in another's machine. Forbidden: it cannot be connected.
        """
        if spec.network.joins:
            raise InvalidRequest(
                f"hypervisor {spec.hypervisor}: a container that runs in another's machine has its hypervisor"
            )
        if spec.network.own:
            nics.check_kind(self._host.driver(spec), self._host.network_driver.card)

    def check_room(self) -> None:
        """There is room for one more container. Raises: Conflict: there is none."""
        if len(self._register) >= MAX_CONTAINERS:
            raise Conflict(f"there are {MAX_CONTAINERS} containers already")

    def facts(self) -> Facts:
        """The facts of the host that a request is settled with."""
        memory_mib, names = memory.total_mib(), self._host.drivers.names
        return Facts(self._host.config, affinity.available(), memory_mib, names)

    def _by_id(self, host: HostConfig) -> HostConfig:
        """The host configuration that names a container to be joined by its id, if it is here: it may be renamed."""
        owner = shared_sandbox.owner_named(host)
        if owner:
            with contextlib.suppress(NotFound):  # the start will say so
                mode = shared_sandbox.mode_of(self._register.lead(owner).record.id)
                return replace(host, network_mode=mode)
        return host

    def check_name(self, name: str | None) -> None:
        """The name is fit for a container, and free. Raises: InvalidRequest, Conflict (Docker's words)."""
        if name is None:
            return
        bare = name.removeprefix("/")
        if not is_valid_name(bare):
            raise InvalidRequest(
                f"Invalid container name ({name}), only {NAME_PATTERN.pattern} are allowed"
            )
        if (other := self._register.named(bare)) is not None:
            raise Conflict(
                f'Conflict. The container name "/{bare}" is already in use by container '
                f'"{other.record.id}". You have to remove (or rename) that container '
                "to be able to reuse that name."
            )
        if bare in self._register.names():
            raise Conflict(f'Conflict. The container name "/{bare}" is already in use by a pod.')

    def rename(self, container: Container, name: str) -> None:
        """The container is called ``name``.

        Raises:
            InvalidRequest: not a valid name, or the one that it has.
            Conflict: another container is called so.
        """
        record, bare = container.record, name.removeprefix("/")
        if not bare:
            raise InvalidRequest("Neither old nor new names may be empty")
        if bare == record.name:
            raise InvalidRequest("Renaming a container with the same name as its current name")
        self.check_name(name)
        old = record.name
        self._register.rename(container, bare)
        try:
            self._host.store.save_container(record)
        except HyperError:
            self._register.rename(container, old)
            raise
        self._host.container_networks.rename(record)
        container.publish("rename", oldName=f"/{old}")

    def _record(
        self,
        name: str | None,
        config: ContainerConfig,
        host: HostConfig,
        spec: ContainerSpec,
    ) -> ContainerRecord:
        return ContainerRecord(
            id=new_id(),
            name=name.removeprefix("/") if name else self._free_name(),
            created_ns=time.time_ns(),
            config=config,
            host_config=host,
            spec=spec,
        )

    def _mounts_of(self, name: str) -> Iterable[MountPoint]:
        try:
            return self.get(name).record.mounts
        except NotFound as error:
            raise InvalidRequest(error.message) from None

    def _linked(self, name: str) -> ContainerRecord:
        try:
            return self.get(name).record
        except NotFound as error:
            raise InvalidRequest(f"could not get container for {name}: {error.message}") from None

    def _free_name(self) -> str:
        taken = self._making | self._register.names()
        name = random_name()
        while name in taken:
            name = random_name(suffix=True)
        return name

    async def _keep(self, record: ContainerRecord) -> Container:
        """The new container is kept on disk, then in the table; all is undone when any step fails."""
        store, images = self._host.store, self._host.images
        if self._host.privileged:
            record.identity = store.free_identity(CONTAINER_UIDS)
        store.add_container(record)
        self._making.add(record.name)
        folder = self._host.folder(record.id)
        container = None
        try:
            shares = isinstance(self._host.driver(record.spec), SharedFolders)
            await self._host.volumes.hold(record, open_as=policy.made_for(shares=shares))
            await images.hold(record.id, record.image_id)
            folder.path.mkdir(mode=0o700, parents=True)
            container = self._container(record)
            # Who is quick to start or to remove it waits until it is whole.
            async with container.lock:
                self._adopt(container)
                await self._host.scratch.create(
                    folder.scratch, size=resources.scratch_size(record.host_config)
                )
        except BaseException:
            await self._undo(record, container)
            raise
        finally:
            self._making.discard(record.name)
        container.publish("create")
        return container

    async def _undo(self, record: ContainerRecord, container: Container | None) -> None:
        if container is not None:
            await removal.remove(container, force=True, volumes=True)
            return
        await self._host.images.release(record.id)
        await self._host.volumes.release(record, anonymous=True)
        self._host.store.delete_container(record.id)

    def _container(self, record: ContainerRecord) -> Container:
        return Container(
            record, self._host, find=self._register.lead, find_pod=self._register.pod_of_id
        )

    def _adopt(self, container: Container) -> None:
        self._register.add(container)

    # Coming back

    async def recover(self, pods: list[Pod]) -> None:
        """The kept containers are known; those and ``pods`` whose machines still run are watched over again."""
        records = self._host.store.containers()
        all_: list[Lead] = [*records, *(pod.record for pod in pods)]
        for record in all_:
            self._host.volumes.held(record)
        leads = [item for item in all_ if self._host.sandboxes.of_id(item.id) is not None]
        await self._host.container_networks.open(leads)
        whole = []
        for record in records:
            if self._is_whole(record):
                whole.append(self._container(record))
                self._adopt(whole[-1])
            else:
                await self._discard(record)
        await Recovery(self._host).run(whole, pods)

    def silent(self) -> list[Container]:
        """Containers whose machines run, or may, and have not answered this daemon yet."""
        return [item for item in self.all() if item.silent]

    def start_pending(self, among: Collection[Container]) -> None:
        """Containers whose restart policy wants them to run are being started, a few at a time."""
        pending = [item for item in among if restart.starts_with_daemon(item.record)]
        room = asyncio.Semaphore(_STARTS_PER_CPU * len(affinity.available()))

        async def start(container: Container, linked: list[asyncio.Task[None]]) -> None:
            if linked:
                await asyncio.wait(linked)
            await self._owner_is_found(container)
            async with room:
                await container.start_with_daemon()

        begun: dict[str, asyncio.Task[None]] = {}
        for container in reversed(pending):
            # Links, and networks of another, lead to older containers, which are in the table already.
            needed = [
                *container.record.links.values(),
                container.record.spec.network.joins,
            ]
            linked = [begun[other] for other in needed if other in begun]
            begun[container.record.id] = self._host.tasks.spawn(
                start(container, linked), name=f"start of {container.record.id[:12]}"
            )

    async def _owner_is_found(self, container: Container) -> None:
        """The machine that ``container`` is to join, if it is to, has answered, or is known to be gone."""
        member, name = container.record.member, container.record.spec.network.joins
        with contextlib.suppress(NotFound):
            if member is not None:
                await self._register.pod_of_id(member.pod).found.wait()
            elif name:
                await self._register.lead(name).found.wait()

    def _is_whole(self, record: ContainerRecord) -> bool:
        """Whether the container's creation had come to its end, and a removal not gone far."""
        folder = self._host.folder(record.id)
        return folder.scratch.exists() and bool(log_segment.found(folder.log))

    async def _discard(self, record: ContainerRecord) -> None:
        """The container, which a killed daemon had begun to make or to remove, is gone."""
        logger.warning("container %s is not whole: it is removed", record.id[:12])
        kept = self._host.sandboxes.of_id(record.id)
        if kept is not None:
            await kept.kill()
            kept.forget()
        self._host.container_networks.release(record)
        folder = self._host.folder(record.id)
        await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)
        await self._host.images.release(record.id)
        await self._host.volumes.release(record, anonymous=True)
        self._host.store.delete_container(record.id)

    async def close(self) -> None:
        """All containers are let go of by this daemon; machines go on."""
        await asyncio.gather(*(container.let_go() for container in self._register))


def dry_run(record: Lead, joined: Lead | None = None) -> None:
    """The requests to the agent can be made from ``record``: mistakes are found when it is made.

    ``joined``: whose machine it asks for.

    Raises:
        InvalidRequest: they cannot.
    """
    agent_requests.check_paths(record)
    if isinstance(record, ContainerRecord) and record.spec.network.joins:
        shared_sandbox.check_mounts(record, joined)
    agent_requests.check_encodes(
        agent_requests.sandbox_setup(record, None),
        agent_requests.container_create(
            record, Placement(), [], agent_requests.network_files(record, None)
        ),
        agent_requests.main_program(record, Placement()),
    )


def by_status(containers: Iterable[Container]) -> dict[Status, int]:
    """The number of containers in each state."""
    counts = dict.fromkeys(Status, 0)
    for container in containers:
        counts[container.record.status] += 1
    return counts
