"""``hyper exec``."""

from __future__ import annotations

from hyper.cli import terminal
from hyper.cli.body import variables
from hyper.cli.flags import Command, Flag
from hyper.cli.session import Session, require_terminal
from hyper.cli.shared_flags import DETACH_KEYS, ENVIRONMENT
from hyper.client.engine import container_path
from hyper.client.quote import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _run(context: Context, arguments: Arguments) -> int:
    container, *command = arguments.words
    return run_in(context, container, command, arguments)


def run_in(context: Context, container: str, command: list[str], arguments: Arguments) -> int:
    """Run ``command`` in ``container`` as the flags in ``EXEC_FLAGS`` say; returns its exit code, 0 after detaching."""
    detach = arguments.on("--detach")
    tty = arguments.on("--tty")
    interactive = arguments.on("--interactive") and not detach
    require_terminal(tty=tty, interactive=interactive)
    body = _body(arguments, command, attach=not detach, stdin=interactive)
    size = terminal.size(1) if tty else None
    if size is not None:
        body["ConsoleSize"] = list(size)
    made = context.engine.post(container_path(container, "/exec"), body)
    path = f"/exec/{quote(made['Id'])}"
    if detach:
        context.engine.post(f"{path}/start", {"Detach": True, "Tty": tty})
        return 0
    return _attached(context, arguments, path, size)


def _attached(
    context: Context, arguments: Arguments, path: str, size: tuple[int, int] | None
) -> int:
    tty = arguments.on("--tty")
    session = Session(
        context.engine,
        path,
        tty=tty,
        interactive=arguments.on("--interactive"),
        # The API has no way to signal an exec.
        proxy=False,
        keys=arguments.text("--detach-keys"),
    )
    body: dict[str, Any] = {"Detach": False, "Tty": tty}
    if size is not None:
        body["ConsoleSize"] = list(size)
    with session.terminal():
        wire, early = context.engine.hijack(f"{path}/start", body)
        session.release()
        if not session.converse(wire, early):
            return 0
    return int(context.engine.get(f"{path}/json").get("ExitCode") or 0)


def _body(arguments: Arguments, command: list[str], *, attach: bool, stdin: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "Cmd": command,
        "Tty": arguments.on("--tty"),
        "AttachStdin": stdin,
        "AttachStdout": attach,
        "AttachStderr": attach,
        "Env": variables(arguments),
        "User": arguments.text("--user"),
        "WorkingDir": arguments.text("--workdir"),
        "Privileged": arguments.on("--privileged"),
    }
    return {key: value for key, value in body.items() if value not in (None, [])}


EXEC_FLAGS = (
    Flag("-d", "--detach", help="Leave it running in the background"),
    DETACH_KEYS,
    *ENVIRONMENT,
    Flag("-i", "--interactive", help="Pass our input on to it"),
    Flag("--privileged", help="Give it all capabilities"),
    Flag("-t", "--tty", help="Give it a terminal"),
    Flag("-u", "--user", takes="USER[:GROUP]", help="User it runs as, name or number"),
    Flag("-w", "--workdir", takes="PATH", help="Folder it starts in"),
)
EXEC = Command(
    _run,
    words="CONTAINER COMMAND [ARG...]",
    least=2,
    passes_on=True,
    flags=EXEC_FLAGS,
    examples=("hyper exec web cat /etc/os-release", "hyper exec -it web sh"),
)
