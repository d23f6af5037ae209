"""The other host: owns machines, and does what `tests.support.remote.driver` asks for over TCP.

``python -m tests.support.remote.host ASSETS FOLDER`` prints its port. Each connection is one call: a line of JSON, and
one for the answer. That it runs its machines by QEMU is no concern of its callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hyper.errors import HyperError, MachineError
from hyper.machine.driver import Machine
from hyper.machine.qemu.driver import QemuDriver
from hyper.machine.spec import Disk, FileBlocks, Limits, MachineSpec
from hyper.sandbox.probe import meet
from hyper.system import jail

_FIRST_UID = jail.FIRST_MACHINE_UID + 50000
_UIDS = 5000
_CHUNK = 65536
Call = dict[str, Any]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pipe(asyncio.Protocol):
    """The agent's stream, whose bytes go on to a caller."""

    def __init__(self, to: asyncio.StreamWriter) -> None:
        self._to = to
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._to.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._to.close()


class Host:
    """The machines of this host, by the ids that their owners gave them."""

    def __init__(self, assets: Path, folder: Path) -> None:
        self._driver = QemuDriver(
            assets=assets, state_dir=folder / "s", meet=meet, accelerator="tcg"
        )
        self._folder = folder
        self._machines: dict[str, Machine] = {}
        self._ends: dict[str, Call] = {}
        self._launches: set[asyncio.Task[Machine]] = set()
        self._count = 0
        self._plain: dict[str, Callable[[Call], Awaitable[Any]]] = {
            **{name: self._of_machine(name) for name in ("pause", "resume", "paused")},
            "attach": self._attach,
            "kill": self._kill,
            "left": self._left,
            "limit": self._limit,
            "probe": self._probe,
            "recover": self._recover,
            "stats": self._stats,
            "version": self._version,
            "wait": self._wait,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call of one caller."""
        with contextlib.suppress(ConnectionError):
            call = json.loads(await reader.readline() or b"{}")
            op = call.get("op")
            try:
                if op == "launch":
                    await self._launch(call, (reader, writer))
                elif op == "connect":
                    await self._connect(call, (reader, writer))
                elif op is not None:
                    await _answer(writer, {"result": await self._plain[op](call)})
            except HyperError as error:
                console = getattr(error, "console", "")
                await _answer(writer, {"error": error.message, "console": console})
        writer.close()

    # Launch

    async def _launch(self, call: Call, streams: Streams) -> None:
        """The machine runs if the caller says that it has heard of it; one that hangs up before has none."""
        reader, writer = streams
        launching = asyncio.ensure_future(self._driver.launch(self._spec(call)))
        self._launches.add(launching)
        try:
            word = asyncio.ensure_future(reader.readline())
            await asyncio.wait([launching, word], return_when=asyncio.FIRST_COMPLETED)
            if word.done():
                launching.cancel()
            machine = await launching
            self._machines[call["id"]] = machine
            with contextlib.suppress(ConnectionError):
                await _answer(writer, {"result": None})
            if await word != b"taken\n":
                await self._kill(call)
        except asyncio.CancelledError:
            pass  # the caller has hung up
        finally:
            word.cancel()
            self._launches.discard(launching)

    def _spec(self, call: Call) -> MachineSpec:
        asked = call["spec"]
        self._count += 1
        run_dir = self._folder / f"r{self._count}"
        run_dir.mkdir(mode=0o700)
        return MachineSpec(
            name=asked["name"],
            vcpus=asked["vcpus"],
            memory_mib=asked["memory_mib"],
            kernel=Path(asked["kernel"]),
            initrd=Path(asked["initrd"]),
            disks=tuple(
                Disk(name, FileBlocks(Path(path)), read_only)
                for name, path, read_only in asked["disks"]
            ),
            nics=(),
            run_dir=run_dir,
            uid=_FIRST_UID + self._count % _UIDS if os.geteuid() == 0 else None,
            limits=_limits(asked["limits"]),
            command_line=tuple(asked["command_line"]),
        )

    # The agent

    async def _connect(self, call: Call, streams: Streams) -> None:
        reader, writer = streams
        pipe = await self._machine(call).connect(lambda: Pipe(writer))
        assert pipe.transport is not None
        try:
            await _answer(writer, {"result": None})
            while data := await reader.read(_CHUNK):
                pipe.transport.write(data)
        finally:
            pipe.transport.abort()

    # Calls

    def _machine(self, call: Call) -> Machine:
        machine = self._machines.get(call["id"])
        if machine is None:
            raise MachineError(f"machine {call['id']} has ended")
        return machine

    def _of_machine(self, name: str) -> Callable[[Call], Awaitable[Any]]:
        async def do(call: Call) -> Any:
            return await getattr(self._machine(call), name)()

        return do

    async def _attach(self, call: Call) -> bool:
        """Whether the machine runs; of one that has ended nothing is left."""
        machine = self._machines.get(call["id"])
        if machine is None:
            return False
        ended = asyncio.ensure_future(machine.wait())
        await asyncio.wait([ended], timeout=0)
        if not ended.done():
            ended.cancel()
            return True
        await self._kill(call)
        return False

    async def _kill(self, call: Call) -> None:
        machine = self._machines.get(call["id"])
        if machine is not None:
            await machine.kill()
            self._ends[call["id"]] = _end(await machine.wait())
            self._machines.pop(call["id"], None)

    async def _left(self, call: Call) -> list[str]:
        """The machines that run, once no launch is under way."""
        while self._launches:
            await asyncio.wait(self._launches)
            await asyncio.sleep(0)
        return sorted(self._machines)

    async def _limit(self, call: Call) -> None:
        await self._machine(call).limit(_limits(call["limits"]))

    async def _probe(self, call: Call) -> list[Any]:
        [verdict] = await self._driver.probe()
        return [verdict.usable, verdict.reason, verdict.boot_ms]

    async def _recover(self, call: Call) -> None:
        """The machines of one owner run no more, but for those that are kept."""
        for id in list(self._machines):
            if id.startswith(call["owner"]) and id not in call["kept"]:
                await self._kill({"id": id})

    async def _stats(self, call: Call) -> Call:
        return asdict(await self._machine(call).stats())

    async def _version(self, call: Call) -> str:
        return "1"

    async def _wait(self, call: Call) -> Call:
        machine = self._machines.get(call["id"])
        if machine is None:
            return self._ends.get(call["id"], {"stderr": "", "console": ""})
        return _end(await machine.wait())


def _limits(asked: Call) -> Limits:
    return Limits(asked["cpus"], asked["cpu_shares"], frozenset(asked["cpu_set"]))


def _end(exit: Any) -> Call:
    return {"stderr": exit.stderr, "console": exit.console}


async def _answer(writer: asyncio.StreamWriter, answer: Call) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


async def main() -> None:
    """Serve for ever."""
    assets, folder = map(Path, sys.argv[1:])
    server = await asyncio.start_server(Host(assets, folder).serve, "0.0.0.0", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
