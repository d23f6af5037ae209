"""The program that serves a machine's shared paths: QEMU's own virtiofsd (C), or the one in Rust.

Both are told to let every look at a file ask the host first: what the host or another machine changed is seen at once,
while pages are cached, so that programs can map files. Only the C one passes on locks (flock, fcntl), so that they
reach from one machine to another. docs/decisions/0025-file-servers.md.

Source: virtiofsd(1) of QEMU 7.2 (C) and 1.13 (Rust).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.errors import MachineError
from hyper.system import jail
from hyper.system.jail import View

#: What may be asked for; ``auto`` prefers the one that passes on locks.
CHOICES: Final = ("auto", "qemu", "rust")
#: Where Debian 12 has the C one. Debian 13 has a link to the other there.
C_SERVER: Final = Path("/usr/lib/qemu/virtiofsd")
RUST_SERVER: Final = Path("/usr/libexec/virtiofsd")
#: In the assets: a Rust one with its libraries and loader beside it, for a host that is too old for it.
OWN_SERVER: Final = Path("virtiofsd")
#: In the assets: loaded into the C one, mends two of its faults (host/fileserver/preload.c).
PRELOAD: Final = Path("virtiofsd-preload.so")
_LOADER: Final = Path("ld-linux-x86-64.so.2")
_HOST_LOADER: Final = Path("/lib64") / _LOADER
#: Where in the jail what comes from the assets is.
_INSIDE: Final = Path("/fileserver")


@dataclass(frozen=True, slots=True)
class FileServer:
    """A virtiofsd. ``program``: the words before its options, ``views``: what its jail has to show."""

    program: tuple[str, ...]
    views: tuple[View, ...]
    rust: bool

    def command(self, tree: Path, fd: int, *, max_files: int) -> list[str]:
        """The command that serves ``tree`` to the client of ``fd`` and holds up to ``max_files`` of it."""
        common = [*self.program, f"--fd={fd}", f"--rlimit-nofile={max_files}"]
        if self.rust:
            options = ["--sandbox=chroot", "--cache=auto", "--xattr", "--log-level=warn"]
            return [*common, f"--shared-dir={tree}", *options]
        words = (f"source={tree}", "sandbox=chroot", "cache=auto", "timeout=0", "xattr")
        return [*common, "-f", "-o", ",".join((*words, "flock", "posix_lock", "log_level=warn"))]


def find(wanted: str, assets: Path) -> FileServer:
    """The file server of this host that ``wanted`` (one of CHOICES) names.

    Raises:
        MachineError: there is none.
    """
    makers = {"qemu": (_qemu,), "rust": (_rust, _own), "auto": (_qemu, _rust, _own)}
    for make in makers[wanted]:
        if (found := make(assets)) is not None:
            return found
    raise MachineError(
        "cannot share files of the host: there is no virtiofsd"
        + ("" if wanted == "auto" else f" of the kind that was asked for ({wanted})"),
        hint="apt-get install qemu-system-common (Debian 12) or virtiofsd (Debian 13)",
    )


def _qemu(assets: Path) -> FileServer | None:
    preload = assets / PRELOAD
    if not C_SERVER.exists() or C_SERVER.is_symlink() or not preload.exists():
        return None
    inside = _INSIDE / PRELOAD
    views = (*jail.library_views(), View(C_SERVER), View(preload, inside))
    program = (str(_HOST_LOADER), "--preload", str(inside), str(C_SERVER))
    return FileServer(program, views, rust=False)


def _rust(_assets: Path) -> FileServer | None:
    if not RUST_SERVER.exists():
        return None
    views = (*jail.library_views(), View(RUST_SERVER))
    return FileServer((str(RUST_SERVER),), views, rust=True)


def _own(assets: Path) -> FileServer | None:
    folder = assets / OWN_SERVER
    if not (folder / _LOADER).exists():
        return None
    words = (str(_INSIDE / _LOADER), "--library-path", str(_INSIDE), str(_INSIDE / "virtiofsd"))
    # The host's libraries are for what the jail itself runs.
    return FileServer(words, (*jail.library_views(), View(folder, _INSIDE)), rust=True)
