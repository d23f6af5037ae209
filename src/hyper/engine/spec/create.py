"""Rules of what clients of the Engine API may ask for, what it amounts to, and how it is merged with an image's. Pure.

Source of the rules: Docker's ``runconfig`` merge; errors in Docker's words where clients match on them.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from hyper.config import DEFAULT_SHM_SIZE
from hyper.engine.spec import health, kernel_paths, log_options, modes, mounts, resources, restart
from hyper.errors import ImageNotFound, InvalidRequest
from hyper.image import platform
from hyper.image.record import ImageRecord
from hyper.types import oci
from hyper.types.container import (
    IGNORED,
    IMPOSSIBLE,
    ContainerConfig,
    Healthcheck,
    HostConfig,
    LogConfig,
    is_asked_for,
)
from hyper.types.oci import Platform
from hyper.types.response import ImageConfig, ImageConfigView, said

#: Fields of HostConfig by their names on the wire.
_NAMES: Final = dict(
    zip(HostConfig.__struct_encode_fields__, HostConfig.__struct_fields__, strict=True)
)


def image_defaults(config: oci.ContainerConfig | None) -> ImageConfig:
    """The configuration that containers inherit from an image, as the API shows it."""
    if config is None:
        return ImageConfig()
    return ImageConfig(
        user=config.user or "",
        exposed_ports=_set(config.exposed_ports),
        env=list(config.env) if config.env else None,
        entrypoint=config.entrypoint_argv() or None,
        cmd=config.cmd_argv() or None,
        volumes=_set(config.volumes),
        working_dir=config.working_dir or "",
        labels=config.labels,
        stop_signal=config.stop_signal or None,
        healthcheck=_healthcheck(config.healthcheck),
    )


def image_config_view(config: oci.ContainerConfig | None) -> ImageConfigView:
    """An image's configuration as inspect shows it."""
    if config is None:
        return ImageConfigView()
    kept = image_defaults(config)
    return ImageConfigView(
        hostname=config.hostname or "",
        domainname=config.domainname or "",
        user=kept.user,
        exposed_ports=said(kept.exposed_ports),
        tty=config.tty,
        open_stdin=config.open_stdin,
        env=kept.env,
        cmd=kept.cmd,
        healthcheck=UNSET if kept.healthcheck is None else kept.healthcheck,
        args_escaped=said(config.args_escaped),
        volumes=kept.volumes,
        working_dir=kept.working_dir,
        entrypoint=kept.entrypoint,
        on_build=list(config.on_build) if config.on_build else None,
        labels=kept.labels,
        stop_signal=said(kept.stop_signal),
        stop_timeout=UNSET if config.stop_timeout is None else config.stop_timeout,
        shell=said(list(config.shell or ())),
    )


def _healthcheck(check: oci.Healthcheck | None) -> Healthcheck | None:
    if check is None:
        return None
    return Healthcheck(
        test=list(check.test or ()),
        interval=check.interval,
        timeout=check.timeout,
        start_period=check.start_period,
        start_interval=check.start_interval,
        retries=check.retries,
    )


def _set(members: dict[str, Any] | None) -> dict[str, dict[str, Any]] | None:
    """JSON objects used as sets: some builders write null for the empty values."""
    return {name: {} for name in members} if members else None


def merge(asked: ContainerConfig, image: ImageConfig) -> ContainerConfig:
    """The container's configuration: ``asked``, completed by ``image``.

    Raises:
        InvalidRequest: neither says which program to run.
    """
    cmd, entrypoint = _program(asked, image)
    return ContainerConfig(
        hostname=asked.hostname,
        domainname=asked.domainname,
        user=asked.user or image.user,
        attach_stdin=asked.attach_stdin,
        attach_stdout=asked.attach_stdout,
        attach_stderr=asked.attach_stderr,
        exposed_ports={**(image.exposed_ports or {}), **(asked.exposed_ports or {})},
        tty=asked.tty,
        open_stdin=asked.open_stdin,
        stdin_once=asked.stdin_once,
        env=merge_env(image.env or [], asked.env or []) or None,
        cmd=cmd,
        image=asked.image,
        volumes={**(image.volumes or {}), **(asked.volumes or {})} or None,
        working_dir=_clean(asked.working_dir or image.working_dir),
        entrypoint=entrypoint,
        labels={**(image.labels or {}), **(asked.labels or {})},
        stop_signal=asked.stop_signal or image.stop_signal,
        stop_timeout=asked.stop_timeout,
        healthcheck=health.merge(asked.healthcheck, image.healthcheck),
        shell=asked.shell,
        on_build=asked.on_build,
    )


def _clean(path: str) -> str:
    """A working directory as dockerd keeps it: without ``.``, ``..`` and doubled slashes."""
    return mounts.clean(path) if path.startswith("/") else path


