"""Processes that run in a container."""

from __future__ import annotations

import time
from typing import Final

from hyper.engine.inspect import ps
from hyper.engine.lifecycle.container import REQUEST_TIMEOUT_S, Container
from hyper.errors import Conflict, GuestError, ProtocolError
from hyper.proto.message import ContainerTop, Processes, ProcessLine, ReplyCode
from hyper.sandbox.sandbox import Sandbox
from hyper.types.response import TopAnswer
from hyper.units import MIB

#: Processes of one container that are shown.
MAX_SHOWN: Final = 4096


async def top(container: Container, ps_args: str) -> TopAnswer:
    """The container's processes as ``ps PS_ARGS`` shows them; pids are those of its machine.

    Raises:
        InvalidRequest: arguments that Hyper does not have.
        Conflict: the container does not run.
    """
    columns = ps.columns(ps_args)
    await container.answering()
    run = container.running()
    try:
        async with run.sandbox.power.awake():
            first, lines = await _list(run.sandbox, run.placement.container)
    except GuestError as error:
        if error.code == ReplyCode.NO_SUCH:
            raise Conflict(f"container {container.record.id} is not running") from error
        raise
    scene = ps.Scene(
        now_s=time.time(),
        up_s=first.boot_ns / 1e9,
        memory_bytes=container.size.memory_mib * MIB,
        users=ps.users(first.passwd),
    )
    processes = [ps.parse(line) for line in lines]
    rows = [[show(process, scene) for _, show in columns] for process in processes]
    return TopAnswer(titles=[title for title, _ in columns], processes=rows)


async def _list(sandbox: Sandbox, number: int) -> tuple[Processes, list[ProcessLine]]:
    """The agent's first answer, and the process lines of all its answers."""
    lines: list[ProcessLine] = []
    first: Processes | None = None
    last = 0
    while True:
        request = ContainerTop(number, last)
        reply = await sandbox.session.call(request, timeout_s=REQUEST_TIMEOUT_S)
        answer = Processes.decode(reply.result)
        first = first or answer
        for line in answer.processes:
            if line.pid <= last:
                raise ProtocolError("the agent lists processes out of order")
            last = line.pid
        lines += answer.processes
        if not answer.more or not answer.processes or len(lines) >= MAX_SHOWN:
            return first, lines[:MAX_SHOWN]
