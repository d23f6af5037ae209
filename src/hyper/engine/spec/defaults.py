"""The daemon's defaults for new containers, where clients say nothing: dockerd's ``--default-…`` options."""

from __future__ import annotations

from typing import Any, Final

from hyper.config import Config
from hyper.engine.spec import create, from_docker
from hyper.types.container import HostConfig, Ulimit

_NO_NEW_PRIVILEGES: Final = "no-new-privileges"


def fill_in(host: HostConfig, raw: dict[str, Any], config: Config) -> None:
    """The host configuration, which came as ``raw``, has the daemon's defaults where it says nothing."""
    # An empty list stays one: clients see again what they sent.
    host.dns = host.dns or [*config.dns] or host.dns
    host.dns_search = host.dns_search or [*config.dns_search] or host.dns_search
    host.dns_options = host.dns_options or [*config.dns_opts] or host.dns_options
    said = {limit.name for limit in host.ulimits or []}
    missing = [Ulimit(*limit) for limit in config.default_ulimits if limit[0] not in said]
    host.ulimits = [*(host.ulimits or []), *missing] or host.ulimits
    if not raw.get("ShmSize"):
        host.shm_size = config.default_shm_size
    if host.init is None and config.init:
        host.init = True
    options = host.security_opt or []
    if config.no_new_privileges and not any(_NO_NEW_PRIVILEGES in item for item in options):
        host.security_opt = [*options, _NO_NEW_PRIVILEGES]
    _fill_in_log(host, raw, config)


def _fill_in_log(host: HostConfig, raw: dict[str, Any], config: Config) -> None:
    """The log driver is the default one if none was asked for; default options are for the default driver only."""
    asked = raw.get("LogConfig")
    if not (isinstance(asked, dict) and asked.get("Type")):
        host.log_config.type = config.log_driver
    if host.log_config.type == config.log_driver:
        host.log_config.config = config.log_opts | (host.log_config.config or {})


def check(config: Config) -> None:
    """The daemon's defaults are valid.

    Raises:
        InvalidRequest, NotImplementedYet: as if a container had asked for one of them.
    """
    host = HostConfig()
    fill_in(host, {}, config)
    create.check(host, {})
    for limit in host.ulimits or []:
        from_docker.rlimit(limit)
