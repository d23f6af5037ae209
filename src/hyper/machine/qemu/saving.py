"""A machine's device state to a file and from there into another machine. Memory is not part of it: that is a file.

Source: QEMU 7.2, docs/devel/migration.rst, docs/interop/qemu-qmp-ref (migrate, migrate-incoming; x-ignore-shared).
"""

from __future__ import annotations

from typing import Any, Final

from hyper.errors import MachineError
from hyper.machine.qemu.qmp import Monitor

_FD_NAME: Final = "state"
_ENDED: Final = ("completed", "failed", "cancelled")
#: Memory that is a shared file stays there; what is saved is the rest.
_CAPABILITIES: Final = {
    "capabilities": [
        {"capability": "x-ignore-shared", "state": True},
        {"capability": "events", "state": True},
    ]
}


async def save(monitor: Monitor, state_fd: int) -> None:
    """The device state of a running machine is in ``state_fd``, as of one that runs; the machine stays stopped.

    Raises:
        MachineError: it has ended or refuses, or the file cannot be written.
    """
    await monitor.execute("migrate-set-capabilities", _CAPABILITIES)
    await monitor.execute("getfd", {"fdname": _FD_NAME}, fd=state_fd)
    await monitor.execute("migrate", {"uri": f"fd:{_FD_NAME}"}, until=("MIGRATION", _has_ended))
    outcome = await monitor.execute("query-migrate")
    if outcome.get("status") != "completed":
        why = outcome.get("error-desc", outcome.get("status"))
        raise MachineError(f"the machine's state could not be saved: {why}")


async def restore(monitor: Monitor, state_fd: int) -> None:
    """A machine that waits for its state begins to read it from its descriptor ``state_fd``, and goes on from there.

    It ends if the state is not one of a machine of its own make.

    Raises:
        MachineError: it has ended, or refuses.
    """
    await monitor.execute("migrate-set-capabilities", _CAPABILITIES)
    await monitor.execute("migrate-incoming", {"uri": f"fd:{state_fd}"})


def _has_ended(data: dict[str, Any]) -> bool:
    return data.get("status") in _ENDED
