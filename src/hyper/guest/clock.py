"""The clock of a guest: set to the host's when its machine has stood still, or when the host's was set."""

from __future__ import annotations

import time
from typing import Final

from hyper.errors import GuestError
from hyper.guest.session import Session
from hyper.proto.message import ContainerUpdate, ReplyCode, SandboxClock

#: How long the agent may take to answer. It takes a millisecond.
CLOCK_TIMEOUT_S: Final = 5.0


async def set_clock(session: Session, container: int) -> None:
    """Set a guest's clock to the host's.

    An agent that an earlier daemon started may not know SANDBOX_CLOCK: it is told by an update of ``container``, one of
    its own.

    Raises:
        GuestError: the agent refused it. MachineError: no answer in time, or the machine went away.
    """
    try:
        await session.call(SandboxClock(time.time_ns()), timeout_s=CLOCK_TIMEOUT_S)
    except GuestError as error:
        if error.code != ReplyCode.UNKNOWN_OP:
            raise
        old = ContainerUpdate(container, realtime_ns=time.time_ns())
        await session.call(old, timeout_s=CLOCK_TIMEOUT_S)
