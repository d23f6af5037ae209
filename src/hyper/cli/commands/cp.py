"""``hyper cp``."""

from __future__ import annotations

import base64
import json
import os
import posixpath

from hyper.cli import files
from hyper.cli.context import say
from hyper.cli.copied import Counter
from hyper.cli.copypath import placed, renamed, split_argument, split_entry
from hyper.cli.flags import Command, Flag, LocalError
from hyper.client.engine import container_path
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments
    from hyper.cli.unpack import Withheld
    from hyper.client.http import Response

#: Names that are told of those that did not come as they are.
_MAX_NAMED = 3
#: Bits of Go's FileMode.
_GO_FOLDER, _GO_LINK, _GO_SPECIAL = 1 << 31, 1 << 27, 0b111 << 24 | 1 << 21 | 1 << 19


class Stat:
    """The file at a path in a container, as the API describes it (X-Docker-Container-Path-Stat)."""

    def __init__(self, response: Response) -> None:
        try:
            found = json.loads(base64.b64decode(response.headers["x-docker-container-path-stat"]))
            self.mode, self.link = int(found["mode"]), str(found.get("linkTarget") or "")
        except (KeyError, ValueError, TypeError) as error:
            raise LocalError("the daemon does not say what the path is") from error
        self.is_folder = bool(self.mode & _GO_FOLDER)
        self.is_link = bool(self.mode & _GO_LINK)


def _stat(context: Context, container: str, path: str) -> Stat:
    with context.engine.open("HEAD", container_path(container, "/archive"), {"path": path}) as got:
        return Stat(got)


def _run(context: Context, arguments: Arguments) -> int:
    source, target = arguments.words
    (source_box, source_path), (target_box, target_path) = map(split_argument, (source, target))
    if source_box and target_box:
        raise LocalError("copying between containers is not supported")
    if source_box:
        return _copy_out(context, arguments, source_box, source_path, target)
    if target_box:
        return _copy_in(context, arguments, source, target_box, target_path)
    raise LocalError(
        "must specify at least one container source",
        hint="name it before the path: CONTAINER:/path",
    )


def _copy_out(
    context: Context, arguments: Arguments, container: str, path: str, target: str
) -> int:
    if target != "-":
        _check_target(target)
    name = None
    if arguments.on("--follow-link"):
        name, path = _followed(context, container, path)
    query = {"path": path}
    with context.engine.open("GET", container_path(container, "/archive"), query) as response:
        if target == "-":
            files.receive(response.pieces(), None)
            return 0
        is_folder = Stat(response).is_folder
        with Counter("from", quiet=arguments.on("--quiet")) as counter:
            withheld = _unpack(counter, response, path, name, target, is_folder=is_folder)
            counter.succeed(target)
    _tell_withheld(withheld)
    return 0


def _tell_withheld(withheld: Withheld) -> None:
    for names, what in (
        (withheld.devices, "device nodes left out"),
        (withheld.privileged, "set-user-ID and set-group-ID bits dropped"),
    ):
        if names:
            shown = ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
            say(f"hyper: {what} ({len(names)}): {shown}")
            say("to have them: hyper cp CONTAINER:PATH - | tar xp")


def _followed(context: Context, container: str, path: str) -> tuple[str | None, str]:
    """The name that a copy of the link ``path`` gets, and the path it leads to; (None, ``path``) if it is no link."""
    try:
        found = _stat(context, container, path)
    except ApiError:
        return None, path  # The copy itself says what is wrong.
    if not found.is_link:
        return None, path
    name = None if path.endswith(("/", "/.")) else split_entry(path)[1]
    return name, posixpath.join(posixpath.dirname(path.rstrip("/")), found.link)


def _unpack(
    counter: Counter,
    response: Response,
    path: str,
    name: str | None,
    target: str,
    *,
    is_folder: bool,
) -> Withheld:
    from hyper.cli.unpack import Pieces, unpack  # tarfile costs 10 ms

    final = _resolved(target)
    folder, new = placed(
        final,
        exists=os.path.exists(final),  # noqa: PTH110
        is_folder=os.path.isdir(final),  # noqa: PTH112
        source_is_folder=is_folder,
    )
    top, name = split_entry(path)[1], new or name
    pieces = Pieces(counter.watch(response.pieces()))
    return unpack(pieces, folder, lambda entry: renamed(entry, top, name))


