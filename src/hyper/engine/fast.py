"""What starts are made fast with, put together from the daemon's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hyper.config import Config
from hyper.engine import create
from hyper.engine.identities import Identities
from hyper.machine.driver import Driver
from hyper.machine.spec import Nic, TapNic, UserNic
from hyper.machine.template import Card, TemplateStore
from hyper.network import user
from hyper.network.fabric import Fabric
from hyper.sandbox.exercise import Exercise
from hyper.sandbox.pool import Pool
from hyper.sandbox.scratch import ScratchDisks
from hyper.sandbox.starter import FastStart, Starter
from hyper.sandbox.templates import Place, Templates

#: The exercise's layer, in the folder of the guest's files.
_EXERCISE: Final = "exercise.squashfs"


def starter(
    config: Config,
    driver: Driver,
    scratch: ScratchDisks,
    identities: Identities,
    fabric: Fabric | None,
) -> Starter:
    """Starts sandboxes as ``config`` wants it."""
    fast = _fast(config, driver, scratch, identities, fabric) if config.templates else None
    return Starter(driver, fast, boot_timeout_s=config.boot_timeout_s)


def _fast(
    config: Config,
    driver: Driver,
    scratch: ScratchDisks,
    identities: Identities,
    fabric: Fabric | None,
) -> FastStart:
    @contextmanager
    def card(kind: Card, id: str) -> Iterator[tuple[Nic, ...]]:
        mac = user.mac_address(id)  # replaced by the container's own
        if kind is Card.NONE:
            yield ()
        elif fabric is None:
            yield (UserNic(mac, str(user.NETWORK)),)
        else:
            with fabric.tap(fabric.name("ht", id)) as fd:
                yield (TapNic(mac, fd),)

    place = Place(
        kernel=config.assets / "vmlinux",
        initrd=config.assets / "initrd",
        run_root=config.exec_root / "pool",
        identity=identities.lease,
        card=card,
        boot_timeout_s=config.boot_timeout_s,
    )
    exercise = Exercise(config.assets / _EXERCISE, scratch)
    templates = Templates(driver, TemplateStore(config.data_root / "template"), place, exercise)
    pool = Pool(
        driver,
        templates,
        place,
        exercise,
        limit_mib=config.pool_memory_mib,
        available_mib=create.available_memory_mib,
    )
    return FastStart(templates, pool)
