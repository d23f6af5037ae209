"""Processes in the columns of ``ps`` that a client asks for, from the guest's /proc; no ps runs there. Pure.

Source: ps(1) "standard format specifiers", proc(5) "/proc/pid/stat".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hyper.errors import InvalidRequest, ProtocolError
from hyper.proto.message import ProcessLine

#: USER_HZ of every Linux we boot, and its page.
_TICKS: Final = 100
_PAGE: Final = 4096
_KIB: Final = 1024
_DAY: Final = 86400
_PTS_MAJORS: Final = range(136, 144)
#: /proc/PID/stat behind the name: fields 3 to 24.
_FIELDS: Final = 22
_MAX_COLUMNS: Final = 64
_LARGEST_UID: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Scene:
    """The scene of all processes: the time, how long the machine is up, its memory, names of users by uid."""

    now_s: float
    up_s: float
    memory_bytes: int
    users: dict[int, str]


@dataclass(frozen=True, slots=True)
class Process:
    """One process. Times in seconds; ``start_s`` after the machine's boot."""

    pid: int
    uid: int
    name: str
    state: str
    ppid: int
    pgrp: int
    session: int
    tty: int
    foreground: int
    cpu_s: float
    priority: int
    nice: int
    threads: int
    start_s: float
    vsz: int
    rss: int
    args: str


def parse(line: ProcessLine) -> Process:
    """The process that the guest's ``line`` describes.

    Raises:
        ProtocolError: the line is not as /proc has it.
    """
    text = line.stat.decode("utf-8", "replace")
    _, _, rest = text.partition("(")
    name, _, tail = rest.rpartition(")")
    fields = tail.split()
    if len(fields) < _FIELDS or not all(re.fullmatch("-?[0-9]{1,20}", n) for n in fields[1:22]):
        raise ProtocolError(f"malformed stat of process {line.pid}")
    number = [0, *map(int, fields[1:22])]
    args = line.cmdline.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    return Process(
        pid=line.pid,
        uid=line.uid,
        name=_printable(name),
        state=_printable(fields[0][:1]),
        ppid=number[1],
        pgrp=number[2],
        session=number[3],
        tty=number[4],
        foreground=number[5],
        cpu_s=(number[11] + number[12]) / _TICKS,
        priority=number[15],
        nice=number[16],
        threads=number[17],
        start_s=number[19] / _TICKS,
        vsz=number[20],
        rss=number[21] * _PAGE,
        args=_printable(args) or f"[{_printable(name)}]",
    )


def users(passwd: bytes) -> dict[int, str]:
    """Names of users by uid, from the whole, well-formed lines of a passwd file; the first of a uid counts."""
    found: dict[int, str] = {}
    for line in passwd.decode("utf-8", "replace").split("\n")[:-1]:
        match = re.match(r"([A-Za-z_][\w.-]{0,31}\$?):[^:]*:(\d{1,10}):", line, re.ASCII)
        if match is not None and int(match[2]) <= _LARGEST_UID:
            found.setdefault(int(match[2]), match[1])
    return found


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# Columns

Column = tuple[str, Callable[[Process, Scene], str]]


def _user(process: Process, scene: Scene) -> str:
    return scene.users.get(process.uid, str(process.uid))


def _age_s(process: Process, scene: Scene) -> float:
    return max(scene.up_s - process.start_s, 0.0)


def _percent_cpu(process: Process, scene: Scene) -> float:
    age = _age_s(process, scene)
    return 100 * process.cpu_s / age if age else 0.0


def _percent_memory(process: Process, scene: Scene) -> float:
    return 100 * process.rss / scene.memory_bytes if scene.memory_bytes else 0.0


def _tty(process: Process, _: Scene) -> str:
    major, minor = process.tty >> 8 & 0xFFF, process.tty & 0xFF | process.tty >> 12 & 0xFFF00
    if major in _PTS_MAJORS:
        return f"pts/{minor + (major - _PTS_MAJORS.start) * 256}"
    return f"tty{minor}" if major == 4 else "console" if (major, minor) == (5, 1) else "?"


def _stat(process: Process, _: Scene) -> str:
    flags = "<" if process.nice < 0 else "N" if process.nice > 0 else ""
    flags += "s" if process.session == process.pid else ""
    flags += "l" if process.threads > 1 else ""
    flags += "+" if process.foreground == process.pgrp else ""
    return process.state + flags


def _clock(seconds: float) -> str:
    days, rest = divmod(int(seconds), _DAY)
    text = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{text}" if days else text


def _elapsed(process: Process, scene: Scene) -> str:
    text = _clock(_age_s(process, scene))
    return text.removeprefix("00:")


def _started(process: Process, scene: Scene) -> str:
    """The time of day at which the process started; the day, where that was not today."""
    began = time.localtime(scene.now_s - _age_s(process, scene))
    today = time.localtime(scene.now_s)[:3] == began[:3]
    return time.strftime("%H:%M" if today else "%b%d", began)


def _minutes(process: Process, _: Scene) -> str:
    return f"{int(process.cpu_s) // 60}:{int(process.cpu_s) % 60:02}"


