"""Man pages of ``hyper`` from its own tables of commands and flags: ``python -m tools.manpages FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hyper import __version__
from hyper.cli import table
from hyper.cli.flags import Command, Flag
from hyper.cli.main import GLOBAL_FLAGS

_EXITS = (
    ("0", "it was done"),
    ("1", "the daemon refused, or something failed"),
    ("2", "the command line makes no sense"),
)
_RUN_EXITS = (
    ("125", "the daemon failed"),
    ("126, 127", "the command cannot be invoked, or was not found"),
    ("128+N", "it was ended by signal N; any other number is its own"),
)


def escaped(text: str) -> str:
    """``text`` so that roff prints it as it is: no request, no escape, dashes that can be copied."""
    made = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    return made.replace("`", "\\(ga").replace("~", "\\(ti")


def page(name: str, command: Command) -> str:
    """The page of one command."""
    spelled = f"hyper {name}"
    lines = [*_head(spelled, table.SUMMARIES[name]), ".SH SYNOPSIS", f".B {escaped(spelled)}"]
    lines += [f"[flags] {escaped(command.words)}".rstrip(), *_flags(command.flags)]
    lines += _exits(_EXITS + (_RUN_EXITS if command.failure != 1 else ()))
    lines += _examples(command.examples)
    return "\n".join([*lines, ".SH SEE ALSO", ".BR hyper (1)", ""])


def overview() -> str:
    """The page ``hyper``."""
    lines = [
        *_head("hyper", "run application container images as virtual machines"),
        ".SH SYNOPSIS",
        ".B hyper",
        "[flags] COMMAND [ARG...]",
        ".SH DESCRIPTION",
        "Each container runs in a microVM of its own, with its own kernel. The daemon is",
        ".BR hyperd ,",
        "which speaks the API of the Docker Engine. Each command has a page of its own:",
        ".BR hyper\\-run (1)",
        "and so on.",
        ".SH COMMANDS",
    ]
    lines += [line for name, what in table.SUMMARIES.items() for line in _item(name, what)]
    lines += _flags(GLOBAL_FLAGS)
    lines += [".SH ENVIRONMENT"]
    lines += _item("HYPER_HOST, DOCKER_HOST", "The daemon to speak to, the first that is set.")
    lines += _item("DOCKER_CONFIG", "Folder of config.json, where login keeps credentials.")
    return "\n".join([*lines, *_exits(_EXITS), ""])


def write(folder: Path) -> list[Path]:
    """A page for every command is in ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"hyper": overview()}
    for name in table.SUMMARIES:
        pages[f"hyper-{name.replace(' ', '-')}"] = page(name, table.load(name))
    for name, text in pages.items():
        (folder / f"{name}.1").write_text(text)
    return [folder / f"{name}.1" for name in pages]


def _head(spelled: str, what: str) -> list[str]:
    name = spelled.replace(" ", "-")
    title = escaped(name.upper())
    return [
        f'.TH "{title}" 1 "" "Hyper {__version__}" "Hyper"',
        ".SH NAME",
        f"{escaped(name)} \\- {escaped(what[0].lower() + what[1:])}",
    ]


def _flags(flags: Sequence[Flag]) -> list[str]:
    if not flags:
        return []
    lines = [".SH OPTIONS"]
    for flag in sorted(flags, key=lambda one: one.key):
        lines += _item(f"{flag.label} {flag.takes}".rstrip(), flag.help)
    return lines


def _item(term: str, text: str) -> list[str]:
    # A line that begins with a dot or a quote would be a request.
    return [".TP", f".B {escaped(term)}", f"\\&{escaped(text)}"]


def _exits(codes: tuple[tuple[str, str], ...]) -> list[str]:
    return [".SH EXIT STATUS", *(line for code, what in codes for line in _item(code, what))]


def _examples(examples: Sequence[str]) -> list[str]:
    shown = [f"\\&{escaped(example)}" for example in examples]
    return [".SH EXAMPLES", ".nf", *shown, ".fi"] if shown else []


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(f"{len(write(target))} man pages in {target}")