def _program(
    asked: ContainerConfig, image: ImageConfig
) -> tuple[list[str] | None, list[str] | None]:
    """The command and the entry point: a client's one drops the image's command; ``[""]`` is docker's for none."""
    cmd, entrypoint = asked.cmd, asked.entrypoint
    if entrypoint is None:
        entrypoint = image.entrypoint
        cmd = cmd or image.cmd
    elif entrypoint == [""]:
        entrypoint = None
    if not entrypoint and not cmd:
        raise InvalidRequest("no command specified")
    return cmd, entrypoint


def merge_env(base: list[str], over: list[str]) -> list[str]:
    """The variables ``base`` with those of ``over`` set. A name without ``=`` stays: programs do not get it."""
    merged = {item.partition("=")[0]: item for item in base}
    for item in over:
        name = item.partition("=")[0]
        if not name:
            raise InvalidRequest(f"invalid environment variable: {item}")
        merged[name] = item
    return list(merged.values())


def check_platform(image: ImageRecord, name: str, wanted: Platform | None) -> list[str]:
    """Warnings about an image for another platform than the host's, though the client asked for none (``wanted``).

    Raises:
        NotFound: it is not for ``wanted``: the client pulls one that is.
    """
    host = platform.host()
    own = Platform(image.architecture or host.architecture, image.os, image.config.variant)
    if wanted is not None and not platform.matches(own, wanted):
        raise ImageNotFound(
            f"image with reference {name} was found but its platform ({platform.show(own)}) does not match "
            f"the specified platform ({platform.show(wanted)})"
        )
    older = (own.architecture, host.architecture) == ("386", "amd64")
    if wanted is None and not older and not platform.matches(own, host):
        return [
            f"The requested image's platform ({platform.show(own)}) does not match the detected host platform "
            f"({platform.show(host)}) and no specific platform was requested"
        ]
    return []


def ignored(host: HostConfig) -> list[str]:
    """Warnings about members of ``host`` that never have an effect here.

    Raises:
        InvalidRequest: one makes no sense in a virtual machine.
    """
    for member, why in IMPOSSIBLE.items():
        if is_asked_for(getattr(host, _NAMES[member])):
            raise InvalidRequest(f"HostConfig.{member} is impossible: {why}")
    return [
        f"HostConfig.{member} has no effect and was ignored."
        for member in IGNORED
        if is_asked_for(getattr(host, _NAMES[member]))
    ]


def checked(host: HostConfig) -> tuple[HostConfig, list[str]]:
    """The host configuration ``host`` without what has no effect here, and warnings about that.

    Raises:
        NotImplementedYet: something that cannot just be left out was asked for.
        InvalidRequest: something makes no sense in a virtual machine.
    """
    without_effect = ignored(host)
    _check_modes(host)
    host, warnings = modes.checked(host)
    restart.check(host)
    warnings += log_options.check(host.log_config)
    _check_values(host)
    if 0 < host.nano_cpus < resources.MINIMUM_CPUS * resources.NANO:
        warnings.append(
            f"Less than {resources.MINIMUM_CPUS} CPUs are not possible: that is the limit."
        )
    return host, warnings + without_effect


def filled(host: HostConfig) -> HostConfig:
    """The host configuration ``host``: what clients leave empty has the value that amounts to, as with dockerd."""
    masked, readonly = host.masked_paths, host.readonly_paths
    if not host.privileged:
        masked = list(kernel_paths.MASKED) if masked is None else masked
        readonly = list(kernel_paths.READONLY) if readonly is None else readonly
    policy, log = host.restart_policy, host.log_config
    return replace(
        host,
        network_mode="bridge" if host.network_mode in ("", "default") else host.network_mode,
        restart_policy=replace(policy, name=policy.name or restart.NEVER),
        masked_paths=masked,
        readonly_paths=readonly,
        cgroupns_mode=host.cgroupns_mode or "private",
        ipc_mode=host.ipc_mode or "private",
        runtime=host.runtime or modes.RUNTIME,
        log_config=LogConfig(type=log.type or "json-file", config=log.config or {}),
        shm_size=host.shm_size or DEFAULT_SHM_SIZE,
        pids_limit=host.pids_limit if (host.pids_limit or 0) > 0 else None,
    )


def _check_modes(host: HostConfig) -> None:
    mode = host.network_mode
    if mode == "host":
        raise InvalidRequest(
            "network mode host is impossible: a virtual machine has a network stack of its own",
            hint="publish ports with -p instead",
        )


def _check_values(host: HostConfig) -> None:
    if "" in (host.annotations or {}):
        raise InvalidRequest(
            "invalid Annotations: the empty string is not permitted as an annotation key"
        )
    if host.shm_size < 0:
        raise InvalidRequest("SHM size can not be less than 0")
    for server in host.dns or []:
        try:
            ipaddress.ip_address(server)
        except ValueError:
            raise InvalidRequest(f"invalid IP address for DNS: {server[:100]!r}") from None
