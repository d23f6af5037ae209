"""A real dockerd with private roots, for comparing our command line with Docker's own on the same engine.

Nothing of it outlives the ``with``: no process, no mount, no file. It says itself when it serves (``NOTIFY_SOCKET``),
and is ended by its process id.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.serving import serving

BUSYBOX = Path("/bin/busybox")
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
_GROUP = "root:x:0:\nnobody:x:65534:\nstaff:x:50:\n"


@dataclass(frozen=True)
class Engine:
    """An engine under test: where it listens and the name of a busybox image that it has."""

    host: str
    image: str
    is_hyper: bool = False

    def environ(self) -> dict[str, str]:
        """The environment in which ``docker`` and ``hyper`` speak to it, and to nothing else."""
        keep = {name: os.environ[name] for name in ("PATH", "TERM") if name in os.environ}
        return keep | {"DOCKER_HOST": self.host, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}


def why_not() -> str | None:
    """Why no dockerd can be started here; None if one can."""
    if os.getuid() != 0:
        return "dockerd needs root"
    missing = [name for name in ("dockerd", "docker") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    return None if BUSYBOX.exists() else "busybox-static is not installed"


@contextmanager
def dockerd(
    *options: str, bridge: bool = False, namespace: bool = True, storage: str = "vfs"
) -> Iterator[Engine]:
    """A serving dockerd that has an image ``busybox``.

    ``bridge``: with Docker's default network (bridge, veth, iptables) in a network namespace of its own, which takes
    all of it along when it ends and cannot reach registries of the host; else it shares the host's network and its
    containers have none. Without ``namespace`` the bridge is in the caller's network namespace. ``storage``: Docker's
    default is ``overlay2``. ``options``: more words for dockerd.
    """
    # Not pytest's folder: its names are too long for a unix socket.
    folder = Path(tempfile.mkdtemp(prefix="hyper-dockerd-"))
    try:
        network = () if bridge else ("--bridge=none", "--iptables=false")
        words = ("--storage-driver", storage, *network, *options)
        with _serving(folder, words, unshare=bridge and namespace) as host:
            _import_busybox(host)
            yield Engine(host, "busybox")
    finally:
        _unmount_below(folder)
        _remove_cgroups(folder.name)
        shutil.rmtree(folder)


@contextmanager
def _serving(folder: Path, words: Sequence[str], *, unshare: bool) -> Iterator[str]:
    host = f"unix://{folder}/docker.sock"
    argv = ["dockerd", "-H", host, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    argv += ["--pidfile", f"{folder}/pid", "--config-file", f"{folder}/none.json"]
    argv += ["--cgroup-parent", f"/{folder.name}", *words]
    if unshare:
        argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *argv]
    (folder / "none.json").write_text("{}")
    with serving(folder, argv, os.environ):
        yield host


def _import_busybox(host: str) -> None:
    subprocess.run(
        ["docker", "-H", host, "import", "-c", 'CMD ["sh"]', "-", "busybox:latest"],
        input=busybox_rootfs(),
        check=True,
        capture_output=True,
    )


def busybox_rootfs() -> bytes:
    """A tar of a root file system: busybox under all its names, and two users."""
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
            tar.addfile(_entry(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))
        program = _entry("bin/busybox", tarfile.REGTYPE, 0o755)
        program.size = BUSYBOX.stat().st_size
        with BUSYBOX.open("rb") as file:
            tar.addfile(program, file)
        for applet in applets.split():
            if applet != "busybox":
                link = _entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
                link.linkname = "busybox"
                tar.addfile(link)
        for name, text in (("etc/passwd", _PASSWD), ("etc/group", _GROUP)):
            entry = _entry(name, tarfile.REGTYPE, 0o644)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry


def _unmount_below(folder: Path) -> None:
    """dockerd leaves its network namespaces mounted when a container was still there."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    mounted = [line.split()[1] for line in lines]
    for path in sorted((m for m in mounted if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", path], check=True)


def _remove_cgroups(name: str) -> None:
    """dockerd removes its containers' cgroups and leaves their parent."""
    for parent in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        parent.rmdir()
