"""The output hub under any cutting of any output, with clients that come, stall and go."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hyper.engine.output.log_file import LogFile
from hyper.engine.output.output import OutputHub
from tests.support.output import Program, collect, records

PIECES = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.lists(st.sampled_from([b"a", b"\n", b"xy", b"z" * 9000])).map(b"".join)),
    max_size=30,
)  # fmt: skip


@settings(max_examples=200)
@given(pieces=PIECES, leaves_after=st.integers(0, 40))
def test_log_and_clients_get_every_byte_once(
    pieces: list[tuple[int, bytes]], leaves_after: int
) -> None:
    """Each stream whole in the log and at a client; lines are cut only where they are too long; all is acknowledged."""
    asyncio.run(_play(pieces, leaves_after))


async def _play(pieces: list[tuple[int, bytes]], leaves_after: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = LogFile(Path(folder) / "log")
        hub, program = OutputHub(log), Program()
        leaving, staying = hub.subscribe(), hub.subscribe()
        reading = asyncio.ensure_future(collect(staying))
        pumping = asyncio.ensure_future(hub.pump(program.process))
        written = {1: b"", 2: b""}
        for number, (fd, data) in enumerate(pieces):
            if number == leaves_after:
                leaving.close()
            if data and len(written[fd]) + len(data) < 200_000:
                program.write(data, fd=fd)
                written[fd] += data
                await asyncio.sleep(0)
        program.end()
        hub.release()
        await asyncio.wait_for(pumping, 10)
        hub.finish()
        everything = await asyncio.wait_for(reading, 10)
        for fd in (1, 2):
            logged = [item for item in records(log) if item[0] == fd]
            assert b"".join(payload for _, payload, _ in logged) == written[fd]
            assert all(payload.endswith(b"\n") != partial for _, payload, partial in logged)
            assert program.acked[fd] == len(written[fd]) + 1
        assert len(everything) == len(written[1]) + len(written[2])
        log.close()
