"""Traces of a failed test: what its daemons and machines wrote, kept where the run does not remove it.

    build/failed/TEST/
      hyperd-XXXX/hyperd.log        the daemon's log; consoles of machines that have ended are in it
      hyperd-XXXX/exec/vm/ID/…      run folders of machines, but for sockets
      hyperd-XXXX/data/…            records and containers' output, but for images, volumes and disks
      NAME.console                  of a machine that a test has without a daemon

A test that passes keeps nothing. What one test keeps is bounded, and so is the number of tests.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FAILED = Path(__file__).parents[2] / "build/failed"
MAX_TESTS = 40
MAX_FILES = 300
MAX_BYTES = 8 << 20
MAX_FILE_BYTES = 1 << 20
_MAX_NAME = 100
#: Folders of a daemon that hold images, volumes, disks and memory.
_BULKY = {"image", "volume", "scratch", "template"}
_DISKS = {".ext4", ".sqfs", ".img"}


class Traces:
    """Folders that are to be kept should the test fail that runs now. Outside a test nothing is ever kept."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._test: Path | None = None
        self._failed = False
        self._watched: list[Path] = []
        self._tellers: dict[str, Callable[[], str]] = {}

    def begin(self, test: str) -> None:
        """A test starts; what an earlier run kept of it goes."""
        self._test, self._failed = self._root / _file_name(test), False
        shutil.rmtree(self._test, ignore_errors=True)

    def fail(self) -> Path | None:
        """The test has failed: all that is watched is kept. The folder; None if there is nothing in it."""
        self._failed = True
        for folder in self._watched:
            self.take(folder)
        for name, teller in self._tellers.items():
            if self._test is not None and (text := teller()):
                self._test.mkdir(parents=True, exist_ok=True)
                (self._test / name).write_text(text)
        self._forget_the_oldest()
        return self._test if self._test is not None and self._test.exists() else None

    def end(self) -> None:
        """The test is over: what has been written since it failed is kept too; nothing is if it has not failed."""
        for folder in self._watched:
            self.renew(folder)
        if self._test is not None and not self._failed:
            shutil.rmtree(self._test, ignore_errors=True)
        self._test = None

    @contextmanager
    def watched(self, folder: Path) -> Iterator[None]:
        """A block while which a folder is kept if the test fails, or an exception leaves the block."""
        self._watched.append(folder)
        try:
            yield
        except BaseException:
            self.take(folder)
            raise
        finally:
            self._watched.remove(folder)

    @contextmanager
    def told(self, name: str, teller: Callable[[], str]) -> Iterator[None]:
        """A block while which a failure keeps what ``teller`` says as a file ``name``."""
        self._tellers[name] = teller
        try:
            yield
        finally:
            self._tellers.pop(name, None)  # another of the same name may have gone before

    def take(self, folder: Path) -> None:
        """The folder's small files are among the traces of the test that runs now, until it is known to have passed."""
        if self._test is not None and folder.exists():
            copy_small_files(folder, self._test / folder.name)

    def renew(self, folder: Path) -> None:
        """What was kept of a folder is as it is now; files that are gone meanwhile stay kept."""
        if self._test is not None and (self._test / folder.name).exists():
            self.take(folder)

    def _forget_the_oldest(self) -> None:
        """At most ``MAX_TESTS`` tests have traces."""
        kept = sorted(self._root.glob("*"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-MAX_TESTS]:
            shutil.rmtree(path, ignore_errors=True)


class TracesPlugin:
    """pytest tells ``traces`` how tests go, and its reports where the traces of those that failed are."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """The test's name is known before its fixtures are made."""
        self._traces.begin(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The traces are taken while the test's fixtures still stand."""
        report = yield
        if report.failed and (kept := self._traces.fail()) is not None:
            report.sections.append(("traces of the failed test", str(kept)))
        if call.when == "teardown":
            self._traces.end()
        return report


def copy_small_files(source: Path, target: Path) -> None:
    """Small files of ``source`` are in ``target``, of longer logs their ends; no disk, no image, nothing special."""
    files, left = 0, MAX_BYTES
    for path, size in _small_files(source):
        take = min(size, MAX_FILE_BYTES)
        if files == MAX_FILES or take > left:
            return
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError), path.open("rb") as file:  # gone meanwhile, or not ours
            file.seek(-take, os.SEEK_END)
            copy.write_bytes(file.read(take))
            files, left = files + 1, left - take


def _small_files(source: Path) -> list[tuple[Path, int]]:
    """Files worth keeping with their sizes, those of the upper folders (the daemon's log) first."""
    found = []
    for folder, names, files in os.walk(source):
        names[:] = sorted(set(names) - _BULKY)
        for path in (Path(folder, name) for name in sorted(files)):
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                is_whole = status.st_size <= MAX_FILE_BYTES or "log" in path.name
                if stat.S_ISREG(status.st_mode) and is_whole and path.suffix not in _DISKS:
                    found.append((path, status.st_size))
    return found


def _file_name(test: str) -> str:
    """A folder's name for a test's: its words, and a sum of them should they be too long."""
    name = re.sub(r"[^\w.]+", "-", test.removeprefix("tests/")).strip("-")
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}-{zlib.crc32(test.encode()):08x}"


#: Those of this run.
TRACES = Traces(FAILED)
