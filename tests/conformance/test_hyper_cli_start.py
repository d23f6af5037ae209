"""``hyper`` starts a daemon for its user: once, only at the default socket, and says why when it cannot.

The daemon here is a stand-in (a dozen lines): what is tested is the starting.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hyper.client.autostart import launch
from hyper.client.errors import DaemonUnreachable

pytestmark = pytest.mark.root
NOBODY = 65534

SERVES = """
import os, socket, sys
folder = os.environ["XDG_RUNTIME_DIR"] + "/hyper"
with open(os.environ["STARTS"], "a") as starts:
    starts.write(f"{os.getpid()}\\n")
listener = socket.socket(socket.AF_UNIX)
listener.bind(folder + "/hyper.sock")
listener.listen()
os.write(int(sys.argv[sys.argv.index("--ready-fd") + 1]), b"1")
while True:
    connection, _ = listener.accept()
    with connection:
        if connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 18\\r\\n\\r\\n{\\"Version\\":\\"fake\\"}")
"""
FAILS = "import sys; sys.exit('no hypervisor here')"
SILENT = "import signal; signal.pause()"

Prepare = Callable[[str], dict[str, str]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the ordinary user (pytest's own is closed to it)."""
    path = Path(tempfile.mkdtemp(prefix="hyper-start-"))
    (path / "run").mkdir()
    for made in (path, path / "run"):
        os.chown(made, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def prepare(folder: Path) -> Iterator[Prepare]:
    """Put a hyperd with the given text beside a hyper; returns the environment of an ordinary user."""

    def write(text: str) -> dict[str, str]:
        hyper = "import sys; from hyper.cli.main import main; sys.exit(main())"
        for name, program in (("hyper", hyper), ("hyperd", text)):
            path = folder / name
            path.write_text(f"#!{sys.executable}\n{program}\n")
            path.chmod(0o755)
        return {
            "PATH": os.environ["PATH"],
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_DATA_HOME": str(folder / "data"),
            "STARTS": str(folder / "starts"),
        }

    yield write
    for pid in _started(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _started(folder: Path) -> list[int]:
    path = folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def _spawn(folder: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    words = [f"{folder}/hyper", "version", "--format", "Server.Version"]
    return subprocess.Popen(
        words, env=environ, user=NOBODY, group=NOBODY, extra_groups=[], stdout=-1, stderr=-1
    )


def test_many_at_once_start_one(folder: Path, prepare: Prepare) -> None:
    environ = prepare(SERVES)
    for process in [_spawn(folder, environ) for _ in range(5)]:
        out, said = process.communicate(timeout=60)
        assert (process.returncode, out, said) == (0, b"fake\n", b"")
    assert len(_started(folder)) == 1
    # What the daemon insists on: a root that we made must not be in its way.
    assert [(folder / name).stat().st_mode & 0o777 for name in ("run/hyper", "data/hyper")] == [
        0o700,
        0o700,
    ]


def test_one_that_fails_says_why(folder: Path, prepare: Prepare) -> None:
    process = _spawn(folder, prepare(FAILS))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"no hypervisor here" in said
    assert b"hyperd.log" in said


def test_roots_of_somebody_else_are_refused(folder: Path, prepare: Prepare) -> None:
    (folder / "run/hyper").mkdir()
    process = _spawn(folder, prepare(SERVES))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"belongs to user 0" in said
    assert _started(folder) == []


def test_none_is_started_where_a_host_was_named(folder: Path, prepare: Prepare) -> None:
    for name in ("HYPER_HOST", "DOCKER_HOST"):
        environ = prepare(SERVES) | {name: f"unix://{folder}/run/hyper/hyper.sock"}
        process = _spawn(folder, environ)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"Is the daemon running" in said
    assert _started(folder) == []


def test_one_that_stays_silent_is_killed(folder: Path, prepare: Prepare, tmp_path: Path) -> None:
    prepare(SILENT)
    with pytest.raises(DaemonUnreachable, match=r"did not serve within 0\.2 s"):
        launch(folder / "hyperd", (), tmp_path / "log", deadline_s=0.2)
