"""Files in and out of containers: stat, tar out, tar in, export, changes. Of running ones and of others."""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

from hyper.engine.inspect.tar import (
    TAR_END,
    agent_entry,
    go_mode,
    tar_header,
    tar_padding,
    tar_whiteout,
)
from hyper.engine.lifecycle.agent_commands import AgentCommand, Builtin
from hyper.engine.lifecycle.container import Container
from hyper.errors import Forbidden, HyperError, InvalidRequest, NotFound, ProtocolError
from hyper.image.tarfeed import TarFeed
from hyper.image.tarstream import DIRECTORY, Entry
from hyper.proto.limits import MAX_ENTRY_PATH
from hyper.proto.message import ReplyCode
from hyper.proto.record import Change, Content, End, Failure, FileEntry, FileStat, Record
from hyper.types.archive import ChangeAnswer, PathStat

#: What every root has whether the image has it or not: no change of the container's.
MADE: Final = (
    *("/dev", "/proc", "/sys", "/etc"),
    *("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/.dockerenv"),
)
#: Changes that are listed at most; beyond this the answer would be hundreds of megabytes.
MAX_CHANGES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive of a container's path: the file's status, and a tar of it in pieces."""

    stat: PathStat
    tar: AsyncIterator[bytes]


async def stat(container: Container, name: str, path: str) -> PathStat:
    """The status of the file at ``path``. ``name``: the container's name as the client said it.

    Raises:
        NotFound: there is no such file (Docker's words). InvalidRequest: it is no path, or leads through a file.
    """
    where = _absolute(path)
    await _make_working_dir(container, where)
    async with container.agent_commands.open(Builtin(("stat", where))) as command:
        records = command.records()
        found = _stat_of(await anext(records), where, path, name)
        async for record in records:
            _end(record, path, name)
        return found


@asynccontextmanager
async def read(container: Container, name: str, path: str) -> AsyncIterator[Archive]:
    """The archive of the file or directory at ``path``; the top of the tar has the path's last part as its name.

    Raises: as `stat`. HyperError: reading fails; also while the tar is read.
    """
    where = _absolute(path)
    await _make_working_dir(container, where)
    async with container.agent_commands.open(Builtin(("archive-get", where))) as command:
        records = command.records()
        found = _stat_of(await anext(records), where, path, name)
        container.publish("archive-path")
        base = "/" if where == "/" else posixpath.basename(where.rstrip("/"))
        yield Archive(found, _tar(records, os.fsencode(base), path, name))


@asynccontextmanager
async def export(container: Container) -> AsyncIterator[AsyncIterator[bytes]]:
    """The whole file system of the container, without what is mounted in it, as a tar.

    Raises: HyperError: reading fails.
    """
    async with container.agent_commands.open(Builtin(("export",), outside=True)) as command:
        container.publish("export")
        yield _tar(command.records(), b"", "/", container.record.id)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options for writing a tar into a container."""

    #: A directory and a file never replace each other.
    keep_kinds: bool = False
    #: All files belong to the container's user.
    chown: bool = False


async def write(
    container: Container, name: str, path: str, tar: AsyncIterator[bytes], options: WriteOptions
) -> None:
    """The files of ``tar`` (compressed or not) are below the directory ``path``; after a failure some may be there.

    Raises:
        NotFound: there is no such path. InvalidRequest: it is no directory; the tar is broken, or leads out of it.
        Forbidden: the path is read-only. HyperError: writing fails (no space left…).
    """
    where = _absolute(path)
    await _make_working_dir(container, where)
    words = ["keep-kinds"] if options.keep_kinds else []
    user = container.record.spec.program.user if options.chown else ""
    if user:
        words.append("chown")
    builtin = Builtin(("archive-put", where, *words), stdin=True, user=user)
    async with container.agent_commands.open(builtin) as command:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_send(command, tar))
                async for record in command.records():
                    _end(record, path, name)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others were cancelled for it
    container.publish("extract-to-dir")


async def changes(container: Container) -> list[ChangeAnswer]:
    """The changes of the container's files against its image, in order of the paths.

    Raises: HyperError: reading fails, or there are too many.
    """
    found: list[Change] = []
    async with container.agent_commands.open(Builtin(("changes", *MADE), outside=True)) as command:
        async for record in command.records():
            if isinstance(record, Change):
                found.append(record)
                if len(found) > MAX_CHANGES:
                    raise HyperError(f"more than {MAX_CHANGES} files have changed")
            else:
                _end(record, "/", container.record.id)
    found.sort(key=lambda change: change.path.split(b"/"))
    return [
        ChangeAnswer(path=change.path.decode(errors="replace"), kind=change.kind)
        for change in found
    ]


