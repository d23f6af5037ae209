"""The carrier of streams: a stand-in for the guest on a socketpair, and a real file between the two."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyper.errors import MachineError, ProtocolError
from hyper.guest.carrier import Carrier
from hyper.guest.process import GuestProcess
from hyper.guest.session import RUSH, Session
from hyper.machine.abilities import HotplugDisks
from hyper.machine.spec import Disk
from hyper.proto.frame import (
    Carried,
    FrameType,
    decode_carried,
    decode_data,
    encode_ack,
    encode_carried,
    encode_frame,
)
from hyper.proto.limits import CARRIER_BLOCK, CARRIER_BLOCKS, CARRIER_SIZE, CARRIER_WINDOW
from hyper.proto.message import (
    CarrierChange,
    Reply,
    ReplyCode,
    decode_request,
    encode_reply,
    stream_id,
)
from hyper.sandbox import carriage
from hyper.sandbox.carriage import DISK, Carriage
from hyper.system import memfd
from tests.support.agent import MAIN, Guest, data, failure, met

OUT = stream_id(MAIN, 1)
HALF = CARRIER_SIZE // 2


@asynccontextmanager
async def carried() -> AsyncIterator[tuple[Session, Guest, GuestProcess, int]]:
    """A session with a carrier and a process; the descriptor is the guest's of the carrier."""
    fd = memfd.create("carrier", CARRIER_SIZE)
    carrier = Carrier(os.dup(fd))
    try:
        async with met() as (session, guest, process):
            session.carrier = session.carrier_in = carrier
            yield session, guest, process, fd
    finally:
        carrier.close()
        os.close(fd)


async def test_output_by_the_carrier_is_output_like_any_other() -> None:
    """In order with what comes by the port, at any place, and its FIN is the stream's."""
    async with carried() as (_, guest, process, fd):
        await guest.say(data(0, b"a"))
        os.pwrite(fd, b"x" * 70000, HALF + 13)
        await guest.say(encode_carried(OUT, Carried(1, HALF + 13, 70000)))
        await guest.say(data(70001, b"b"))
        os.pwrite(fd, b"end", CARRIER_SIZE - 3)
        await guest.say(encode_carried(OUT, Carried(70002, CARRIER_SIZE - 3, 3), fin=True))
        await guest.say(data(0, b"", fd=2, fin=True))
        got = b"".join([piece.data async for piece in process.outputs()])
        assert got == b"a" + b"x" * 70000 + b"bend"


