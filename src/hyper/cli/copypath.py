"""Paths as ``cp`` means them: docker's rules, which are those of ``cp -r`` with a twist. Pure.

``folder/.`` is the folder's content; a trailing slash says that the path must be a folder; a file that goes to a name
that does not exist takes that name.
Source: https://docs.docker.com/reference/cli/docker/container/cp/
"""

from __future__ import annotations

import posixpath

from hyper.cli.flags import LocalError


def split_argument(text: str) -> tuple[str, str]:
    """The container ("": this host) and the path of one argument of ``cp``.

    An absolute path, and one that begins with a dot, is this host's though it may hold a colon.
    """
    container, colon, path = text.partition(":")
    if not colon or text.startswith("/") or container.startswith("."):
        return "", text
    return container, path


def asserts_folder(path: str) -> bool:
    """Whether ``path`` can only mean a folder: it ends with a slash or in ``.``."""
    return path.endswith("/") or posixpath.basename(path) == "."


def split_entry(path: str) -> tuple[str, str]:
    """The folder that ``path`` is in and its name there; ``a/.`` is ``.`` in ``a``."""
    cleaned = posixpath.normpath(path)
    if posixpath.basename(path) == ".":
        return cleaned, "."
    folder, name = posixpath.split(cleaned)
    return folder or ".", name or "/"


def placed(
    target: str, *, exists: bool, is_folder: bool, source_is_folder: bool
) -> tuple[str, str | None]:
    """The folder to unpack in, and the name the source gets there (None: its own).

    Raises:
        LocalError: a folder cannot be put in place of a file, or the folder asked for does not exist.
    """
    if exists and is_folder:
        return target, None
    if exists and source_is_folder:
        raise LocalError("cannot copy directory")
    if not exists and not source_is_folder and asserts_folder(target):
        raise LocalError("no such directory")
    return split_entry(target)


def renamed(entry: str, former: str, name: str | None) -> str:
    """The name of an archive's entry when its top, ``former``, is called ``name`` (None: as it is)."""
    if name is None:
        return entry
    if former == "/":
        return posixpath.join(name, entry.lstrip("/"))
    first, slash, rest = entry.partition("/")
    return name + slash + rest if first == former else entry
