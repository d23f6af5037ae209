"""Kernels of containers' machines: the daemon's, or a file of the host that the client has named."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from hyper.config import Config
from hyper.engine.spec import shared_sandbox
from hyper.errors import InvalidRequest
from hyper.machine import kernel_file
from hyper.types.container import HostConfig

#: The annotation that names the kernel's file (``docker run --annotation``, ``hyper run --kernel``).
ANNOTATION: Final = "hyper.kernel"


def own(host: HostConfig) -> Path | None:
    """The kernel that ``host`` asks for; None: the daemon's.

    Raises:
        InvalidRequest: the text is no absolute path.
    """
    asked = (host.annotations or {}).get(ANNOTATION)
    if asked is None:
        return None
    if not asked.startswith("/") or "\0" in asked:
        raise InvalidRequest(f"annotation {ANNOTATION}: {asked[:200]!r} is no absolute path")
    return Path(asked)


def of(host: HostConfig, config: Config) -> Path:
    """The kernel of the machine that is made for ``host``."""
    return own(host) or config.guest_kernel


async def check(host: HostConfig) -> None:
    """The kernel that ``host`` asks for can be had now.

    Raises:
        InvalidRequest: the container runs in another's machine, or the file is no kernel for a machine.
    """
    path = own(host)
    if path is None:
        return
    if shared_sandbox.owner_named(host):
        raise InvalidRequest(
            f"annotation {ANNOTATION}: a container that runs in another's machine has its kernel"
        )
    await asyncio.to_thread(kernel_file.read, path)
