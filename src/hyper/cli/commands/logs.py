"""``hyper logs``."""

from __future__ import annotations

import os

from hyper.cli import values
from hyper.cli.flags import Command, Flag
from hyper.client.engine import container_path
from hyper.proto.docker_stream import DockerStream, DockerStreamDecoder

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
    found = context.engine.get(container_path(arguments.words[0], "/json"))
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
        for descriptor, data in _pieces(response, tty=found["Config"]["Tty"]):
            _write(descriptor, data)
    return 0


def _pieces(response: Response, *, tty: bool) -> Iterator[tuple[int, bytes]]:
    if tty:
        yield from ((1, piece) for piece in response.pieces())
        return
    decoder = DockerStreamDecoder()
    for data in response.pieces():
        for stream, piece in decoder.feed(data):
            yield (2 if stream is DockerStream.STDERR else 1), piece


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


LOGS = Command(
    _run,
    words="CONTAINER",
    least=1,
    most=1,
    flags=(
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
    ),
    examples=("hyper logs web", "hyper logs -f --tail 20 web", "hyper logs --since 10m -t web"),
)
