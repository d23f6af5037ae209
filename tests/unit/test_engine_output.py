"""The output hub: lines for the log, pieces for clients, and who waits for whom."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyper.engine.output.log_file import LogFile, LogQuery
from hyper.engine.output.output import CLIENT_BACKLOG, MAX_PARTIAL, OutputHub
from hyper.errors import MachineError
from hyper.guest.process import Output
from hyper.proto.message import ProcessExit
from tests.support.output import Program, collect, records

DEADLINE_S = 10.0


@pytest.fixture
def log(tmp_path: Path) -> Any:
    """An empty log file."""
    made = LogFile(tmp_path / "log")
    yield made
    made.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0)


async def settle() -> None:
    """Let everything that can happen without more input happen."""
    for _ in range(50):
        await asyncio.sleep(0)


async def pumped(hub: OutputHub, program: Program) -> None:
    """The hub's work to the end of the program."""
    async with asyncio.timeout(DEADLINE_S):
        await hub.pump(program.process)


async def test_lines_are_put_together_per_stream(log: LogFile) -> None:
    """Pieces of stdout and stderr mixed: each line whole, in order of its end, the last one marked as open."""
    hub, program = OutputHub(log), Program()
    program.write(b"on")
    program.write(b"er", fd=2)
    program.write(b"e\ntwo\nthr")
    program.write(b"r\n", fd=2)
    program.write(b"ee")
    program.end()
    await pumped(hub, program)
    assert records(log) == [
        (1, b"one\ntwo\n", False),
        (2, b"err\n", False),
        (1, b"three", True),
    ]
    assert program.acked == {1: 14, 2: 5}  # FIN counts one


@pytest.mark.parametrize("length", [MAX_PARTIAL, MAX_PARTIAL + 1, 5 * MAX_PARTIAL])
async def test_a_long_line_is_logged_in_pieces_and_read_back_whole(
    log: LogFile, length: int
) -> None:
    """No line can make the daemon hold more than a limit."""
    hub, program = OutputHub(log), Program()
    program.write(b"x" * length)
    pumping = asyncio.ensure_future(pumped(hub, program))
    await settle()
    assert sum(len(piece.data) for piece in hub.unlogged()) <= MAX_PARTIAL
    program.write(b"end\n")
    program.end()
    await pumping
    assert b"".join(payload for _, payload, _ in records(log)) == b"x" * length + b"end\n"
    assert not records(log)[-1][2]


async def test_nothing_is_acknowledged_before_it_is_logged(log: LogFile) -> None:
    """An open line stays the guest's until it stands in the file."""
    hub, program = OutputHub(log), Program()
    program.write(b"y" * 10_000)
    pumping = asyncio.ensure_future(pumped(hub, program))
    await settle()
    assert (log.size, program.acked[1]) == (0, 0)
    assert [piece.data for piece in hub.unlogged()] == [b"y" * 10_000]
    program.end()
    await pumping
    assert program.acked[1] == 10_001


async def test_a_client_that_does_not_read_holds_the_program_up_and_loses_nothing() -> None:
    """As a terminal does; when it reads again everything comes in order."""
    hub, program = OutputHub(None), Program()
    slow = hub.subscribe()
    pumping = asyncio.ensure_future(pumped(hub, program))
    for number in range(CLIENT_BACKLOG + 5):
        program.write(b"%d\n" % number)
    await settle()
    assert not pumping.done()
    pieces = aiter(slow)
    got = [(await anext(pieces)).data for _ in range(CLIENT_BACKLOG + 5)]
    assert got == [b"%d\n" % number for number in range(CLIENT_BACKLOG + 5)]
    program.end()
    await pumping
    hub.finish()
    assert [piece async for piece in pieces] == []


async def test_a_client_that_goes_while_it_is_waited_for_frees_everybody() -> None:
    """The program goes on, and the second client misses nothing."""
    hub, program = OutputHub(None), Program()
    stuck, other = hub.subscribe(), hub.subscribe()
    pumping = asyncio.ensure_future(pumped(hub, program))
    reading = asyncio.ensure_future(collect(other))
    count = CLIENT_BACKLOG * 3
    for _ in range(count):
        program.write(b"z")
    await settle()
    assert not pumping.done()
    stuck.close()
    program.end()
    await pumping
    hub.finish()
    assert await reading == b"z" * count
    assert stuck not in hub._subscriptions


async def test_the_programs_end_waits_for_no_client(log: LogFile) -> None:
    """``stop`` must work while somebody's terminal is held by ctrl-s; what is left is not lost."""
    hub, program = OutputHub(log), Program()
    stuck = hub.subscribe()
    pumping = asyncio.ensure_future(pumped(hub, program))
    count = CLIENT_BACKLOG * 2
    for _ in range(count):
        program.write(b"q\n")
    await settle()
    assert not pumping.done()
    program.end()
    hub.release()
    await pumping
    hub.finish()
    assert b"".join(payload for _, payload, _ in records(log)) == b"q\n" * count
    assert await collect(stuck) == b"q\n" * count


