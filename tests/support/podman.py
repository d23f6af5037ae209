"""A real podman with private roots, whose API service listens as its system's does.

Nothing of it outlives the ``with``: no process, no mount, no file, no lock in /dev/shm. It says itself when it serves
(``NOTIFY_SOCKET``), and is ended by its process id. Only its images are of use here: it has no network for containers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.serving import serving

#: Where `make setup-test` unpacks what podman is linked to.
_LIBRARIES = Path(__file__).parents[2] / "build/debs/usr/lib/x86_64-linux-gnu"
#: podman sees that it has a conmon (which starts containers) before it does anything.
_PROGRAMS = ("podman", "conmon")


@dataclass(frozen=True)
class Podman:
    """A serving podman. ``folder``: all it has."""

    folder: Path

    @property
    def socket(self) -> Path:
        """Where its API is."""
        return self.folder / "podman.sock"

    @property
    def host(self) -> str:
        """The same as an address."""
        return f"unix://{self.socket}"

    def environ(self) -> dict[str, str]:
        """The environment in which ``podman`` is this one, without the host's configuration and its user's."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "LD_LIBRARY_PATH": str(_LIBRARIES),
            "CONTAINERS_CONF": f"{self.folder}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf",
            "CONTAINERS_REGISTRIES_CONF": f"{self.folder}/registries.conf",
        }

    def run(self, *words: str) -> str:
        """What ``podman WORDS`` prints, asked of the service as its own remote client does; it must succeed."""
        argv = ["podman", "--url", self.host, *words]
        done = subprocess.run(argv, capture_output=True, timeout=120, env=self.environ())
        assert done.returncode == 0, f"{argv}: {done.stderr.decode()}"
        return done.stdout.decode()


def why_not() -> str | None:
    """Why no podman can be started here; None if one can."""
    if os.getuid() != 0:
        return "this podman needs root"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    if Path("/proc/self/cgroup").read_text() == "0::/\n":
        return "podman moves all processes of the root control group into another"
    return None


@contextmanager
def podman(hub: str) -> Iterator[Podman]:
    """A serving podman without images. ``hub``: the host:port of the registry that is docker.io to it."""
    # Not pytest's folder: its names are too long for a unix socket.
    folder = Path(tempfile.mkdtemp(prefix="hyper-podman-"))
    try:
        _configure(folder, hub)
        made = Podman(folder)
        argv = ["podman", "system", "service", "--time", "0", made.host]
        with serving(folder, argv, made.environ()):
            yield made
    finally:
        shutil.rmtree(folder)


def _configure(folder: Path, hub: str) -> None:
    """Everything is in ``folder``; short names are docker.io's, as Docker means them."""
    (folder / "containers.conf").write_text(f"""
[engine]
lock_type = "file"
tmp_dir = "{folder}/tmp"
volume_path = "{folder}/volumes"
events_logger = "none"
cgroup_manager = "cgroupfs"
conmon_path = ["{shutil.which("conmon")}"]
[network]
network_config_dir = "{folder}/networks"
""")
    (folder / "storage.conf").write_text(f"""
[storage]
driver = "vfs"
graphroot = "{folder}/root"
runroot = "{folder}/run"
""")
    (folder / "registries.conf").write_text(f"""
unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "docker.io"
location = "{hub}"
insecure = true
[[registry]]
location = "{hub}"
insecure = true
""")
    policy = folder / ".config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
