"""GET /containers/{id}/logs: the log file's records as Docker's stream."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_plus

from aiohttp import web

from hyper.api.hijack import media_type
from hyper.api.http import flag, moment_of
from hyper.engine.lifecycle.container import Container
from hyper.engine.output.log_file import LogFile, LogQuery
from hyper.engine.spec import log_options
from hyper.errors import InvalidRequest, NotImplementedYet
from hyper.proto.docker_stream import encode_piece
from hyper.proto.log_record import LogFlag, LogRecord
from hyper.units import rfc3339

#: Bytes gathered before they are written to the client.
_BATCH: Final = 64 * 1024


class Formatter:
    """Log records as bytes: each line with a header if multiplexed, a time and ``details`` if asked for (not None)."""

    def __init__(self, *, multiplexed: bool, timestamps: bool, details: str | None = None) -> None:
        self._multiplexed = multiplexed
        self._timestamps = timestamps
        self._details = details
        self._inside_line: dict[int, bool] = {1: False, 2: False}

    def format(self, record: LogRecord, *, skip_lines: int = 0) -> bytes:
        """``record`` as the client reads it, without its first ``skip_lines`` lines."""
        payload = record.payload
        for _ in range(skip_lines):
            payload = payload[payload.find(b"\n") + 1 :]
        if self._multiplexed or self._timestamps or self._details is not None:
            # A carriage return ends no line: programs draw progress bars with it.
            return b"".join(self._line(record, line) for line in io.BytesIO(payload))
        return payload

    def _line(self, record: LogRecord, line: bytes) -> bytes:
        if not self._inside_line[record.stream]:
            time_ = rfc3339(record.time_ns) + " " if self._timestamps else ""
            details = "" if self._details is None else self._details + " "
            line = (time_ + details).encode() + line
        self._inside_line[record.stream] = bool(record.flags & LogFlag.PARTIAL)
        return self._framed(record, line)

    def _framed(self, record: LogRecord, data: bytes) -> bytes:
        return encode_piece(record.stream, data) if self._multiplexed else data


async def serve(request: web.Request, container: Container) -> web.StreamResponse:
    """The log's lines as the answer, then (``follow``) new ones until the program ends or the client goes."""
    query = _query(request)
    tty = container.record.config.tty
    formatter = Formatter(
        multiplexed=not tty,
        timestamps=flag(request, "timestamps"),
        details=_details(container) if flag(request, "details") else None,
    )
    log = container.hub.log
    assert log is not None
    if not log.limits.content:
        raise NotImplementedYet("configured logging driver does not support reading")
    response = web.StreamResponse(headers={"Content-Type": media_type(request, tty=tty)})
    await response.prepare(request)
    end = log.size
    start, skip = log.tail_start(query, end)
    await _write(response, _formatted(log, query, formatter, start, end, skip))
    if flag(request, "follow"):
        await _follow(response, container, query, formatter, end)
    await response.write_eof()
    return response


def _details(container: Container) -> str:
    config, record = container.record.config, container.record
    found = log_options.details(
        record.host_config.log_config, labels=config.labels or {}, env=config.env or []
    )
    return ",".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in found)


async def _follow(
    response: web.StreamResponse,
    container: Container,
    query: LogQuery,
    formatter: Formatter,
    position: int,
) -> None:
    log = container.hub.log
    assert log is not None
    while not (query.until_ns is not None and time.time_ns() > query.until_ns):
        grown = container.hub.grown()
        end = log.size
        await _write(response, _formatted(log, query, formatter, position, end, 0))
        if not container.live and log.size == end:
            return
        position = end
        if log.size == end:
            await _wait(grown, query)


async def _wait(grown: asyncio.Event, query: LogQuery) -> None:
    remaining = (
        None if query.until_ns is None else max(0.0, (query.until_ns - time.time_ns()) / 1e9)
    )
    try:
        async with asyncio.timeout(remaining):
            await grown.wait()
    except TimeoutError:
        return


def _formatted(
    log: LogFile, query: LogQuery, formatter: Formatter, start: int, end: int, skip: int
) -> Iterator[bytes]:
    for record in log.records(start, end):
        if query.wants(record):
            yield formatter.format(record, skip_lines=skip)
            skip = 0


async def _write(response: web.StreamResponse, pieces: Iterator[bytes]) -> None:
    batch = bytearray()
    for piece in pieces:
        batch += piece
        if len(batch) >= _BATCH:
            await response.write(bytes(batch))
            batch.clear()
    if batch:
        await response.write(bytes(batch))


def _query(request: web.Request) -> LogQuery:
    stdout, stderr = flag(request, "stdout"), flag(request, "stderr")
    if not (stdout or stderr):
        raise InvalidRequest("Bad parameters: you must choose at least one stream")
    return LogQuery(
        stdout=stdout,
        stderr=stderr,
        since_ns=moment_of(request, "since") or 0,
        until_ns=moment_of(request, "until") or None,
        tail=_tail(request.query.get("tail", "")),
    )


def _tail(text: str) -> int | None:
    """The count of lines wanted from the end; None: all, as anything that is no number means in dockerd."""
    return int(text) if text.isdecimal() and len(text) < 10 else None
