"""Pods: several containers in one real machine, through /hyper/v1/pods and through the stock docker client."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import ApiError
from tests.support.containers import follow, inspect, until
from tests.support.hyperd import Hyperd, hyperd
from tests.support.pods import box, make, nothing_is_left, states, view
from tests.support.processes import end

pytestmark = pytest.mark.vm

SERVE = "mkdir -p /w && echo page >/w/index.html && httpd -p 127.0.0.1:80 -h /w && echo up && exec sleep 6000"


def test_processes_are_shared_if_asked(daemon: Hyperd, busybox: str) -> None:
    """They see and may signal each other; who was left behind by one that ended is gone with it."""
    make(
        daemon,
        box(busybox, "one", "sleep 6001 & echo up; exec sleep 6002"),
        box(busybox, "two", "exec sleep 6003"),
        SharePid=True,
    )
    follow(daemon, "web-one", "up")
    seen = daemon.run("exec", "web-two", "ps")
    assert all(f"sleep 600{number}".encode() in seen for number in (1, 2, 3))
    events = daemon.api.lines("/events")
    [pid] = [line.split()[0] for line in seen.splitlines() if line.endswith(b"sleep 6002")]
    daemon.run("exec", "web-two", "kill", "-KILL", pid.decode())
    until(events, "die", "web-one")
    events.close()
    assert b"sleep 6001" not in daemon.run("exec", "web-two", "ps")
    assert states(daemon) == {"one": "exited", "two": "running"}
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_containers_of_a_pod_when_hostile_read_nothing_of_each_other(
    daemon: Hyperd, busybox: str
) -> None:
    """Root in one container reads neither the other's files nor its memory, by no way a container could try."""
    secret = "x4Kq9Zp"
    make(
        daemon,
        box(busybox, "one", f"echo {secret} >/secret; sync; echo up; exec sleep 6000", Env=[f"KEY={secret}"]),
        box(busybox, "two", "exec sleep 6000"),
    )  # fmt: skip
    follow(daemon, "web-one", "up")
    script = (
        "for disk in /sys/block/*/dev; do"
        "  name=/dev/$(echo $disk | tr / -); mknod $name b $(tr : ' ' <$disk); cat $name; done;"
        "mknod /dev/mem c 1 1; cat /dev/mem;"
        "cat /proc/*/environ /proc/*/root/secret /proc/kcore; true"
    )
    read = daemon.docker("exec", "web-two", "sh", "-c", script)
    assert secret.encode() not in read.stdout
    assert b"/dev/-sys-block-" in read.stderr
    assert read.stderr.count(b"Operation not permitted") >= 3, read.stderr
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_pod_volumes_of_every_kind_are_mounted(
    daemon: Hyperd, busybox: str, tmp_path: Path
) -> None:
    """On disk, in memory, by name, of the host; anybody's to write, a directory of one, read-only where asked."""
    (tmp_path / "from-host").write_text("host\n")
    mounts = [
        {"Volume": name, "Target": f"/{name}"} for name in ("disk", "memory", "named", "host")
    ]
    more = [
        {"Volume": "disk", "Target": "/again", "ReadOnly": True},
        {"Volume": "named", "Target": "/part", "SubPath": "a/b"},
    ]
    write = "for v in disk memory; do [ -e /$v/file ] || echo one >/$v/file || exit 1; done"
    make(
        daemon,
        box(busybox, "one", f"{write}; echo up; exec sleep 6000", User="1000", Mounts=mounts[:2]),
        box(busybox, "two", "exec sleep 6000", Mounts=[*mounts, *more]),
        Volumes=[
            {"Name": "disk"},
            {"Name": "memory", "Kind": "memory", "SizeBytes": 1 << 20},
            {"Name": "named", "Kind": "volume", "Source": "kept"},
            {"Name": "host", "Kind": "host", "Source": str(tmp_path)},
        ],
    )
    follow(daemon, "web-one", "up")

    def sh(script: str) -> bytes:
        return daemon.run("exec", "web-two", "sh", "-c", script)

    assert sh("cat /disk/file /memory/file /again/file /host/from-host") == b"one\none\none\nhost\n"
    assert sh("echo x >/again/y 2>/dev/null || echo no") == b"no\n"
    assert sh("echo sub >/part/s; cat /named/a/b/s; echo back >/host/back") == b"sub\n"
    assert (tmp_path / "back").read_text() == "back\n"
    assert sh("df -k /memory | tail -1 | tr -s ' ' | cut -d' ' -f2") == b"1024\n"
    # The pod's own volumes keep what is in them from run to run, if they are on disk.
    daemon.api.post("/hyper/v1/pods/web/stop?t=0")
    daemon.api.post("/hyper/v1/pods/web/start")
    assert sh("cat /disk/file; cat /named/a/b/s") == b"one\nsub\n"
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    assert [item["Name"] for item in daemon.api.get("/volumes")["Volumes"]] == ["kept"]
    daemon.api.delete("/volumes/kept")
    nothing_is_left(daemon)


