"""Help texts are golden files: whoever changes one sees it in the review.

To write them anew: ``HYPER_GOLDEN=write pytest tests/unit/test_cli_help.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyper.cli import table, usage
from hyper.cli.flags import parse_flags
from hyper.cli.main import GLOBAL_FLAGS, main

GOLDEN = Path(__file__).parent.parent / "golden" / "help"
NAMES = sorted(table.SUMMARIES)


def _check(name: str, text: str) -> None:
    path = GOLDEN / f"{name.replace(' ', '-')}.txt"
    if os.environ.get("HYPER_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_overview() -> None:
    _check("hyper", usage.overview(GLOBAL_FLAGS))


@pytest.mark.parametrize("name", NAMES)
def test_command(name: str) -> None:
    _check(name, usage.describe(name, table.load(name)))


@pytest.mark.parametrize("family", table.FAMILIES)
def test_family(family: str) -> None:
    _check(family, usage.describe_family(family))


def test_every_longer_spelling_means_a_command() -> None:
    """``container ls`` and its like lead to a command that exists, with flags it knows."""
    for name, (target, *flags) in table.ALIASES.items():
        command = table.load(target)
        parse_flags(flags, command.flags)
        assert table.find([*name.split(), "x"]) == (target, [*flags, "x"])
        assert name.split()[0] in table.FAMILIES


def test_there_is_no_golden_file_too_many() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(
        [*(n.replace(" ", "-") for n in NAMES), *table.FAMILIES, "hyper"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_lines_fit_a_terminal_and_flags_are_told_apart(name: str) -> None:
    command = table.load(name)
    assert max(map(len, usage.describe(name, command).splitlines())) <= 100
    spelled = [name for flag in command.flags for name in flag.names]
    assert len(spelled) == len(set(spelled))


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ([], "hyper"),
        (["--help"], "hyper"),
        (["help"], "hyper"),
        (["help", "run"], "run"),
        (["run", "--help"], "run"),
        (["ps", "-h"], "ps"),
        (["container", "ls", "--help"], "ps"),
        (["volume"], "volume"),
        (["volume", "--help"], "volume"),
        (["help", "volume"], "volume"),
        (["help", "volume", "create"], "volume-create"),
    ],
)
def test_how_help_is_asked_for(
    argv: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 0
    assert capsys.readouterr().out == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["rnu"], "did you mean run"),
        (["frobnicate"], "hyper --help lists"),
        (["volme", "ls"], "did you mean volume"),
        (["volume", "lss"], "did you mean ls"),
        (["volume", "frobnicate"], "hyper volume --help lists"),
        (["run", "--nmae", "x"], "did you mean --name"),
        (["run"], "too few arguments"),
        (["ps", "x"], "too many arguments"),
        (["run", "-p", "x", "y"], "invalid port"),
        (["ps", "--format", "{{range .}}", ""], "unexpected EOF"),
        (["run", "--rm", "--restart", "always", "x"], "exclude each other"),
        (["--bogus", "ps"], "unknown flag: --bogus"),
    ],
)
def test_usage_errors_end_with_two(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert words in capsys.readouterr().err
