"""Root file systems of Debian with packages installed, as tar files for ``docker import``. Made by mmdebstrap, kept.

    .venv/bin/python -m tools.debian_root redis-server      prints the path of the tar

Packages come from the archive that this machine's apt uses. The cache's key is what was asked for, not the state of
Debian on a day: remove ``~/.cache/hyper/roots`` to have newer packages.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

#: Raised when a change of this file changes what it makes.
_RECIPE = 1
#: Where apt keeps its sources, and what an archive's URL looks like there (sources.list(5)).
_SOURCES = {
    "sources.list.d/debian.sources": r"^URIs: *(\S+)",
    "sources.list": r"^deb +(?:\[.*\] +)?(\S+)",
}


def debian_root(
    packages: Sequence[str], *, architecture: str = "amd64", bare: bool = False
) -> Path:
    """Root file system with ``packages`` and what they need, as a tar in the user's cache.

    ``bare``: without dpkg's state and without running maintainer scripts, for an architecture whose programs this
    machine may not be able to run.

    Raises:
        RuntimeError: mmdebstrap failed; with the end of what it said.
    """
    words = [_suite(), architecture, str(bare), *sorted(packages)]
    return _kept(words, "tar", lambda draft: _mmdebstrap(draft, packages, architecture, bare))


def debootstrap_packages() -> Path:
    """Packages of a minimal Debian as ``debootstrap --make-tarball`` keeps them, in the user's cache.

    Raises:
        RuntimeError: debootstrap failed; with the end of what it said.
    """
    return _kept([_suite(), "debootstrap"], "tar.gz", _debootstrap)


def _suite() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _kept(words: Sequence[str], ending: str, make: Callable[[Path], None]) -> Path:
    """File of the cache that ``words`` name, made at a path of its own first if it is not there."""
    key = hashlib.sha256("\0".join([str(_RECIPE), *words]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hyper/roots"
    made = cache / f"{key}.{ending}"
    if made.exists():
        return made
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as folder:
        draft = Path(folder, f"draft.{ending}")
        make(draft)
        draft.rename(made)
    return made


def _mmdebstrap(draft: Path, packages: Sequence[str], architecture: str, bare: bool) -> None:
    variant = "extract" if bare else "apt"
    argv = ["mmdebstrap", "--quiet", f"--variant={variant}", f"--architectures={architecture}"]
    _run([*argv, f"--include={','.join(packages)}", _suite(), str(draft), archive()])


def _debootstrap(draft: Path) -> None:
    argv = ["debootstrap", "--variant=minbase", f"--make-tarball={draft}"]
    _run([*argv, _suite(), f"{draft.parent}/target", archive()])


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
        raise RuntimeError(f"{' '.join(argv)}: {said}")


def archive() -> str:
    """URL of the first Debian archive that this machine's apt takes packages from.

    Raises:
        RuntimeError: apt has no sources in either of the places where Debian's installer writes them.
    """
    for name, pattern in _SOURCES.items():
        path = Path("/etc/apt", name)
        if path.exists() and (found := re.search(pattern, path.read_text(), re.MULTILINE)):
            return found[1]
    raise RuntimeError(f"no archive of Debian in /etc/apt/{' or '.join(_SOURCES)}")


if __name__ == "__main__":
    print(debian_root(sys.argv[1:]))