def test_pod_files_are_put_into_containers(daemon: Hyperd, busybox: str) -> None:
    """With owner and mode, over what the image has, also over what the pod would say."""
    content = base64.b64encode(b"\x00binary\n").decode()
    hosts = base64.b64encode(b"192.0.2.1 mine\n").decode()
    files = [
        {"Path": "/etc/app/deep.bin", "Content": content, "Mode": 0o640, "Uid": 7, "Gid": 8},
        {"Path": "/etc/hosts", "Content": hosts},
    ]
    make(daemon, box(busybox, "one", "exec sleep 6000", Files=files))
    shown = daemon.run("exec", "web-one", "stat", "-c", "%a %u %g %s", "/etc/app/deep.bin")
    assert shown == b"640 7 8 8\n"
    assert daemon.run("exec", "web-one", "cat", "/etc/app/deep.bin") == b"\x00binary\n"
    assert daemon.run("exec", "web-one", "cat", "/etc/hosts") == b"192.0.2.1 mine\n"
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_init_containers_come_first_and_in_order(daemon: Hyperd, busybox: str) -> None:
    """Each to its end; what they leave in a volume is there for the others."""
    mounts = [{"Volume": "v", "Target": "/v"}]
    pod = make(
        daemon,
        box(busybox, "main", "cat /v/log; exec sleep 6000", Mounts=mounts),
        Init=[
            box(busybox, "first", "sleep 1; echo first >>/v/log", Mounts=mounts),
            box(busybox, "second", "echo second >>/v/log", Mounts=mounts),
        ],
        Volumes=[{"Name": "v"}],
    )
    assert pod["Ready"]
    assert states(daemon) == {"first": "exited", "second": "exited", "main": "running"}
    follow(daemon, "web-main", "second")
    assert daemon.run("logs", "web-main") == b"first\nsecond\n"
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_pod_when_an_init_container_fails_does_not_run(daemon: Hyperd, busybox: str) -> None:
    """The start says which and how; nothing runs; it may be tried again."""
    with pytest.raises(ApiError, match="init container first of pod web ended with code 3") as e:
        make(daemon, box(busybox, "main", "true"), Init=[box(busybox, "first", "exit 3")])
    assert e.value.status == 409
    pod = view(daemon)
    assert (pod["Status"], "ended with code 3" in pod["Error"]) == ("exited", True)
    assert states(daemon) == {"first": "exited", "main": "created"}
    assert daemon.machines() == []
    daemon.api.delete("/hyper/v1/pods/web")
    nothing_is_left(daemon)


def test_pod_when_all_containers_have_ended_ends(daemon: Hyperd, busybox: str) -> None:
    """Its machine goes with the last one; who waits is told the highest code. Then it can be started again."""
    make(
        daemon,
        box(busybox, "a", "exit 4"),
        box(busybox, "b", "sleep 1; exit 2"),
        start=False,
    )
    for _ in range(2):
        daemon.api.post("/hyper/v1/pods/web/start")
        assert daemon.api.get("/hyper/v1/pods/web/wait") == {"StatusCode": 4}
        assert view(daemon)["Status"] == "exited"
        assert daemon.machines() == []
    daemon.api.delete("/hyper/v1/pods/web")


def test_a_side_car_that_dies_is_started_again_alone(daemon: Hyperd, busybox: str) -> None:
    """Nobody else notices."""
    always = {"RestartPolicy": {"Name": "always"}}
    make(
        daemon,
        box(busybox, "main", SERVE),
        box(busybox, "side", "exec sleep 6000", HostConfig=always),
    )
    follow(daemon, "web-main", "up")
    started = inspect(daemon, "web-main")["State"]["StartedAt"]
    events = daemon.api.lines("/events")
    # PID 1 of a name space cannot be killed from within.
    daemon.run("kill", "-s", "KILL", "web-side")
    until(events, "die", "web-side")
    assert states(daemon)["side"] == "exited"  # somebody wanted it to
    daemon.run("start", "web-side")
    events.close()
    assert inspect(daemon, "web-main")["State"]["StartedAt"] == started
    assert daemon.run("exec", "web-side", "wget", "-qO-", "http://127.0.0.1/") == b"page\n"
    daemon.api.delete("/hyper/v1/pods/web?force=1")


