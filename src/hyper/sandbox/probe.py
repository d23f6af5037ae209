"""Probes of hypervisors: the handshake with the agent of a machine that was booted to see whether one comes up."""

from __future__ import annotations

from hyper.errors import MachineError, OutdatedAgent
from hyper.guest.session import Session
from hyper.machine.driver import Machine
from hyper.proto.message import GuestHello


async def meet(machine: Machine) -> GuestHello:
    """The HELLO of the agent of ``machine``, once its guest has come up; without a deadline. No session is left open.

    Raises:
        MachineError: the machine ended before its agent answered. OutdatedAgent: the agent speaks an older version.
        ProtocolError: it answered with something else, or speaks a newer version of the protocol.
    """
    session = await Session.open(machine.connect, resync=False)
    try:
        return await session.hello
    except OutdatedAgent:
        raise
    except MachineError:  # its stream has ended
        ended = await machine.wait()
        why = ended.stderr.strip().rpartition("\n")[2] or "the guest ended"
        raise MachineError(f"the agent did not answer: {why}", console=ended.console) from None
    finally:
        session.abort(MachineError("the machine was met"))
