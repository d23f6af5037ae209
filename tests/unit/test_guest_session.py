"""The talk with an agent that lies, babbles or falls silent: a Python stand-in for the guest on a socketpair."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Callable

import pytest

from hyper.errors import GuestError, MachineError, OutdatedAgent, ProtocolError
from hyper.guest import session as session_module
from hyper.proto.frame import (
    Carried,
    FrameType,
    encode_ack,
    encode_carried,
    encode_frame,
)
from hyper.proto.limits import (
    CARRIER_SIZE,
    CARRIER_WINDOW,
    MAX_BODY,
    MAX_PROCESSES,
    MAX_TEXT,
    WINDOW,
)
from hyper.proto.message import (
    ContainerCreate,
    File,
    GuestHello,
    ProcessExit,
    ProcessReap,
    Reply,
    ReplyCode,
    encode_event,
    encode_hello,
    encode_reply,
    stream_id,
)
from hyper.proto.message import (
    GuestError as GuestComplaint,
)
from tests.support.agent import DEADLINE_S, MAIN, data, failure, met, talk


def raw_exit(status: int, signal: int, oom: int) -> bytes:
    """A PROCESS_EXIT that the codec itself would refuse to write."""
    body = b"".join(
        value.to_bytes(size, "little")
        for value, size in ((1, 2), (MAIN, 4), (status, 4), (signal, 4), (oom, 1), (0, 8))
    )
    return encode_frame(FrameType.EVENT, body)


LIES: dict[str, Callable[[], bytes]] = {
    "random bytes": lambda: random.Random(7).randbytes(4096),
    "text": lambda: b"Kernel panic - not syncing: Attempted to kill init!\r\n",
    "DATA beyond the next offset": lambda: data(1, b"x"),
    "DATA twice": lambda: data(0, b"x") + data(0, b"x"),
    "DATA over the window": lambda: b"".join(
        data(at, bytes(32768)) for at in range(0, CARRIER_WINDOW + 1, 32768)
    ),
    "CARRIED without a carrier": lambda: encode_carried(
        stream_id(MAIN, 1), Carried(0, CARRIER_SIZE // 2, 512)
    ),
    "DATA after FIN": lambda: data(0, b"x", fin=True) + data(2, b"y"),
    "DATA without payload": lambda: data(0, b""),
    "DATA of an unknown process": lambda: data(0, b"x", process=9),
    "DATA of standard input": lambda: data(0, b"x", fd=0),
    "DATA too short for its offset": lambda: encode_frame(
        FrameType.DATA, b"1234", stream=stream_id(MAIN, 1)
    ),
    "ACK of what was never sent": lambda: encode_ack(stream_id(MAIN, 0), 1 << 40),
    "ACK of an output": lambda: encode_ack(stream_id(MAIN, 1), 0),
    "ACK without offset": lambda: encode_frame(FrameType.ACK, b"", stream=stream_id(MAIN, 0)),
    "a reply nobody asked for": lambda: encode_reply(77, Reply(ReplyCode.OK)),
    "a request": lambda: encode_frame(FrameType.REQUEST, b"\1\0", stream=1),
    "an unknown event": lambda: encode_frame(FrameType.EVENT, b"\x63\0"),
    "an exit status out of range": lambda: raw_exit(256, 0, 0),
    "a signal out of range": lambda: raw_exit(0, 4000, 0),
    "an oom that is no yes or no": lambda: raw_exit(0, 0, 2),
    "a frame longer than any": lambda: (
        bytes([FrameType.DATA, 0, 0, 0]) + (4).to_bytes(4, "little") + (MAX_BODY + 1).to_bytes(4, "little")
    ),
    "a wrong last byte": lambda: data(0, b"x")[:-1] + b"\x01",
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_ends_the_session_and_everybody_hears_it(lie: str) -> None:
    """Requests, exit, output and input all fail with the same ProtocolError, and the connection is closed."""
    async with met() as (session, guest, process):
        request = session.post(ProcessReap(9))
        reading = asyncio.ensure_future(anext(process.outputs().__aiter__()))
        writing = asyncio.ensure_future(process.write(bytes(2 * CARRIER_WINDOW)))
        await guest.say(LIES[lie]())
        error = await failure(session)
        assert isinstance(error, ProtocolError)
        assert "the agent broke its protocol" in error.message
        for waiter in (request, process.exited, writing):
            with pytest.raises(ProtocolError):
                await waiter
        with pytest.raises(ProtocolError):
            while True:  # what came before the lie may be read first
                await reading
                reading = asyncio.ensure_future(anext(process.outputs().__aiter__()))
        with pytest.raises(ProtocolError):
            await session.call(ProcessReap(9), timeout_s=1)
        late = session.process(2, tty=True)
        with pytest.raises(ProtocolError):
            await late.exited
        await guest.hung_up()


async def test_output_of_a_forgotten_process_is_nobody_s() -> None:
    """What was on its way as the process was forgotten ends nothing; after the reap it is a lie as any other."""
    async with met() as (session, guest, _):
        session.process(9, tty=False).resume()  # the guest sends again what it has
        session.forget(9)
        await guest.say(data(0, b"late", process=9))
        while (reap := await guest.next()).type is not FrameType.REQUEST:
            pass
        await guest.say(encode_reply(reap.stream, Reply(ReplyCode.OK)))
        asked = session.post(ProcessReap(10))
        await guest.say(encode_reply(reap.stream + 1, Reply(ReplyCode.OK)))
        assert (await asked).code is ReplyCode.OK
        await guest.say(data(0, b"x", process=9))
        assert "which nobody opened" in (await failure(session)).message


async def test_outputs_that_had_ended_before_the_session_are_not_waited_for() -> None:
    """The guest does not say an end again that was acknowledged: the exit would be waited for behind it for ever."""
    async with met() as (session, guest, _):
        start = {1: 6, 2: 1}
        process = session.process(9, tty=False, start=start, ended=frozenset((1, 2)))
        assert [piece async for piece in process.outputs()] == []
        one = session.process(8, tty=False, start={1: 6}, ended=frozenset((1,)))
        await guest.say(data(0, b"more", fd=2, process=8, fin=True))
        assert [piece.data async for piece in one.outputs()] == [b"more"]


async def test_a_second_hello_is_a_lie() -> None:
    """It would make us forget where streams stand."""
    async with met() as (session, guest, _):
        await guest.say(guest.hello())
        assert "a second HELLO" in (await failure(session)).message


async def test_another_version_is_named() -> None:
    """The start fails with both numbers, not with a timeout."""
    async with talk() as (session, guest):
        await guest.hear_hello()
        await guest.say(guest.hello(version=2))
        with pytest.raises(ProtocolError, match="it speaks version 2, we speak 1"):
            await session.meet(timeout_s=DEADLINE_S)


@pytest.mark.parametrize("resync", [False, True])
async def test_an_older_version_is_named(resync: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest of an older hyperd is told from one that breaks the protocol, and from one that is silent."""
    for module in ("frame", "hello"):
        monkeypatch.setattr(f"hyper.proto.{module}.VERSION", 2)
    async with talk(resync=resync) as (session, guest):
        await guest.hear_hello()
        await guest.say(guest.hello(version=1))
        with pytest.raises(OutdatedAgent, match="it speaks version 1, we speak 2"):
            await session.meet(timeout_s=DEADLINE_S)
        assert (await failure(session)).message.startswith("the agent is of an older hyperd")


