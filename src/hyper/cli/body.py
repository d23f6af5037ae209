"""The request that makes a container, from the flags of ``run`` and ``create``. It holds only what was asked for."""

from __future__ import annotations

from hyper.cli.flags import UsageError
from hyper.cli.ports import Published

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from hyper.cli.flags import Arguments


def attached_streams(arguments: Arguments, *, detach: bool) -> tuple[bool, bool, bool]:
    """Which of stdin, stdout, stderr the user is connected to."""
    if detach:
        return False, False, False
    wanted = arguments.texts("--attach")
    if wanted:
        return "stdin" in wanted, "stdout" in wanted, "stderr" in wanted
    return arguments.on("--interactive"), True, True


def variables(arguments: Arguments) -> list[str]:
    """Those of ``--env-file``, then those of ``-e``, which win."""
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
    body = _config(arguments, streams, ports)
    body["HostConfig"] = _host_config(arguments, ports)
    aliases = arguments.texts("--network-alias")
    if aliases:
        network = arguments.text("--network") or "default"
        body["NetworkingConfig"] = {"EndpointsConfig": {network: {"Aliases": aliases}}}
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
    body = {
        "Image": image,
        "AttachStdin": streams[0],
        "AttachStdout": streams[1],
        "AttachStderr": streams[2],
        "Tty": arguments.on("--tty"),
        "OpenStdin": arguments.on("--interactive"),
        "StdinOnce": streams[0] and arguments.on("--interactive"),
        "Cmd": command or None,
        "Hostname": arguments.text("--hostname"),
        "User": arguments.text("--user"),
        "WorkingDir": arguments.text("--workdir"),
        "Env": variables(arguments),
        "Labels": dict(_split(text) for text in arguments.texts("--label")),
        "ExposedPorts": ports.exposed,
        "Volumes": anonymous,
        "StopSignal": arguments.text("--stop-signal"),
        "StopTimeout": arguments.number("--stop-timeout"),
    }
    body = _without_defaults(body)
    if entrypoint is not None:
        # One empty string resets the image's entry point: the API's own convention.
        body["Entrypoint"] = [entrypoint]
    return body


def _host_config(arguments: Arguments, ports: Published) -> dict[str, Any]:
    host = {
        "AutoRemove": arguments.on("--rm"),
        "Binds": [bind for bind, _ in _volumes(arguments) if bind is not None],
        "CapAdd": arguments.texts("--cap-add"),
        "CapDrop": arguments.texts("--cap-drop"),
        "Dns": arguments.texts("--dns"),
        "ExtraHosts": arguments.texts("--add-host"),
        "GroupAdd": arguments.texts("--group-add"),
        "Init": arguments.on("--init"),
        "Memory": arguments.number("--memory"),
        "Mounts": arguments.all("--mount"),
        "NanoCpus": arguments.number("--cpus"),
        "NetworkMode": arguments.text("--network"),
        "PortBindings": ports.bindings,
        "Privileged": arguments.on("--privileged"),
        "PublishAllPorts": arguments.on("--publish-all"),
        "ReadonlyRootfs": arguments.on("--read-only"),
        "RestartPolicy": _restart_policy(arguments.text("--restart")),
        "SecurityOpt": arguments.texts("--security-opt"),
        "ShmSize": arguments.number("--shm-size"),
        "Sysctls": dict(_split(text) for text in arguments.texts("--sysctl")),
        "Tmpfs": dict(arguments.all("--tmpfs")),
        "Ulimits": [_ulimit_body(text) for text in arguments.texts("--ulimit")],
    }
    return _without_defaults(host)


def _without_defaults(body: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody asked for: a daemon then need not know every field."""
    # 0 is kept: a stop timeout of 0 means something. (And 0 == False.)
    return {
        key: value
        for key, value in body.items()
        if value is not None and value is not False and value not in ([], {}, "")
    }


def _volumes(arguments: Arguments) -> Sequence[tuple[str | None, str]]:
    return arguments.all("--volume")


def _split(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _restart_policy(text: str | None) -> dict[str, Any]:
    name, _, count = (text or "").partition(":")
    return {"Name": name or "no", "MaximumRetryCount": int(count or 0)}


def _ulimit_body(text: str) -> dict[str, Any]:
    name, limits = _split(text)
    soft, hard = limits.split(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard)}