PAGE = "mkdir -p /w && httpd -p 80 -h /w && echo up && exec sleep 6000"


@pytest.mark.parametrize(
    ("test", "deed"),
    [
        (["CMD", "test", "-e", "/ok"], "touch /ok"),
        (["HYPER-HTTP", "http://127.0.0.1/ok.txt", "X-Who: me"], "echo ok >/w/ok.txt"),
        (["HYPER-TCP", "127.0.0.1:81"], "httpd -p 81 -h /w"),
    ],
)
def test_pod_is_ready_when_its_probes_say_so(
    daemon: Hyperd, busybox: str, test: list[str], deed: str
) -> None:
    """By a program, a page or a port; who waits for it is told then and not before."""
    check = {"Test": test, "Interval": 10**9}
    pod = make(daemon, box(busybox, "main", PAGE, Healthcheck=check))
    assert not pod["Ready"]
    events = daemon.api.lines("/events")
    follow(daemon, "web-main", "up")
    until(events, "exec_die", "web-main")
    assert not view(daemon)["Ready"]
    said = inspect(daemon, "web-main")["State"]["Health"]["Log"][-1]
    assert said["ExitCode"] == 1
    daemon.run("exec", "web-main", "sh", "-c", deed)
    assert daemon.api.get("/hyper/v1/pods/web/wait?condition=ready") == {"StatusCode": 0}
    assert view(daemon)["Ready"]
    events.close()
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_pod_container_that_fails_its_liveness_probe_is_killed(
    daemon: Hyperd, busybox: str
) -> None:
    """And started again by its policy, alone."""
    liveness = {
        "Test": ["HYPER-HTTP", "http://127.0.0.1/ok"],
        "Interval": 10**9,
        "Retries": 2,
        # Over with the first that succeeds.
        "StartPeriod": 60 * 10**9,
        "StartInterval": 10**9,
    }
    events = daemon.api.lines("/events")
    script = "mkdir -p /w && echo ok >/w/ok && httpd -p 80 -h /w && echo up && exec sleep 6000"
    always = {"RestartPolicy": {"Name": "always"}}
    make(
        daemon,
        box(busybox, "main", script, HostConfig=always, Liveness=liveness),
        box(busybox, "other", "exec sleep 6000"),
    )
    while until(events, "exec_die", "web-main")["Actor"]["Attributes"]["exitCode"] != "0":
        pass
    daemon.run("exec", "web-main", "rm", "/w/ok")
    until(events, "liveness: failed", "web-main")
    assert until(events, "die", "web-main")["Actor"]["Attributes"]["exitCode"] == "137"
    until(events, "start", "web-main")
    events.close()
    assert view(daemon)["Containers"][0]["Restarts"] == 1
    assert states(daemon) == {"main": "running", "other": "running"}
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_containers_come_and_go(daemon: Hyperd, busybox: str) -> None:
    """Into a running pod, and out of it again; the same one may come back."""
    make(daemon, box(busybox, "main", SERVE), Volumes=[{"Name": "v"}])
    follow(daemon, "web-main", "up")
    for _ in range(2):
        mounts = [{"Volume": "v", "Target": "/v"}]
        late = box(busybox, "late", "wget -qO- http://127.0.0.1/; exec sleep 6000", Mounts=mounts)
        daemon.api.post("/hyper/v1/pods/web/containers", late)
        follow(daemon, "web-late", "page")
        with pytest.raises(ApiError, match='container name "/web-late" is already in use'):
            daemon.api.post("/hyper/v1/pods/web/containers", late)
        daemon.run("rm", "-f", "web-late")
        assert states(daemon) == {"main": "running"}
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    nothing_is_left(daemon)


