"""``hyper``: global flags, one command, one exit code.

This module and its imports are paid for by every command: keep them few and light.
"""

from __future__ import annotations

import os
import sys

from hyper import __version__
from hyper.cli.context import Context, say
from hyper.cli.flags import Flag, LocalError, UsageError, parse_flags, suggestion
from hyper.cli.safe import guard
from hyper.cli.tls import TLS_FLAGS, tls_files
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from hyper.cli.flags import Arguments, Command

HELP = Flag("-h", "--help", help="Show this help")
GLOBAL_FLAGS = (
    Flag(
        "-H",
        "--host",
        takes="ADDRESS",
        help="Daemon to speak to: unix:///path or tcp://host:port (default: $HYPER_HOST, else "
        "$DOCKER_HOST, else a daemon of your own, started when none runs)",
    ),
    *TLS_FLAGS,
    Flag("-D", "--debug", help="Show each request, and a traceback with errors"),
    HELP,
    Flag("-v", "--version", help="Show the version of hyper"),
)


def program() -> NoReturn:
    """The program ``hyper``. It exits without the interpreter's tear-down, which costs every command 3 ms."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = status or 1
    os._exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's); returns the exit code and raises no expected error."""
    _open_standard_streams()
    guard()
    debug = False
    try:
        given = parse_flags(sys.argv[1:] if argv is None else argv, GLOBAL_FLAGS, passes_on=True)
        debug = given.on("--debug")
        status = _dispatch(given)
        sys.stdout.flush()
    except HyperError as error:
        return _complain(error, debug)
    except BrokenPipeError:
        return _reader_is_gone()
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # of the disk that output goes to, of a file that was named
        return _complain(LocalError(_said_by_the_system(error)), debug)
    return status


def _said_by_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _dispatch(given: Arguments) -> int:
    if given.on("--version"):
        sys.stdout.write(f"hyper version {__version__}\n")
        return 0
    if not given.words or given.on("--help") or given.words == ["help"]:
        from hyper.cli.usage import overview

        sys.stdout.write(overview(GLOBAL_FLAGS))
        return 0
    words = given.words
    if words[0] == "help":
        words = [*words[1:], "--help"]
    context = Context(
        host=given.text("--host"), tls=tls_files(given, os.environ), debug=given.on("--debug")
    )
    return _run(words, context)


def _run(words: list[str], context: Context) -> int:
    from hyper.cli import table

    if words[0] == "__complete":
        from hyper.cli.complete import complete

        return complete(context, words[1:])
    found = table.find(words)
    if found is None:
        return _explain(words)
    name, argv = found
    command = table.load(name)
    try:
        arguments = _parse(name, command, argv)
    except UsageError as error:
        error.hint = "\n".join(filter(None, (error.hint, f"hyper {name} --help shows how")))
        raise
    if arguments is None:
        return 0
    try:
        return command.run(context, arguments)
    except LocalError:
        raise
    except HyperError as error:
        from hyper.cli.similar import hint

        error.exit_code = command.failure
        error.hint = hint(context, error)
        raise


def _explain(words: list[str]) -> int:
    """The help of a family of commands, or an error where there is no such command; returns the exit code."""
    from hyper.cli import table, usage

    name, *rest = words
    if name not in table.FAMILIES:
        known = [*table.SUMMARIES, *table.FAMILIES]
        hint = suggestion(name, known) or "hyper --help lists the commands"
        raise UsageError(f"{name!r} is not a hyper command", hint=hint)
    if not rest or rest[0] in ("--help", "-h"):
        sys.stdout.write(usage.describe_family(name))
        return 0
    hint = suggestion(rest[0], list(table.members(name))) or f"hyper {name} --help lists them"
    raise UsageError(f"{name} {rest[0]!r} is not a hyper command", hint=hint)


def _parse(name: str, command: Command, argv: list[str]) -> Arguments | None:
    """The command's arguments; None when its help was asked for and shown."""
    # In run and create -h is the host name, as in docker.
    taken = any("-h" in flag.names for flag in command.flags)
    help_flag = Flag("--help", help=HELP.help) if taken else HELP
    arguments = parse_flags(argv, (*command.flags, help_flag), passes_on=command.passes_on)
    if arguments.on("--help"):
        from hyper.cli.usage import describe

        sys.stdout.write(describe(name, command))
        return None
    count = len(arguments.words)
    if count < command.least or (command.most is not None and count > command.most):
        from hyper.cli.usage import usage_line

        what = "too few" if count < command.least else "too many"
        raise UsageError(f"{what} arguments", hint=usage_line(name, command))
    return arguments


def _complain(error: HyperError, debug: bool) -> int:
    if debug:
        import traceback

        say("".join(traceback.format_exception(error)))
    say(f"hyper: {error}")
    return error.exit_code


def _reader_is_gone() -> int:
    """The exit code after the reader of the output has gone (``hyper logs x | head -1``): a quiet end, as SIGPIPE's."""
    # What is still buffered must not fail again when the interpreter flushes at exit.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return 128 + 13


def _open_standard_streams() -> None:
    """Descriptors 0, 1 and 2 are open: otherwise a socket of this process would get one of these numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    program()