def _check_target(path: str) -> None:
    """A check by Docker's rule: the folder of ``path`` exists, and ``path``, if it exists, is a file or a folder."""
    folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
    if not os.path.isdir(folder):  # noqa: PTH112
        raise LocalError(f'invalid output path: directory "{folder}" does not exist')
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):  # noqa: PTH110, PTH112, PTH113
        raise LocalError(
            f'invalid output path: "{path}" must be a directory or a regular file: got a device'
        )


def _resolved(path: str) -> str:
    """``path`` made absolute, its links followed; a trailing slash or dot is kept, it means something."""
    whole = os.path.realpath(path)
    if posixpath.basename(path) == ".":
        return f"{whole}/."
    return f"{whole}/" if path.endswith("/") else whole


def _copy_in(context: Context, arguments: Arguments, source: str, container: str, path: str) -> int:
    target, exists, is_folder = _find_target(context, container, path)
    query: dict[str, object] = {
        "noOverwriteDirNonDir": "true",
        "copyUIDGID": "true" if arguments.on("--archive") else None,
    }
    api = container_path(container, "/archive")
    if source == "-":
        if not is_folder:
            raise LocalError(f'destination "{container}:{path}" must be a directory')
        with context.engine.upload("PUT", api, files.pieces_of(None), {"path": target, **query}):
            return 0
    ours, name = _our_source(source, follow=arguments.on("--follow-link"))
    folder, new = placed(
        target,
        exists=exists,
        is_folder=is_folder,
        source_is_folder=os.path.isdir(ours) and not os.path.islink(ours),  # noqa: PTH112, PTH114
    )
    from hyper.cli.pack import pack  # tarfile costs 10 ms

    with Counter("to", quiet=arguments.on("--quiet")) as counter:
        pieces = counter.watch(pack(ours, new or name))
        with context.engine.upload("PUT", api, pieces, {"path": folder, **query}):
            counter.succeed(f"{container}:{path}")
    return 0


def _find_target(context: Context, container: str, path: str) -> tuple[str, bool, bool]:
    """The path with its last link followed, whether it exists, and whether it is a folder.

    A path that cannot be looked at counts as missing (as in docker): the copy itself says what is wrong.
    """
    try:
        found = _stat(context, container, path)
        if found.is_link:
            path = posixpath.join(posixpath.dirname(path.rstrip("/")), found.link)
            found = _stat(context, container, path)
    except ApiError:
        return path, False, False
    if found.mode & _GO_SPECIAL:
        raise LocalError(f'destination "{container}:{path}" must be a directory or a regular file')
    return path, True, found.is_folder


def _our_source(path: str, *, follow: bool) -> tuple[str, str]:
    """The path on this host to read, and its name in the archive."""
    folder, name = split_entry(path)
    if follow:
        ours = os.path.realpath(path)
    elif name == "." or path.endswith("/"):
        ours = os.path.realpath(folder if name == "." else path)
    else:
        ours = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118
    try:
        os.lstat(ours)
    except OSError as error:
        whole = os.path.abspath(path)  # noqa: PTH100
        raise LocalError(f"lstat {whole}: {(error.strerror or '').lower()}") from error
    return ours, "." if name == "/" else name


CP = Command(
    _run,
    words="CONTAINER:PATH PATH|-  or  PATH|- CONTAINER:PATH",
    least=2,
    most=2,
    flags=(
        Flag("-a", "--archive", help="Keep owners"),
        Flag("-L", "--follow-link", help="Copy what a link leads to, not the link"),
        Flag("-q", "--quiet", help="Do not show how it goes"),
    ),
    examples=(
        "hyper cp web:/etc/nginx/nginx.conf .",
        "hyper cp site/. web:/usr/share/nginx/html",
        "hyper cp web:/var/log - | tar t",
    ),
)