_ARGS: Final = lambda process, _: process.args  # noqa: E731 (a table of small functions)
_COMM: Final = lambda process, _: process.name  # noqa: E731
_COLUMNS: Final[dict[str, Column]] = {
    "pid": ("PID", lambda p, _: str(p.pid)),
    "ppid": ("PPID", lambda p, _: str(p.ppid)),
    "pgid": ("PGID", lambda p, _: str(p.pgrp)),
    "pgrp": ("PGRP", lambda p, _: str(p.pgrp)),
    "sid": ("SID", lambda p, _: str(p.session)),
    "sess": ("SESS", lambda p, _: str(p.session)),
    "uid": ("UID", lambda p, _: str(p.uid)),
    "euid": ("EUID", lambda p, _: str(p.uid)),
    "user": ("USER", _user),
    "euser": ("EUSER", _user),
    "uname": ("USER", _user),
    "comm": ("COMMAND", _COMM),
    "ucmd": ("CMD", _COMM),
    "ucomm": ("COMMAND", _COMM),
    "args": ("COMMAND", _ARGS),
    "command": ("COMMAND", _ARGS),
    "cmd": ("CMD", _ARGS),
    "stat": ("STAT", _stat),
    "state": ("S", lambda p, _: p.state),
    "s": ("S", lambda p, _: p.state),
    "tty": ("TT", _tty),
    "tt": ("TT", _tty),
    "tname": ("TTY", _tty),
    "time": ("TIME", lambda p, _: _clock(p.cpu_s)),
    "cputime": ("TIME", lambda p, _: _clock(p.cpu_s)),
    "bsdtime": ("TIME", _minutes),
    "etime": ("ELAPSED", _elapsed),
    "etimes": ("ELAPSED", lambda p, scene: str(int(_age_s(p, scene)))),
    "stime": ("STIME", _started),
    "start_time": ("START", _started),
    "start": ("STARTED", _started),
    "pcpu": ("%CPU", lambda p, scene: f"{_percent_cpu(p, scene):.1f}"),
    "%cpu": ("%CPU", lambda p, scene: f"{_percent_cpu(p, scene):.1f}"),
    "c": ("C", lambda p, scene: str(min(int(_percent_cpu(p, scene)), 99))),
    "pmem": ("%MEM", lambda p, scene: f"{_percent_memory(p, scene):.1f}"),
    "%mem": ("%MEM", lambda p, scene: f"{_percent_memory(p, scene):.1f}"),
    "vsz": ("VSZ", lambda p, _: str(p.vsz // _KIB)),
    "vsize": ("VSZ", lambda p, _: str(p.vsz // _KIB)),
    "rss": ("RSS", lambda p, _: str(p.rss // _KIB)),
    "rssize": ("RSS", lambda p, _: str(p.rss // _KIB)),
    "rsz": ("RSZ", lambda p, _: str(p.rss // _KIB)),
    "ni": ("NI", lambda p, _: str(p.nice)),
    "nice": ("NI", lambda p, _: str(p.nice)),
    "pri": ("PRI", lambda p, _: str(39 - p.priority)),
    "nlwp": ("NLWP", lambda p, _: str(p.threads)),
    "thcount": ("THCNT", lambda p, _: str(p.threads)),
}


def _choose(names: str) -> list[Column]:
    return [_COLUMNS[name] for name in names.split()]


_FULL: Final = [("UID", _user), *_choose("pid ppid c stime tname time cmd")]
_USER: Final = _choose("user pid %cpu %mem vsz rss tname stat start_time bsdtime args")
_PLAIN: Final = [*_choose("pid tname time"), ("CMD", _COMM)]
_BSD: Final = _choose("pid tname stat bsdtime args")


def columns(ps_args: str) -> list[Column]:
    """The columns that ``ps PS_ARGS`` would show: ``-ef``, ``aux``, ``-eo pid,comm`` and combinations of such.

    Raises:
        InvalidRequest: an option or a column that Hyper does not have, or no column PID (Docker's words).
    """
    words = ps_args.split()
    asked: list[Column] = []
    letters = ""
    while words:
        word = words.pop(0)
        if word == "-o" or re.fullmatch("-[eAaw]*o", word) or word in ("o", "--format"):
            asked += _asked(words.pop(0) if words else "")
        elif match := re.fullmatch("-[eAaw]*o(.+)|--format=(.+)", word):
            asked += _asked(match[1] or match[2])
        elif re.fullmatch("-[eAadfw]+|-?[auxw]+", word):
            letters += word
        else:
            raise InvalidRequest(f"error running ps: unsupported option {word[:100]!r}")
    if asked:
        chosen = asked[:_MAX_COLUMNS]
    elif "u" in letters:
        chosen = _USER
    elif "f" in letters:
        chosen = _FULL
    else:
        chosen = _BSD if "x" in letters else _PLAIN
    if "PID" not in [title for title, _ in chosen]:
        raise InvalidRequest("Couldn't find PID field in ps output")
    return chosen


def _asked(names: str) -> list[Column]:
    found = []
    for name in filter(None, names.split(",")):
        if "=" in name:
            raise InvalidRequest(f'specifying "{name[:100]}" is not allowed')
        if name.lower() not in _COLUMNS:
            raise InvalidRequest(
                f'error running ps: unknown user-defined format specifier "{name[:100]}"'
            )
        found.append(_COLUMNS[name.lower()])
    if not found:
        raise InvalidRequest("error running ps: format specification must follow -o")
    return found