def test_an_init_for_all_shares_no_processes(busybox: str) -> None:
    """A daemon that gives every container an init (``--init``): who comes later sees only its own processes, too."""
    with hyperd("--init") as daemon:
        daemon.run("pull", "-q", busybox)
        make(daemon, box(busybox, "main", "exec sleep 6001"))
        for name, script in (("second", "exec sleep 6002"), ("third", "exec sleep 6003")):
            daemon.api.post("/hyper/v1/pods/web/containers", box(busybox, name, script))
        seen = daemon.run("exec", "web-third", "ps")
        assert b"sleep 6003" in seen
        assert b"sleep 6002" not in seen
        assert b"/exercise" not in seen


def test_pod_containers_are_held_to_limits_of_their_own(daemon: Hyperd, busybox: str) -> None:
    """Memory, CPU time and processes of one within the machine; the machine's own size for all."""
    limits = {"Memory": 16 << 20, "NanoCpus": 250_000_000, "PidsLimit": 7}
    pod = make(
        daemon,
        box(busybox, "small", "exec sleep 6000", HostConfig=limits),
        box(busybox, "large", "exec sleep 6000"),
        Memory=192 << 20,
        Cpus=2,
    )
    assert (pod["Memory"], pod["Cpus"]) == (192 << 20, 2)
    assert inspect(daemon, "web-large")["Hyper"]["VCPUs"] == 2
    files = ("memory.max", "cpu.max", "pids.max")
    paths = [f"/sys/fs/cgroup/{name}" for name in files]
    assert daemon.run("exec", "web-small", "cat", *paths) == b"16777216\n25000 100000\n7\n"
    assert daemon.run("exec", "web-large", "cat", *paths[::2]) == b"max\nmax\n"
    # In one system call: a program that needs its own code meanwhile has that taken and read again for minutes.
    over = daemon.docker(
        "exec", "web-small", "dd", "if=/dev/zero", "of=/dev/null", "bs=40000000", "count=1"
    )
    assert over.returncode == 137
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_pod_when_the_daemon_is_killed_goes_on(own_daemon: Hyperd, busybox: str) -> None:
    """Killed while it runs, and while an init container does: the pod is found again, and its start goes on."""
    daemon = own_daemon
    mounts = [{"Volume": "v", "Target": "/v"}]
    wait = box(busybox, "first", "until [ -e /v/go ]; do sleep 0.1; done", Mounts=mounts)
    daemon.api.post(
        "/hyper/v1/pods",
        {
            "Name": "web",
            "Init": [wait],
            "Containers": [box(busybox, "main", SERVE, Mounts=mounts)],
            "Volumes": [{"Name": "v"}],
        },
    )
    events = daemon.api.lines("/events")
    starting = daemon.api.begin("POST", "/hyper/v1/pods/web/start")
    until(events, "start", "web-first")
    events.close()
    assert view(daemon)["Status"] == "starting"
    daemon.kill()
    starting.close()
    daemon.start()
    # Not waited for: it ends with what it runs in.
    daemon.run("exec", "-d", "web-first", "touch", "/v/go")
    daemon.api.get("/hyper/v1/pods/web/wait?condition=ready")
    follow(daemon, "web-main", "up")
    before = inspect(daemon, "web-main")["State"]["StartedAt"]
    daemon.kill()
    daemon.start()
    assert inspect(daemon, "web-main")["State"]["StartedAt"] == before
    assert daemon.run("exec", "web-main", "wget", "-qO-", "http://127.0.0.1/") == b"page\n"
    assert view(daemon)["Ready"]
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    nothing_is_left(daemon)


def test_a_daemon_killed_while_it_makes_one(own_daemon: Hyperd, busybox: str) -> None:
    """When the daemon comes back it is whole, or nothing of it is there."""
    daemon = own_daemon
    events = daemon.api.lines("/events")
    boxes = [box(busybox, f"c{number}", "true") for number in range(20)]
    body = {"Name": "web", "Containers": boxes, "Volumes": [{"Name": "v"}]}
    making = daemon.api.begin("POST", "/hyper/v1/pods", body)
    until(events, "create", "web-c3")
    events.close()
    daemon.kill()
    making.close()
    daemon.start()
    # The last of it may just have been made.
    for pod in daemon.api.get("/hyper/v1/pods"):
        assert len(pod["Containers"]) == 20
        daemon.api.delete("/hyper/v1/pods/web?force=1")
    nothing_is_left(daemon)
    make(daemon, box(busybox, "a", "true"), start=False)


