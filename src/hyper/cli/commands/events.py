"""``hyper events``."""

from __future__ import annotations

import time

from hyper.cli import values
from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag
from hyper.cli.listing import FILTER, FORMAT, filters
from hyper.cli.selector import compile_format
from hyper.client.engine import messages
from hyper.units import NANOSECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def event_line(event: dict[str, Any]) -> str:
    """One event as docker prints it: time, type, action, id, attributes."""
    actor = event.get("Actor") or {}
    nanoseconds = event.get("timeNano") or event.get("time", 0) * NANOSECONDS
    seconds, fraction = divmod(nanoseconds, NANOSECONDS)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{fraction:09d}{zone}"
    pairs = sorted((actor.get("Attributes") or {}).items())
    about = f" ({', '.join(f'{name}={value}' for name, value in pairs)})" if pairs else ""
    return f"{stamp} {event.get('Type')} {event.get('Action')} {actor.get('ID')}{about}"


def _run(context: Context, arguments: Arguments) -> int:
    text = arguments.text("--format")
    render = compile_format(text) if text else event_line
    query = {
        "since": arguments.text("--since"),
        "until": arguments.text("--until"),
        "filters": filters(arguments),
    }
    for event in messages(context.engine.open("GET", "/events", query)):
        tell(render(event))
    return 0


EVENTS = Command(
    _run,
    most=0,
    flags=(
        FILTER,
        FORMAT,
        Flag(
            "--since",
            takes="TIME",
            parse=values.moment,
            help="Those of the past, too: 10m, or a time",
        ),
        Flag("--until", takes="TIME", parse=values.moment, help="End then"),
    ),
    examples=("hyper events", "hyper events --since 10m --until 0s --filter container=web"),
)
