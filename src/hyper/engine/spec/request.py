"""A client's request for a container, in the words of the Engine API, and what is held to it. Pure.

The request itself is changed by nobody: each step makes another HostConfig, the last of which is kept to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from hyper.config import Config
from hyper.engine.record.container_spec import ContainerSpec, ImageUse, MachineSize
from hyper.engine.record.mount import MountPoint
from hyper.engine.spec import (
    app_image,
    create,
    defaults,
    from_docker,
    health,
    modes,
    mounts,
    resources,
    shared_sandbox,
)
from hyper.image.record import ImageRecord
from hyper.types.container import ContainerConfig, CreateBody, Healthcheck, HostConfig
from hyper.types.oci import Platform


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that requests are judged by: the daemon's configuration and hypervisors, its host's CPUs and memory."""

    config: Config
    cpus: Collection[int]
    memory_mib: float
    hypervisors: Collection[str] = ()


def of_body(body: CreateBody, facts: Facts) -> tuple[HostConfig, list[str]]:
    """The host configuration of a request, whole but for what its image says, and warnings about what has no effect.

    Raises:
        InvalidRequest, NotImplementedYet: the container cannot be as asked.
    """
    host = body.host_config or HostConfig()
    warnings = shared_sandbox.check(body, host)
    host = replace(host, runtime=host.runtime or body.runtime)
    if body.network_disabled and not shared_sandbox.owner_named(host):
        host = replace(host, network_mode="none")
    host, more = settled(host, facts)
    return host, warnings + more


def settled(host: HostConfig, facts: Facts) -> tuple[HostConfig, list[str]]:
    """The host configuration ``host`` with the daemon's defaults and Docker's, and warnings about what has no effect.

    Raises:
        As ``of_body``.
    """
    host, warnings = create.checked(defaults.filled(host, facts.config))
    modes.check_runtime(host, facts.hypervisors)
    host, more = resources.checked(host, available=facts.cpus)
    return create.filled(host), warnings + more


def with_image(
    host: HostConfig, image: ImageRecord, body: CreateBody, wanted: Platform | None, facts: Facts
) -> tuple[HostConfig, list[str]]:
    """The host configuration ``host`` with what ``image`` says for its containers, and warnings.

    ``wanted``: the platform that the client asks for; None: any.

    Raises:
        NotFound: the image is not for that platform. InvalidRequest: it has no port of a name that is published.
    """
    warnings = create.check_platform(image, body.image, wanted)
    bounds = app_image.Bounds(int(facts.memory_mib), len(facts.cpus))
    host, more = app_image.filled(host, image.config.aci, bounds)
    return host, warnings + more


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Surroundings of a request: mounts of other containers by their names, and whether paths of the host exist."""

    volumes_of: Callable[[str], Iterable[MountPoint]]
    exists: Callable[[str], bool]


def build(
    body: CreateBody,
    host: HostConfig,
    image: ImageRecord,
    facts: Facts,
    around: Surroundings,
    *,
    seccomp: bytes = b"",
    liveness: Healthcheck | None = None,
) -> tuple[ContainerSpec, ContainerConfig]:
    """The spec of a container, and the configuration that clients are shown: the request's completed by the image's.

    ``host`` is settled, and whole with the image. ``seccomp``: the filter of system calls that it asks for, compiled.

    Raises:
        InvalidRequest: the container cannot be as asked. NotFound: from ``around``.
    """
    config = create.merge(body, create.image_defaults(image.config.config))
    health.check(config.healthcheck)
    points = mounts.mount_points(config, host, volumes_of=around.volumes_of, exists=around.exists)
    spec = from_docker.container_spec(
        config,
        host,
        size=size_of(host, facts),
        image=ImageUse(image.id, config.image),
        mounts=app_image.protect(points, body, image.config.aci),
        seccomp=seccomp,
        aci=image.config.aci,
        liveness=liveness,
    )
    return spec, config


def size_of(host: HostConfig, facts: Facts) -> MachineSize:
    """The size of the machine of a container that asks for ``host``.

    Raises:
        InvalidRequest: its limits make no sense, or are more than this host has.
    """
    return resources.size(
        resources.limits(host),
        facts.config.default_memory_mib,
        joins=shared_sandbox.owner_named(host) != "",
        cpus=len(facts.cpus),
        available_mib=facts.memory_mib,
    )
