"""The newest docker CLI with Compose and buildx that Debian has, unpacked below ``build/suites``.

Debian's unstable archive keeps its newest versions alone, so none is pinned: what is fetched is signed by Debian, and
its versions are told at the beginning of a run. The machine's own apt and its lists are left alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.suites.environment import ROOT

_RELEASE = "sid"
_PACKAGES = ("docker-cli", "docker-compose", "docker-buildx")
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FOLDER = ROOT / "build/suites/newest"
_PLUGINS = _FOLDER / "usr/libexec/docker/cli-plugins"


def prepare() -> None:
    """They are there; ``rm -r build/suites/newest`` has them fetched anew."""
    stamp = _FOLDER / "stamp"
    if stamp.exists():
        return
    shutil.rmtree(_FOLDER, ignore_errors=True)
    apt = _FOLDER / "apt"
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYS}] {_archive()} {_RELEASE} main\n")
    options = [
        f"Dir::Etc::sourcelist={apt}/sources.list",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={apt}/lists",
        f"Dir::Cache={apt}/cache",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
    ]
    argv = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    subprocess.run([*argv, "update"], check=True)
    subprocess.run([*argv, "download", *_PACKAGES], cwd=apt / "debs", check=True)
    for deb in (apt / "debs").iterdir():
        subprocess.run(["dpkg-deb", "-x", deb, _FOLDER], check=True)
    shutil.rmtree(apt)
    stamp.touch()


def _archive() -> str:
    """Where this machine has its Debian from."""
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian"]
    found = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return min(found, key=len)


def add_plugins(home: Path) -> None:
    """A docker CLI whose HOME is ``home`` has Compose and buildx."""
    folder = home / ".docker/cli-plugins"
    folder.mkdir(parents=True, exist_ok=True)
    for plugin in _PLUGINS.iterdir():
        (folder / plugin.name).symlink_to(plugin)


def path() -> str:
    """PATH with the newest docker CLI first."""
    return f"{_FOLDER}/usr/bin:{os.environ['PATH']}"


def versions() -> str:
    """What was unpacked, for the reader of a run."""
    programs = [_FOLDER / "usr/bin/docker", *sorted(_PLUGINS.iterdir())]
    words = [
        [program, "--version" if program.name == "docker" else "version"] for program in programs
    ]
    told = [
        subprocess.run(argv, check=True, capture_output=True, text=True).stdout for argv in words
    ]
    return ", ".join(one.strip() for one in told)
