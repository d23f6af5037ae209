"""Pods under docker's own words, in races, through kill -9, with hostile bodies and hostile content."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.containers import follow, inspect, until
from tests.support.daemon_log import bugs
from tests.support.disks import small_disk
from tests.support.hyperd import Hyperd, hyperd
from tests.support.pods import box, make, nothing_is_left, states, view
from tests.support.processes import end

pytestmark = pytest.mark.vm

ALWAYS = {"RestartPolicy": {"Name": "always"}}
POD = "/hyper/v1/pods/web"


def sleeper(image: str, name: str, **more: Any) -> dict[str, Any]:
    """A container that does nothing, and ends at once when it is asked to."""
    return box(image, name, "exec sleep 6000", StopSignal="KILL", **more)


def until_gone(daemon: Hyperd) -> None:
    """The pod's machine has ended, since nothing of the pod runs."""
    daemon.api.get(f"{POD}/wait")
    assert (view(daemon)["Status"], daemon.machines()) == ("exited", [])


@pytest.mark.parametrize(
    "words",
    [
        ("stop", "web"),
        ("kill", "web"),
        ("restart", "web"),
        ("rm", "web"),
        ("rm", "-f", "web"),
        ("rename", "web", "other"),
        ("pause", "web"),
        ("update", "--cpus", "1", "web"),
        ("commit", "web", "image:tag"),
        ("inspect", "--type", "container", "web"),
        ("exec", "web", "true"),
        ("logs", "web"),
    ],
)
def test_docker_does_not_change_a_pod(daemon: Hyperd, busybox: str, words: tuple[str, ...]) -> None:
    """A pod is no container: the error says whose words are meant, and all goes on."""
    before = make(daemon, sleeper(busybox, "a", HostConfig=ALWAYS), sleeper(busybox, "b"))
    done = daemon.docker(*words)
    assert done.returncode == 1
    assert b"web is a pod, not a container\nhyper pod stop, start, rm" in done.stderr
    assert view(daemon) == before
    daemon.api.delete(f"{POD}?force=1")
    nothing_is_left(daemon)


def test_pod_machine_ends_with_its_last_container(daemon: Hyperd, busybox: str) -> None:
    """Removed, stopped or not even started: one after the other."""
    make(
        daemon,
        sleeper(busybox, "a"),
        sleeper(busybox, "b"),
        box(busybox, "c", "", Entrypoint=["/nosuch"]),
        start=False,
    )
    refused = daemon.docker("start", "web-c")
    assert b'exec: "/nosuch"' in refused.stderr
    until_gone(daemon)
    daemon.run("start", "web-a", "web-b")
    assert len(daemon.machines()) == 1
    daemon.run("stop", "web-a", "web-b")
    until_gone(daemon)
    for _ in range(3):  # the machine may just be ending: there will be another
        daemon.run("restart", "web-a")
    assert states(daemon) == {"a": "running", "b": "exited", "c": "created"}
    daemon.run("rm", "-f", "web-a", "web-b", "web-c")
    until_gone(daemon)
    daemon.api.delete(POD)
    nothing_is_left(daemon)


def test_limits_of_one_that_runs_can_change(daemon: Hyperd, busybox: str) -> None:
    """To what could have been asked for when it was made: less than a machine needs; not more than the machine has."""
    make(daemon, sleeper(busybox, "a"))
    daemon.run("update", "--memory", "20m", "--memory-swap", "-1", "web-a")
    assert daemon.run("exec", "web-a", "cat", "/sys/fs/cgroup/memory.max") == b"20971520\n"
    for size, words in (
        ("5m", b"Minimum memory limit allowed is 6MB"),
        ("8g", b"its running machine has"),
    ):
        refused = daemon.docker("update", "--memory", size, "--memory-swap", "-1", "web-a")
        assert words in refused.stderr
    daemon.run("stop", "web-a")
    daemon.run("update", "--memory", "21m", "--memory-swap", "-1", "web-a")
    daemon.run("start", "web-a")
    assert daemon.run("exec", "web-a", "cat", "/sys/fs/cgroup/memory.max") == b"22020096\n"


