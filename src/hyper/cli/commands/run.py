"""``hyper run`` and ``hyper create``."""

from __future__ import annotations

import os
import sys

from hyper.cli import app_images, terminal, transport
from hyper.cli.body import attached_streams, request_body
from hyper.cli.context import say, tell
from hyper.cli.creation import CREATION
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.session import Session, require_terminal
from hyper.cli.shared_flags import DETACH_KEYS, SIG_PROXY
from hyper.client.container_proxies import with_proxies
from hyper.client.engine import container_path
from hyper.client.errors import ApiError
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments
    from hyper.cli.timing import Timing

DAEMON_FAILED, CANNOT_INVOKE, NOT_FOUND = 125, 126, 127
_CODES = {"program-not-found": NOT_FOUND, "program-not-executable": CANNOT_INVOKE}


def start_failure_code(error: HyperError) -> int:
    """The exit code for a container that did not start: a shell's if its program cannot be run, else 125."""
    return _CODES.get(error.kind, DAEMON_FAILED)


def create(
    context: Context, arguments: Arguments, body: dict[str, Any], timing: Timing | None = None
) -> str:
    """The id of a new container; its image was pulled if ``--pull`` allows and it was missing.

    Raises:
        HyperError: the daemon refused; no container was created.
    """
    image = body["Image"]
    when, platform = arguments.text("--pull"), arguments.text("--platform")
    quiet = arguments.on("--quiet")
    cidfile = _reserve_cidfile(arguments.text("--cidfile"))
    source = transport.parse(image)
    brought = source is not None or app_images.is_meant(image)
    if source is not None:
        transport.forbid(source, "--pull never" if when == "never" else None)
        body["Image"] = transport.bring(
            context, source, platform=platform, quiet=quiet, again=False
        )
    elif brought:
        body["Image"] = app_images.bring(context, image, None if quiet else sys.stderr)[0]
    elif when == "always":
        body["Image"] = _pull(context, image, platform=platform, quiet=quiet, missing=False)
    if timing and (brought or when == "always"):
        timing.mark("image is there")
    variables = with_proxies(body.get("Env", []), os.environ, context.engine.address.text)
    if variables:
        body["Env"] = variables
    query = {"name": arguments.text("--name"), "platform": platform}
    try:
        answer = context.engine.post("/containers/create", body, **query)
    except ApiError as error:
        if error.kind != "image-not-found" or when == "never" or brought:
            raise
        if timing:
            timing.mark("image is not there")
        body["Image"] = _pull(context, image, platform=platform, quiet=quiet, missing=True)
        if timing:
            timing.mark("image is there")
        answer = context.engine.post("/containers/create", body, **query)
    for warning in answer.get("Warnings") or ():
        say(f"WARNING: {warning}")
    if cidfile is not None:
        cidfile.write_text(answer["Id"])
    if timing:
        timing.image = body["Image"]
        timing.mark("container created")
    return str(answer["Id"])


def _pull(context: Context, image: str, **how: Any) -> str:
    from hyper.cli.commands.pull import pull_for_run  # 5 ms that most runs need not pay

    return pull_for_run(context, image, **how)


def _reserve_cidfile(name: str | None) -> Path | None:
    if name is None:
        return None
    from pathlib import Path  # 3 ms that only --cidfile needs

    path = Path(name)
    if path.exists():
        raise HyperError(
            f"the container id file {name} exists", hint="is that container still in use? remove it"
        )
    return path


def _create(context: Context, arguments: Arguments) -> int:
    streams = attached_streams(arguments, detach=False)
    tell(create(context, arguments, request_body(arguments, streams)))
    return 0


def _run(context: Context, arguments: Arguments) -> int:
    detach = arguments.on("--detach")
    if detach and arguments.texts("--attach"):
        raise UsageError("--detach and --attach exclude each other")
    streams = attached_streams(arguments, detach=detach)
    body = request_body(arguments, streams)
    _add_console_size(body)
    timing = _timing() if arguments.on("--timing") else None
    if detach:
        return _run_detached(context, create(context, arguments, body, timing), timing)
    require_terminal(tty=arguments.on("--tty"), interactive=streams[0])
    session = Session(
        context.engine,
        "",
        tty=arguments.on("--tty"),
        interactive=streams[0],
        proxy=arguments.on("--sig-proxy"),
        keys=arguments.text("--detach-keys"),
    )
    identifier = create(context, arguments, body, timing)
    session.resource = container_path(identifier)
    until = "removed" if arguments.on("--rm") else "next-exit"
    status = _run_attached(context, session, streams, until=until, timing=timing)
    if timing:
        timing.mark("exit code known")
        timing.show(context.engine, identifier)
    return status


def _timing() -> Timing:
    from hyper.cli.timing import Timing  # who does not ask does not pay

    return Timing()


def _add_console_size(body: dict[str, Any]) -> None:
    size = terminal.size(1)
    if "Tty" in body and size is not None:
        body["HostConfig"]["ConsoleSize"] = list(size)


def _run_detached(context: Context, identifier: str, timing: Timing | None) -> int:
    try:
        context.engine.post(container_path(identifier, "/start"))
    except ApiError as error:
        return _did_not_start(error)
    tell(identifier)
    if timing:
        timing.mark("container started")
        timing.show(context.engine, identifier)
    return 0


def _run_attached(
    context: Context,
    session: Session,
    streams: tuple[bool, bool, bool],
    *,
    until: str,
    timing: Timing | None,
) -> int:
    engine, path = context.engine, session.resource
    with session.terminal():
        wire, early = engine.hijack(
            f"{path}/attach", stream=True, stdin=streams[0], stdout=streams[1], stderr=streams[2]
        )
        with wire:
            # Asked before the start: an exit between the two would be missed.
            waiting = engine.open("POST", f"{path}/wait", {"condition": until})
            try:
                session.await_answer(engine.send("POST", f"{path}/start")).close()
            except ApiError as error:
                waiting.close()
                return _did_not_start(error)
            if timing:
                timing.mark("container started")
            session.release()
            stayed = session.converse(wire, early)
            if timing and session.first_output_ns:
                timing.mark("first byte of output", session.first_output_ns)
            if not stayed:
                waiting.close()
                return 0
            return session.exit_code(waiting)


def _did_not_start(error: ApiError) -> int:
    say(f"hyper: {error}")
    return start_failure_code(error)


_DETACH = Flag("-d", "--detach", help="Leave it running in the background and print its id")
_TIMING = Flag("--timing", help="Show where the time of its start went, when it has ended")

RUN = Command(
    _run,
    words="IMAGE [COMMAND] [ARG...]",
    least=1,
    passes_on=True,
    flags=(*CREATION, _DETACH, DETACH_KEYS, SIG_PROXY, _TIMING),
    failure=DAEMON_FAILED,
    examples=(
        "hyper run --rm -it busybox sh",
        "hyper run -d --name web -p 8080:80 nginx",
        "hyper run --rm -m 256m --cpus 2 -v $PWD:/src -w /src gcc make",
        "tar c . | hyper run --rm -i busybox tar t",
        "hyper run --rm --timing busybox true",
        "hyper run --rm oci-archive:busybox.tar:latest date",
        "hyper run --rm ./app.aci",
    ),
)
CREATE = Command(
    _create,
    words="IMAGE [COMMAND] [ARG...]",
    least=1,
    passes_on=True,
    flags=CREATION,
    examples=("hyper create --name web -p 8080:80 nginx", "hyper start web"),
)
