"""Help texts, in a layout of their own: argparse's differs between Python versions, and these are golden files."""

from __future__ import annotations

from hyper.cli.table import GROUPS, SUMMARIES, members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyper.cli.flags import Command, Flag

#: A terminal's.
_WIDTH = 80


def overview(flags: Sequence[Flag]) -> str:
    """The text of ``hyper --help``."""
    lines = [
        "hyper: run application container images as virtual machines",
        "",
        "Usage:  hyper [flags] COMMAND [ARG...]",
    ]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<10} {what}" for name, (_, what) in commands.items()]
    lines += ["", "Families (hyper pod --help):"]
    lines += [
        f"  {family:<10} {', '.join(members(family))}" for family in ("pod", "volume", "network")
    ]
    lines += [
        f"  {family:<10} {', '.join(members(family))}" for family in ("play", "system", "trust")
    ]
    lines += ["  container, image   docker's longer spellings, and prune"]
    lines += ["", "Flags:", *_flag_lines(flags), "", "Examples:"]
    lines += [
        "  hyper run --rm -it busybox sh              a shell in its own microVM",
        "  hyper run -d --name web -p 8080:80 nginx   a server; curl localhost:8080",
        "  hyper list                                 which microVMs run, and how",
        "  hyper logs -f web                          what it writes, as it writes",
        "  hyper pod run -d shop.yml                  several containers in one microVM",
        "",
        "hyper COMMAND --help tells more about a command.",
    ]
    return "\n".join(lines) + "\n"


def describe(name: str, command: Command) -> str:
    """The text of ``hyper NAME --help``."""
    lines = [usage_line(name, command), "", SUMMARIES[name]]
    if command.flags:
        lines += ["", "Flags:", *_flag_lines(command.flags)]
    if command.examples:
        lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    return "\n".join(lines) + "\n"


def describe_family(family: str) -> str:
    """The text of ``hyper volume --help``."""
    words = members(family)
    width = max(map(len, words)) + 2
    lines = [f"Usage:  hyper {family} COMMAND [ARG...]", "", "Commands:"]
    lines += [f"  {word:<{width}} {what}" for word, what in words.items()]
    lines += ["", f"hyper {family} COMMAND --help tells more about a command."]
    return "\n".join(lines) + "\n"


def usage_line(name: str, command: Command) -> str:
    """The first line of help: ``Usage:  hyper run [flags] IMAGE [COMMAND] [ARG...]``."""
    return " ".join(f"Usage:  hyper {name} [flags] {command.words}".split(" ")).rstrip()


def _flag_lines(flags: Sequence[Flag]) -> list[str]:
    pairs = [(_spell(flag), flag.help) for flag in sorted(flags, key=lambda f: f.key)]
    width = max(len(spelled) for spelled, _ in pairs) + 3
    return [line for pair in pairs for line in _fold(*pair, width)]


def _spell(flag: Flag) -> str:
    short = f"{flag.names[0]}, " if len(flag.names[0]) == 2 else "    "
    return f"  {short}{flag.key} {flag.takes}".rstrip()


def _fold(spelled: str, text: str, width: int) -> list[str]:
    lines, line = [], spelled.ljust(width)
    for word in text.split():
        if len(line) + len(word) >= _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " " * width
        line += word + " "
    return [*lines, line.rstrip()]
