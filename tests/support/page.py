"""The examples of a page of docs/: commands with what they print, and files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def section(text: str, title: str) -> str:
    """A page's section of that title."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def without(text: str, title: str) -> str:
    """The page without that section."""
    return text.replace(section(text, title), "\n")


def examples(text: str) -> list[tuple[str, list[str]]]:
    """Every command of a page's console examples, with the lines it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def pattern(lines: list[str]) -> str:
    """A line that is just … is any lines, none among them; in a line it is anything."""
    text = ""
    for line in lines:
        text += "(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
    return text


def files(text: str) -> dict[str, str]:
    """The page's YAML examples, by the name in the comment that each begins with."""
    return dict(re.findall(r"^```yaml\n# (\S+\.yml)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


def check(
    command: str, lines: list[str], environ: dict[str, str], folder: Path | None = None
) -> None:
    """A command of a page prints what the page says."""
    printed = shell(command, environ, folder)
    assert re.fullmatch(pattern(lines), printed), f"$ {command}\n{printed}"


def shell(line: str, environ: dict[str, str], folder: Path | None = None) -> str:
    """What a command line prints in that environment, errors and all."""
    done = subprocess.run(
        ["bash", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=environ,
        timeout=120,
    )
    return done.stdout.decode()
