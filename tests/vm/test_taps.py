"""What a hypervisor that was taken over can do with its machine's TAP: no guest's kernel stands before the rules."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hyper.network.bridge.budget import MAX_QUESTIONS_AT_ONCE
from tests.support.taps import MAX_FLOWS, TOO_MANY

pytestmark = pytest.mark.root


def test_who_holds_a_tap_is_its_machine_and_nobody_else() -> None:
    """Frames written to it by hand: none in another's name, none into another network, none to a service of the host
    but the name server unless its network or its container has asked for that; what is its own arrives. Of flows and
    questions one machine has its share, and its neighbour is heard while it floods."""
    argv = ["unshare", "--net", sys.executable, "-m", "tests.support.taps"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    own = ["own packet", "own arp", "own packet6", "own local6", "own advert", "own end"]
    taken = seen.pop("too much")
    assert MAX_FLOWS // 2 < taken["flows"] <= MAX_FLOWS
    assert MAX_QUESTIONS_AT_ONCE // 2 < taken["questions"] < TOO_MANY
    assert seen == {
        "within": own,
        "across": ["neighbour"],
        "host": {
            "internal": {"names": True, "else": False},
            "plain": {"names": True, "else": False},
            "asked by the container": {"names": True, "else": True},
            "asked by the network": {"names": True, "else": True},
        },
    }


def test_white_lists_and_services() -> None:
    """TCP, UDP, IPv6, published ports and the pod's own address, for neighbours, other networks and the host: who is
    in the list for inside reaches every port, who is in that for outside the published ones, nobody else any. Answers
    to what the pod asked come. It is the same whether bridges' packets pass the rules for IP (br_netfilter) or not,
    and after a new daemon. Its questions to a service come to the hosts by turns, and the answer back; neither a
    neighbour's nor what would lead into another network. Of a machine that is gone no rule is left."""
    argv = ["unshare", "--net", sys.executable, "-m", "tests.support.walled"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    ways = [
        *(f"friend {kind} {port};" for kind in ("tcp", "udp") for port in (80, 81, "published")),
        *(f"friend udp6 {port};" for port in (80, 81)),
        *(f"client {kind} {port};" for kind in ("tcp", "udp") for port in (80, "published")),
        "client udp6 80;",
        *(
            f"far {name} {kind} published;"
            for name in ("friend", "client")
            for kind in ("tcp", "udp")
        ),
        "answer;",
        "127.0.0.2 8080;",
        "127.0.0.4 8080;",
    ]
    tables = [f"table {family} hyper_feedfeedfeed" for family in ("ip", "netdev")]
    rounds = ("bridge calls 0", "bridge calls 1", "again")
    assert seen == {
        **dict.fromkeys(rounds, ways),
        "client": ["turn 0;", "turn 2;", "tcp;"],
        "stranger": ["turn 1;", "turn 3;"],
        "far friend": [],
        "pod": ["10.254.0.1"],
        "tables": tables,
    }


def test_the_host_goes_on_learning_from_routers() -> None:
    """A default route that a router has told stays when the kernel is had to forward IPv6, and the router is heeded
    after it as well. A network comes up that has IPv6; a machine on it that has walls, ports and the host's services
    leaves no rule behind."""
    argv = ["unshare", "--net", sys.executable, "-m", "tests.support.router"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen["forwards"] == ["0", "1"]
    assert seen["default routes"] == [1, 1]
    assert seen["learned while forwarding"]
    assert seen["rules with a machine"]
    assert seen["rules without"] == seen["rules before"]
