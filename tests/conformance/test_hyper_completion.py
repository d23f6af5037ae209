"""Completion in real shells: what they make of our scripts, with names from a real engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import DOCKER, HYPER, call
from tests.support.dockerd import Engine
from tests.support.terminal import Terminal

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def named(engine: Engine) -> Iterator[Engine]:
    """An engine with a container called ``crate-of-tea``."""
    call(engine, DOCKER, "create", "--name", "crate-of-tea", engine.image, "true")
    yield engine
    call(engine, DOCKER, "rm", "-f", "crate-of-tea")


@pytest.fixture
def environ(named: Engine, tmp_path: Path) -> dict[str, str]:
    """An environment in which ``hyper`` is the one under test, and the folder has a file ``local.tar``."""
    (tmp_path / "local.tar").touch()
    program = tmp_path / "bin/hyper"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hyper.cli.main "$@"\n')
    program.chmod(0o755)
    source = str(Path("src").absolute())
    path = f"{program.parent}:{os.environ['PATH']}"
    return named.environ() | {"PATH": path, "PYTHONPATH": source, "HOME": str(tmp_path)}


def _script(shell: str, environ: dict[str, str]) -> str:
    return subprocess.run(
        [*HYPER, "completion", shell], capture_output=True, text=True, check=True, env=environ
    ).stdout


CASES = [
    ("hyper rena", ["rename"]),
    ("hyper rm cra", ["crate-of-tea"]),
    ("hyper rm crate-of-tea ", []),
    ("hyper start ", ["crate-of-tea"]),
    ("hyper stop ", []),
    ("hyper container pru", ["prune"]),
    ("hyper run --pull=m", ["--pull=missing"]),
    ("hyper run --pull m", ["missing"]),
    ("hyper load -i loc", ["local.tar"]),
    ("hyper create --read", ["--read-only"]),
]


def test_bash(environ: dict[str, str], tmp_path: Path) -> None:
    """What COMPREPLY holds; at = and : bash wants only the rest of the word."""
    script = _script("bash", environ) + (
        'ask() { COMP_LINE=$1 COMP_POINT=${#1}; COMPREPLY=(); _hyper; echo "${COMPREPLY[@]}"; }\n'
    )
    cases = [*CASES, ("hyper cp crate-of-tea:/x", []), ("hyper cp crat", ["crate-of-tea:"])]
    asked = "".join(f"ask '{line}'\n" for line, _ in cases)
    done = subprocess.run(
        ["bash", "--norc", "-c", script + asked], capture_output=True, text=True, env=environ, cwd=tmp_path
    )  # fmt: skip
    assert done.stderr == ""
    wanted = [[w.removeprefix("--pull=") for w in words] for _, words in cases]
    assert [line.split() for line in done.stdout.splitlines()] == wanted


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish(environ: dict[str, str], tmp_path: Path) -> None:
    """What ``complete -C`` says."""
    asked = "".join(f"complete -C '{line}'\necho ==\n" for line, _ in CASES)
    done = subprocess.run(
        ["fish", "--no-config", "-c", _script("fish", environ) + asked],
        capture_output=True, text=True, env=environ, cwd=tmp_path,
    )  # fmt: skip
    answers = done.stdout.split("==\n")
    said = [[line.split("\t")[0] for line in answer.splitlines()] for answer in answers[:-1]]
    assert said == [words for _, words in CASES]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_in_a_terminal(named: Engine, environ: dict[str, str], tmp_path: Path) -> None:
    """A tab completes the name."""
    (tmp_path / "_hyper").write_text(_script("zsh", environ))
    start = f"PS1='ready> '; fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -D"
    (tmp_path / ".zshrc").write_text(start)
    _tab(named, ["zsh", "-i"], environ | {"ZDOTDIR": str(tmp_path)})


def test_bash_in_a_terminal(named: Engine, environ: dict[str, str], tmp_path: Path) -> None:
    """A tab completes the name."""
    (tmp_path / "rc").write_text("PS1='ready> '\n" + _script("bash", environ))
    _tab(named, ["bash", "--rcfile", str(tmp_path / "rc"), "-i"], environ)


def _tab(engine: Engine, shell: list[str], environ: dict[str, str]) -> None:
    terminal = Terminal(engine, [], program=shell, environ=environ)
    try:
        terminal.until(rb"ready> ")
        terminal.type(b"hyper rename crat\t")
        terminal.until(rb"of-tea")
        terminal.type(b"tin\r")
        terminal.until(rb"ready> ")
        renamed = call(engine, DOCKER, "rename", "tin", "crate-of-tea")
        assert renamed.returncode == 0 or engine.is_hyper
    finally:
        terminal.close()
