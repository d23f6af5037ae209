"""The hypervisors that hyperd comes with, and how their drivers are made of its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hyper.config import Config
from hyper.machine.driver import Driver
from hyper.machine.drivers import Drivers
from hyper.machine.qemu import driver as qemu
from hyper.sandbox import probe

Maker = Callable[[Config], Driver]
#: Makers of drivers by the drivers' names, the best first.
Makers = Mapping[str, Maker]


def _qemu(config: Config) -> Driver:
    return qemu.QemuDriver(
        assets=config.assets,
        state_dir=config.data_root / "machine",
        meet=probe.meet,
        accelerator=config.accelerator,
        kernel=config.kernel,
        server=config.file_server,
    )


#: A program that has more hands its own to `hyper.daemon.main.main`.
BUILT_IN: Final[Makers] = {qemu.NAME: _qemu}


def make(config: Config, makers: Makers) -> Drivers:
    """The drivers of a daemon.

    Raises:
        InvalidRequest: the configuration names a hypervisor that is none of ``makers``'.
    """
    return Drivers((maker(config) for maker in makers.values()), default=config.hypervisor)