@asynccontextmanager
async def layer(container: Container, *, freeze: bool) -> AsyncIterator[AsyncIterator[bytes]]:
    """The changes of the container's files against its image, as a layer. ``freeze``: it stands still meanwhile.

    Raises: HyperError: reading fails.
    """
    builtin = Builtin(("diff", *MADE), outside=True, freeze=freeze)
    async with container.agent_commands.open(builtin) as command:
        yield _tar(command.records(), b"", "/", container.record.id)


async def _make_working_dir(container: Container, where: str) -> None:
    """The working directory of a container that never ran exists, if a client looks at it or near it (``where``).

    It is dockerd that makes it when it makes the container; a machine does when it starts the program.

    Raises: HyperError: it cannot be made.
    """
    folder = container.record.spec.program.cwd.strip("/")
    parts, asked = folder.split("/"), where.strip("/.").split("/")
    common = min(len(parts), len(asked))
    if container.record.started_ns or not folder or parts[:common] != asked[:common]:
        return
    async with container.agent_commands.open(Builtin(("stat", f"/{folder}"))) as command:
        *_, last = [record async for record in command.records()]
    if not (isinstance(last, Failure) and last.code == ReplyCode.NO_SUCH):
        return
    entry = Entry(os.fsencode(folder), DIRECTORY, 0o755)
    async with container.agent_commands.open(Builtin(("archive-put", "/"), stdin=True)) as command:
        await _send_item(command, entry)
        await command.finish()
        async for record in command.records():
            _end(record, folder, container.record.name)


async def _send(command: AgentCommand, tar: AsyncIterator[bytes]) -> None:
    feed = TarFeed()
    async for piece in tar:
        for item in feed.feed(piece):
            await _send_item(command, item)
    for item in feed.close():
        await _send_item(command, item)
    await command.finish()


async def _send_item(command: AgentCommand, item: Entry | bytes) -> None:
    if isinstance(item, Entry):
        await command.write(agent_entry(item).record())
    else:
        await command.write(item)


async def _tar(
    records: AsyncIterator[Record], base: bytes, path: str, name: str
) -> AsyncIterator[bytes]:
    padding = b""
    async for record in records:
        match record:
            case Content():
                yield record.data
            case FileEntry():
                yield padding + tar_header(record, base)
                padding = tar_padding(record)
            case Change():
                yield padding + tar_whiteout(record)
                padding = b""
            case _:
                _end(record, path, name)
    yield padding + TAR_END


def _absolute(path: str) -> str:
    """The path from the root, cleaned, with the slash or dot at its end that makes a link be followed.

    Raises:
        InvalidRequest: the path is too long, or holds a NUL.
    """
    clean = posixpath.normpath("/" + path.lstrip("/"))
    last = path.rsplit("/", 1)[-1]
    if clean != "/" and last == "":
        clean += "/"
    elif last == ".":
        clean = f"{clean.rstrip('/')}/."
    if len(os.fsencode(clean)) > MAX_ENTRY_PATH or "\0" in clean:
        raise InvalidRequest(f"invalid path: {path[:100]!r}")
    return clean


def _stat_of(record: Record, where: str, path: str, name: str) -> PathStat:
    if not isinstance(record, FileStat):
        _end(record, path, name)
        raise ProtocolError("the agent does not say what is at a path")
    return PathStat(
        name="/" if where == "/" else posixpath.basename(where.rstrip("/")),
        size=record.size,
        mode=go_mode(record.mode),
        mtime=_rfc3339(record.mtime_s, record.mtime_ns),
        link_target=os.fsdecode(record.link).encode(errors="replace").decode(),
    )


def _rfc3339(seconds: int, nanoseconds: int) -> str:
    """A time of the guest's, in the years that RFC 3339 has."""
    seconds = min(max(seconds, -62_135_596_800), 253_402_300_799)
    text = (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    fraction = f".{nanoseconds % 10**9:09}".rstrip("0") if nanoseconds else ""
    return f"{text}{fraction}Z"


def _end(record: Record, path: str, name: str) -> None:
    """The record is a builtin's END. Raises: what a Failure stands for; ProtocolError for any other record."""
    if isinstance(record, Failure):
        _raise(record, path, name)
    if not isinstance(record, End):
        raise ProtocolError(f"the agent answers with {type(record).__name__}")


def _raise(failure: Failure, path: str, name: str) -> NoReturn:
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in failure.text)
    if failure.code == ReplyCode.NO_SUCH:
        raise NotFound(f"Could not find the file {path} in container {name}")
    if failure.code in (ReplyCode.EXISTS, ReplyCode.LIMIT):
        raise InvalidRequest(text)
    if failure.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        raise InvalidRequest(text)
    if failure.errno == errno.EROFS:
        raise Forbidden(f"container rootfs is marked read-only: {text}")
    raise HyperError(text)
