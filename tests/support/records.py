"""Records of containers, made without an engine."""

from __future__ import annotations

from hyper.engine.record.container import ContainerRecord, Health
from hyper.types.container import ContainerConfig, Healthcheck, HostConfig

NANO = 10**9


def plain_record(
    config: ContainerConfig | None = None, host: HostConfig | None = None
) -> ContainerRecord:
    """A container record of id aaaa…"""
    return ContainerRecord(
        id="a" * 64,
        name="web",
        created_ns=1,
        image_id="sha256:x",
        image_ref="x",
        config=config or ContainerConfig(cmd=["true"]),
        host_config=host or HostConfig(),
        vcpus=1,
        memory_mib=128,
    )


def checked_record(**check: int) -> ContainerRecord:
    """A container started at 100 s with a health check."""
    config = ContainerConfig(healthcheck=Healthcheck(test=["CMD", "true"], **check))
    made = ContainerRecord("i" * 64, "n", 1, "image", "ref", config, HostConfig(), 1, 128)
    made.started_ns, made.health = 100 * NANO, Health()
    return made