def test_files_that_were_put_into_one_stay_as_they_are(daemon: Hyperd, busybox: str) -> None:
    """Also when the pod joins a network, of which the others read in theirs."""
    own = [{"Path": "/etc/hosts", "Content": base64.b64encode(b"192.0.2.1 mine\n").decode()}]
    make(daemon, sleeper(busybox, "a", Files=own), sleeper(busybox, "b"), Hostname="tom")
    daemon.run("network", "create", "net")
    daemon.run("network", "connect", "net", "web")
    assert daemon.run("exec", "web-a", "cat", "/etc/hosts") == b"192.0.2.1 mine\n"
    assert daemon.run("exec", "web-b", "cat", "/etc/hosts").count(b"\ttom\n") == 2
    daemon.run("network", "disconnect", "net", "web")
    assert daemon.run("exec", "web-a", "cat", "/etc/hosts") == b"192.0.2.1 mine\n"
    daemon.run("network", "rm", "net")


def test_what_a_pod_needs_is_not_pruned(daemon: Hyperd, busybox: str) -> None:
    """Its init containers have ended, and are to run again; its volumes are its own."""
    init = box(busybox, "first", "echo x >>/v/x", Mounts=[{"Volume": "v", "Target": "/v"}])
    make(daemon, sleeper(busybox, "a"), Init=[init], Volumes=[{"Name": "v"}])
    [volume] = daemon.api.get("/volumes")["Volumes"]
    assert b"volume is in use" in daemon.docker("volume", "rm", "-f", volume["Name"]).stderr
    for _ in range(2):
        daemon.run("system", "prune", "-a", "-f", "--volumes")
        assert set(states(daemon)) == {"first", "a"}
        daemon.api.post(f"{POD}/stop?t=0")
    assert daemon.api.get("/volumes")["Volumes"] == [volume]


def test_a_label_makes_no_member(daemon: Hyperd, busybox: str) -> None:
    """Nor does one that begins several ids at once keep an ordinary container's end from being noted."""
    ids: list[str] = []
    while len({item[0] for item in ids}) == len(ids):
        body = {"Image": busybox, "Cmd": ["true"]}
        ids.append(daemon.api.post("/containers/create", body)["Id"])
    done = daemon.docker(
        "run", "--label", f"hyper.pod.id={ids[-1][0]}", busybox, "sh", "-c", "exit 3", timeout_s=60
    )
    assert done.returncode == 3
    assert bugs(daemon) == []


# Races


def at_once(daemon: Hyperd, *calls: tuple[str, str, Any]) -> list[int]:
    """The statuses of requests that were sent at the same time."""

    def ask(call: tuple[str, str, Any]) -> int:
        method, path, body = call
        return daemon.api.raw(method, path, None if body is None else json.dumps(body).encode())[0]

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(ask, calls))


def test_pod_requests_at_once_are_done_or_refused(daemon: Hyperd, busybox: str) -> None:
    """Two of a name, starts, stops, additions and a removal: each is done or refused, nothing is left."""
    body = {
        "Name": "web",
        "Init": [box(busybox, "i", "true")],
        "Containers": [sleeper(busybox, "a")],
    }
    start, stop = ("POST", f"{POD}/start", None), ("POST", f"{POD}/stop?t=0", None)
    add = ("POST", f"{POD}/containers", sleeper(busybox, "late"))
    for _ in range(3):
        made = at_once(daemon, ("POST", "/hyper/v1/pods", body), ("POST", "/hyper/v1/pods", body))
        assert sorted(made) == [201, 409]
        assert max(at_once(daemon, start, stop, start, stop)) <= 409
        assert (
            max(at_once(daemon, start, add, ("DELETE", f"{POD}?force=1", None), add, start)) <= 409
        )
        nothing_is_left(daemon)
    making = [("POST", "/hyper/v1/pods", body), ("DELETE", f"{POD}?force=1", None)]
    for _ in range(10):  # which moment of the making a removal meets is chance
        assert max(at_once(daemon, *making, *making)) <= 409
        for item in daemon.api.get("/hyper/v1/pods"):
            daemon.api.delete(f"/hyper/v1/pods/{item['Id']}?force=1")
        nothing_is_left(daemon)


@pytest.mark.parametrize("deed", [("POST", f"{POD}/stop?t=5"), ("DELETE", f"{POD}?force=1")])
def test_one_that_is_starting_can_be_ended(
    daemon: Hyperd, busybox: str, deed: tuple[str, str]
) -> None:
    """An init container that ends well when it is asked to is not taken for done; nobody starts behind it."""
    polite = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"
    pod = {
        "Name": "web",
        "Init": [box(busybox, "i", polite)],
        "Containers": [sleeper(busybox, "a")],
    }
    daemon.api.post("/hyper/v1/pods", pod)
    events = daemon.api.lines("/events")
    with closing(daemon.api.begin("POST", f"{POD}/start")) as first:
        until(events, "start", "web-i")
        events.close()
        follow(daemon, "web-i", "up")
        with closing(daemon.api.begin("POST", f"{POD}/start")) as second:
            daemon.api.request(*deed)
            answers = [item.getresponse() for item in (first, second)]
            assert [answer.status for answer in answers] == [409, 409]
            assert b"is being ended" in answers[0].read()
    assert daemon.machines() == []
    daemon.clear()
    nothing_is_left(daemon)


