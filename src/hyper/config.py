"""The configuration of the daemon: paths, and settings it was given.

Built once by the daemon from defaults, a configuration file and the command line (in that order, later wins), then
passed down. Nothing else reads the environment.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hyper.errors import InvalidRequest

#: What a container gets when nobody says otherwise.
DEFAULT_MEMORY_MIB = 256
#: Five machines.
DEFAULT_POOL_MEMORY_MIB = 256
#: Of /dev/shm, in bytes, as Docker's.
DEFAULT_SHM_SIZE = 64 * 1024 * 1024
#: Below this the kernel does not boot with the images we know (docs/decisions/0004-hyperkernel.md).
MINIMUM_MEMORY_MIB = 48


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a daemon. Paths are absolute."""

    data_root: Path
    exec_root: Path
    hosts: tuple[str, ...]
    #: Folder with vmlinux, initrd: the guest's half of Hyper.
    assets: Path
    #: What machines boot, in place of the assets' vmlinux.
    kernel: Path | None = None
    group: str = "docker"
    log_level: str = "info"
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    #: Files of certificates that sign for registries, beside the system's.
    registry_ca: tuple[Path, ...] = ()
    #: What registries are asked through; "": directly.
    http_proxy: str = ""
    https_proxy: str = ""
    #: Hosts that are asked directly, as Go has it.
    no_proxy: str = ""
    #: Pulled layers are kept as squashfs only, and fetched again when they are pushed or saved.
    discard_blobs: bool = False
    #: What runs machines that do not say: a name, or "auto": the first that works.
    hypervisor: str = "auto"
    #: QEMU's: "auto" probes; "kvm" and "tcg" insist.
    accelerator: str = "auto"
    #: What serves shared paths: "qemu" (C), "rust"; "auto" takes the one that passes on locks.
    file_server: str = "auto"
    #: Whether changes that the host makes in bind mounts are told to who watches them in a machine.
    host_events: bool = True
    #: How volumes are kept whose options leave that open: "directory", "image"; "auto": directory where we are root.
    default_volume_type: str = "auto"
    default_memory_mib: int = DEFAULT_MEMORY_MIB
    #: How long a machine may take from its start to its program's.
    boot_timeout_s: int = 60
    #: Machines are copies of one that has booted, where that can be; else each boots.
    templates: bool = True
    #: Of the host's memory, for machines that wait for a container; 0: none does.
    pool_memory_mib: int = DEFAULT_POOL_MEMORY_MIB
    labels: tuple[str, ...] = field(default=())
    #: Whether TCP addresses speak TLS; None: only if ``tlsverify``. False said aloud allows any address without.
    tls: bool | None = None
    #: Whether clients need a certificate that ``tlscacert`` signed.
    tlsverify: bool = False
    tlscacert: Path | None = None
    tlscert: Path | None = None
    tlskey: Path | None = None
    #: Names that clients reach TCP addresses by, beside those in ``hosts``, this host's own, and IP addresses.
    allowed_hosts: tuple[str, ...] = ()
    #: Origins of pages that may use the API from a browser: ``https://console.example``.
    allowed_origins: tuple[str, ...] = ()
    #: Where networks without a --subnet get theirs; empty: Hyper's own choice.
    default_address_pools: tuple[str, ...] = ()
    #: Whose machines may speak to services of the host: "none", "all", or "asked" for by a network or a container.
    host_services: str = "asked"
    #: Holds the daemon's process id while it runs.
    pidfile: Path | None = None
    #: What containers have that do not say otherwise; limits as (name, soft, hard).
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    default_ulimits: tuple[tuple[str, int, int], ...] = ()
    default_shm_size: int = DEFAULT_SHM_SIZE
    init: bool = False
    no_new_privileges: bool = False
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(default_factory=dict)
    #: Sockets of container engines whose images are looked for before a registry is asked, in this order.
    local_engines: tuple[Path, ...] = ()

    @property
    def guest_kernel(self) -> Path:
        """The kernel that machines boot that have none of their own."""
        return self.kernel or self.assets / "vmlinux"

    @property
    def guest_initrd(self) -> Path:
        """The archive with the guest's init."""
        return self.assets / "initrd"

    @property
    def socket(self) -> Path | None:
        """The first unix socket served, None if none is."""
        for host in self.hosts:
            if host.startswith("unix://"):
                return Path(host.removeprefix("unix://"))
        return None

    def with_settings(self, settings: dict[str, Any]) -> Config:
        """This configuration with ``settings`` (field names; None means unchanged) laid over it.

        Raises:
            InvalidRequest: a name that is no setting.
        """
        known = {item.name for item in fields(self)}
        unknown = sorted(settings.keys() - known)
        if unknown:
            raise InvalidRequest(
                f"unknown configuration key: {unknown[0]}",
                hint="known keys: " + ", ".join(sorted(known)),
            )
        return replace(self, **{key: value for key, value in settings.items() if value is not None})


def default_socket(*, uid: int | None = None) -> Path:
    """The socket where the daemon of ``uid`` (default: this process's) listens when not told otherwise."""
    return _default_exec_root(os.getuid() if uid is None else uid) / "hyper.sock"


def defaults() -> Config:
    """The configuration of a daemon started without arguments: system folders for root, the user's own otherwise."""
    exec_root = _default_exec_root(os.getuid())
    return Config(
        data_root=_default_data_root(os.getuid()),
        exec_root=exec_root,
        hosts=(f"unix://{exec_root}/hyper.sock",),
        assets=Path(os.environ.get("HYPER_ASSETS", f"{sys.prefix}/share/hyper")),
        local_engines=usual_engines(),
        http_proxy=_either_case("HTTP_PROXY"),
        https_proxy=_either_case("HTTPS_PROXY"),
        no_proxy=_either_case("NO_PROXY"),
    )


def _either_case(name: str) -> str:
    """The value of an environment variable, by its name in capitals, else in lower case; "" without either."""
    return os.environ.get(name) or os.environ.get(name.lower(), "")


def certs_dirs() -> tuple[Path, ...]:
    """The folders of registries' certificates: the user's own before the system's, Hyper's before Docker's."""
    system = tuple(Path("/etc", name, "certs.d") for name in ("hyper", "docker"))
    if os.getuid() == 0:
        return system
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return (*(Path(base, name, "certs.d") for name in ("hyper", "docker")), *system)


def usual_engines() -> tuple[Path, ...]:
    """The sockets where Docker and podman usually listen: the user's own before the system's."""
    system = (Path("/var/run/docker.sock"), Path("/run/podman/podman.sock"))
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if os.getuid() == 0 or not runtime:
        return system
    return (Path(runtime, "docker.sock"), Path(runtime, "podman/podman.sock"), *system)


def _default_exec_root(uid: int) -> Path:
    if uid == 0:
        return Path("/run/hyper")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "hyper") if runtime else Path(f"/tmp/hyper-{uid}")  # noqa: S108 (checked to be ours when made)


def _default_data_root(uid: int) -> Path:
    if uid == 0:
        return Path("/var/lib/hyper")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return Path(base, "hyper")
