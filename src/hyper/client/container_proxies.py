"""Proxies that the user's config.json has for containers: variables of new containers, as docker sets them.

Source: docker/cli cli/config/configfile/file.go, ParseProxyConfig.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


def with_proxies(variables: list[str], environ: Mapping[str, str], daemon: str) -> list[str]:
    """``variables`` of a container for ``daemon`` (its address), and those of proxies they do not name, in both cases.

    A file that is missing, broken, or says nothing of proxies adds none.
    """
    folder = environ.get("DOCKER_CONFIG") or f"{environ.get('HOME', '')}/.docker"
    try:
        with open(f"{folder}/config.json", "rb") as file:  # noqa: PTH123 (pathlib costs 3 ms of every run)
            data = file.read()
    except OSError:
        return variables
    if b'"proxies"' not in data:
        return variables
    known = {item.partition("=")[0] for item in variables}
    found = {
        name: value
        for variable, value in _asked(data, daemon)
        for name in (variable, variable.lower())
        if name not in known
    }
    return [*variables, *(f"{name}={value}" for name, value in found.items())]


def _asked(data: bytes, daemon: str) -> list[tuple[str, str]]:
    import json  # most users have no such file

    try:
        proxies = json.loads(data)["proxies"]
        own = proxies.get(daemon, proxies.get("default", {}))
        return [
            (variable, own[key])
            for key, variable in _VARIABLES.items()
            if isinstance(own.get(key), str) and own[key]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
