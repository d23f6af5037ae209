"""``-e`` and ``--env-file``: the variables of the container's environment."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def variable(text: str, environ: Mapping[str, str]) -> str:
    """A variable: ``NAME=value`` as it is; ``NAME`` alone takes its value here, or stays alone (removes the image's).

    Raises:
        ValueError: there is no name.
    """
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError("the variable has no name")
    return f"{name}={environ[name]}" if not equals and name in environ else text


def read_env_file(path: str, environ: Mapping[str, str]) -> list[str]:
    """The variables of a file: a line each, ``#`` comments, ``NAME`` alone takes this process's value if it has one.

    Raises:
        ValueError: the file cannot be read, or a line is no variable (with its number).
    """
    from pathlib import Path  # 3 ms that run and exec need not pay

    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(getattr(error, "strerror", None) or "it is not UTF-8 text") from error
    return list(_variables(text.split("\n"), environ))


def _variables(lines: Iterable[str], environ: Mapping[str, str]) -> Iterable[str]:
    for number, raw in enumerate(lines, start=1):
        line = raw.rstrip("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, _ = line.partition("=")
        if not equals:
            name = line = line.strip()
        if not name or name != name.strip() or " " in name or "\t" in name:
            raise ValueError(f"line {number}: {name!r} cannot name a variable")
        if equals:
            yield line
        elif name in environ:
            yield f"{name}={environ[name]}"
