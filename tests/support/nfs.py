"""A real file server: Debian's nfs-ganesha, NFS version 4 only (the others need rpcbind and its fixed port)."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tools.demo_image import UNPACKED

_LIBRARIES = UNPACKED / "usr/lib"
_ARCHITECTURE = _LIBRARIES / "x86_64-linux-gnu"
_READY = "NFS SERVER INITIALIZED"
_CONFIG = """
NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = 0; Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false;
                 Plugins_Dir = "{plugins}"; }}
NFSv4 {{ Graceless = true; RecoveryRoot = "{state}"; Only_Numeric_Owners = true; UseGetpwnam = true; }}
EXPORT {{ Export_Id = 1; Path = "{path}"; Pseudo = "/export"; Access_Type = RW; Squash = No_Root_Squash;
         SecType = sys; Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }} }}
LOG {{ Default_Log_Level = EVENT; }}
"""


@dataclass(frozen=True)
class FileServer:
    """It serves ``folder`` as ``/export`` on every address of this host, at ``port``."""

    folder: Path
    port: int
    process: subprocess.Popen[str]

    def options(self, address: str, *words: str) -> dict[str, str]:
        """Of a volume that is what it serves, seen from a machine whose host is ``address``."""
        mount = ",".join([f"addr={address}", f"port={self.port}", *words])
        return {"type": "nfs", "o": mount, "device": ":/export"}


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A server with an empty folder, ended and gone with the body."""
    with tempfile.TemporaryDirectory(prefix="hyper-nfs-") as name:
        folder = Path(name, "export")
        folder.mkdir()
        with subprocess.Popen(
            _argv(Path(name)), stderr=subprocess.PIPE, text=True, env=_environ()
        ) as server:
            drain = threading.Thread(target=_ignore, args=(server,))
            try:
                _until_ready(server)
                drain.start()
                yield FileServer(folder, _port(server.pid), server)
            finally:
                server.kill()
                if drain.ident is not None:
                    drain.join()


def _argv(folder: Path) -> list[str]:
    config = folder / "ganesha.conf"
    state = folder / "state"
    state.mkdir()
    plugins = _ARCHITECTURE / "ganesha"
    config.write_text(_CONFIG.format(plugins=plugins, state=state, path=folder / "export"))
    program = str(UNPACKED / "usr/bin/ganesha.nfsd")
    return [program, "-F", "-f", str(config), "-L", "STDERR", "-p", str(folder / "pid")]


def _environ() -> dict[str, str]:
    libraries = f"{_LIBRARIES / 'ganesha'}:{_ARCHITECTURE}"
    return {**os.environ, "LD_LIBRARY_PATH": libraries}


def _until_ready(server: subprocess.Popen[str]) -> None:
    assert server.stderr is not None
    told = []
    for line in server.stderr:
        told.append(line)
        if _READY in line:
            return
    raise AssertionError("the file server ended:\n" + "".join(told[-20:]))


def _ignore(server: subprocess.Popen[str]) -> None:
    """What it says later is of no use, but a full pipe would hold it up."""
    assert server.stderr is not None
    for _ in server.stderr:
        pass


def _port(pid: int) -> int:
    """The one port that ``pid`` listens on."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has closed that one meanwhile
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink())):
                sockets.add(found[1])
    rows = [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    ports = {
        int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in sockets
    }
    (port,) = ports
    return port