def test_eight_pods_at_once_come_and_go(daemon: Hyperd, busybox: str) -> None:
    """Of three each, made, started and removed at once."""
    names = [f"pod{number}" for number in range(8)]
    trio = [sleeper(busybox, name) for name in "abc"]

    def live(name: str) -> int:
        body = {"Name": name, "Memory": 64 << 20, "Containers": trio}
        made = daemon.api.post("/hyper/v1/pods", body)
        daemon.api.post(f"/hyper/v1/pods/{made['Id']}/start")
        ready = daemon.api.get(f"/hyper/v1/pods/{name}")["Ready"]
        daemon.api.delete(f"/hyper/v1/pods/{name}?force=1")
        return int(ready)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(live, names)) == 8
    nothing_is_left(daemon)


def test_more_disks_than_a_machine_can_have(daemon: Hyperd, busybox: str) -> None:
    """It is said which limit that is, and nothing runs."""
    volumes = {f"/own{number}": {} for number in range(3)}
    many = [sleeper(busybox, f"c{number}", Volumes=volumes) for number in range(17)]
    make(daemon, *many, start=False)
    status, answer = daemon.api.raw("POST", f"{POD}/start")
    assert (status, b"the machine has 64 added disks already" in answer) == (409, True), answer
    assert (set(states(daemon).values()) & {"running"}, daemon.machines()) == (set(), [])
    daemon.api.delete(f"{POD}?v=1")
    nothing_is_left(daemon)


# Killed daemons

MOMENTS = {
    "made": ("create", "web-c2"),
    "machine": ("start", "web"),
    "init": ("start", "web-i"),
    "init done": ("die", "web-i"),
    "main": ("start", "web-c1"),
    "all": ("start", "web-c2"),
    "stopping": ("die", "web-c1"),
    "stopped": ("die", "web"),
    "removing": ("destroy", "web-c1"),
    "removed": ("destroy", "web-c2"),
}


def deeds(daemon: Hyperd, body: dict[str, Any]) -> list[Callable[[], Any]]:
    """The life of a pod, each answer of which is waited for."""
    api = daemon.api
    return [
        lambda: api.raw("POST", "/hyper/v1/pods", json.dumps(body).encode()),
        lambda: api.raw("POST", f"{POD}/start"),
        lambda: api.raw("POST", f"{POD}/stop?t=0"),
        lambda: api.raw("DELETE", POD),
    ]


def test_a_daemon_killed_at_any_moment(own_daemon: Hyperd, busybox: str) -> None:
    """The next one has the pod whole or not at all, and can remove it without a rest."""
    daemon = own_daemon
    body = {
        "Name": "web",
        "Init": [box(busybox, "i", "true")],
        "Containers": [
            sleeper(busybox, f"c{n}", Mounts=[{"Volume": "v", "Target": "/v"}]) for n in range(3)
        ],
        "Volumes": [{"Name": "v"}],
    }
    types = quote(json.dumps({"type": ["container", "pod"]}))
    for action, name in MOMENTS.values():
        events = daemon.api.lines(f"/events?filters={types}")
        with ThreadPoolExecutor(1) as pool:
            life = pool.submit(lambda: [deed() for deed in deeds(daemon, body)])
            until(events, action, name)
            daemon.kill()
            # Of what is almost done the answer may have been on its way already.
            answered = action == "destroy" and life.exception() is None
            assert answered or isinstance(life.exception(), OSError | EOFError)
        events.close()
        daemon.start()
        for pod in daemon.api.get("/hyper/v1/pods"):
            assert len(pod["Containers"]) == 4, (action, name)
            daemon.api.delete(f"{POD}?force=1")
        nothing_is_left(daemon)


