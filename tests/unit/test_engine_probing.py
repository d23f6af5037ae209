"""One probe against a Python stand-in for the guest."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hyper.engine.lifecycle.probing import _Probe
from hyper.engine.record.container_spec import HealthCheck
from hyper.engine.record.sandbox import Placement
from hyper.proto.frame import FrameType
from hyper.proto.message import ProcessExit, Reply, ReplyCode, encode_event, encode_reply
from tests.support.agent import MAIN, Guest, data, talk
from tests.support.records import checked_record

PROBE = MAIN + 1


async def _says(guest: Guest, *, at_once: bool) -> None:
    """The program starts and ends well: all in one piece, or its end apart, when its output is already waited for."""
    request = await guest.next()
    started = encode_reply(request.stream, Reply(ReplyCode.OK))
    quiet = data(0, b"", fd=2, process=PROBE, fin=True)
    ended = data(0, b"ok", process=PROBE, fin=True)
    ended += encode_event(ProcessExit(PROBE, status=0, signal=0, oom=False, realtime_ns=1))
    if at_once:
        await guest.say(started + quiet + ended)
        return
    await guest.say(started + quiet)
    assert (await guest.next()).type is FrameType.ACK
    await guest.say(ended)


@pytest.mark.parametrize("at_once", [True, False])
async def test_its_end_is_told_before_its_result_is_known(at_once: bool) -> None:
    """Whoever waits for ``exec_die`` and then for ``health_status`` gets both, however the guest's words arrive."""
    told: list[str] = []
    async with talk() as (session, guest):
        await guest.hear_hello()
        await guest.say(guest.hello())
        await session.meet(timeout_s=5)
        container: Any = SimpleNamespace(
            record=checked_record(),
            placement=Placement(),
            publish=lambda action, **_: told.append(action.partition(":")[0]),
        )
        speaking = asyncio.create_task(_says(guest, at_once=at_once))
        sandbox: Any = SimpleNamespace(session=session, new_process=lambda: PROBE)
        result = await _Probe(container, sandbox, HealthCheck(("true",))).run(5)
        told.append("result")
        await speaking
    assert (result.exit_code, result.output) == (0, "ok")
    assert told == ["exec_create", "exec_start", "exec_die", "result"]
