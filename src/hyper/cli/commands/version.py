"""``hyper version``."""

from __future__ import annotations

import sys

from hyper import __version__
from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _run(context: Context, arguments: Arguments) -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    client = {"Version": __version__, "Python": python, "Host": context.engine.address.text}
    text = arguments.text("--format")
    if text is not None:
        from hyper.cli.selector import compile_format

        tell(compile_format(text)({"Client": client, "Server": context.engine.get("/version")}))
        return 0
    tell("Client:")
    for name, value in client.items():
        tell(f" {name + ':':<15} {value}")
    try:
        server = context.engine.get("/version")
    except HyperError:
        tell("Server:          none")
        raise
    _tell_server(server)
    return 0


def _tell_server(server: dict[str, Any]) -> None:
    facts = {
        "Version": server.get("Version"),
        "API version": f"{server.get('ApiVersion')} (minimum {server.get('MinAPIVersion')})",
        "OS/Arch": f"{server.get('Os')}/{server.get('Arch')}",
        "Host kernel": server.get("KernelVersion"),
        "Git commit": server.get("GitCommit"),
    }
    tell("Server:")
    for name, value in facts.items():
        if value:
            tell(f" {name + ':':<15} {value}")
    for component in server.get("Components") or ():
        if component.get("Name") not in (None, "Engine") and component.get("Version"):
            tell(f" {component['Name'] + ':':<15} {component['Version']}")


VERSION = Command(
    _run,
    most=0,
    flags=(
        Flag(
            "-f",
            "--format",
            takes="FORMAT",
            help="What to print: '{{.Server.Version}}', a path, or json",
        ),
    ),
    examples=("hyper version", "hyper version --format Server.ApiVersion"),
)
