"""QEMU's monitor: thin over the qemu.qmp library, connected when first needed.

The greeting comes early, from a thread of its own. Commands, the library's opening one included, are answered by QEMU's
main loop: by then arguments and ports were right and the guest runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, Message, QMPClient, QMPError

from hyper.errors import MachineError
from hyper.system import socket as sockets

COMMAND_TIMEOUT_S = 10.0

#: The name of an event and which of that name, told by its data.
Awaited = tuple[str, Callable[[dict[str, Any]], bool]]


#: The library logs as errors what it also raises, a machine's ordinary end among them: once is enough.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.CRITICAL)
logging.getLogger("qemu.qmp").setLevel(logging.ERROR)


#: For each name of an event who is told its data.
_Told = dict[str, Callable[[dict[str, Any]], None]]


class _Client(QMPClient):
    """The QMP client, which tells of events and logs nothing: the library formats each message first,
    whether it is logged or not.
    """

    def __init__(self, told: _Told) -> None:
        super().__init__()
        self._told = told

    def _cb_outbound(self, msg: Message) -> Message:
        return msg

    def _cb_inbound(self, msg: Message) -> Message:
        tell = self._told.get(str(msg.get("event")))
        if tell is not None:
            data: Any = msg.get("data")
            tell(data)
        return msg


class Monitor:
    """The monitor socket of one machine. Close it.

    ``stream``: a connection made already, nothing read from it; otherwise ``path`` is connected to when needed.
    """

    def __init__(self, path: Path, stream: socket.socket | None = None) -> None:
        self._path = path
        self._stream = stream
        self._client: QMPClient | None = None
        self._lock = asyncio.Lock()
        self._told: _Told = {}

    def on_event(self, name: str, tell: Callable[[dict[str, Any]], None]) -> None:
        """From now on the loop calls ``tell`` with the data of each event ``name``, while the monitor is connected."""
        self._told[name] = tell

    async def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        fd: int | None = None,
        until: Awaited | None = None,
    ) -> Any:
        """The value that the command returns. ``fd`` goes with it; ``until``: an event that has come then.

        Raises:
            MachineError: the machine is gone, does not answer within 10 s, or refuses.
        """
        async with self._ready(command, fd) as client:
            if until is None:
                return await client.execute(command, arguments)
            name, is_it = until
            with client.listener(name) as events:
                answer = await client.execute(command, arguments)
                async for event in events:
                    data: Any = event["data"]
                    if is_it(data):
                        break
                return answer

    async def execute_in_a_row(
        self, commands: Sequence[tuple[str, dict[str, Any]]], *, fd: int | None = None
    ) -> list[Any]:
        """The values of the commands, or the MachineErrors of their refusals. QEMU has all before it answers the
        first, and executes all, whatever becomes of those before. ``fd`` goes with the first; none takes another.

        Raises:
            MachineError: the machine is gone, or does not answer within 10 s.
        """
        async with self._ready(commands[0][0], fd) as client:
            asked = (client.execute(command, arguments) for command, arguments in commands)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(answer, ExecuteError):
                    raise answer
        return [
            _refusal(command, answer) if isinstance(answer, ExecuteError) else answer
            for (command, _), answer in zip(commands, answers, strict=True)
        ]

    @contextlib.asynccontextmanager
    async def _ready(self, command: str, fd: int | None) -> AsyncIterator[QMPClient]:
        """The client while ``command`` is executed, before which ``fd`` was sent; what is raised is a MachineError."""
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S), self._lock:
                client = self._client or await self._connect()
                if fd is not None:
                    client.send_fd_scm(fd)
                yield client
        except ExecuteError as error:
            raise _refusal(command, error) from error
        except TimeoutError:
            raise MachineError(f"QEMU did not answer {command} in time") from None
        except (QMPError, OSError) as error:
            await self.close()
            raise MachineError(f"QEMU's monitor is gone: {error}") from error

    def move(self, path: Path) -> None:
        """The monitor's socket is called ``path`` now; a connection that stands is the same."""
        self._path = path

    async def connect(self) -> None:
        """Return when QEMU's main loop answers on the monitor; no deadline of its own.

        Raises:
            MachineError: QEMU ended.
        """
        try:
            async with self._lock:
                await self._connect()
        except (QMPError, OSError) as error:
            raise MachineError(f"QEMU's monitor is gone: {error}") from error

    async def _connect(self) -> QMPClient:
        stream, self._stream = self._stream or sockets.connect(self._path), None
        client = _Client(self._told)
        client.logger = _library_log
        try:
            await client.connect(stream)
        except BaseException:
            stream.close()  # cancelled early, the library has not taken it over
            raise
        self._client = client
        return client

    async def close(self) -> None:
        """Hang up the monitor's connection; the machine does not mind."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        client, self._client = self._client, None
        if client is not None:
            await _disconnect(client)


def _refusal(command: str, error: ExecuteError) -> MachineError:
    return MachineError(f"QEMU refused {command}: {error}")


async def _disconnect(client: QMPClient) -> None:
    # What it raises says how the connection had ended before: of no use to one who hangs up.
    with contextlib.suppress(QMPError, OSError, EOFError):
        await client.disconnect()
