"""What ``hyper run`` imports: each command pays for that before it does anything."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyper.cli import launcher
from hyper.client import light

#: What the interpreter has imported when it starts with -IS, and the C parts we take instead of their Python parts.
STANDARD = {
    "__future__", "__main__", "_abc", "_codecs", "_collections_abc", "_frozen_importlib", "_frozen_importlib_external",
    "_imp", "_io", "_json", "_signal", "_socket", "_stat", "_struct", "_thread", "_warnings", "_weakref", "abc",
    "builtins", "codecs", "encodings", "encodings.aliases", "encodings.utf_8", "genericpath", "io", "marshal", "os",
    "os.path", "posix", "posixpath", "select", "stat", "struct", "sys", "time", "zipimport",
}  # fmt: skip
#: Of our own, at most so many.
MOST = 40

ANSWERS = {
    "/create": b'HTTP/1.1 201 Created\r\nContent-Length: 26\r\n\r\n{"Id":"x","Warnings":null}',
    "/attach": b"HTTP/1.1 101 UPGRADED\r\n\r\n\x01\0\0\0\0\0\0\x03hi\n",
    "/wait": b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"StatusCode":7}',
    "/start": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """The address of what answers a run's four requests as a daemon does."""
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            for _ in ANSWERS:
                with server.accept()[0] as connection:
                    target = connection.recv(65536).split(b" ", 2)[1].decode().partition("?")[0]
                    connection.sendall(ANSWERS["/" + target.rpartition("/")[2]])

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{path}"
        thread.join()


def test_what_a_run_imports(tmp_path: Path) -> None:
    """From its first instruction to its exit code: nothing but this. (Imports of one's own are not light: look at
    ``python -IS -X importtime`` before the list is made longer.)"""
    text = launcher.script(sys.executable)
    assert text is not None
    told = text.replace("program()", "import atexit\nimport os\nsys.argv[0] = 'hyper'\n")
    told += (
        "os._exit = lambda status: (print(status, *sys.modules), sys.stdout.flush())\nprogram()\n"
    )
    program = tmp_path / "hyper"
    program.write_text(told)
    with daemon(tmp_path) as host:
        done = subprocess.run(
            [sys.executable, "-IS", program, "-H", host, "run", "--rm", "busybox", "true"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stderr == ""
    output, _, modules = done.stdout.partition("\n")
    status, *found = modules.split()
    assert (output, status) == ("hi", "7")
    ours = {name for name in found if name.partition(".")[0] == "hyper"}
    assert set(found) - ours - {"atexit"} <= STANDARD
    assert len(ours) <= MOST, sorted(ours)


def test_the_program_that_is_written_runs(tmp_path: Path) -> None:
    """Whatever the caller's surroundings say; and it is left alone when it is there."""
    program = tmp_path / "hyper"
    assert launcher.write(program)
    first = program.stat()
    assert launcher.write(program)
    assert program.stat().st_ino == first.st_ino
    environ = {"PYTHONPATH": "/nosuch", "PYTHONSTARTUP": "/nosuch", "PYTHONHOME": "/nosuch"}
    done = subprocess.run([program, "--version"], capture_output=True, text=True, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("hyper version ")


def test_a_path_that_no_first_line_can_have() -> None:
    """pip's own program stays then."""
    assert launcher.script("/a b/python") is None
    assert launcher.script("/" + "x" * 300) is None


VALUES = [
    {"a": [1, 2.5, None, True, 'ä\n"\\\ud800'], "b": {"c": {}}, "5": "x"},
    [], {}, "", 0, -1.5e300, False, float("inf"), [[[]]], {"": None},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_json_as_the_standard_library_has_it(value: object) -> None:
    """Written and read."""
    assert light.dumps(value) == json.dumps(value)
    assert light.loads(json.dumps(value).encode()) == value
    assert light.loads(f" \r\n{json.dumps(value)}\t") == value


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1,]", b'{"a":1}x', b'"\x01"', b"\xff", b"nul", b"-", b"{1:2}", b"[" * 100],
)
def test_json_that_is_none(text: bytes) -> None:
    """The same errors in the same words."""
    with pytest.raises(ValueError) as expected:
        json.loads(text)
    with pytest.raises(type(expected.value)) as got:
        light.loads(text)
    assert str(got.value) == str(expected.value)


def test_what_has_no_form_in_json() -> None:
    """Is a mistake of ours, and told as one."""
    with pytest.raises(TypeError, match="bytes has no form in JSON"):
        light.dumps({"a": b"x"})