def test_pod_when_its_machine_dies_is_started_again(daemon: Hyperd, busybox: str) -> None:
    """If one of its containers is to: that runs again, after the init containers; the others do not."""
    always = {"RestartPolicy": {"Name": "always"}}
    mounts = [{"Volume": "memory", "Target": "/m"}]
    make(
        daemon,
        box(busybox, "keeps", "exec sleep 6000", HostConfig=always, Mounts=mounts),
        box(busybox, "stays", "exec sleep 6000"),
        Init=[box(busybox, "init", "echo prepared >>/m/x", Mounts=mounts)],
        Volumes=[{"Name": "memory", "Kind": "memory"}],
    )
    events = daemon.api.lines("/events")
    end(inspect(daemon, "web-keeps")["Hyper"]["Pid"])
    until(events, "die", "web-keeps")
    until(events, "die", "web-init")
    until(events, "start", "web-keeps")
    events.close()
    assert states(daemon) == {"init": "exited", "keeps": "running", "stays": "exited"}
    assert daemon.run("exec", "web-keeps", "cat", "/m/x") == b"prepared\n"
    daemon.run("stop", "-t", "0", "web-keeps")
    daemon.run("start", "web-stays")
    assert states(daemon) == {"init": "exited", "keeps": "exited", "stays": "running"}
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def test_pod_life_is_told_by_events_of_its_own(daemon: Hyperd, busybox: str) -> None:
    """They have the type ``pod``, and are told to clients that ask for that: typed ones would end at the word."""
    begun = daemon.api.get("/info")["SystemTime"]
    pod = make(daemon, box(busybox, "main", "sleep 6000"))
    daemon.api.post("/hyper/v1/pods/web/stop?t=0")
    daemon.api.delete("/hyper/v1/pods/web")
    ended = daemon.api.get("/info")["SystemTime"]
    path = f"/events?since={quote(begun)}&until={quote(ended)}"
    asked = quote(json.dumps({"type": ["pod"]}))
    told = list(daemon.api.lines(f"{path}&filters={asked}"))
    assert {event["Actor"]["ID"] for event in told} == {pod["Id"]}
    assert [event["Action"] for event in told] == ["create", "start", "die", "destroy"]
    others = list(daemon.api.lines(path))
    assert "pod" not in {event["Type"] for event in others}
    names = {
        event["Actor"]["Attributes"]["name"] for event in others if event["Type"] == "container"
    }
    assert names == {"web-main"}
    assert pod["Id"] not in {row["Id"] for row in daemon.api.get("/containers/json?all=1")}


def test_pod_network_is_joined_by_other_containers(daemon: Hyperd, busybox: str) -> None:
    """``--network container:POD``, and a network by name on which it is known by its own."""
    daemon.run("network", "create", "net")
    make(daemon, box(busybox, "main", PAGE), Network="net")
    follow(daemon, "web-main", "up")
    answer = daemon.docker("run", "--rm", "--network", "container:web", busybox,
                           "wget", "-qO-", "http://127.0.0.1/nothing")  # fmt: skip
    assert b"404" in answer.stderr
    answer = daemon.docker("run", "--rm", "--network", "net", busybox,
                           "wget", "-qO-", "http://web/nothing")  # fmt: skip
    assert b"404" in answer.stderr
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    daemon.run("network", "rm", "net")


def test_pod_ports_are_published(daemon: Hyperd, busybox: str) -> None:
    """The pod's, whoever of its containers serves them."""
    pod = make(
        daemon,
        box(busybox, "main", "mkdir /w; echo page >/w/p; httpd -p 80 -h /w; echo up; sleep 6000"),
        PortBindings={"80/tcp": [{"HostIp": "127.0.0.1"}]},
    )
    follow(daemon, "web-main", "up")
    port = pod["Ports"]["80/tcp"][0]["HostPort"]
    wget = ["wget", "-qO-", f"http://127.0.0.1:{port}/p"]
    assert subprocess.run(wget, capture_output=True, check=True).stdout == b"page\n"
    daemon.api.delete("/hyper/v1/pods/web?force=1")


