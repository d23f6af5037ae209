"""The daemon's defaults for new containers, where clients say nothing: dockerd's ``--default-…`` options."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from hyper.config import Config
from hyper.engine.spec import create, from_docker
from hyper.types.container import HostConfig, LogConfig, Ulimit

_NO_NEW_PRIVILEGES: Final = "no-new-privileges"


def filled(host: HostConfig, config: Config) -> HostConfig:
    """The host configuration ``host`` with the daemon's defaults where it says nothing."""
    limits, options = host.ulimits or [], host.security_opt or []
    said = {limit.name for limit in limits}
    missing = [Ulimit(*limit) for limit in config.default_ulimits if limit[0] not in said]
    if config.no_new_privileges and not any(_NO_NEW_PRIVILEGES in item for item in options):
        options = [*options, _NO_NEW_PRIVILEGES]
    return replace(
        host,
        # An empty list stays one: clients see again what they sent.
        dns=host.dns or [*config.dns] or host.dns,
        dns_search=host.dns_search or [*config.dns_search] or host.dns_search,
        dns_options=host.dns_options or [*config.dns_opts] or host.dns_options,
        ulimits=[*limits, *missing] or host.ulimits,
        shm_size=host.shm_size or config.default_shm_size,
        init=True if host.init is None and config.init else host.init,
        security_opt=options or host.security_opt,
        log_config=_log(host.log_config, config),
    )


def _log(asked: LogConfig, config: Config) -> LogConfig:
    """The log driver is the default one if none was asked for; default options are for the default driver only."""
    driver = asked.type or config.log_driver
    options = asked.config
    if driver == config.log_driver:
        options = config.log_opts | (options or {})
    return LogConfig(type=driver, config=options)


def check(config: Config) -> None:
    """The daemon's defaults are valid.

    Raises:
        InvalidRequest, NotImplementedYet: as if a container had asked for one of them.
    """
    host, _ = create.checked(filled(HostConfig(), config))
    for limit in host.ulimits or []:
        from_docker.rlimit(limit)
