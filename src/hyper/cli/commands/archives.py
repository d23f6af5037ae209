"""``hyper save``, ``load``, ``import`` and ``export``: images and files as tar archives."""

from __future__ import annotations

import os
import sys

from hyper.cli import files
from hyper.cli.flags import Command, Flag, LocalError
from hyper.cli.progress import follow
from hyper.cli.reference import split_reference
from hyper.client.engine import container_path, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _download(context: Context, arguments: Arguments, path: str, names: list[str]) -> int:
    output = arguments.text("--output")
    if output is None:
        files.refuse_terminal()
    with context.engine.open("GET", path, {"names": names}) as response:
        files.receive(response.pieces(), output)
    return 0


def _save(context: Context, arguments: Arguments) -> int:
    return _download(context, arguments, "/images/get", arguments.words)


def _export(context: Context, arguments: Arguments) -> int:
    return _download(context, arguments, container_path(arguments.words[0], "/export"), [])


def _load(context: Context, arguments: Arguments) -> int:
    path = arguments.text("--input")
    if path is None and os.isatty(0):
        raise LocalError(
            "requested load from stdin, but stdin is empty", hint="use -i FILE, or redirect"
        )
    quiet = arguments.on("--quiet") or not sys.stdout.isatty()
    response = context.engine.upload(
        "POST", "/images/load", _opened(path), {"quiet": 1 if quiet else 0}
    )
    follow(messages(response), sys.stdout)
    return 0


def _import(context: Context, arguments: Arguments) -> int:
    source, *target = arguments.words
    name, tag = split_reference(target[0]) if target else (None, None)
    is_remote = source.startswith(("http://", "https://"))
    query = {
        "fromSrc": source if is_remote else "-",
        "repo": name,
        "tag": tag,
        "message": arguments.text("--message"),
        "changes": arguments.texts("--change"),
        "platform": arguments.text("--platform"),
    }
    if is_remote:
        response = context.engine.open("POST", "/images/create", query)
    else:
        pieces = _opened(None if source == "-" else source)
        response = context.engine.upload("POST", "/images/create", pieces, query)
    follow(messages(response), sys.stdout)
    return 0


def _opened(path: str | None) -> Iterator[bytes]:
    """The pieces of the file ``path``; an error to read it comes before the daemon is asked."""
    if path is not None and not os.access(path, os.R_OK):
        try:
            os.stat(path)  # noqa: PTH116 (pathlib costs 3 ms)
            why = "permission denied"
        except OSError as error:
            why = (error.strerror or str(error)).lower()
        raise LocalError(f"open {path}: {why}")
    return files.pieces_of(path)


_OUTPUT = Flag("-o", "--output", takes="FILE", help="Write to a file in place of standard output")
_CHANGE = Flag(
    "-c",
    "--change",
    takes="INSTRUCTION",
    many=True,
    help="Apply an instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, WORKDIR...",
)

SAVE = Command(
    _save,
    words="IMAGE [IMAGE...]",
    least=1,
    flags=(_OUTPUT,),
    examples=("hyper save -o nginx.tar nginx", "hyper save nginx redis | gzip > both.tar.gz"),
)
EXPORT = Command(
    _export,
    words="CONTAINER",
    least=1,
    most=1,
    flags=(_OUTPUT,),
    examples=("hyper export web | tar t",),
)
LOAD = Command(
    _load,
    most=0,
    flags=(
        Flag("-i", "--input", takes="FILE", help="Read a file in place of standard input"),
        Flag("-q", "--quiet", help="Do not show how it goes"),
    ),
    examples=("hyper load -i nginx.tar", "docker save nginx | hyper load"),
)
IMPORT = Command(
    _import,
    words="FILE|URL|- [NAME[:TAG]]",
    least=1,
    most=2,
    flags=(
        _CHANGE,
        Flag("-m", "--message", takes="TEXT", help="Comment kept with the image"),
        Flag("--platform", takes="OS/ARCH", help="What the files are for"),
    ),
    examples=("tar c -C rootfs . | hyper import -c 'CMD [\"sh\"]' - mine:1",),
)