async def test_a_new_run_makes_clients_count_again(log: LogFile) -> None:
    """Released for the last run is not released for the next."""
    hub = OutputHub(log)
    hub.release()
    hub.begin_run()
    program = Program()
    hub.subscribe()
    pumping = asyncio.ensure_future(pumped(hub, program))
    for _ in range(CLIENT_BACKLOG + 2):
        program.write(b"a")
    await settle()
    assert not pumping.done()
    hub.release()
    program.end()
    await pumping


async def test_a_lost_machine_flushes_the_open_line(log: LogFile) -> None:
    """The last words before a crash are what one looks for."""
    hub, program = OutputHub(log), Program()
    program.write(b"about to cra")
    pumping = asyncio.ensure_future(pumped(hub, program))
    await settle()
    program.process.fail(MachineError("gone"))
    with pytest.raises(MachineError, match="gone"):
        await pumping
    assert records(log) == [(1, b"about to cra", True)]
    assert hub.unlogged() == []


async def test_a_full_disk_costs_log_lines_and_nothing_else(
    log: LogFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients get everything, the guest is acknowledged, one line says so; lines come back with the room."""
    hub, program = OutputHub(log), Program()
    full = True
    real = LogFile._append

    def append(self: LogFile, record: Any) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, record)

    monkeypatch.setattr(LogFile, "_append", append)
    reading = asyncio.ensure_future(collect(hub.subscribe()))
    pumping = asyncio.ensure_future(pumped(hub, program))
    with caplog.at_level(logging.ERROR):
        for _ in range(10):
            program.write(b"lost\n")
        await until(lambda: log.stdout == 50)
    assert len([item for item in caplog.records if "log lines are lost" in item.message]) == 1
    full = False
    program.write(b"kept\n")
    program.end()
    await pumping
    hub.finish()
    assert records(log) == [(1, b"kept\n", False)]
    assert await reading == b"lost\n" * 10 + b"kept\n"
    assert program.acked[1] == 56
    assert log.stdout == 55


async def test_closing_ends_whoever_listens(log: LogFile) -> None:
    """A client attached to a container that is removed finds the end, and readers of the log too."""
    hub = OutputHub(log)
    waiting = asyncio.ensure_future(collect(hub.subscribe()))
    grown = hub.grown()
    await settle()
    hub.close()
    assert await waiting == b""
    assert grown.is_set()
    assert list(log.records(0, 100)) == []
    assert log.tail_start(LogQuery(tail=5), log.size) == (0, 0)


async def test_a_reader_in_the_middle_of_a_log_finds_its_end_when_it_is_closed(
    log: LogFile,
) -> None:
    """``rm -f`` while somebody reads the logs."""
    log.append(1, b"x" * 300_000, time_ns=1)
    log.append(1, b"y" * 300_000, time_ns=2)
    reading = log.records(0, log.size)
    assert next(reading).payload[:1] == b"x"
    log.close()
    assert len(list(reading)) <= 1


async def test_without_a_log_what_nobody_listens_to_is_acknowledged() -> None:
    """An exec in the background is not held up."""
    hub, program = OutputHub(None), Program()
    program.write(b"x" * 100_000)
    program.end()
    await pumped(hub, program)
    assert program.acked[1] == 100_001


def test_a_piece_is_what_it_says() -> None:
    """Outputs are compared by value in these tests."""
    assert Output(1, b"x") == Output(1, b"x")


async def test_a_connection_lost_after_the_end_loses_nothing(log: LogFile) -> None:
    """All had come, and nobody had looked yet: it is logged, and the program's end stands."""
    program, hub = Program(), OutputHub(log)
    program.write(b"", fd=1, fin=True)
    program.write(b"last\n", fd=2)
    program.write(b"", fd=2, fin=True)
    program.process.on_exit(ProcessExit(1, 5, 0, False, 0))
    program.process.fail(MachineError("lost"))
    await hub.pump(program.process)
    assert records(log) == [(2, b"last\n", False)]
    assert (await program.process.exited).status == 5


async def test_a_connection_lost_before_the_end_is_told_after_what_came(log: LogFile) -> None:
    """One stream has ended, the other not: what it had brought is logged first."""
    program, hub = Program(), OutputHub(log)
    program.write(b"", fd=1, fin=True)
    program.write(b"last\n", fd=2)
    program.process.fail(MachineError("lost"))
    with pytest.raises(MachineError, match="lost"):
        await hub.pump(program.process)
    assert records(log) == [(2, b"last\n", False)]
