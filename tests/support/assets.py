"""The guest's half of Hyper, as the tests find it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def find_asset(name: str) -> Path:
    """``vmlinux`` or ``initrd``, from $HYPER_ASSETS or the installation. Fails the test when it is not built."""
    folder = Path(os.environ.get("HYPER_ASSETS", f"{sys.prefix}/share/hyper"))
    if not (folder / name).exists():
        pytest.fail(f"there is no {folder / name}: build the guest first (make guest)")
    return folder / name
