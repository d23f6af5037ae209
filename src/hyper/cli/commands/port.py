"""``hyper port``."""

from __future__ import annotations

from hyper.cli.addresses import bracketed
from hyper.cli.context import tell
from hyper.cli.flags import Command
from hyper.client.engine import container_path
from hyper.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _run(context: Context, arguments: Arguments) -> int:
    name, *wanted = arguments.words
    found = context.engine.get(container_path(name, "/json"))
    published = (found.get("NetworkSettings") or {}).get("Ports") or {}
    if wanted:
        key = wanted[0] if "/" in wanted[0] else f"{wanted[0]}/tcp"
        if not published.get(key):
            raise NotFound(f"no public port '{key}' published for {name}")
        published = {key: published[key]}
    for key in sorted(published, key=_number):
        for binding in published[key] or ():
            host = f"{bracketed(binding['HostIp'] or '0.0.0.0')}:{binding['HostPort']}"
            tell(host if wanted else f"{key} -> {host}")
    return 0


def _number(key: str) -> tuple[int, str]:
    number, _, protocol = key.partition("/")
    return int(number), protocol


PORT = Command(
    _run,
    words="CONTAINER [PORT[/PROTOCOL]]",
    least=1,
    most=2,
    examples=("hyper port web", "hyper port web 80"),
)
