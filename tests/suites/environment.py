"""A suite's environment below ``build/suites``: virtual environment, tests of a source distribution, npm packages.

Everything is pinned by hash beside the suite, and fetched again only when a pin has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PINS = ("requirements.txt", "sdist.txt", "package-lock.json")
_NOT_COPIED = ("expected.toml", "requirements.in", *_PINS)


class Environment:
    """The folder that a suite runs from. ``source`` is the working directory of its tests."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.python = folder / "venv/bin/python"
        self.source = folder / "source"

    def prepare(self) -> None:
        """Everything is there; fetched when it was not, or is pinned otherwise now."""
        pins = [self.home / name for name in _PINS if (self.home / name).exists()]
        want = hashlib.sha256(b"".join(path.read_bytes() for path in pins)).hexdigest()
        stamp = self.folder / "stamp"
        if not stamp.exists() or stamp.read_text() != want:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(self.source, ignore_errors=True)
            self.source.mkdir(parents=True)
            self._make_venv()
            if (self.home / "sdist.txt").exists():
                self._unpack_tests()
            if (self.home / "package-lock.json").exists():
                self._install_node_packages()
            stamp.write_text(want)
        for path in self.home.iterdir():
            if path.is_file() and path.name not in _NOT_COPIED:
                shutil.copy(path, self.source)

    def _make_venv(self) -> None:
        venv = [sys.executable, "-m", "venv", "--clear", self.folder / "venv"]
        subprocess.run(venv, check=True)
        self._pip("install", "--require-hashes", "-r", str(self.home / "requirements.txt"))

    def _unpack_tests(self) -> None:
        """The tests alone, for a client of that age would hide the current one. Trusted: the hash is pinned."""
        fetched = self.folder / "sdist"
        shutil.rmtree(fetched, ignore_errors=True)
        # pip asks a source distribution for its metadata even if it is only to be fetched.
        options = ["--no-deps", "--no-build-isolation", "--no-binary=:all:", "--require-hashes"]
        self._pip("download", *options, "-r", str(self.home / "sdist.txt"), "-d", str(fetched))
        (archive,) = fetched.iterdir()
        # Python 3.11.2 of Debian 12 has no extraction filters.
        with tarfile.open(archive) as tar:
            kept = []
            for member in tar:
                member.name = member.name.partition("/")[2]
                if member.name.startswith("tests/") or member.name == "pytest.ini":
                    kept.append(member)
            tar.extractall(self.source, kept)
        shutil.rmtree(fetched)

    def _install_node_packages(self) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(self.home / name, self.source)
        # Their install scripts would build what only other platforms or uses need.
        words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        environ = os.environ | {"PATH": f"{self.python.parent}:{os.environ['PATH']}"}
        subprocess.run(words, cwd=self.source, env=environ, check=True)

    def _pip(self, *words: str) -> None:
        argv = [self.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
        subprocess.run(argv, check=True)
