"""A real hyperd with private roots. One context manager owns it, its containers and its files."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyper.engine.lifecycle.host import DAEMONS, machine_uids
from tests.support.api import Api
from tests.support.dockerd import Engine
from tests.support.hygiene import control_groups
from tests.support.numbers import number_of
from tests.support.processes import runs
from tests.support.traces import TRACES

START_TIMEOUT_S = 60.0


class Hyperd:
    """A daemon that can be killed and started again on the same roots. ``running`` tells whether it serves."""

    def __init__(self, folder: Path, *options: str, user: int | None = None) -> None:
        self.folder = folder
        self.data_root, self.exec_root = folder / "data", folder / "exec"
        self.socket = folder / "s.sock"
        self.log = folder / "hyperd.log"
        self.options = options
        self.user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to be."""
        return f"unix://{self.socket}"

    @property
    def api(self) -> Api:
        """Its API; every answer is checked against the contract."""
        return Api(self.socket)

    @property
    def pid(self) -> int:
        """Of the daemon's process."""
        assert self._process is not None
        return self._process.pid

    def argv(self) -> list[str]:
        """Its command line."""
        roots = ["--data-root", str(self.data_root), "--exec-root", str(self.exec_root)]
        # Images of a Docker that the host happens to have are none of the tests'.
        alone = [] if "--local-engines" in self.options else ["--local-engines=false"]
        program = [sys.executable, "-m", "hyper.daemon.main"]
        return [*program, "-H", self.host, *roots, *alone, *self.options]

    def start(self) -> None:
        """It serves. Raises: AssertionError with its log if it does not. Interrupted: its process has ended."""
        read, write = os.pipe()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.argv(), "-l", "debug", "--ready-fd", str(write)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write],
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                # A Ctrl-C in the terminal is for the tests: they end the daemon, machines first.
                process_group=0,
            )
        os.close(write)
        try:
            with os.fdopen(read, "rb") as ready:
                answer = ready.read(1)
        except BaseException:
            self.stop()
            raise
        if answer != b"1":
            self._process.wait(timeout=START_TIMEOUT_S)
            self._process = None
            raise AssertionError(f"hyperd does not serve:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """It died as by ``kill -9``; its machines have not."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        """It ended as asked to; its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(timeout=START_TIMEOUT_S)
        self._process = None
        return code

    def docker(
        self, *words: str, stdin: bytes = b"", timeout_s: float = 120, **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        """The stock docker client, to its end."""
        environ = Engine(self.host, "").environ() | environ
        argv = ["docker", *words]
        return subprocess.run(
            argv, input=stdin, capture_output=True, timeout=timeout_s, env=environ
        )

    def run(self, *words: str, stdin: bytes = b"") -> bytes:
        """What ``docker WORDS`` printed. Raises: AssertionError if it failed."""
        done = self.docker(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def lines(self, pattern: str, *, after: int = 0) -> Iterator[str]:
        """Lines of its log after so many bytes that have ``pattern``, each as soon as it is written."""
        with subprocess.Popen(
            ["tail", "-c", f"+{after + 1}", "-F", str(self.log)], stdout=subprocess.PIPE, text=True
        ) as tail:
            assert tail.stdout is not None
            try:
                yield from (line for line in tail.stdout if re.search(pattern, line))
            finally:
                tail.kill()

    def clear(self) -> None:
        """No pod, no container and no volume is left."""
        for item in self.api.get("/hyper/v1/pods"):
            self.api.delete(f"/hyper/v1/pods/{item['Id']}?force=1&v=1")
        for item in self.api.get("/containers/json?all=1"):
            self.api.delete(f"/containers/{item['Id']}?force=1&v=1")
        for item in self.api.get("/volumes")["Volumes"]:
            self.api.delete(f"/volumes/{item['Name']}")

    def machines(self) -> list[int]:
        """Pids of all that runs under this daemon's machine identities (as root), but for what waits for a start."""
        uids = self._machine_uids()
        # Once as many wait as should: one that is being made is not told from others.
        self.api.raw("GET", "/hyper/v1/pool?wait=1")
        waiting = set()
        for path in (self.exec_root / "pool").glob("*/machine.json"):
            with contextlib.suppress(FileNotFoundError):  # its time was over
                waiting.add(json.loads(path.read_bytes())["state"]["pid"])
        return [pid for pid, uid in _owners() if uid in uids and pid not in waiting]

    def _machine_uids(self) -> range:
        number = number_of(DAEMONS, self.api.get("/info")["ID"])
        return range(0) if number is None else machine_uids(number)

    def _groups(self) -> list[str]:
        """Control groups of machines it made that are still there."""
        made = set(re.findall(r"machine (\S+) is made", self.log.read_text()))
        return sorted({group.name for group in control_groups() if group.name in made})

    def _told_of(self, names: list[str]) -> str:
        """What its log says of ``names``, and how it ended."""
        lines = self.log.read_text().splitlines()
        told = [line for line in lines if any(name in line for name in names)]
        return "\n".join([*told, "...", *lines[-50:]])

    def close(self) -> None:
        """Nothing is left of it: containers, machines, files."""
        try:
            self._end()
        except BaseException:
            TRACES.take(self.folder)
            raise
        TRACES.renew(self.folder)
        shutil.rmtree(self.folder)

    def _end(self) -> None:
        """Its containers, its machines and it have ended."""
        if self._process is None:
            self.start()
        self.clear()
        uids = self._machine_uids()
        assert self.stop() == 0
        # Machines that waited for a container are ended with it.
        left = {pid: _told(pid) for pid, uid in _owners() if uid in uids}
        assert left == {}, f"machines of {self.folder} are left: {left}"
        assert self._groups() == [], self._told_of(self._groups())


def served_tcp(daemon: Hyperd) -> str:
    """The TCP address it serves on, as DOCKER_HOST has it."""
    addresses: list[str] = re.findall(r"serving on (tcp://\S+)", daemon.log.read_text())
    return addresses[-1]


def _told(pid: int) -> str:
    """What it is and how it is."""
    with contextlib.suppress(OSError):
        words = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
        return f"{words[:400]}\n{Path(f'/proc/{pid}/status').read_text()}"
    return "has ended meanwhile"


def _owners() -> Iterator[tuple[int, int]]:
    """Of processes that run. A machine found again is no child of the daemon's: who reaps it takes its time."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if runs(int(entry.name)):
                    yield int(entry.name), entry.stat().st_uid


@contextmanager
def hyperd(*options: str, user: int | None = None, kind: type[Hyperd] = Hyperd) -> Iterator[Hyperd]:
    """A serving daemon with fresh roots; as ``user`` (a number) when we are root; ``kind``: how it is started."""
    # Not pytest's folder: its names are too long for a unix socket.
    daemon = kind(Path(tempfile.mkdtemp(prefix="hyperd-")), *options, user=user)
    if user is not None:
        os.chown(daemon.folder, user, user)
    try:
        daemon.start()
    except BaseException:
        TRACES.take(daemon.folder)
        shutil.rmtree(daemon.folder)
        raise
    try:
        with TRACES.watched(daemon.folder):
            yield daemon
    finally:
        daemon.close()
