"""What is in the image is what the program sees, and its configuration is honoured."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import images
from tests.support.containers import run
from tests.support.hyperd import Hyperd
from tests.support.registry import RealRegistry

pytestmark = pytest.mark.vm

#: Everything about a file that an image says, but times: name, kind, mode, owner, links, content.
DESCRIBE = (
    "cd $0 && find . -xdev | sort | while read -r f; do "
    'stat -c \'%n|%F|%a|%u:%g|%t:%T\' "$f"; readlink "$f"; '
    '[ -f "$f" ] && [ ! -L "$f" ] && md5sum < "$f"; done; true'
)


@pytest.mark.root
def test_the_guest_sees_what_plain_unpacking_gives(
    daemon: Hyperd, real_registry: RealRegistry, tmp_path: Path
) -> None:
    """Whiteouts, opaque folders, replacements, links, devices, owners: one image, two ways, one listing."""
    image = images.changes(runnable=True)
    reference = real_registry.push(image, "changes:latest")
    daemon.run("pull", "-q", reference)
    images.unpack_plainly(image.tars, tmp_path)
    names = "a o re file-to-dir dir-to-file one two twice link dangling null pipe long caps"
    for name in names.split():
        if not os.path.lexists(tmp_path / name):
            continue
        expected = subprocess.run(
            ["busybox", "sh", "-c", DESCRIBE.replace("cd $0", f"cd {tmp_path}").replace("find .", f"find ./{name}")],
            capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        script = DESCRIBE.replace("cd $0", "cd /").replace("find .", f"find ./{name}")
        assert run(daemon, reference, "sh", "-c", script) == (0, expected)


@pytest.mark.parametrize("count", [5, 6, 100])
def test_images_of_any_depth_run(daemon: Hyperd, real_registry: RealRegistry, count: int) -> None:
    """More layers than the machine has disk slots: the lowest are merged, whiteouts included."""
    reference = real_registry.push(images.deep(count), f"deep{count}:latest")
    daemon.run("pull", "-q", reference)
    code, log = run(daemon, reference, "sh", "-c", "cat /stack/last; ls /stack | sort -n")
    gone = {number - 1 for number in range(1, count) if number % 3 == 2}
    expected = ["last", *(str(n) for n in range(1, count) if n not in gone)]
    lines = log.splitlines()
    assert (code, lines[0]) == (0, str(count - 1))
    assert sorted(lines[1:]) == sorted(expected)


def test_the_whole_configuration_is_honoured(daemon: Hyperd, real_registry: RealRegistry) -> None:
    """Entry point, command, environment, folder, user and group by name, volume, ports, labels, stop signal."""
    reference = real_registry.push(images.full_config(), "full:latest")
    daemon.run("pull", "-q", reference)
    assert daemon.run("run", "--rm", reference) == b"hello world\n"
    script = "pwd; id -un; id -gn; stat -c %u:%g /data; touch /data/mine && echo $GREETING"
    out = daemon.run("run", "--rm", reference, script).decode().splitlines()
    assert out == ["/home/app", "app", "staff", "1000:50", "hello world"]
    script = "trap 'exit 42' USR1; echo up; while :; do sleep 0.1; done"
    daemon.run("run", "-d", "-P", "--name", "full", reference, script)
    shown = daemon.api.get("/containers/full/json")
    assert sorted(shown["NetworkSettings"]["Ports"]) == ["53/udp", "80/tcp"]
    assert all(shown["NetworkSettings"]["Ports"].values())
    assert shown["Config"]["Labels"] == {"org.example.key": "value"}
    assert [item["Destination"] for item in shown["Mounts"]] == ["/data"]
    while b"up" not in daemon.run("logs", "full"):
        pass
    daemon.run("stop", "full")
    assert daemon.api.get("/containers/full/json")["State"]["ExitCode"] == 42


def test_a_volume_outlives_a_restart_of_its_container(
    daemon: Hyperd, real_registry: RealRegistry
) -> None:
    """What the image has there is copied once; what was written later is kept."""
    reference = real_registry.push(images.full_config(), "full:latest")
    daemon.run("pull", "-q", reference)
    daemon.run(
        "run", "--name", "vol", reference, "cat /data/x 2>/dev/null; echo kept > /data/x; sync"
    )
    daemon.run("start", "-a", "vol")
    assert daemon.run("logs", "vol") == b"kept\n"


def test_who_lists_images_is_not_told_how_many_containers_use_them(
    daemon: Hyperd, busybox: str
) -> None:
    """GET /images/json says -1, as dockerd does: it did not count. What counts, `system df`, says the number."""
    daemon.api.post("/containers/create", {"Image": busybox})
    assert {item["Containers"] for item in daemon.api.get("/images/json")} == {-1}
    image = daemon.api.get(f"/images/{busybox}/json")["Id"]
    counted = {item["Id"]: item["Containers"] for item in daemon.api.get("/system/df")["Images"]}
    assert counted[image] == 1
