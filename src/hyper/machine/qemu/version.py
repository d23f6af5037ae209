"""The version of QEMU, in its own words: its monitor's greeting, of a start without a machine."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import msgspec

from hyper.errors import HyperError
from hyper.system import process

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0
_MACHINE: Final = ("-machine", "none", "-nodefaults", "-no-user-config", "-display", "none")
_BYE: Final = b'{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'


class _Number(msgspec.Struct):
    major: int
    minor: int
    micro: int


class _Version(msgspec.Struct):
    qemu: _Number
    package: str = ""


class _Qmp(msgspec.Struct):
    version: _Version


class _Greeting(msgspec.Struct):
    """The monitor's greeting. Source: qemu/docs/interop/qmp-spec, "Server Greeting"."""

    qmp: _Qmp = msgspec.field(name="QMP")


def from_greeting(line: bytes) -> str:
    """The version ``7.2.22 (Debian 1:7.2+dfsg-7)`` of a monitor's first line.

    Raises:
        msgspec.DecodeError: it is no greeting.
    """
    version = msgspec.json.decode(line, type=_Greeting).qmp.version
    number = f"{version.qemu.major}.{version.qemu.minor}.{version.qemu.micro}"
    return f"{number} ({version.package})" if version.package else number


class BinaryVersion:
    """The version of the program ``binary``, asked for at first and whenever the file is another one."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._known: tuple[int, str] | None = None

    async def read(self) -> str:
        """The version the program states; "" if it states none, which is logged and asked again next time."""
        try:
            changed_ns = self._binary.stat().st_mtime_ns
            if self._known is None or self._known[0] != changed_ns:
                argv = [str(self._binary), *_MACHINE, "-qmp", "stdio"]
                said = await process.run(argv, input=_BYE, timeout_s=_TIMEOUT_S)
                self._known = (changed_ns, from_greeting(said.stdout.partition(b"\n")[0]))
        except (OSError, HyperError, msgspec.DecodeError) as error:
            log.warning("the version of %s is not known: %s", self._binary, error)
            return ""
        return self._known[1]
