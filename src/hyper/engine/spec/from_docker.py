"""The container spec of a request in the words of the Engine API. Pure.

``HostConfig`` and ``ContainerConfig`` go no further than this: the container keeps them for clients to be shown.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterable, Mapping
from typing import Final

from hyper.config import DEFAULT_SHM_SIZE
from hyper.engine.record.container_spec import (
    ContainerSpec,
    ImageUse,
    MachineSize,
    NetworkKind,
    NetworkWish,
    Pairs,
    Privileges,
    Program,
    Restart,
    RestartRule,
    Root,
)
from hyper.engine.record.mount import MountPoint
from hyper.engine.spec import (
    capabilities,
    devices,
    health,
    log_options,
    modes,
    ports,
    resources,
    shared_sandbox,
)
from hyper.engine.spec.kernel_paths import MASKED, READONLY
from hyper.engine.spec.signals import signal_number
from hyper.errors import InvalidRequest
from hyper.proto.message import Rlimit
from hyper.types.aci import Aci
from hyper.types.container import ContainerConfig, Healthcheck, HostConfig, RestartPolicy, Ulimit

#: The annotation that names the file of a kernel (``docker run --annotation``, ``hyper run --kernel``).
KERNEL: Final = "hyper.kernel"
_RLIMITS: Final = {
    name.removeprefix("RLIMIT_").lower(): getattr(resource, name)
    for name in dir(resource)
    if name.startswith("RLIMIT_")
}
_UNLIMITED: Final = 2**64 - 1
_RESTARTS: Final = {
    "always": Restart.ALWAYS,
    "unless-stopped": Restart.UNLESS_STOPPED,
    "on-failure": Restart.ON_FAILURE,
}
_NO_NEW_PRIVILEGES: Final = frozenset({"no-new-privileges", "no-new-privileges=true"})


def container_spec(
    config: ContainerConfig,
    host: HostConfig,
    *,
    size: MachineSize,
    image: ImageUse = ImageUse(),  # noqa: B008 (frozen)
    mounts: Iterable[MountPoint] = (),
    seccomp: bytes = b"",
    aci: Aci | None = None,
    liveness: Healthcheck | None = None,
) -> ContainerSpec:
    """The spec of a container: ``config`` is whole, ``host`` settled (engine/spec/request.py).

    ``aci``: what the image says beyond an OCI configuration. ``liveness``: the check whose failure ends the program.

    Raises:
        InvalidRequest: a value makes no sense (Docker's words).
    """
    return ContainerSpec(
        program=_program(config, host, aci),
        privileges=_privileges(host, seccomp),
        size=size,
        image=image,
        root=Root(resources.scratch_size(host), host.readonly_rootfs),
        labels=_pairs(config.labels),
        limits=resources.limits(host),
        mounts=tuple(mounts),
        tmpfs=_pairs(host.tmpfs),
        shm_size=0 if host.shm_size == DEFAULT_SHM_SIZE else host.shm_size,
        hostname=config.hostname,
        domainname=config.domainname,
        hostname_of_host=host.uts_mode == "host",
        sysctls=_pairs(host.sysctls),
        kernel=kernel(host),
        hypervisor=modes.hypervisor(host),
        network=_network(config, host),
        restart=restart_rule(host.restart_policy),
        remove_at_end=host.auto_remove,
        health=health.of(config.healthcheck, config.shell),
        liveness=health.of(liveness, config.shell),
        log=log_options.limits(host.log_config),
    )


def _pairs(members: Mapping[str, str] | None) -> Pairs:
    return tuple((members or {}).items())


def _program(config: ContainerConfig, host: HostConfig, aci: Aci | None) -> Program:
    rows, columns = console_size(host.console_size)
    return Program(
        args=(*(config.entrypoint or ()), *(config.cmd or ())),
        env=tuple(config.env or ()),
        usual_env=True,
        cwd=config.working_dir,
        user=config.user,
        groups=tuple(host.group_add or ()),
        tty=config.tty,
        stdin=config.open_stdin,
        rows=rows,
        columns=columns,
        reaper=bool(host.init),
        pre_start=aci.pre_start if aci is not None else (),
        post_stop=aci.post_stop if aci is not None else (),
        stop_signal=signal_number(config.stop_signal) if config.stop_signal else None,
        stop_timeout_s=config.stop_timeout,
    )


def console_size(size: list[int] | None) -> tuple[int, int]:
    """The console's (rows, columns), as the API's ``[height, width]`` says; (0, 0): unknown."""
    if size is None or len(size) != 2:
        return 0, 0
    return min(max(size[0], 0), 65535), min(max(size[1], 0), 65535)


def _privileges(host: HostConfig, seccomp: bytes) -> Privileges:
    shown = host.privileged
    held = capabilities.names(host)
    options = {option.replace(":", "=") for option in host.security_opt or []}
    masked = MASKED if host.masked_paths is None else host.masked_paths
    readonly = READONLY if host.readonly_paths is None else host.readonly_paths
    return Privileges(
        capabilities=tuple(name for name in capabilities.CAPABILITIES if name in held),
        privileged=shown,
        no_new_privileges=not options.isdisjoint(_NO_NEW_PRIVILEGES),
        seccomp=seccomp,
        masked=() if shown else tuple(masked),
        readonly=() if shown else tuple(readonly),
        rlimits=tuple(rlimit(limit) for limit in host.ulimits or ()),
        devices=devices.given(host),
    )


def rlimit(limit: Ulimit) -> Rlimit:
    """The resource limit that ``--ulimit`` asks for; -1 is unlimited.

    Raises:
        InvalidRequest: no such limit.
    """
    number = _RLIMITS.get(limit.name.lower())
    if number is None:
        raise InvalidRequest(f"invalid ulimit type: {limit.name}")
    soft, hard = (_UNLIMITED if value < 0 else value for value in (limit.soft, limit.hard))
    return Rlimit(number, soft, hard)


def _network(config: ContainerConfig, host: HostConfig) -> NetworkWish:
    joins = shared_sandbox.owner_named(host)
    kind = NetworkKind.JOINED if joins else NetworkKind.OWN
    return NetworkWish(
        kind=NetworkKind.NONE if host.network_mode == "none" else kind,
        joins=joins,
        ports=ports.parse(config, host),
        dns=tuple(host.dns or ()),
        dns_search=tuple(host.dns_search or ()),
        dns_options=tuple(host.dns_options or ()),
        hosts=tuple(split_extra_host(extra) for extra in host.extra_hosts or ()),
    )


def split_extra_host(extra: str) -> tuple[str, str]:
    """The name and address of ``--add-host name:address`` (or ``name=address``).

    Raises:
        InvalidRequest: it is not of that form.
    """
    match = re.fullmatch(r"([^:=\s]+)[:=](\S+)", extra)
    if match is None:
        raise InvalidRequest(f'bad format for add-host: "{extra[:100]}"')
    return match[1], match[2].strip("[]")


def kernel(host: HostConfig) -> str:
    """The file of the kernel that ``host`` asks for; "": the daemon's.

    Raises:
        InvalidRequest: the text is no absolute path.
    """
    asked = (host.annotations or {}).get(KERNEL)
    if asked is None:
        return ""
    if not asked.startswith("/") or "\0" in asked:
        raise InvalidRequest(f"annotation {KERNEL}: {asked[:200]!r} is no absolute path")
    return asked


def restart_rule(policy: RestartPolicy) -> RestartRule:
    """The restart policy ``policy``, which was checked; no name is that of none."""
    when = _RESTARTS.get(policy.name, Restart.NEVER)
    return RestartRule(when, policy.maximum_retry_count)
