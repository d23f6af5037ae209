"""Services that a pod finds, and addresses that no pod has. Real machines. White lists: test_pods_white_lists."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import ApiError
from tests.support.containers import follow
from tests.support.hyperd import Hyperd
from tests.support.networks import says, wait_without
from tests.support.pods import box, make

pytestmark = [pytest.mark.vm, pytest.mark.root]


def refused(daemon: Hyperd, **body: Any) -> tuple[int, str]:
    """Status and message of a pod that cannot be made."""
    with pytest.raises(ApiError) as error:
        daemon.api.post("/hyper/v1/pods", {"Name": "web", "Containers": [], **body})
    return error.value.status, error.value.message


def test_pod_network_body_when_hostile_is_refused(daemon: Hyperd, busybox: str) -> None:
    """What is no network or address is refused where it is said, and nothing of it is made."""
    pod = {"Containers": [box(busybox, "one", "true")]}
    for text in ('fe80::%" ; flush ruleset; #/128', "0.0.0.0/0 }\nflush ruleset", "10.0.0.1/8", ""):
        status, words = refused(daemon, **pod, WhiteLists={"ExternalNetworks": [text]})
        assert (status, words.startswith("WhiteLists.ExternalNetworks: ")) == (400, True), text
    hostile = {"Ip": "10.254.0.1", "Port": 80, "Hosts": [{"Ip": "10.0.0.1 }; drop", "Port": 80}]}
    assert refused(daemon, **pod, Services=[hostile])[0] == 400
    many = {"InternalNetworks": ["10.0.0.0/8"] * 257}
    assert refused(daemon, **pod, WhiteLists=many)[0] == 400
    assert daemon.api.get("/hyper/v1/pods") == []


def test_pod_services_lead_to_their_hosts_in_turn(own_daemon: Hyperd, busybox: str) -> None:
    """Each new connection goes to the next host; nobody but the pod finds them. Also after the daemon was killed,
    and when the pod starts again. Nothing is left of them."""
    daemon = own_daemon
    daemon.run("network", "create", "--subnet", "10.207.0.0/24", "net")
    for number in (8, 9):
        script = (
            f"mkdir /w; echo {number} >/w/index.html; httpd -h /w; echo serving; exec sleep 6000"
        )
        daemon.run(
            *("run", "-d", "--name", f"host{number}", "--network", "net"),
            *("--ip", f"10.207.0.{number}", busybox, "sh", "-c", script),
        )
        follow(daemon, f"host{number}", "serving")
    hosts = [{"Ip": f"10.207.0.{number}", "Port": 80} for number in (8, 9)]
    services = [{"Ip": "10.254.0.1", "Port": 8080, "Protocol": "tcp", "Hosts": hosts}]
    pod = make(daemon, box(busybox, "one", "sleep 6000"), Network="net", Services=services)
    assert pod["Services"] == services

    ask = "for n in 1 2 3 4; do timeout 30 wget -q -O - http://10.254.0.1:8080/; done"

    def check() -> None:
        code, text = says(daemon, "web-one", ask)
        assert (code, sorted(text.split())) == (0, ["8", "8", "9", "9"])
        assert text.split()[0] != text.split()[1]
        assert says(daemon, "host8", "timeout 2 wget -q -O - http://10.254.0.1:8080/")[0] != 0

    check()
    daemon.kill()
    daemon.start()
    check()
    daemon.api.post("/hyper/v1/pods/web/stop?t=0")
    wait_without(daemon, "service-", "10.254.0.1")
    daemon.api.post("/hyper/v1/pods/web/start")
    check()
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    wait_without(daemon, "service-", "10.254.0.1")
    # On a network that has the address it would never come by the host.
    services[0]["Ip"] = "10.207.0.77"
    make(daemon, box(busybox, "one", "true"), start=False, Network="net", Services=services)
    with pytest.raises(ApiError, match="which the pod is on") as error:
        daemon.api.post("/hyper/v1/pods/web/start")
    assert error.value.status == 409
