"""Volumes: kept, filled, shared, held to one machine at a time, removed; through the stock client and docker-py."""

from __future__ import annotations

import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.api import ApiError
from tests.support.containers import WAIT, create, follow, refused, run_shell
from tests.support.hyperd import Hyperd, hyperd
from tests.support.processes import end

pytestmark = pytest.mark.vm


def names(daemon: Hyperd, *filters: str) -> list[str]:
    """Volumes as ``docker volume ls`` has them."""
    words = [word for item in filters for word in ("--filter", item)]
    return daemon.run("volume", "ls", "-q", *words).decode().split()


def kind(daemon: Hyperd, name: str) -> str:
    """How a volume is kept."""
    return str(daemon.api.get(f"/volumes/{name}")["Status"]["Hyper"]["Kind"])


@pytest.mark.parametrize("how", ["directory", "image"])
def test_a_named_volume_outlives_its_containers(daemon: Hyperd, busybox: str, how: str) -> None:
    """Filled once with what the image has, owner and mode included; kept over --rm; read-only by the host; subpath."""
    if how == "image":
        daemon.run("volume", "create", "-o", "type=image", "v1")
    listing = run_shell(
        daemon, busybox, "ls -ln /etc; echo mine > /etc/mine; mkdir -m 700 /etc/d", "-v", "v1:/etc"
    )
    assert "passwd" in listing
    assert kind(daemon, "v1") == how
    shown = run_shell(
        daemon,
        busybox,
        "cat /x/mine; ls -ld /x/d; touch /x/no; true",
        "-v",
        "v1:/x:ro",
        "-v",
        "new:/y",
    )
    assert shown.startswith("mine\ndrwx------")
    # Read-only is the host's word, whatever root in the guest does to its mounts.
    script = (
        "mount -o remount,rw /x; mount -t ext4 /dev/vdc /mnt; touch /x/no /mnt/no && echo written"
    )
    assert "written" not in run_shell(
        daemon, busybox, f"mkdir /mnt; {script}; true", "--privileged", "-v", "v1:/x:ro"
    )
    mount = "type=volume,src=v1,dst=/x,volume-subpath=d"
    assert run_shell(daemon, busybox, "touch /x/in; ls -a /x", "--mount", mount) == ".\n..\nin\n"
    run_shell(daemon, busybox, "mkdir /x/sub", "-v", "v1:/x")
    # An empty directory of a volume is filled as an empty volume is.
    mount = "type=volume,src=v1,dst=/bin,volume-subpath=sub"
    assert "busybox" in run_shell(daemon, busybox, "ls /bin", "--mount", mount)
    said = refused(daemon, "run", "--rm", "--mount", mount.replace("=sub", "=no"), busybox, "true")
    assert 'subpath "no" of the volume on /bin: No such file or directory' in said
    empty = "type=volume,src=empty,dst=/etc,volume-nocopy"
    assert "passwd" not in run_shell(daemon, busybox, "ls /etc", "--mount", empty)
    assert names(daemon) == ["empty", "new", "v1"]
    there = Path(daemon.api.get("/volumes/v1")["Mountpoint"])
    if how == "image":
        assert there.stat().st_size == 10 << 30
    else:
        assert (there / "mine").read_text() == "mine\n"
    daemon.run("volume", "rm", "v1", "empty", "new")
    assert list((daemon.data_root / "volume").iterdir()) == []


def test_the_links_of_a_subpath_stay_in_the_volume(daemon: Hyperd, busybox: str) -> None:
    """Up, absolute, and to where other mounts are: whatever a link says, it is resolved in the volume."""
    daemon.run("volume", "create", "-o", "type=directory", "tricks")
    make = "ln -s / /x/root; ln -s ../../.. /x/up; ln -s /etc /x/etc; mkdir /x/d; ln -s ../../1 /x/d/other"
    run_shell(daemon, busybox, make, "-v", "tricks:/x")
    for subpath in ("root", "up"):
        mount = f"type=volume,src=tricks,dst=/y,volume-subpath={subpath}"
        assert sorted(run_shell(daemon, busybox, "ls /y", "--mount", mount).split()) == [
            "d",
            "etc",
            "root",
            "up",
        ]
    for subpath in ("etc", "d/other", "missing"):
        mount = f"type=volume,src=tricks,dst=/y,volume-subpath={subpath}"
        said = refused(
            daemon, "run", "--rm", "-v", "/etc:/z:ro", "--mount", mount, busybox, "ls", "/y"
        )
        assert "error mounting" in said
    said = refused(
        daemon, "run", "--mount", "type=volume,src=tricks,dst=/y,volume-subpath=../x", busybox
    )
    assert "subpath must be a relative path within the volume" in said


