"""What a hypervisor that was taken over can do with its machine's TAP: no guest's kernel stands before the rules."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root


def test_who_holds_a_tap_is_its_machine_and_nobody_else() -> None:
    """Frames written to it by hand: none in another's name, none into another network, none to a service of the host
    on an internal network but the name server; what is its own arrives."""
    argv = ["unshare", "--net", sys.executable, "-m", "tests.support.taps"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    own = ["own packet", "own arp", "own packet6", "own local6", "own advert", "own end"]
    assert seen == {
        "within": own,
        "across": ["neighbour"],
        "host": {"names": True, "else": False},
    }
