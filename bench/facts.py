"""What the figures belong to: machine, versions, date."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from hyper.config import defaults

ROOT = Path(__file__).parents[1]
_MODEL, _MEMORY = r"model name\s*: (.*)", r"MemTotal:\s*(\d+)"


def facts(accelerator: str) -> dict[str, str]:
    """Name and value of everything that has to be known to compare."""
    return {
        "Date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "CPU": f"{_find('/proc/cpuinfo', _MODEL)}, {os.cpu_count()} cores",
        "Memory": f"{int(_find('/proc/meminfo', _MEMORY)) / 2**20:.1f} GiB",
        "Host kernel": platform.release(),
        "Load before": f"{os.getloadavg()[0]:.2f} (1 minute)",
        "Accelerator": accelerator,
        "QEMU": _first_line("qemu-system-x86_64", "--version"),
        "Docker": _docker(),
        "gVisor": _first_line("runsc", "--version"),
        "Hyper": _commit(),
        "Guest": ", ".join(
            f"{name} {(defaults().assets / name).stat().st_size} bytes"
            for name in ("vmlinux", "initrd")
        ),
        "Python": platform.python_version(),
    }


def _find(file: str, pattern: str) -> str:
    found = re.search(pattern, Path(file).read_text())
    return found[1] if found else "unknown"


def _first_line(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return "missing"
    return done.stdout.partition("\n")[0].strip() or "unknown"


def _docker() -> str:
    parts = (_first_line(name, "--version") for name in ("docker", "dockerd", "runc"))
    return "; ".join(parts)


def _commit() -> str:
    changed = _first_line("git", "status", "--porcelain", "--untracked-files=no")
    commit = _first_line("git", "rev-parse", "--short=12", "HEAD")
    return commit if changed == "unknown" else f"{commit} with uncommitted changes"
