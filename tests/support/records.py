"""Records of containers, made without an engine."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from hyper.engine.record.container import ContainerRecord, Health
from hyper.engine.record.container_spec import ContainerSpec, ImageUse, MachineSize
from hyper.engine.record.pod import PodRecord
from hyper.engine.spec import from_docker
from hyper.types.container import ContainerConfig, Healthcheck, HostConfig

NANO = 10**9


def spec_of(
    config: ContainerConfig | None = None, host: HostConfig | None = None, **more: Any
) -> ContainerSpec:
    """The spec of a request, which is whole already. ``more``: as from_docker.container_spec."""
    members = {"size": MachineSize(1, 128), "image": ImageUse("sha256:x", "x"), **more}
    return from_docker.container_spec(
        config or ContainerConfig(cmd=["true"]), host or HostConfig(), **members
    )


def plain_record(
    config: ContainerConfig | None = None, host: HostConfig | None = None, **more: Any
) -> ContainerRecord:
    """A container record of id aaaa…; ``more``: as from_docker.container_spec."""
    return ContainerRecord(
        id="a" * 64,
        name="web",
        created_ns=1,
        config=config or ContainerConfig(cmd=["true"]),
        host_config=host or HostConfig(),
        spec=spec_of(config, host, **more),
    )


def checked_record(**check: int) -> ContainerRecord:
    """A container started at 100 s with a health check."""
    config = ContainerConfig(healthcheck=Healthcheck(test=["CMD", "true"], **check))
    made = structs.replace(plain_record(config), id="i" * 64, name="n")
    made.started_ns, made.health = 100 * NANO, Health()
    return made


def older_document(record: ContainerRecord, **members: Any) -> bytes:
    """The document of ``record`` as a Hyper of the third schema kept it: without a spec. ``members``: others of it."""
    made = msgspec.to_builtins(record)
    spec = made.pop("spec")
    made |= {"image_id": spec["image"]["id"], "image_ref": spec["image"]["reference"]}
    made |= spec["size"] | {"mounts": [], "seccomp": "", "handlers": []}
    return msgspec.json.encode(made | members)


def pod_record(**more: Any) -> PodRecord:
    """A pod record of id pppp…; ``more``: its members."""
    members = {"id": "p" * 64, "name": "shop", "created_ns": 1, "spec": spec_of(), **more}
    return PodRecord(**members)
