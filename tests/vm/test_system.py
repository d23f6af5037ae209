"""What a daemon tells about itself: /info and /version."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hyper import __version__
from hyper.api.docker.system import BEING_PROBED
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


def test_a_service_units_words_reach_the_containers(busybox: str, tmp_path: Path) -> None:
    """Limits, name servers and the reaper in the guest, the PID file on the host; info says what is true."""
    words = "--default-ulimit nofile=321 --dns-search a.example --init --default-shm-size 8m"
    always = (
        "--live-restore --iptables=true --log-driver json-file --shutdown-timeout 5 --label a=b"
    )
    file = tmp_path / "pid"
    outside = "--https-proxy http://joe:pw@proxy.corp:3128 --no-proxy .corp,10.0.0.0/8 --insecure-registry r.corp:5000"
    with hyperd("-p", str(file), *words.split(), *always.split(), *outside.split()) as started:
        assert file.read_text() == f"{started.pid}\n"
        started.run("pull", "-q", busybox)
        script = "ulimit -n; cat /proc/1/comm; df -m /dev/shm | awk 'END {print $2}'; tail -1 /etc/resolv.conf"
        said = started.run("run", "--rm", busybox, "sh", "-c", script).decode()
        assert said.splitlines() == ["321", "docker-init", "8", "search a.example"]
        info = started.api.get("/info")
        assert (info["LiveRestoreEnabled"], info["Labels"]) == (True, ["a=b"])
        assert info["LoggingDriver"] == "json-file"
        assert info["HttpsProxy"] == "http://xxxxx:xxxxx@proxy.corp:3128"
        assert (info["HttpProxy"], info["NoProxy"]) == ("", ".corp,10.0.0.0/8")
        assert info["RegistryConfig"]["IndexConfigs"]["r.corp:5000"]["Secure"] is False
    assert not file.exists()


def test_an_execs_terminal_has_the_size_it_was_created_with(daemon: Hyperd, busybox: str) -> None:
    """Kept from the create until the start, which may say otherwise."""
    daemon.run("run", "-d", "--name", "box", busybox, "sleep", "600")
    asked = {"AttachStdout": True, "Tty": True, "Cmd": ["stty", "size"], "ConsoleSize": [33, 77]}
    for body, size in (({"Tty": True}, b"33 77"), ({"Tty": True, "ConsoleSize": [5, 6]}, b"5 6")):
        made = daemon.api.post("/containers/box/exec", asked)["Id"]
        _, said = daemon.api.raw("POST", f"/exec/{made}/start", json.dumps(body).encode())
        assert said.strip() == size


def test_volumes_outside_of_a_swarm_cannot_be_updated(daemon: Hyperd) -> None:
    """dockerd's answer."""
    status, said = daemon.api.raw("PUT", "/volumes/x?version=1", b"{}")
    why = "volume update only valid for cluster volumes, but swarm is unavailable"
    assert (status, json.loads(said)["message"]) == (503, why)


def test_info_names_the_drivers_that_there_are(daemon: Hyperd) -> None:
    """What -v, --network and --log-driver take."""
    plugins = daemon.api.get("/info")["Plugins"]
    assert plugins["Volume"] == ["local"]
    assert plugins["Network"] == ["bridge", "host", "null"]
    assert {"json-file", "local"} <= {*plugins["Log"]}
