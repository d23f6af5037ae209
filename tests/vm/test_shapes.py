"""Which members answers have, which are null, which are empty lists: as a real dockerd 28.5.2 was seen to have them.

Clients tell "there is none" from "nobody said" by it: a null where Docker has no member ends some of them. dockerd of
Debian is older than the contract; so what a newer one answered is kept (tests/support/shapes.py says how).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.dockerd import busybox_rootfs
from tests.support.hyperd import Hyperd
from tests.support.shapes import differences, observe

pytestmark = pytest.mark.vm

RECORDED = Path(__file__).parents[1] / "golden/shapes-dockerd-28.5.2.json"
#: What differs, and why that stays.
KNOWN = {
    r".*\.Hyper": "what Docker has no word for",
    r".*\.GraphDriver\.Data\..*": "each storage driver's own",
    r".*\.HostConfig\.MemorySwappiness": "the contract has no null there",
    r".*\.GwPriority": "since 1.48; dockerd 28 shows it to older clients, too",
    r".*full/json\..*\.DNSNames": "told before the start, too",
    r"GET /info\.(BridgeNf.*|CDISpecDirs|Containerd|KernelMemoryTCP|RuncCommit\.Expected)": "dockerd's own parts",
    r"GET /info\.(DriverStatus|Runtimes\..*)": "Hyper's own parts",
    r"GET /networks/bridge\.(IPAM\.Config|Options\..*)": "the bridge is made, and its subnet chosen, when it is needed",
    r"GET /system/df\.Containers\[\]\.SizeRw": "a scratch disk is never empty",
    r"GET /system/df\.Images\[\]\.RepoDigests": "a list everywhere else",
}


def test_answers_have_the_members_that_dockerds_have(daemon: Hyperd) -> None:
    """Of containers with nothing, everything and empty lists said of them, running or not, and of all else."""
    daemon.run("import", "-c", 'CMD ["sh"]', "-", "busybox:latest", stdin=busybox_rootfs())
    try:
        ours = observe(daemon.api)
    finally:
        daemon.clear()
        daemon.run("rmi", "busybox:latest")
    found = differences(ours, json.loads(RECORDED.read_text()))
    unknown = {
        path: pair
        for path, pair in found.items()
        if not any(re.fullmatch(pattern, path) for pattern in KNOWN)
    }
    assert unknown == {}
    unused = [
        pattern for pattern in KNOWN if not any(re.fullmatch(pattern, path) for path in found)
    ]
    assert unused == [], "these differences are gone"
