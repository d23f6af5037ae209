"""Suites: what one consists of, and how a file of it is run."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.imagebuilder import Image

from tests.suites.environment import ROOT, Environment
from tests.suites.outcome import Outcome, read_report

HERE = Path(__file__).parent
#: Exit codes of a runner that ran: all passed, some failed, none chosen (pytest).
_RAN = (0, 1, 5)


@dataclass(frozen=True, eq=False)
class Suite(ABC):
    """One client's tests: their files, the images they pull, and what their client has to be told.

    ``over_tcp``: tests whose client cannot use a unix socket. ``newest``: run with the newest docker CLI and plugins
    of Debian. ``test_timeout_s``: a test that hangs is a failure, not the end of the run.
    """

    name: str
    images: Callable[[], dict[str, Image]]
    folder: str = "."
    pattern: str = "test_*.py"
    environ: Mapping[str, str] = field(default_factory=dict)
    over_tcp: frozenset[str] = frozenset()
    newest: bool = False
    test_timeout_s: int = 60
    file_timeout_s: int = 900

    @property
    def home(self) -> Path:
        """The folder of its pins and expectations."""
        return HERE / self.name

    @property
    def environment(self) -> Environment:
        """Where it runs."""
        return Environment(self.home, ROOT / "build/suites" / self.name)

    def files(self) -> list[str]:
        """Its test files, relative to ``folder``, without their ending."""
        base = self.environment.source / self.folder
        ending = Path(self.pattern).suffix
        found = [str(path.relative_to(base)) for path in base.rglob(self.pattern)]
        return sorted(
            name.removesuffix(ending) for name in found if not name.startswith("node_modules/")
        )

    def run(
        self,
        file: str,
        scratch: Path,
        environ: Mapping[str, str],
        *,
        only: str = "",
        patience: int = 1,
    ) -> list[Outcome]:
        """How each test of ``file`` ended; ``scratch`` takes its output.

        ``only``: the runner's expression for a choice of tests; ``patience``: a factor for all time-outs.

        Raises:
            RuntimeError: the file could not be run at all (its output's end).
        """
        report, log = scratch / "report.xml", scratch / f"{file.replace('/', '.')}.log"
        report.unlink(missing_ok=True)
        with log.open("wb") as output:
            done = subprocess.run(
                self.argv(file, report, only, self.test_timeout_s * patience),
                cwd=self.environment.source,
                env={"PATH": os.environ["PATH"], "TMPDIR": str(scratch), **self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=self.file_timeout_s * patience,
            )
        if done.returncode not in _RAN:
            raise RuntimeError(log.read_text(errors="replace")[-3000:])
        return read_report(file, self.module(file), report.read_bytes())

    @abstractmethod
    def argv(self, file: str, report: Path, only: str, timeout_s: int) -> list[str]:
        """The command that runs ``file`` and leaves a JUnit report."""

    @abstractmethod
    def module(self, file: str) -> str:
        """What class names in the report of ``file`` begin with."""


@dataclass(frozen=True, eq=False)
class PytestSuite(Suite):
    """A suite for pytest. ``options``: more words for it."""

    options: tuple[str, ...] = ()

    def argv(self, file: str, report: Path, only: str, timeout_s: int) -> list[str]:
        """pytest of the suite's own environment."""
        python = str(self.environment.python)
        words = ["-q", "-p", "no:cacheprovider", f"--timeout={timeout_s}", *self.options]
        chosen = ["-k", only] if only else []
        path = str(Path(self.folder, f"{file}.py"))
        return [python, "-m", "pytest", path, f"--junitxml={report}", *words, *chosen]

    def module(self, file: str) -> str:
        """The file's path with dots."""
        return ".".join(Path(self.folder, file).parts)


@dataclass(frozen=True, eq=False)
class NodeSuite(Suite):
    """A suite for Node's own test runner."""

    pattern: str = "*.test.mjs"

    def argv(self, file: str, report: Path, only: str, timeout_s: int) -> list[str]:
        """Node of the suite's own environment."""
        node = str(self.environment.python.with_name("node"))
        words = [
            "--test",
            "--test-force-exit",
            "--test-concurrency=1",
            f"--test-timeout={timeout_s * 1000}",
        ]
        words += ["--test-reporter=junit", f"--test-reporter-destination={report}"]
        words += ["--test-reporter=spec", "--test-reporter-destination=stdout"]
        chosen = [f"--test-name-pattern={only}"] if only else []
        return [node, *words, *chosen, str(Path(self.folder, f"{file}.mjs"))]

    def module(self, file: str) -> str:
        """Node's runner has no classes: it says ``test`` for each."""
        return "test"
