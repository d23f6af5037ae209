"""Kernels of containers' machines: the daemon's, or a file of the host that the client has named."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hyper.config import Config
from hyper.engine.record.container_spec import ContainerSpec
from hyper.engine.spec.from_docker import KERNEL
from hyper.errors import InvalidRequest
from hyper.machine import kernel_file


def of(spec: ContainerSpec, config: Config) -> Path:
    """The kernel of the machine that is made for ``spec``."""
    return Path(spec.kernel) if spec.kernel else config.guest_kernel


async def check(path: str, *, joins: bool) -> None:
    """The kernel in the file ``path`` ("": the daemon's) can be had now; ``joins``: by who runs in another's machine.

    Raises:
        InvalidRequest: the container runs in another's machine, or the file is no kernel for a machine.
    """
    if not path:
        return
    if joins:
        raise InvalidRequest(
            f"annotation {KERNEL}: a container that runs in another's machine has its kernel"
        )
    await asyncio.to_thread(kernel_file.read, Path(path))
