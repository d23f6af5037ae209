"""A driver whose machines are another host's: it has the core alone, and nothing of a machine is a process here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hyper.errors import InvalidRequest, MachineError, reason
from hyper.machine.driver import (
    Description,
    Driver,
    Machine,
    MachineExit,
    MachineRecord,
    MachineStats,
    P,
    Verdict,
)
from hyper.machine.spec import Limits, MachineSpec
from hyper.system import files

NAME = "remote"
MAX_DISKS = 4
_NOTE = "remote.json"
_OWNER_BYTES = 8
Address = tuple[str, int]


class RemoteMachine(Machine):
    """A machine of the other host, known there by an id."""

    def __init__(self, record: MachineRecord, driver: RemoteDriver, run_dir: Path) -> None:
        self._record = record
        self._driver = driver
        self._run_dir = run_dir
        self._console = ""

    @property
    def record(self) -> MachineRecord:
        """The machine's id is all that its state is."""
        return self._record

    @property
    def _id(self) -> str:
        return str(self._record.state["id"])

    async def _ask(self, op: str, **more: Any) -> Any:
        return await self._driver.ask(op, id=self._id, **more)

    async def connect(self, make: Callable[[], P], /) -> P:
        """A stream to the other host, which passes it on."""
        async with self._driver.call("connect", id=self._id) as sock:
            await _answer(sock)
            ours = sock.dup()
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(make, sock=ours)
        return protocol

    def reachable(self) -> bool:
        """There is nothing here that could be taken away."""
        return True

    async def wait(self) -> MachineExit:
        """The other host says when."""
        end = await self._ask("wait")
        self._console = end["console"]
        return MachineExit(None, end["stderr"], end["console"])

    async def kill(self) -> None:
        """Also if this is cancelled: the other host has been told, and the note goes with the next call."""
        await self._ask("kill")
        self._driver.ended(self._record, self._run_dir)

    async def pause(self) -> None:
        """As it is done there."""
        await self._ask("pause")

    async def resume(self) -> None:
        """As it is done there."""
        await self._ask("resume")

    async def paused(self) -> bool:
        """As it is there."""
        return bool(await self._ask("paused"))

    async def limit(self, limits: Limits) -> None:
        """By that host's means."""
        await self._ask("limit", limits=_limits(limits))

    async def stats(self) -> MachineStats:
        """Of that host."""
        return MachineStats(**await self._ask("stats"))

    def console_tail(self) -> str:
        """Known once the machine has ended."""
        return self._console

    async def close(self) -> None:
        """Each call has a connection of its own: there is nothing to let go of."""