LIES = {
    "beyond the end": encode_carried(OUT, Carried(0, CARRIER_SIZE - 511, 512)),
    "far beyond": encode_carried(OUT, Carried(0, 2**64 - 1, 512)),
    "nothing": encode_carried(OUT, Carried(0, HALF, 0)),
    "more than a block": encode_carried(OUT, Carried(0, HALF, CARRIER_BLOCK + 1)),
    "not the next offset": encode_carried(OUT, Carried(1, HALF, 512)),
    "over the window": b"".join(
        encode_carried(OUT, Carried(at, HALF, CARRIER_BLOCK))
        for at in range(0, CARRIER_WINDOW + 1, CARRIER_BLOCK)
    ),
    "of an unknown process": encode_carried(stream_id(9, 1), Carried(0, HALF, 512)),
    "of standard input": encode_carried(stream_id(MAIN, 0), Carried(0, HALF, 512)),
    "too short": encode_frame(FrameType.CARRIED, bytes(19), stream=OUT),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_about_the_carrier_ends_the_session(lie: str) -> None:
    """As any other does: a piece is one block of the file at most, and within the stream's window."""
    async with carried() as (session, guest, process, _):
        await guest.say(LIES[lie])
        assert isinstance(await failure(session), ProtocolError)
        with pytest.raises(ProtocolError):
            await process.exited


async def test_input_goes_by_the_carrier_in_whole_blocks_and_never_over_what_is_unread() -> None:
    """The guest acknowledges nothing until the window is full; then a byte more than a block, twice, and so on."""
    async with carried() as (_, guest, process, fd):
        sent = os.urandom(3 * CARRIER_WINDOW + 12345)
        writing = asyncio.ensure_future(process.write(sent))
        got, pieces = bytearray(), []
        while len(got) < CARRIER_WINDOW:
            got += await taken(guest, fd, pieces)
        assert len(got) == CARRIER_WINDOW
        assert {piece.length for piece in pieces} == {CARRIER_BLOCK}
        assert len({piece.place for piece in pieces}) == len(pieces)
        acknowledged = 0
        while len(got) < len(sent):
            while len(got) < min(len(sent), acknowledged + CARRIER_WINDOW - CARRIER_BLOCK):
                got += await taken(guest, fd, pieces)
            acknowledged = min(len(got), acknowledged + CARRIER_BLOCK + 1)
            await guest.say(encode_ack(stream_id(MAIN, 0), acknowledged))
            if len(got) + CARRIER_BLOCK > len(sent):
                await writing
                process.close_stdin()
                while len(got) < len(sent):
                    got += await taken(guest, fd, pieces)
        assert got == sent
        assert all(
            piece.place % CARRIER_BLOCK == 0 and piece.place < CARRIER_BLOCKS * CARRIER_BLOCK
            for piece in pieces
        )


async def taken(guest: Guest, fd: int, pieces: list[Carried]) -> bytes:
    """What the guest makes of the next frame of standard input."""
    frame = await guest.next()
    if frame.type is FrameType.DATA:
        return decode_data(frame)[1]
    piece = decode_carried(frame)
    pieces.append(piece)
    return os.pread(fd, piece.length, piece.place)


async def test_blocks_that_are_all_in_use_are_not_waited_for() -> None:
    """Another stream has them: what is written goes by the port, and comes back to the carrier when it can."""
    async with carried() as (session, guest, process, fd):
        carrier = session.carrier
        assert carrier is not None
        for _ in range(CARRIER_BLOCKS):
            carrier.put(stream_id(7, 0), 0, b"x" * 512)
        assert not carrier.has_room
        pieces: list[Carried] = []
        await process.write(bytes(CARRIER_BLOCK))
        got = 0
        while got < CARRIER_BLOCK:
            got += len(await taken(guest, fd, pieces))
        assert pieces == []
        carrier.acknowledged(stream_id(7, 0), 511)
        assert not carrier.has_room
        carrier.acknowledged(stream_id(7, 0), 512)
        assert carrier.has_room
        await process.write(bytes(CARRIER_BLOCK))
        await taken(guest, fd, pieces)
        assert [piece.offset for piece in pieces] == [CARRIER_BLOCK]


class Doors:
    """The machine: which disks are in it. ``comes`` is set when one has come, ``goes`` when one has gone."""

    def __init__(self) -> None:
        self.disks: dict[str, int] = {}
        self.comes, self.goes = asyncio.Event(), asyncio.Event()
        self.record = SimpleNamespace(name="machine")
        self.refuses = False

    async def add_disks(self, *disks: Disk) -> None:
        if self.refuses:
            raise MachineError("no such thing here")
        for disk in disks:
            self.disks[disk.name] = disk.source.path.stat().st_size
        self.comes.set()

    async def remove_disk(self, name: str) -> None:
        if self.disks.pop(name, None) is not None:
            self.goes.set()


async def change(guest: Guest, code: ReplyCode = ReplyCode.OK) -> str:
    """The disk the host names in its next request, which is answered."""
    while (frame := await guest.next()).type is not FrameType.REQUEST:
        pass
    asked = decode_request(frame.body)
    assert isinstance(asked, CarrierChange)
    await guest.say(encode_reply(frame.stream, Reply(code)))
    return asked.disk


async def test_a_carrier_comes_in_a_rush_and_goes_when_nothing_goes_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small talk brings none; the guest is asked to let go before the disk is taken away."""
    monkeypatch.setattr(carriage, "REST_S", 0.01)
    async with met() as (session, guest, _):
        doors: Any = Doors()
        keeper = Carriage(cast(HotplugDisks, doors), session, "machine")
        session.moved(RUSH - 1)
        assert doors.disks == {}
        session.moved(1)
        assert await change(guest) == DISK
        assert doors.disks == {DISK: CARRIER_SIZE}
        assert await change(guest) == ""
        await doors.goes.wait()
        assert (session.carrier, session.carrier_in) == (None, None)
        session.moved(RUSH)
        assert await change(guest) == DISK  # another rush, another carrier
        session.abort(MachineError("the machine was ended"))
        await keeper.end()
        assert doors.disks == {}


@pytest.mark.parametrize("who", ["machine", "agent"])
async def test_who_will_have_no_carrier_is_not_asked_again(who: str) -> None:
    """An agent or a hypervisor without: streams go by the port, and nothing is left."""
    async with met() as (session, guest, process):
        doors: Any = Doors()
        doors.refuses = who == "machine"
        Carriage(cast(HotplugDisks, doors), session, "machine")
        session.moved(RUSH)
        if who == "agent":
            assert await change(guest, ReplyCode.UNKNOWN_OP) == DISK
            await doors.goes.wait()
        else:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert doors.disks == {}
        session.moved(RUSH)
        await process.write(b"still here")
        assert decode_data(await guest.next())[1] == b"still here"