@pytest.mark.parametrize("resync", [False, True])
@pytest.mark.parametrize("seed", range(5))
async def test_noise_before_hello_is_skipped(resync: bool, seed: int) -> None:
    """Rests of an earlier talk, and a HELLO with somebody else's nonce among them."""
    async with talk(resync=resync) as (session, guest):
        await guest.hear_hello()
        noise = random.Random(seed).randbytes(100_000)
        other = encode_hello(GuestHello(bytes(16), 1, "old"))
        await guest.say(noise + other + noise[:50] + guest.hello())
        assert (await session.meet(timeout_s=DEADLINE_S)).agent == "stand-in"


async def test_a_wrong_nonce_is_no_answer_and_costs_no_memory() -> None:
    """64 MB of HELLOs of others: nothing is kept, and the deadline says that nobody answered."""
    async with talk() as (session, guest):
        await guest.hear_hello()
        flood = encode_hello(GuestHello(bytes(16), 1, "x" * MAX_TEXT)) * 2000
        tracemalloc.start()
        for _ in range(64):
            await guest.say(flood)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20
        with pytest.raises(MachineError, match=r"did not answer in 0\.01 s"):
            await session.meet(timeout_s=0.01)


async def test_silence_ends_by_the_deadline() -> None:
    """Of HELLO and of a request; the late answer to the request is no protocol error."""
    async with talk() as (session, _):
        with pytest.raises(
            MachineError, match=r"the agent in the machine did not answer in 0\.01 s"
        ):
            await session.meet(timeout_s=0.01)
    async with met() as (session, guest, process):
        with pytest.raises(MachineError, match=r"the agent did not answer PROCESS_REAP in 0\.01 s"):
            await session.call(ProcessReap(9), timeout_s=0.01)
        await guest.say(encode_reply((await guest.next()).stream, Reply(ReplyCode.OK)))
        await guest.say(encode_event(ProcessExit(MAIN, 3, 0, False, 0)))
        assert (await process.exited).status == 3


@pytest.mark.parametrize("size", [1, 11, 12, 40])
async def test_half_a_frame_and_a_hang_up_is_a_lost_machine(size: int) -> None:
    """Wherever it was cut: whoever waits gets MachineError."""
    async with met() as (session, guest, process):
        pending = session.post(ProcessReap(9))
        await guest.say(data(0, bytes(100))[:size])
        guest.hang_up()
        assert isinstance(await failure(session), MachineError)
        for waiter in (pending, process.exited):
            with pytest.raises(
                MachineError, match="the connection to the machine's agent was lost"
            ):
                await waiter