def _pod(busybox: str, **body: Any) -> dict[str, Any]:
    return {"Name": "web", "Containers": [box(busybox, "a", "true")], **body}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"Containers": []}, 400, "at least one container"),
        ({"Name": "no/name"}, 400, "invalid pod name"),
        ({"Memory": 1 << 50}, 400, "Maximum memory limit allowed is"),
        ({"Cpus": 4000}, 400, "Range of CPUs is from"),
        ({"Network": "nosuch"}, 404, "network nosuch not found"),
        ({"Volumes": [{"Name": "v"}, {"Name": "v"}]}, 400, "two volumes of the pod are called 'v'"),
        ({"Volumes": [{"Name": "v", "Kind": "tape"}]}, 400, "no kind 'tape'"),
        ({"Volumes": [{"Name": "v", "Kind": "host", "Source": "x"}]}, 400, "absolute path"),
        (
            {"PortBindings": {"80/tcp": [{"HostPort": "8"}], "81/tcp": [{"HostPort": "8"}]}},
            400,
            "port 8/tcp of the host is published twice",
        ),
    ],
)
def test_pod_when_invalid_is_refused(
    daemon: Hyperd, busybox: str, body: dict[str, Any], status: int, message: str
) -> None:
    """A clear error, and nothing half-made."""
    with pytest.raises(ApiError, match=message) as error:
        daemon.api.post("/hyper/v1/pods", _pod(busybox, **body))
    assert error.value.status == status
    nothing_is_left(daemon)


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ({"Image": "nosuch"}, 404, "No such image: nosuch"),
        ({"Hostname": "x"}, 400, "name and addresses are the pod's"),
        ({"HostConfig": {"Dns": ["192.0.2.1"]}}, 400, "HostConfig.Dns cannot be asked of one"),
        ({"HostConfig": {"NetworkMode": "none"}}, 400, "the network is the pod's"),
        ({"HostConfig": {"Memory": 1}}, 400, "Minimum memory limit allowed is 6MB"),
        ({"Mounts": [{"Volume": "x", "Target": "/x"}]}, 400, "the pod has no volume 'x'"),
        ({"Files": [{"Path": "/a/../../b", "Content": ""}]}, 400, "invalid file path"),
        ({"Files": [{"Path": "a", "Content": ""}]}, 400, "invalid file path"),
        ({"Files": [{"Path": "/a", "Content": "%"}]}, 400, "is not base64"),
        (
            {"Files": [{"Path": "/a", "Content": base64.b64encode(bytes(300_000)).decode()}]},
            400,
            "at most 262144 are possible",
        ),
        ({"ExposedPorts": {"80/tcp": {}}}, 400, "both have port 80/tcp"),
        ({"Healthcheck": {"Test": ["HYPER-TCP", "x"]}}, 400, "no address to ask"),
        ({"Liveness": {"Test": ["HYPER-HTTP", "x"]}}, 400, "no URL to ask"),
    ],
)
def test_pod_with_an_invalid_container_is_refused(
    daemon: Hyperd, busybox: str, more: dict[str, Any], status: int, message: str
) -> None:
    """The same of what one asks; the other is undone with the pod."""
    good = box(busybox, "good", "true", ExposedPorts={"80/tcp": {}})
    bad = box(busybox, "bad", "true", **more)
    with pytest.raises(ApiError, match=message) as error:
        daemon.api.post("/hyper/v1/pods", {"Name": "web", "Containers": [good, bad]})
    assert error.value.status == status
    nothing_is_left(daemon)


def test_pod_and_container_names_are_taken_once(daemon: Hyperd, busybox: str) -> None:
    """A pod's by a container, a container's by a pod; what is left stays as it was."""
    make(daemon, box(busybox, "main", "true"), start=False)
    with pytest.raises(ApiError, match="there is a pod web already"):
        make(daemon, box(busybox, "main", "true"), start=False)
    with pytest.raises(ApiError, match='name "/web" is already in use'):
        daemon.api.post("/containers/create?name=web", {"Image": busybox, "Cmd": ["true"]})
    daemon.api.delete("/hyper/v1/pods/web")
    daemon.api.post("/containers/create?name=web-b", {"Image": busybox, "Cmd": ["true"]})
    with pytest.raises(ApiError, match='name "/web-b" is already in use'):
        make(daemon, box(busybox, "a", "true"), box(busybox, "b", "true"), start=False)
    assert [item["Names"] for item in daemon.api.get("/containers/json?all=1")] == [["/web-b"]]
    daemon.run("rm", "web-b")
    nothing_is_left(daemon)


def test_openapi_document_has_every_hyper_route(daemon: Hyperd) -> None:
    """Every route under /hyper/v1 is in the document that hyperd serves."""
    document = daemon.api.get("/hyper/v1/openapi.json")
    assert document["openapi"].startswith("3.")
    assert {"get", "post"} <= set(document["paths"]["/hyper/v1/pods"])
    assert json.dumps(document).count("#/components/schemas/PodBody") >= 1
