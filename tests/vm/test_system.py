"""What a daemon tells about itself: /info and /version."""

from __future__ import annotations

import re

import pytest

from hyper import __version__
from hyper.api.system import BEING_PROBED
from tests.support.hyperd import Hyperd, hyperd

pytestmark = pytest.mark.vm


def test_info_does_not_wait_for_the_probes_guest() -> None:
    """A new daemon's first answer says that a guest boots; a daemon killed meanwhile leaves none of it."""
    with hyperd() as started:
        [*_, tcg] = started.api.get("/info")["Hyper"]["Hypervisors"]
        assert (tcg["Accelerator"], tcg["Usable"], tcg["Reason"]) == ("tcg", None, BEING_PROBED)
        started.kill()
        started.start()
        assert list((started.data_root / "machine").glob("[kt]")) == []


def test_version_names_the_hypervisor_and_the_daemon(daemon: Hyperd) -> None:
    """Numbers, for each component."""
    versions = {item["Name"]: item["Version"] for item in daemon.api.get("/version")["Components"]}
    assert versions["Engine"] == __version__
    assert re.match(r"\d+\.\d+\.\d+( \(.+\))?$", versions["qemu"])