def test_anonymous_volumes_are_removed_by_rm_v_and_prune(daemon: Hyperd, busybox: str) -> None:
    """--rm and rm -v do, rm alone does not, prune does; volumes-from has the same ones; named ones stay."""
    daemon.run(
        "run",
        "--name",
        "an",
        "-v",
        "/data",
        "-v",
        "named:/n",
        busybox,
        "sh",
        "-c",
        "echo hi > /data/x; echo hi > /n/x",
    )
    (anonymous,) = [name for name in names(daemon) if name != "named"]
    assert len(anonymous) == 64
    assert (
        run_shell(daemon, busybox, "cat /data/x", "--volumes-from", "an:ro", "-v", "/other")
        == "hi\n"
    )
    assert names(daemon) == sorted([anonymous, "named"])
    assert names(daemon, "dangling=true") == []
    shown = {item["Destination"]: item for item in daemon.api.get("/containers/an/json")["Mounts"]}
    assert (shown["/data"]["Name"], shown["/data"]["Driver"]) == (anonymous, "local")
    assert shown["/n"] == {
        "Type": "volume",
        "Name": "named",
        "Source": str(daemon.data_root / "volume/named/_data"),
        "Destination": "/n",
        "Driver": "local",
        "Mode": "z",
        "RW": True,
        "Propagation": "",
    }
    assert "volume is in use - [" in refused(daemon, "volume", "rm", "named")
    listed = daemon.api.get('/containers/json?all=1&filters={"volume":["named"]}')
    assert [item["Names"] for item in listed] == [["/an"]]
    daemon.run("rm", "an")
    assert names(daemon, "dangling=true") == sorted([anonymous, "named"])
    pruned = daemon.api.post("/volumes/prune")
    assert pruned["VolumesDeleted"] == [anonymous]
    assert pruned["SpaceReclaimed"] > 0
    daemon.run("create", "--name", "bn", "-v", "/data", "-v", "named:/n", busybox)
    daemon.run("rm", "-v", "bn")
    assert names(daemon) == ["named"]
    df = daemon.api.get("/system/df?type=volume")["Volumes"]
    assert df[0]["UsageData"]["Size"] > 0
    assert daemon.api.post('/volumes/prune?filters={"all":["true"]}')["VolumesDeleted"] == ["named"]


def test_two_machines_share_a_directory(daemon: Hyperd, busybox: str) -> None:
    """Each sees what the other writes, and so does the host."""
    ids = [
        create(daemon, busybox, "sh", "-c", WAIT, HostConfig={"Binds": ["both:/s"]}) for _ in "ab"
    ]
    for container in ids:
        daemon.api.post(f"/containers/{container}/start")
    assert kind(daemon, "both") == "directory"
    one, two = ids
    daemon.run("exec", one, "sh", "-c", "echo 1 > /s/f; chown 5:6 /s/f")
    assert (
        daemon.run("exec", two, "sh", "-c", "cat /s/f; echo 2 >> /s/f; stat -c %u:%g /s/f")
        == b"1\n5:6\n"
    )
    assert daemon.run("exec", one, "cat", "/s/f") == b"1\n2\n"
    data = Path(daemon.api.get("/volumes/both")["Mountpoint"])
    assert (data / "f").read_text() == "1\n2\n"
    (data / "f").write_text("host\n")
    assert daemon.run("exec", two, "cat", "/s/f") == b"host\n"
    (data / "f").unlink()
    assert daemon.docker("exec", one, "cat", "/s/f").returncode == 1


