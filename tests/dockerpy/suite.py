"""Fetches docker-py's tests and what they need, and runs one file of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
#: No test of the suite takes a tenth of this; one that hangs is a failure, not the end of the run.
TEST_TIMEOUT_S = 60
FILE_TIMEOUT_S = 900
#: pytest's exit codes when it ran: all passed, some failed, none chosen.
_RAN = (0, 1, 5)


@dataclass(frozen=True)
class Outcome:
    """How one test ended: ``passed``, ``failed`` or ``skipped``, and its first line of complaint."""

    test: str
    verdict: str
    complaint: str = ""
    seconds: float = 0.0


class Suite:
    """The suite below ``folder``, with a virtual environment for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv/bin/python"

    def prepare(self) -> None:
        """Everything is there; fetched when it was not, or is pinned otherwise now."""
        pins = [HERE / "requirements.txt", HERE / "suite.txt"]
        want = hashlib.sha256(b"".join(path.read_bytes() for path in pins)).hexdigest()
        stamp = self.folder / "stamp"
        if stamp.exists() and stamp.read_text() == want:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", self.folder / "venv"], check=True)
        self._pip("install", "--require-hashes", "-r", str(pins[0]))
        # pip asks a source distribution for its metadata even if it is only to be fetched.
        options = ["--no-deps", "--no-build-isolation", "--no-binary=docker", "--require-hashes"]
        self._pip("download", *options, "-r", str(pins[1]), "-d", str(self.folder))
        (archive,) = self.folder.glob("docker-*.tar.gz")
        with tarfile.open(archive) as tar:
            # Its tests alone, for a docker-py of that age would hide the current one. Trusted: the hash is pinned
            # (Python 3.11.2 of Debian 12 has no extraction filters).
            tests = [
                one for one in tar if "/tests/" in one.name or one.name.endswith("/pytest.ini")
            ]
            tar.extractall(self.folder / "source", tests)
        archive.unlink()
        stamp.write_text(want)

    def _pip(self, *words: str) -> None:
        argv = [self.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
        subprocess.run(argv, check=True)

    @property
    def root(self) -> Path:
        """The folder that holds ``tests``."""
        (source,) = (self.folder / "source").iterdir()
        return source

    def files(self) -> list[str]:
        """The test files, relative to ``tests/integration``, without their ending."""
        base = self.root / "tests/integration"
        return sorted(
            str(path.relative_to(base).with_suffix("")) for path in base.rglob("*_test.py")
        )

    def run(
        self, file: str, scratch: Path, environ: Mapping[str, str], *, only: str = ""
    ) -> list[Outcome]:
        """How each test of ``file`` ended; ``scratch`` takes its output. ``only``: a pytest ``-k`` expression.

        Raises:
            RuntimeError: the file could not be run at all (its output's end).
        """
        report, log = scratch / "report.xml", scratch / f"{file.replace('/', '.')}.log"
        report.unlink(missing_ok=True)
        argv = [self.python, "-m", "pytest", f"tests/integration/{file}.py", f"--junitxml={report}"]
        argv += ["-q", "-p", "no:cacheprovider", f"--timeout={TEST_TIMEOUT_S}", "-k", only]
        with log.open("wb") as output:
            done = subprocess.run(
                argv,
                cwd=self.root,
                env={"PATH": os.environ["PATH"], "TMPDIR": str(scratch), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=FILE_TIMEOUT_S,
            )
        if done.returncode not in _RAN:
            raise RuntimeError(log.read_text(errors="replace")[-3000:])
        return read_report(file, report.read_bytes())


def read_report(file: str, report: bytes) -> list[Outcome]:
    """The outcomes in a JUnit report of pytest's. A test is named ``FILE::CLASS::NAME``."""
    module = "tests.integration." + file.replace("/", ".")
    found: dict[str, Outcome] = {}
    for case in ET.fromstring(report).iter("testcase"):
        owner = case.get("classname", "").removeprefix(module).strip(".")
        name = "::".join(part for part in (file, owner, case.get("name", "")) if part)
        bad = next(
            (case.find(tag) for tag in ("failure", "error") if case.find(tag) is not None), None
        )
        skipped = case.find("skipped")
        verdict = "failed" if bad is not None else "skipped" if skipped is not None else "passed"
        node = bad if bad is not None else skipped
        text = "" if node is None else node.get("message", "").strip().split("\n")[0][:200]
        # A test whose tear-down fails is there twice: it failed.
        if name not in found or verdict == "failed":
            found[name] = Outcome(name, verdict, text, float(case.get("time", 0)))
    return list(found.values())
