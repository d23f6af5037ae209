"""Connections to the agents of machines: the handshake after a launch, and the end of a machine that was spoken to."""

from __future__ import annotations

from hyper.errors import MachineError
from hyper.guest.process import GuestProcess
from hyper.guest.session import Session
from hyper.machine.driver import Machine
from hyper.proto.message import GuestHello, ProcessFlag, ProcessStart


async def greet(machine: Machine, *, resync: bool, timeout_s: float) -> tuple[Session, GuestHello]:
    """A session with the agent of ``machine``, and the agent's HELLO. ``resync``: an earlier daemon spoke with it.

    Cancelled or failed: the session is aborted and the machine goes on.

    Raises:
        MachineError: no HELLO came in time, or the machine has ended.
        OutdatedAgent, ProtocolError: the HELLO is of a lower, of a higher version.
    """
    session = await Session.open(machine.connect, resync=resync)
    try:
        return session, await session.meet(timeout_s=timeout_s)
    except BaseException:
        session.abort(MachineError("the machine's agent does not answer"))
        raise


def program_of(session: Session, start: ProcessStart) -> GuestProcess:
    """The handle of the program that ``start`` is about to start. Before the request: its output may come first."""
    return session.process(start.process, tty=ProcessFlag.TTY in start.flags)


async def end_machine(machine: Machine, session: Session | None = None) -> None:
    """The machine is gone, and so is everything that held on to it; tasks that wait at ``session`` are told.

    Repeatable. If cancelled: to be called again.
    """
    if session is not None:
        session.abort(MachineError("the machine was ended"))
    await machine.kill()
    await machine.close()
