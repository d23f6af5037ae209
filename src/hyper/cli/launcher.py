"""``python -m hyper.cli.launcher FILE``: writes the program ``hyper`` in place of the one that pip makes.

It starts the interpreter without what no command needs: no site (whose .pth files, and what a distribution has put
there, are read at each start) and nothing of the user's surroundings (-I). That and the patterns that pip's own script
imports are 15 ms of each command. Its imports are found by paths that are written into it.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import hyper

#: The kernel reads no more of a script's first line.
_MAX_FIRST_LINE = 255


def script(python: str) -> str | None:
    """The program's text; None where ``python`` cannot stand in a script's first line."""
    first = f"#!{python} -IS"
    if len(first) > _MAX_FIRST_LINE or any(letter.isspace() for letter in python):
        return None
    paths = [str(Path(hyper.__file__).parents[1]), *map(sysconfig.get_path, ("purelib", "platlib"))]
    return "\n".join(
        (
            first,
            '"""Written by hyper.cli.launcher: see there."""',
            "import sys",
            "",
            f"sys.path += {list(dict.fromkeys(paths))!r}",
            "from hyper.cli.main import program",
            "",
            "program()",
            "",
        )
    )


def write(path: Path) -> bool:
    """Whether ``path`` is the program now; it is not where the program cannot be written."""
    text = script(sys.executable)
    if text is None:
        return False
    if not path.exists() or path.read_text() != text:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text)
        draft.chmod(0o755)
        draft.rename(path)
    return True


if __name__ == "__main__":
    write(Path(sys.argv[1]))
