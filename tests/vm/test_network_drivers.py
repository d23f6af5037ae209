"""Network drivers of root's daemons, on a host of their own: a network namespace."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.root


def test_network_drivers_when_held_to_the_contract_pass() -> None:
    """The suite that each network driver is held to, and tests of each alone, with real bridges, TAPs and rules."""
    pytest_ = [sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider"]
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *pytest_]
    done = subprocess.run(
        [*argv, "tests/contract/network_on_host.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
