"""Man pages: one for each command, roff that its readers accept, every flag in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tools.manpages import escaped, write

from hyper.cli import table


def test_every_command_has_a_page_with_its_flags(tmp_path: Path) -> None:
    pages = {path.stem: path.read_text() for path in write(tmp_path)}
    assert len(pages) == len(table.SUMMARIES) + 1
    for name in table.SUMMARIES:
        text = pages[f"hyper-{name.replace(' ', '-')}"]
        for flag in table.load(name).flags:
            assert escaped(flag.label) in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_nothing_to_say(tmp_path: Path) -> None:
    """All warnings on: none."""
    paths = [str(path) for path in write(tmp_path)]
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", *paths], capture_output=True)
    assert done.stderr == b""
    assert b"print of each" in done.stdout


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_has_nothing_to_say(tmp_path: Path) -> None:
    """Nothing from the level of warnings up."""
    paths = [str(path) for path in write(tmp_path)]
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *paths], capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert said == []
