"""``hyper logs``."""

from __future__ import annotations

import os

from hyper.cli import values
from hyper.cli.flags import Command, Flag
from hyper.client.engine import container_path
from hyper.proto.docker_stream import STDERR, DockerStreamDecoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments
    from hyper.client.http import Response


def _tail(text: str) -> str:
    if text != "all" and not text.lstrip("-").isdecimal():
        raise ValueError("use a number of lines, or all")
    return text


def _run(context: Context, arguments: Arguments) -> int:
    for descriptor, data in written(context, arguments.words[0], arguments):
        _write(descriptor, data)
    return 0


def written(context: Context, container: str, arguments: Arguments) -> Iterator[tuple[int, bytes]]:
    """The output of ``container`` that the flags in ``LOG_FLAGS`` ask for: descriptor and bytes, as they come."""
    found = context.engine.get(container_path(container, "/json"))
    query = {
        "stdout": True,
        "stderr": True,
        "follow": arguments.on("--follow"),
        "timestamps": arguments.on("--timestamps"),
        "details": arguments.on("--details"),
        "since": arguments.text("--since"),
        "until": arguments.text("--until"),
        "tail": arguments.text("--tail") or "all",
    }
    with context.engine.open("GET", container_path(found["Id"], "/logs"), query) as response:
        yield from _pieces(response, tty=found["Config"]["Tty"])


def _pieces(response: Response, *, tty: bool) -> Iterator[tuple[int, bytes]]:
    if tty:
        yield from ((1, piece) for piece in response.pieces())
        return
    decoder = DockerStreamDecoder()
    for data in response.pieces():
        for stream, piece in decoder.feed(data):
            yield (2 if stream == STDERR else 1), piece


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


LOG_FLAGS = (
    Flag("--details", help="Before each line what --log-opt labels and env name"),
    Flag("-f", "--follow", help="Go on as it writes"),
    Flag(
        "--since",
        takes="TIME",
        parse=values.moment,
        help="Only from then: 10m, 2026-01-31T12:00",
    ),
    Flag("-n", "--tail", takes="N", parse=_tail, help="Only the last N lines"),
    Flag("-t", "--timestamps", help="The time before each line"),
    Flag("--until", takes="TIME", parse=values.moment, help="Only until then"),
)
LOGS = Command(
    _run,
    words="CONTAINER",
    least=1,
    most=1,
    flags=LOG_FLAGS,
    examples=("hyper logs web", "hyper logs -f --tail 20 web", "hyper logs --since 10m -t web"),
)