def test_image_volume_has_one_writing_machine_at_a_time(own_daemon: Hyperd, busybox: str) -> None:
    """A second writer is refused with what to do, by the next daemon too; two readers are not."""
    daemon = own_daemon
    daemon.run("volume", "create", "-o", "type=image", "img")
    daemon.run(
        "run",
        "-d",
        "--name",
        "first",
        "-v",
        "img:/v",
        busybox,
        "sh",
        "-c",
        f"echo x > /v/x; {WAIT}",
    )
    follow(daemon, "first", "up")
    # Not warned of what two machines may share: they cannot.
    assert b"also mounted" not in daemon.docker("create", "-v", "img:/v", busybox).stderr
    second = create(daemon, busybox, "cat", "/v/x", HostConfig={"Binds": ["img:/v"]})
    for _ in range(2):
        with pytest.raises(ApiError, match="one virtual machine at a time") as caught:
            daemon.api.post(f"/containers/{second}/start")
        assert caught.value.status == 409
        assert "in use by the running container first (" in caught.value.message
        daemon.kill()
        daemon.start()
    # Cut off in the middle: the journal is replayed for those that may only read.
    daemon.run("exec", "first", "sh", "-c", "mkdir /v/deep; sync; echo y > /v/deep/y; sync")
    end(int(daemon.api.get("/containers/first/json")["Hyper"]["Pid"]))
    daemon.api.post("/containers/first/wait")
    daemon.run("run", "-d", "--name", "reader", "-v", "img:/v:ro", busybox, "sh", "-c", WAIT)
    assert run_shell(daemon, busybox, "cat /v/x /v/deep/y", "-v", "img:/v:ro") == "x\ny\n"
    with pytest.raises(ApiError, match="one virtual machine at a time"):
        daemon.api.post(f"/containers/{second}/start")
    daemon.run("rm", "-f", "reader")
    assert daemon.run("start", "-a", second) == b"x\n"
    # As the refusal says it is done.
    steps = re.findall(r"docker ([^;]*)(?:;|$)", caught.value.message)
    assert len(steps) == 2
    for step in steps:
        daemon.run(*step.replace("IMAGE", busybox).split())
    for name in ("one", "two"):
        daemon.run("run", "-d", "--name", name, "-v", "img-shared:/v", busybox, "sleep", "1000")
    assert daemon.run("exec", "two", "cat", "/v/x", "/v/deep/y") == b"x\ny\n"


def test_default_volume_type_image_makes_image_volumes(busybox: str) -> None:
    """With --default-volume-type image a volume that says nothing of it is one, and a second container that runs at
    the same time is refused; what says that it is a directory is one, which both have."""
    with hyperd("--default-volume-type", "image") as daemon:
        daemon.run("pull", "-q", busybox)
        daemon.run("volume", "create", "-o", "type=directory", "dir")
        mounts = ["-v", "plain:/p", "-v", "dir:/d"]
        daemon.run("run", "-d", "--name", "one", *mounts, busybox, "sleep", "1000")
        assert (kind(daemon, "plain"), kind(daemon, "dir")) == ("image", "directory")
        assert "ext4" in daemon.run("exec", "one", "grep", " /p ", "/proc/mounts").decode()
        assert "running container one (" in refused(daemon, "run", "-v", "plain:/p", busybox)
        daemon.run("run", "--rm", "-v", "dir:/d", busybox, "touch", "/d/f")
        assert daemon.run("exec", "one", "ls", "/d") == b"f\n"


