"""The request that makes a container, from the flags of ``run`` and ``create``. It has only fields that were given."""

from __future__ import annotations

import os

from hyper.cli import values
from hyper.cli.creation import CONFIG, HEALTH, HOST, HOST_MAPS
from hyper.cli.endpoints import endpoints
from hyper.cli.flags import UsageError
from hyper.cli.ports import Published
from hyper.cli.resources import asked_for, restart_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from hyper.cli.flags import Arguments


def attached_streams(arguments: Arguments, *, detach: bool) -> tuple[bool, bool, bool]:
    """The streams stdin, stdout, stderr: which of them the user is connected to."""
    if detach:
        return False, False, False
    wanted = arguments.texts("--attach")
    if wanted:
        return "stdin" in wanted, "stdout" in wanted, "stderr" in wanted
    return arguments.on("--interactive"), True, True


def variables(arguments: Arguments) -> list[str]:
    """The variables of ``--env-file``, then those of ``-e``, which win."""
    of_files = [line for lines in arguments.all("--env-file") for line in lines]
    return [*of_files, *arguments.texts("--env")]


def request_body(arguments: Arguments, streams: tuple[bool, bool, bool]) -> dict[str, Any]:
    """The body of ``/containers/create``.

    Raises:
        UsageError: flags that exclude each other, or bad port specifications.
    """
    if arguments.on("--rm") and arguments.text("--restart") not in (None, "no", ""):
        raise UsageError("--rm and --restart exclude each other")
    ports = _published(arguments)
    mode, networks = endpoints(arguments)
    body = _config(arguments, streams, ports)
    body["HostConfig"] = _host_config(arguments, ports, mode)
    if networks:
        body["NetworkingConfig"] = {"EndpointsConfig": networks}
    return body


def _published(arguments: Arguments) -> Published:
    ports = Published()
    steps = [("--expose", ports.expose), ("--publish", ports.publish)]
    for key, add in steps:
        for spec in arguments.texts(key):
            try:
                add(spec)
            except ValueError as error:
                raise UsageError(f"invalid value {spec!r} for {key}: {error}") from error
    return ports


def _config(
    arguments: Arguments, streams: tuple[bool, bool, bool], ports: Published
) -> dict[str, Any]:
    image, *command = arguments.words
    entrypoint = arguments.text("--entrypoint")
    anonymous: dict[str, Any] = {target: {} for bind, target in _volumes(arguments) if bind is None}
    of_files = [line for lines in arguments.all("--label-file") for line in lines]
    body = asked_for(arguments, CONFIG) | {
        "Image": image,
        "AttachStdin": streams[0],
        "AttachStdout": streams[1],
        "AttachStderr": streams[2],
        "OpenStdin": arguments.on("--interactive"),
        "StdinOnce": streams[0] and arguments.on("--interactive"),
        "Cmd": command or None,
        "Env": variables(arguments),
        "Labels": values.mapping([*of_files, *arguments.texts("--label")]),
        "ExposedPorts": ports.exposed,
        "Volumes": anonymous,
        "Healthcheck": _health(arguments),
        "MacAddress": arguments.text("--mac-address"),
    }
    body = _without_defaults(body)
    if entrypoint is not None:
        # One empty string resets the image's entry point: the API's own convention.
        body["Entrypoint"] = [entrypoint]
    return body


def _health(arguments: Arguments) -> dict[str, Any]:
    asked = asked_for(arguments, HEALTH)
    if not arguments.on("--no-healthcheck"):
        return asked
    if asked:
        raise UsageError("--no-healthcheck conflicts with --health-* options")
    return {"Test": ["NONE"]}


def _host_config(arguments: Arguments, ports: Published, mode: str | None) -> dict[str, Any]:
    maps = {field: values.mapping(arguments.texts(flag.key)) for field, flag in HOST_MAPS}
    host = asked_for(arguments, HOST) | maps
    if kernel := arguments.text("--kernel"):
        # As the docker client can say it, too: --annotation hyper.kernel=/PATH.
        host["Annotations"] = {**maps["Annotations"], "hyper.kernel": os.path.abspath(kernel)}  # noqa: PTH100 (links are the daemon's to follow)
    host |= {
        "Binds": [bind for bind, _ in _volumes(arguments) if bind is not None],
        "LogConfig": _log(arguments),
        "NetworkMode": mode,
        "PortBindings": ports.bindings,
        "RestartPolicy": restart_policy(arguments.text("--restart") or "no"),
        "Tmpfs": dict(arguments.all("--tmpfs")),
        "Ulimits": [_ulimit_body(text) for text in arguments.texts("--ulimit")],
    }
    return _without_defaults(host)


def _log(arguments: Arguments) -> dict[str, Any] | None:
    driver, options = arguments.text("--log-driver"), arguments.texts("--log-opt")
    if driver == "none" and options:
        raise UsageError("invalid logging opts for driver none")
    if driver is None and not options:
        return None
    return {"Type": driver or "", "Config": values.mapping(options)}


def _without_defaults(body: dict[str, Any]) -> dict[str, Any]:
    """The body without fields that were not given: a daemon then need not know every field."""
    # 0 is kept: a stop timeout of 0 means something. (And 0 == False.)
    return {
        key: value
        for key, value in body.items()
        if value is not None and value is not False and value not in ([], {}, "")
    }


def _volumes(arguments: Arguments) -> Sequence[tuple[str | None, str]]:
    return arguments.all("--volume")


def _ulimit_body(text: str) -> dict[str, Any]:
    name, _, limits = text.partition("=")
    soft, hard = limits.split(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard)}
