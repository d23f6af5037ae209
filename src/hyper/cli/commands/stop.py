"""``hyper stop``, ``restart``, ``kill``, ``wait`` and ``rm``."""

from __future__ import annotations

from hyper.cli.context import say
from hyper.cli.each import for_each
from hyper.cli.flags import Command, Flag, whole_number
from hyper.client.engine import container_path
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _end(context: Context, arguments: Arguments, verb: str) -> int:
    def end(name: str) -> None:
        context.engine.post(
            container_path(name, f"/{verb}"),
            t=arguments.number("--timeout"),
            signal=arguments.text("--signal"),
        )

    return for_each(arguments.words, end)


def _stop(context: Context, arguments: Arguments) -> int:
    return _end(context, arguments, "stop")


def _restart(context: Context, arguments: Arguments) -> int:
    return _end(context, arguments, "restart")


def _kill(context: Context, arguments: Arguments) -> int:
    def kill(name: str) -> None:
        context.engine.post(container_path(name, "/kill"), signal=arguments.text("--signal"))

    return for_each(arguments.words, kill)


def _wait(context: Context, arguments: Arguments) -> int:
    def wait(name: str) -> str:
        answer = context.engine.post(container_path(name, "/wait"))
        return str(answer["StatusCode"])

    return for_each(arguments.words, wait)


def _rm(context: Context, arguments: Arguments) -> int:
    force = arguments.on("--force")

    def remove(name: str) -> bool | None:
        try:
            context.engine.delete(container_path(name), force=force, v=arguments.on("--volumes"))
        except ApiError as error:
            if force and error.status == 404:
                say(f"hyper: {error}")
                return False
            if error.status == 409 and not force:
                error.hint = f"stop it first, or: hyper rm -f {name}"
            raise
        return None

    return for_each(arguments.words, remove)


_TIME = Flag(
    "-t",
    "--timeout",
    "--time",
    takes="SECONDS",
    parse=whole_number,
    help="Patience before it is killed",
)
_SIGNAL = Flag("-s", "--signal", takes="SIGNAL", help="Signal to send first")
_WORDS = "CONTAINER [CONTAINER...]"

STOP = Command(
    _stop, words=_WORDS, least=1, flags=(_TIME, _SIGNAL), examples=("hyper stop -t 3 web",)
)
RESTART = Command(
    _restart, words=_WORDS, least=1, flags=(_TIME, _SIGNAL), examples=("hyper restart web",)
)
KILL = Command(
    _kill,
    words=_WORDS,
    least=1,
    flags=(Flag("-s", "--signal", takes="SIGNAL", help="Signal to send (default: KILL)"),),
    examples=("hyper kill web", "hyper kill -s HUP web"),
)
WAIT = Command(_wait, words=_WORDS, least=1, examples=("hyper wait job",))
RM = Command(
    _rm,
    words=_WORDS,
    least=1,
    flags=(
        Flag("-f", "--force", help="Kill it first if it runs"),
        Flag("-v", "--volumes", help="Remove its anonymous volumes, too"),
    ),
    examples=("hyper rm web", "hyper rm -f $(hyper ps -aq)"),
)