def test_more_volumes_than_disks(daemon: Hyperd, busybox: str) -> None:
    """Any number that are directories; volumes that are images are refused beyond the machine's room."""
    options = [word for number in range(6) for word in ("-v", f"m{number}:/m/{number}")]
    script = "for n in 0 1 2 3 4 5; do echo $n > /m/$n/f; done; cat /m/*/f"
    for _ in range(2):
        assert run_shell(daemon, busybox, script, *options) == "0\n1\n2\n3\n4\n5\n"
    assert {kind(daemon, f"m{number}") for number in range(6)} == {"directory"}
    for number in range(31):
        daemon.run("volume", "create", "-o", "size=16m", f"i{number}")
    options = [word for number in range(31) for word in ("-v", f"i{number}:/i/{number}")]
    assert "a machine has room for 30" in refused(daemon, "run", "--rm", *options, busybox, "true")
    out = run_shell(
        daemon, busybox, "cd /i; for n in *; do echo $n > $n/f; done; cat */f", *options[:60]
    )
    assert sorted(map(int, out.split())) == list(range(30))
    assert {kind(daemon, f"i{number}") for number in range(31)} == {"image"}


def test_drivers_options_of_dockers_local_volumes(
    daemon: Hyperd, busybox: str, tmp_path: Path
) -> None:
    """Compose files have them: a host directory by name, a tmpfs by name."""
    tmp_path.chmod(0o755)
    daemon.run(
        *("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}"),
        *("--label", "a=b", "host"),
    )
    daemon.run(
        "volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "mem"
    )
    out = run_shell(
        daemon, busybox, "echo hi > /h/f; df -k /m | tail -1", "-v", "host:/h", "-v", "mem:/m"
    )
    assert (tmp_path / "f").read_text() == "hi\n"
    assert out.split()[1] == "1024"
    assert names(daemon, "label=a=b") == ["host"]
    assert names(daemon, "name=ho") == ["host"]
    assert names(daemon, "driver=other") == []
    assert "are not supported" in refused(
        daemon, "volume", "create", "-o", "type=cifs", "-o", "o=x", "-o", "device=y"
    )
    assert 'plugin "other" not found' in refused(daemon, "volume", "create", "-d", "other")


def test_volumes_by_docker_py_send_dockers_events(
    daemon: Hyperd, busybox: str, tmp_path: Path
) -> None:
    """The library's words for the same; each deed is told with Docker's attributes."""
    since = time.time()
    with contextlib.closing(docker.DockerClient(base_url=daemon.host)) as client:
        volume = client.volumes.create("py", driver="local", labels={"k": "v"})
        mounts: list[Any] = [
            docker.types.Mount("/v", "py"),
            docker.types.Mount("/b", str(tmp_path), type="bind", read_only=True),
            docker.types.Mount("/t", None, type="tmpfs", tmpfs_size=1 << 20, tmpfs_mode=0o700),
        ]
        out = client.containers.run(
            busybox,
            ["sh", "-c", "stat -c %a /t; touch /b/x; df -k /t | tail -1"],
            mounts=mounts,
            remove=True,
        )
        assert out.split()[0] == b"700"
        assert b" 1024 " in out
        assert client.volumes.get("py").attrs["Labels"] == {"k": "v"}
        with pytest.raises(docker.errors.NotFound):
            client.volumes.get("nobody")
        volume.remove()
        assert client.volumes.list() == []
    query = f"since={since:.6f}&until={time.time():.6f}" + '&filters={"type":["volume"]}'
    events = list(daemon.api.lines(f"/events?{query}"))
    assert [item["Action"] for item in events] == ["create", "mount", "unmount", "destroy"]
    attributes = events[1]["Actor"]["Attributes"]
    assert (attributes["destination"], attributes["read/write"]) == ("/v", "true")


def test_a_daemon_killed_while_it_makes_leaves_nothing(own_daemon: Hyperd, busybox: str) -> None:
    """A container that is not whole goes with its anonymous volumes; a named one stays."""
    daemon = own_daemon
    box = create(daemon, busybox, "true", HostConfig={"Binds": ["/anon", "kept:/k"]})
    daemon.kill()
    (daemon.data_root / "containers" / box / "scratch.ext4").unlink()
    (daemon.data_root / "volume/.new-0123").mkdir()
    daemon.start()
    assert names(daemon) == ["kept"]
    assert [path.name for path in (daemon.data_root / "volume").iterdir()] == ["kept"]
    assert json.loads((daemon.data_root / "volume/kept/volume.json").read_text())["name"] == "kept"