async def test_output_nobody_takes_costs_little_in_its_most_costly_form() -> None:
    """One byte a frame, of two streams by turns: not much more than the bytes, whose number is bounded."""
    count = CARRIER_WINDOW // 32
    async with met() as (_, guest, process):
        frames = b"".join(data(offset, b"x", fd=fd) for offset in range(count) for fd in (1, 2))
        tracemalloc.start()
        await guest.say(frames)
        await guest.say(encode_event(ProcessExit(MAIN, 0, 0, False, 0)))
        await process.exited  # all before it was taken in
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held < 1 << 20
        first, second = bytearray(), bytearray()
        async for piece in process.outputs():
            (first if piece.fd == 1 else second).extend(piece.data)
            if len(first) == len(second) == count:
                break
        assert first == second == b"x" * count


async def test_exits_of_processes_nobody_knows_are_bounded() -> None:
    """A guest that invents processes fills a small table and nothing else."""
    async with met() as (session, guest, process):
        for start in range(2, 20_000, 1000):
            events = (ProcessExit(n, 0, 0, False, 0) for n in range(start, start + 1000))
            await guest.say(b"".join(map(encode_event, events)))
        await guest.say(encode_event(ProcessExit(MAIN, 0, 0, False, 0)))
        await process.exited
        assert len(session._exits) <= MAX_PROCESSES


async def test_a_talkative_agent_is_not_listened_to_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its lines are quoted, cut at the protocol's limit, and a hundred are enough."""
    text = "\x1b[2J\n" + "x" * (MAX_TEXT - 5)
    async with met() as (_, guest, process):
        await guest.say(encode_event(GuestComplaint(text)) * 5000)
        await guest.say(encode_event(ProcessExit(MAIN, 0, 0, False, 0)))
        await process.exited
    lines = [
        record.getMessage() for record in caplog.records if "agent says" in record.getMessage()
    ]
    assert len(lines) == session_module.MAX_GUEST_LOG
    assert all("\x1b" not in line and "\n" not in line for line in lines)


async def test_the_text_of_a_refusal_cannot_drive_a_terminal() -> None:
    """It ends up on somebody's screen."""
    async with met() as (session, guest, _):
        call = asyncio.ensure_future(session.call(ProcessReap(9), timeout_s=DEADLINE_S))
        request = await guest.next()
        await guest.say(
            encode_reply(request.stream, Reply(ReplyCode.SYSTEM, 5, "bad \x1b]0;x\x07 \n"))
        )
        with pytest.raises(GuestError) as caught:
            await call
        assert caught.value.message == "bad \ufffd]0;x\ufffd \ufffd"
        assert (caught.value.code, caught.value.errno) == (ReplyCode.SYSTEM, 5)


async def test_a_malformed_reply_fails_its_request_and_ends_the_session() -> None:
    """The waiter is not left behind."""
    async with met() as (session, guest, _):
        pending = session.post(ProcessReap(9))
        request = await guest.next()
        await guest.say(encode_frame(FrameType.REPLY, b"\xff\xff\0", stream=request.stream))
        assert isinstance(await failure(session), ProtocolError)
        with pytest.raises(ProtocolError):
            await pending


async def test_a_guest_that_does_not_read_cannot_make_us_keep_more_and_more() -> None:
    """Requests to it fail once a few megabytes wait."""
    async with met() as (session, guest, process):
        writing = asyncio.ensure_future(process.write(bytes(WINDOW)))
        await writing  # the window's worth is on its way
        blocked = asyncio.ensure_future(process.write(b"x"))
        large = ContainerCreate(container=1, layers=(), files=(File("/x", bytes(1_000_000)),))
        posted = [session.post(large) for _ in range(10)]
        assert not blocked.done()
        with pytest.raises(MachineError, match="does not read"):
            await posted[-1]
        assert session._transport is not None
        assert session._transport.get_write_buffer_size() < session_module.MAX_UNREAD + (1 << 20)
        guest.hang_up()
        with pytest.raises(MachineError):
            await blocked


async def test_the_end_is_told_once_and_repeated_exits_change_nothing() -> None:
    """After a reconnect the guest tells exits again."""
    async with met() as (_, guest, process):
        await guest.say(encode_event(ProcessExit(MAIN, 3, 0, False, 0)))
        await guest.say(encode_event(ProcessExit(MAIN, 4, 0, True, 0)))
        await guest.say(data(0, b"last", fin=True) + data(0, b"", fd=2, fin=True))
        pieces = [piece.data async for piece in process.outputs()]
        assert pieces == [b"last"]
        assert (await process.exited).status == 3
