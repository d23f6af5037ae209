"""The making of pods and of their containers: checked, kept, or undone."""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import replace

from hyper.engine.lifecycle import own_files, removal
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.containers import Containers, dry_run
from hyper.engine.lifecycle.host import CONTAINER_UIDS, Host
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.lifecycle.register import Register
from hyper.engine.record.pod import Member, PodRecord
from hyper.engine.spec import (
    endpoints,
    from_docker,
    pod_machine,
    pod_network,
    pod_spec,
    request,
    shared_sandbox,
)
from hyper.engine.volume import policy
from hyper.errors import Conflict, HyperError
from hyper.ids import new_id
from hyper.machine.abilities import SharedFolders
from hyper.types import pod as wire
from hyper.types.container import HostConfig, RestartPolicy


class PodMaking:
    """The making of pods of this daemon, and of containers in them."""

    def __init__(self, host: Host, containers: Containers, register: Register) -> None:
        self._host = host
        self._containers = containers
        self._register = register

    def check(self, body: wire.PodBody) -> None:
        """The pod can be made as it is asked for, and its name is free.

        Raises:
            NotFound: an image is not here ("No such image").
            InvalidRequest: it makes no sense. Forbidden: it takes bridged networks, which are not to be had here.
            Conflict: the name is taken.
        """
        pod_spec.check(body)
        self._host.network_driver.check_policy(
            pod_network.white_lists(body.white_lists), pod_network.services(body.services)
        )
        for item in (*body.init, *body.containers):
            self._host.images.get(item.body.image)
        self._check_name(body.name)

    def _check_name(self, name: str) -> None:
        """The name is no other pod's, and no container's."""
        if any(pod.record.name == name for pod in self._register.pods()):
            raise Conflict(
                f"there is a pod {name} already",
                hint=f"hyper pod start {name} starts it, hyper pod rm -f {name} removes it",
            )
        self._containers.check_room()
        self._containers.check_name(name)

    def record(self, body: wire.PodBody) -> tuple[PodRecord, list[str]]:
        """The record of a new pod, and warnings about what has no effect. Raises: InvalidRequest, NotFound."""
        facts = self._containers.facts()
        host, warnings = request.settled(pod_machine.anchor_host_config(body), facts)
        spec = from_docker.container_spec(
            pod_machine.anchor_config(body),
            host,
            size=request.size_of(host, facts),
            mounts=pod_machine.mount_points(body.volumes),
        )
        record = PodRecord(
            id=new_id(),
            name=body.name,
            created_ns=time.time_ns(),
            spec=spec,
            network=host.network_mode,
            exposed=list(pod_machine.exposed(body) or ()),
            memory=host.memory,
            endpoints=endpoints.of_new_container(host, None, "", self._host.networks.get),
            volumes=body.volumes,
            share_pid=body.share_pid,
            white_lists=body.white_lists,
            services=body.services,
        )
        dry_run(record)
        return record, warnings

    async def keep(self, pod: Pod) -> None:
        """The new pod is kept on disk and in the register; all is undone when any step fails. Raises: HyperError."""
        host, record = self._host, pod.record
        if host.privileged:
            record.identity = host.store.free_identity(CONTAINER_UIDS)
        host.store.add_pod(record)
        self._register.add_pod(pod)
        try:
            shares = isinstance(host.driver(record.spec), SharedFolders)
            await host.volumes.hold(record, open_as=policy.made_for(shares=shares))
            folder = host.folder(record.id)
            folder.path.mkdir(mode=0o700, parents=True)
            await host.scratch.create(folder.scratch, size=record.spec.root.size)
        except BaseException:
            await self.discard(pod)
            raise

    async def discard(self, pod: Pod) -> None:
        """The pod, which has no containers any more, is gone."""
        await pod.discard()
        self._register.remove_pod(pod)

    async def add_all(self, pod: Pod, body: wire.PodBody) -> list[str]:
        """The containers of a new pod have been made, in their order; warnings. Raises: as ``add``."""
        warnings = []
        for order, item in enumerate((*body.init, *body.containers)):
            member = Member(
                pod=pod.record.id,
                name=item.name,
                order=order,
                init=order < len(body.init),
                share_pid=body.share_pid,
            )
            _, more = await self.add(pod, item, member)
            warnings += [f"container {item.name}: {warning}" for warning in more]
        return warnings

    async def add(
        self, pod: Pod, item: wire.PodContainer, member: Member
    ) -> tuple[Container, list[str]]:
        """A new container in the pod, and warnings; nothing runs yet. Raises: as Containers.create."""
        files = pod_spec.files(item)
        member.mounts = item.mounts
        member.files = [file.path for file in files]
        host = replace(
            item.body.host_config or HostConfig(),
            network_mode=shared_sandbox.mode_of(pod.record.id),
        )
        if member.init:
            host = replace(host, restart_policy=RestartPolicy())
        labels = {
            wire.POD_LABEL: pod.record.name,
            wire.POD_ID_LABEL: pod.record.id,
            wire.CONTAINER_LABEL: item.name,
        }
        body = replace(
            item.body,
            host_config=host,
            labels={**(item.body.labels or {}), **labels},
            exposed_ports=None,  # the machine has them
        )
        container, warnings = await self._containers.create(
            f"{pod.record.name}-{item.name}",
            body,
            member=member,
            liveness=item.liveness,
        )
        if files:
            folder = self._host.folder(container.record.id)
            try:
                await asyncio.to_thread(own_files.keep, folder, files)
            except OSError as error:
                await removal.remove(container, force=True, volumes=True)
                raise HyperError(
                    f"container {container.record.name}: its files cannot be kept: {error.strerror}"
                ) from error
        return container, warnings
