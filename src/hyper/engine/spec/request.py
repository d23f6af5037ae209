"""A client's request for a container, in the words of the Engine API, and what is held to it. Pure.

The request itself is changed by nobody: each step makes another HostConfig, the last of which is kept to be shown.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from hyper.config import Config
from hyper.engine.spec import app_image, create, defaults, modes, resources, shared_sandbox
from hyper.image.record import ImageRecord
from hyper.types.container import CreateBody, HostConfig
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