def test_its_machine_dies_while_it_starts(daemon: Hyperd, busybox: str) -> None:
    """The start says so, nothing runs, and it may be tried again."""
    wait = box(
        busybox,
        "i",
        "until [ -e /v/go ]; do sleep 0.1; done",
        Mounts=[{"Volume": "v", "Target": "/v"}],
    )
    make(daemon, sleeper(busybox, "a"), Init=[wait], Volumes=[{"Name": "v"}], start=False)
    events = daemon.api.lines("/events")
    for _ in range(2):
        with closing(daemon.api.begin("POST", f"{POD}/start")) as starting:
            until(events, "start", "web-i")
            end(inspect(daemon, "web-i")["Hyper"]["Pid"])
            answer = starting.getresponse()
            assert (answer.status, b"init container i of pod web ended" in answer.read()) == (
                409,
                True,
            )
    events.close()
    assert (view(daemon)["Status"], daemon.machines()) == ("exited", [])


def test_a_machine_without_work_ends_though_it_came_back(daemon: Hyperd, busybox: str) -> None:
    """None of the pod's containers is started again any more when its machine has died once too often."""
    twice = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}
    make(daemon, sleeper(busybox, "a", HostConfig=twice))
    events = daemon.api.lines("/events")
    end(inspect(daemon, "web-a")["Hyper"]["Pid"])
    until(events, "die", "web-a")
    until(events, "start", "web-a")
    end(inspect(daemon, "web-a")["Hyper"]["Pid"])
    until(events, "die", "web-a")
    events.close()
    until_gone(daemon)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_pod_on_a_full_disk_is_not_half_made(busybox: str) -> None:
    """A pod is not half made, one that cannot start is not starting for ever; with room all is well again."""
    with (
        small_disk("64m") as folder,
        hyperd("--data-root", str(folder), "--templates=false") as daemon,
    ):
        daemon.data_root = folder  # what the option says
        daemon.run("pull", "-q", busybox)
        make(daemon, sleeper(busybox, "a"), start=False)
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass
        body = {"Name": "other", "Containers": [sleeper(busybox, name) for name in "abc"]}
        status, answer = daemon.api.raw("POST", "/hyper/v1/pods", json.dumps(body).encode())
        assert (status, b"no space left" in answer or b"full" in answer) == (500, True)
        status, answer = daemon.api.raw("POST", f"{POD}/start")
        assert (status, b"no space left" in answer or b"full" in answer) == (500, True)
        [pod] = daemon.api.get("/hyper/v1/pods")
        assert (pod["Name"], pod["Status"], daemon.machines()) == ("web", "created", [])
        (folder / "ballast").unlink()
        daemon.api.post(f"{POD}/start")
        assert view(daemon)["Ready"]
        daemon.api.delete(f"{POD}?force=1")
        nothing_is_left(daemon)


# Garbage

DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]
JUNK: list[Any] = [
    None,
    0,
    -1,
    1 << 70,
    1.5,
    True,
    "",
    "x" * 70_000,
    "a\0b",
    "\ud800",
    "../x",
    [],
    [None],
    {},
    {"a": None},
    DEEP,
]
PLACES = [
    *(
        (name,)
        for name in (
            "Name",
            "Hostname",
            "Labels",
            "Cpus",
            "Memory",
            "SharePid",
            "Network",
            "Dns",
            "ExtraHosts",
        )
    ),
    *(
        (name,)
        for name in ("ExposedPorts", "PortBindings", "Sysctls", "Volumes", "Init", "Containers")
    ),
    *(
        ("Volumes", 0, name)
        for name in ("Name", "Kind", "Source", "SizeBytes", "DriverOpts", "Create")
    ),
    *(("Containers", 0, name) for name in ("Name", "Body", "Mounts", "Files", "Liveness")),
    *(
        ("Containers", 0, "Body", name)
        for name in ("Image", "Cmd", "Env", "Labels", "HostConfig", "User")
    ),
    *(("Containers", 0, "Mounts", 0, name) for name in ("Volume", "Target", "SubPath")),
    *(("Containers", 0, "Files", 0, name) for name in ("Path", "Content", "Mode", "Uid")),
]


def with_junk(busybox: str, place: tuple[Any, ...], junk: Any) -> dict[str, Any]:
    """A good body with something else in one place."""
    item = box(
        busybox,
        "a",
        "true",
        Mounts=[{"Volume": "v", "Target": "/v", "SubPath": "s"}],
        Files=[{"Path": "/f", "Content": ""}],
    )
    whole: Any = {"Name": "web", "Volumes": [{"Name": "v"}], "Containers": [item]}
    at = whole
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = junk
    return whole  # type: ignore[no-any-return]


