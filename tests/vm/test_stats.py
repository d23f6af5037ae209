"""What containers cost, from inside their machines: docker stats and docker top, with numbers that are true."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import docker
import pytest

from tests.support.api import ApiError
from tests.support.containers import create, follow
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

MIB = 1024 * 1024
#: 30 MiB held in memory, some written to disk; then nothing more is done.
HOLD = (
    "dd if=/dev/zero of=/dev/shm/x bs=1M count=30 && dd if=/dev/zero of=/x bs=1M count=4 conv=fsync && "
    "ping -c 1 -W 1 $(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'); echo held; exec sleep 600"
)
SPIN = "echo spinning; while :; do :; done"


def percent(stats: dict[str, Any]) -> float:
    """As docker's client counts it."""
    now, before = stats["cpu_stats"], stats["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    all_cpus = now["system_cpu_usage"] - before["system_cpu_usage"]
    return 100 * used / all_cpus * int(now["online_cpus"])


def test_stats_of_a_busy_container_are_plausible(daemon: Hyperd, busybox: str) -> None:
    """A busy loop takes a CPU, 30 MB are seen, so are disk and card; the client shows all of it."""
    for name, program in (("spin", SPIN), ("hold", HOLD)):
        create(daemon, busybox, "sh", "-c", program, name=name)
        daemon.run("start", name)
    follow(daemon, "spin", "spinning")
    follow(daemon, "hold", "held")
    create(daemon, busybox, "true", name="idle")

    spin = daemon.api.get("/containers/spin/stats?stream=false")
    assert percent(spin) > 80
    hold = daemon.api.get("/containers/hold/stats?stream=false")
    assert percent(hold) < 30
    assert 30 * MIB < hold["memory_stats"]["usage"] < 60 * MIB
    assert hold["memory_stats"]["limit"] == 256 * MIB
    moved = hold["blkio_stats"]["io_service_bytes_recursive"]
    assert sum(item["value"] for item in moved if item["op"] == "read") > 0
    assert sum(item["value"] for item in moved if item["op"] == "write") >= 4 * MIB
    assert hold["networks"]["eth0"]["tx_packets"] > 0
    assert hold["pids_stats"]["current"] == 1
    assert hold["read"] > hold["preread"] > "2026"

    once = daemon.api.get("/containers/spin/stats?stream=false&one-shot=true")
    assert once["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    assert once["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    idle = daemon.api.get("/containers/idle/stats?stream=false")
    assert (idle["name"], idle["memory_stats"], idle["pids_stats"]) == ("/idle", {}, {})
    with pytest.raises(ApiError, match="cannot have stream=true and one-shot=true"):
        daemon.api.get("/containers/spin/stats?one-shot=true")

    shown = daemon.run("stats", "--all", "--no-stream", "--format", "{{json .}}").decode()
    # Within a second, a tick more or less counts: what is too much shows in the long run.
    late = daemon.api.get("/containers/spin/stats?stream=false")
    assert percent(late | {"precpu_stats": spin["precpu_stats"]}) < 110
    lines = {item["Name"]: item for item in map(json.loads, shown.splitlines())}
    assert float(lines["spin"]["CPUPerc"].rstrip("%")) > 60
    assert lines["hold"]["MemUsage"].endswith("/ 256MiB")
    assert lines["idle"]["MemUsage"] == "0B / 0B"


def test_a_stream_goes_on_until_the_container_is_removed(daemon: Hyperd, busybox: str) -> None:
    """For docker-py and a second client at once; zeroes while it is stopped, the end after rm."""
    create(daemon, busybox, "sh", "-c", SPIN, name="spin")
    daemon.run("start", "spin")
    with closing(docker.DockerClient(base_url=daemon.host)) as client:
        theirs = client.containers.get("spin").stats(decode=True)
        with closing(daemon.api.lines("/containers/spin/stats")) as ours:
            first, second, third = next(theirs), next(theirs), next(ours)
            assert first["read"] < second["read"]
            assert second["preread"] == first["read"]
            assert percent(third if third["preread"] > "2026" else next(ours)) > 60
            daemon.run("kill", "spin")
            while next(ours)["memory_stats"]:
                pass
            daemon.run("rm", "spin")
            assert all(not line["memory_stats"] for line in ours)


def test_top_lists_the_containers_processes_alone(daemon: Hyperd, busybox: str) -> None:
    """The container's processes and no others, by user and command; more of them than one answer holds."""
    # A child is a shell until it has become what it was forked for.
    many = (
        "i=0; while [ $i -lt 60 ]; do sleep 600 & i=$((i+1)); done; "
        "until [ $(grep -l ^sleep /proc/[0-9]*/cmdline 2>/dev/null | wc -l) -eq 60 ]; do :; done; "
        "echo ready; wait"
    )
    create(daemon, busybox, "sh", "-c", many, name="many", HostConfig={"Init": True})
    daemon.run("start", "many")
    follow(daemon, "many", "ready")
    daemon.run("exec", "-d", "-u", "nobody", "many", "sleep", "601")
    top = daemon.api.get("/containers/many/top")
    assert top["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    commands = [row[-1] for row in top["Processes"]]
    assert commands.count("sleep 600") == 60
    assert commands[0].startswith("/sbin/docker-init -- sh -c")
    assert [row[0] for row in top["Processes"] if row[-1] == "sleep 601"] == ["nobody"]
    with closing(docker.DockerClient(base_url=daemon.host)) as client:
        seen = client.containers.get("many").top(ps_args="waux")
        assert seen["Titles"][:2] == ["USER", "PID"]
        assert len(seen["Processes"]) == len(top["Processes"])
    daemon.run("pause", "many")
    assert b"sleep 601" in daemon.run("top", "many", "-eo", "pid,args")
    refused = daemon.docker("top", "many", "-o", "comm")
    assert b"Couldn't find PID field in ps output" in refused.stderr
    daemon.run("kill", "many")
    with pytest.raises(ApiError, match="is not running"):
        daemon.api.get("/containers/many/top")