class RemoteDriver(Driver):
    """The driver of the host at ``address``. ``state_dir`` has the name by which that host knows our machines."""

    def __init__(self, address: Address, state_dir: Path) -> None:
        self._address = address
        self._state_dir = state_dir
        self._ended: set[str] = set()
        self._verdict: Verdict | None = None

    @contextlib.asynccontextmanager
    async def call(self, op: str, **members: Any) -> AsyncIterator[socket.socket]:
        """The connection of a call that was asked. Raises: MachineError."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, self._address)
                line = json.dumps({"op": op, **members}).encode() + b"\n"
                await loop.sock_sendall(sock, line)
                yield sock
            except OSError as error:
                raise MachineError(f"the other host does not answer: {reason(error)}") from error

    async def ask(self, op: str, **members: Any) -> Any:
        """The answer to a call. Raises: MachineError."""
        async with self.call(op, **members) as sock:
            return await _answer(sock)

    def ended(self, record: MachineRecord, run_dir: Path) -> None:
        """The machine does not run any more."""
        self._ended.add(record.state["id"])
        note = run_dir / _NOTE
        if _noted(note) == record.state["id"]:
            note.unlink()

    @property
    def name(self) -> str:
        """Remote."""
        return NAME

    def max_disks(self, *, shared: bool) -> int:
        """Four: a root of at most three layers, and a scratch disk."""
        return MAX_DISKS

    @property
    def unlimited(self) -> tuple[str, ...]:
        """The other host enforces all."""
        return ()

    async def probe(self) -> list[Verdict]:
        """There is one accelerator, without a name."""
        try:
            usable, why, boot_ms = await self.ask("probe")
            self._verdict = Verdict(NAME, "", usable, why, boot_ms)
        except MachineError as error:
            self._verdict = Verdict(NAME, "", usable=False, reason=error.message)
        return [self._verdict]

    def verdicts(self) -> dict[str, Verdict | None]:
        """Nothing is known before the first probe."""
        return {"": self._verdict}

    async def version(self) -> str:
        """As the other host says."""
        try:
            return str(await self.ask("version"))
        except MachineError:
            return ""

    async def recover(self, kept: Collection[MachineRecord]) -> None:
        """The other host ends what is ours and not kept."""
        ids = [record.state["id"] for record in kept if record.driver == NAME]
        await self.ask("recover", owner=self._owner(), kept=ids)

    def _owner(self) -> str:
        path = self._state_dir / "owner"
        if not path.exists():
            files.make_private_dir(self._state_dir)
            files.write_atomically(path, secrets.token_hex(_OWNER_BYTES).encode())
        return path.read_text()

    async def launch(self, spec: MachineSpec) -> RemoteMachine:
        """Noted first in the machine's folder, for a daemon that is killed meanwhile."""
        if spec.nics or spec.shared:
            raise InvalidRequest(f"machine {spec.name} has cards or shares folders: here are none")
        if len(spec.disks) > MAX_DISKS:
            raise InvalidRequest(
                f"machine {spec.name} has {len(spec.disks)} disks; it can have {MAX_DISKS}"
            )
        await self.clear(spec.run_dir)
        id = f"{self._owner()}-{spec.name}-{secrets.token_hex(4)}"
        note = spec.run_dir / _NOTE
        spawned_ns = time.monotonic_ns()
        note.write_text(json.dumps({"id": id}))
        try:
            async with self.call("launch", id=id, spec=_spec(spec)) as sock:
                await _answer(sock)
                sock.send(b"taken\n")
        except BaseException:
            note.unlink(missing_ok=True)
            raise
        record = MachineRecord(
            NAME, spec.name, spec.vcpus, spec.uid, spawned_ns, {"id": id, "note": str(note)}
        )
        return RemoteMachine(record, self, spec.run_dir)

    def describe(self, record: MachineRecord) -> Description:
        """It is no process of this host."""
        return Description()

    def runs(self, record: MachineRecord) -> bool:
        """Unless this process has seen its end."""
        return record.state["id"] not in self._ended

    async def attach(self, record: MachineRecord) -> RemoteMachine | None:
        """The other host is asked."""
        run_dir = Path(record.state["note"]).parent
        if await self.ask("attach", id=record.state["id"]):
            return RemoteMachine(record, self, run_dir)
        self.ended(record, run_dir)
        return None

    async def clear(self, run_dir: Path) -> None:
        """By the note in the folder."""
        id = _noted(run_dir / _NOTE)
        if id is not None:
            await self.ask("kill", id=id)
            (run_dir / _NOTE).unlink()


def _noted(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_bytes())["id"])
    except (OSError, ValueError, KeyError):
        return None


async def _answer(sock: socket.socket) -> Any:
    """The result in the answer, of which not a byte more is read. Raises: MachineError."""
    loop, line = asyncio.get_running_loop(), b""
    while not line.endswith(b"\n"):
        byte = await loop.sock_recv(sock, 1)
        if not byte:
            raise MachineError("the other host has hung up")
        line += byte
    answer = json.loads(line)
    if "error" in answer:
        raise MachineError(answer["error"], console=answer["console"])
    return answer["result"]


def _limits(limits: Limits) -> dict[str, Any]:
    return asdict(limits) | {"cpu_set": sorted(limits.cpu_set)}


def _spec(spec: MachineSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "vcpus": spec.vcpus,
        "memory_mib": spec.memory_mib,
        "kernel": str(spec.kernel),
        "initrd": str(spec.initrd),
        "disks": [(disk.name, str(disk.source.path), disk.read_only) for disk in spec.disks],
        "limits": _limits(spec.limits),
        "command_line": spec.command_line,
    }
