"""``hyper start`` and ``hyper attach``."""

from __future__ import annotations

from hyper.cli.context import say
from hyper.cli.each import for_each
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.session import Session, require_terminal
from hyper.cli.shared_flags import DETACH_KEYS, SIG_PROXY
from hyper.client.engine import container_path
from hyper.client.errors import ApiError
from hyper.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _start(context: Context, arguments: Arguments) -> int:
    if arguments.on("--attach") or arguments.on("--interactive"):
        if len(arguments.words) > 1:
            raise UsageError("only one container can be attached to")
        return _start_attached(context, arguments)

    def start(name: str) -> None:
        context.engine.post(container_path(name, "/start"))

    return for_each(arguments.words, start)


def _start_attached(context: Context, arguments: Arguments) -> int:
    found = context.engine.get(container_path(arguments.words[0], "/json"))
    path = container_path(found["Id"])
    session = _session(context, arguments, found, stdin=arguments.on("--interactive"))
    is_running = found["State"]["Running"]
    until = "removed" if found["HostConfig"].get("AutoRemove") else "next-exit"
    with session.terminal():
        wire, early = _attach(context, path, stdin=arguments.on("--interactive"))
        with wire:
            waiting = context.engine.open("POST", f"{path}/wait", {"condition": until})
            try:
                session.await_answer(context.engine.send("POST", f"{path}/start")).close()
            except ApiError as error:
                waiting.close()
                say(f"hyper: {error}")
                return 1
            session.release()
            if not session.converse(wire, early, redraw=is_running):
                waiting.close()
                return 0
            return session.exit_code(waiting)


def _run_attach(context: Context, arguments: Arguments) -> int:
    name = arguments.words[0]
    found = context.engine.get(container_path(name, "/json"))
    _require_running(name, found["State"])
    path = container_path(found["Id"])
    stdin = not arguments.on("--no-stdin") and found["Config"].get("OpenStdin", False)
    session = _session(context, arguments, found, stdin=stdin)
    with session.terminal():
        waiting = context.engine.open("POST", f"{path}/wait", {"condition": ""})
        wire, early = _attach(context, path, stdin=stdin)
        session.release()
        if not session.converse(wire, early, redraw=True):
            waiting.close()
            return 0
        return session.exit_code(waiting)


def _require_running(name: str, state: dict[str, Any]) -> None:
    for word, what in (("Restarting", "is restarting"), ("Paused", "is paused")):
        if state.get(word):
            raise Conflict(f"container {name} {what} and cannot be attached to")
    if not state["Running"]:
        raise Conflict(f"container {name} is not running", hint=f"start it: hyper start -ai {name}")


def _session(
    context: Context, arguments: Arguments, found: dict[str, Any], *, stdin: bool
) -> Session:
    tty = found["Config"]["Tty"]
    require_terminal(tty=tty, interactive=stdin)
    return Session(
        context.engine,
        container_path(found["Id"]),
        tty=tty,
        interactive=stdin,
        # With a terminal keys are passed on as they are; a signal is meant for us.
        proxy=arguments.on("--sig-proxy") and not tty,
        keys=arguments.text("--detach-keys"),
    )


def _attach(context: Context, path: str, *, stdin: bool) -> Any:
    return context.engine.hijack(
        f"{path}/attach", stream=True, stdin=stdin, stdout=True, stderr=True
    )


START = Command(
    _start,
    words="CONTAINER [CONTAINER...]",
    least=1,
    flags=(
        Flag("-a", "--attach", help="Connect to its output, and end with its exit code"),
        Flag("-i", "--interactive", help="Pass our input on to it, too"),
        DETACH_KEYS,
        SIG_PROXY,
    ),
    examples=("hyper start web", "hyper start -ai shell"),
)
ATTACH = Command(
    _run_attach,
    words="CONTAINER",
    least=1,
    most=1,
    flags=(Flag("--no-stdin", help="Only look: do not pass our input on"), DETACH_KEYS, SIG_PROXY),
    examples=("hyper attach web", "hyper attach --no-stdin web"),
)