def test_pod_with_garbage_in_any_place_is_whole_or_refused(daemon: Hyperd, busybox: str) -> None:
    """Any value in any place, for the pod and for one more of its containers: made whole, or refused with a message."""
    bugs_before = bugs(daemon)
    for place, junk in itertools.product(PLACES, JUNK):
        body = with_junk(busybox, place, junk)
        status, answer = daemon.api.raw("POST", "/hyper/v1/pods", json.dumps(body).encode())
        assert status in (201, 400, 404, 409, 501), (place, repr(junk)[:80], status, answer[:300])
        if status == 201:
            daemon.api.delete(f"/hyper/v1/pods/{json.loads(answer)['Id']}?force=1&v=1")
        else:
            assert json.loads(answer)["message"]
    nothing_is_left(daemon)
    many = {"Name": "web", "Volumes": [{"Name": f"v{n}"} for n in range(10_000)], "Containers": []}
    assert daemon.api.raw("POST", "/hyper/v1/pods", json.dumps(many).encode())[0] == 400
    make(daemon, sleeper(busybox, "main"), Volumes=[{"Name": "v"}], start=False)
    inner = [place[2:] for place in PLACES if place[:2] == ("Containers", 0)]
    for place, junk in itertools.product(inner, JUNK):
        body = with_junk(busybox, ("Containers", 0, *place), junk)["Containers"][0]
        status, answer = daemon.api.raw("POST", f"{POD}/containers", json.dumps(body).encode())
        assert status in (201, 400, 404, 409, 501), (place, repr(junk)[:80], status, answer[:300])
        if status == 201:
            daemon.api.delete(f"/containers/{json.loads(answer)['Id']}?force=1&v=1")
    assert [item["Name"] for item in view(daemon)["Containers"]] == ["main"]
    assert bugs(daemon) == bugs_before


# Hostile content


def test_links_in_a_volume_lead_nowhere_else(daemon: Hyperd, busybox: str) -> None:
    """What one container leaves in a volume for another's mount, or an image for its files, stays where it is."""
    volume = [{"Volume": "v", "Target": "/v"}]
    plant = "ln -s / /v/root; ln -s ../../other /v/up; ln -s /proc/self/root /v/magic; ln -s /nosuch /v/dangling"
    part = [
        {"Volume": "v", "Target": f"/{n}", "SubPath": s} for n, s in (("r", "root"), ("u", "up/x"))
    ]
    make(
        daemon,
        sleeper(busybox, "a", Mounts=part),
        Init=[box(busybox, "evil", f"{plant}; echo mine >/v/mine", Mounts=volume)],
        Volumes=[{"Name": "v"}],
    )
    assert daemon.run("exec", "web-a", "cat", "/r/mine") == b"mine\n"
    assert b"etc" not in daemon.run("exec", "web-a", "ls", "/r", "/u")
    for number, name in enumerate(("magic", "dangling/x")):
        bad = [{"Volume": "v", "Target": "/m", "SubPath": name}]
        late = sleeper(busybox, f"late{number}", Mounts=bad)
        status, answer = daemon.api.raw("POST", f"{POD}/containers", json.dumps(late).encode())
        if status == 201:
            assert b"etc" not in daemon.run("exec", f"web-late{number}", "ls", "/m")
        else:
            assert (status, states(daemon)["a"]) == (400, "running"), answer


def test_one_that_takes_everything_does_not_end_the_others(daemon: Hyperd, busybox: str) -> None:
    """Processes and memory: it is ended or refused, the pod's machine and its other containers go on."""
    forks = "i=0; while [ $i -lt 20 ]; do sleep 6000 >/dev/null & i=$((i+1)); done 2>/dev/null; echo forked"
    make(
        daemon,
        sleeper(busybox, "good", HostConfig=ALWAYS),
        sleeper(busybox, "forks", HostConfig={"PidsLimit": 9}),
        sleeper(busybox, "eats", HostConfig={"Memory": 16 << 20}),
    )
    started = inspect(daemon, "web-good")["State"]["StartedAt"]
    assert b"forked" not in daemon.docker("exec", "web-forks", "sh", "-c", forks).stdout
    # In one system call: a program that needs its own code meanwhile has that taken and read again for minutes.
    over = daemon.docker(
        "exec", "web-eats", "dd", "if=/dev/zero", "of=/dev/null", "bs=40000000", "count=1"
    )
    assert over.returncode != 0
    assert daemon.run("exec", "web-good", "echo", "here") == b"here\n"
    assert inspect(daemon, "web-good")["State"]["StartedAt"] == started
    assert view(daemon)["Status"] == "running"
