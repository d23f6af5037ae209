"""``docker commit``: images made of containers, of running ones and of others; what they hold and how they run."""

from __future__ import annotations

import pytest

from tests.support.api import ApiError
from tests.support.containers import create, exec_shell, follow
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

CHANGE = (
    "echo one > /one; ln /one /hard; ln -s one /soft; rm /etc/group; mkdir -p /new/deep; "
    "chown 5:6 /new/deep; chmod 2751 /new/deep; rm -r /www; mkdir /www; echo fresh > /www/fresh; "
    "mkfifo /pipe; echo more >> /etc/passwd; touch /data/volume; echo up; exec sleep 600"
)
LOOK = (
    "cat /one /soft /hard; ls /etc/group 2>/dev/null; stat -c '%a %u %g' /new/deep; ls /www; "
    "tail -n1 /etc/passwd; stat -c %h /one; stat -c %F /pipe; ls -A /data"
)
SEEN = "one\none\none\n2751 5 6\nfresh\nmore\n2\nfifo\n"


@pytest.fixture(autouse=True)
def no_images_of_ours(daemon: Hyperd) -> None:
    """What a test before this one committed is gone."""
    for image in daemon.api.get("/images/json"):
        if any(tag.startswith("made") for tag in image["RepoTags"] or []):
            daemon.api.delete(f"/images/{image['Id']}?force=1")


def test_a_container_becomes_an_image_that_runs(daemon: Hyperd, busybox: str) -> None:
    """Files of all kinds, whiteouts, an opaque directory; configuration, history, event; and once more on top."""
    daemon.run("run", "--name", "pre", busybox, "sh", "-c", "mkdir /www; echo old > /www/old")
    daemon.run("commit", "pre", "made:base")
    volumes = {"/data": {}}
    box = create(daemon, "made:base", "sh", "-c", CHANGE, name="box", Volumes=volumes, User="0:0")
    daemon.api.post(f"/containers/{box}/start")
    follow(daemon, "box", "up")
    change = 'CMD ["sh", "-c", "echo $GREETING"]'
    image_id = daemon.run(
        *("commit", "-a", "me", "-m", "why", "-c", "ENV GREETING=hello", "-c", change),
        *("-c", "LABEL a=b", "box", "made:new"),
    )
    assert exec_shell(daemon, "box", "echo goes on") == "goes on"
    assert daemon.run("run", "--rm", "made:new") == b"hello\n"
    assert daemon.run("run", "--rm", "made:new", "sh", "-c", LOOK).decode() == SEEN
    shown = daemon.api.get("/images/made:new/json")
    base = daemon.api.get("/images/made:base/json")
    assert shown["Id"] == image_id.decode().strip()
    assert (shown["Author"], shown["Comment"]) == ("me", "why")
    assert shown["Config"]["Labels"] == {"a": "b"}
    layers = shown["RootFS"]["Layers"]
    assert layers[:-1] == base["RootFS"]["Layers"]
    newest = daemon.api.get("/images/made:new/history")[0]
    assert (newest["Comment"], newest["CreatedBy"].startswith("sh -c")) == ("why", True)
    daemon.run("stop", "-t", "0", "box")
    again = daemon.run("commit", "box").decode().strip()
    assert daemon.api.get(f"/images/{again}/json")["RootFS"]["Layers"][:-1] == layers[:-1]
    daemon.run("rmi", again)


def test_a_commit_can_be_saved_and_loaded(daemon: Hyperd, busybox: str) -> None:
    """Its layer is kept as other layers are."""
    daemon.run("run", "--name", "one", busybox, "sh", "-c", "echo kept > /kept")
    daemon.run("commit", "one", "made:saved")
    daemon.run("rm", "one")
    saved = daemon.run("save", "made:saved")
    daemon.run("rmi", "made:saved")
    daemon.run("load", stdin=saved)
    assert daemon.run("run", "--rm", "made:saved", "cat", "/kept") == b"kept\n"


def test_commit_refuses_what_makes_no_sense(daemon: Hyperd, busybox: str) -> None:
    """A bad name, instruction or container: nothing is made."""
    daemon.run("create", "--name", "box", busybox, "true")
    before = len(daemon.api.get("/images/json?all=1"))
    for query, status in (
        ("container=nobody", 404),
        ("", 400),
        ("container=box&repo=Bad", 400),
        ("container=box&repo=made&tag=b/d", 400),
        ("container=box&changes=RUN+true", 400),
        ("container=box&changes=EXPOSE+nothing", 400),
    ):
        with pytest.raises(ApiError) as error:
            daemon.api.post(f"/commit?{query}")
        assert error.value.status == status, query
    with pytest.raises(ApiError) as error:
        daemon.api.post("/commit?container=box", {"Env": "no list"})
    assert error.value.status == 400
    assert len(daemon.api.get("/images/json?all=1")) == before


def test_nothing_changed_is_no_layer(daemon: Hyperd, busybox: str) -> None:
    """A container that was never started: the image's layers, one more step; and the client's own configuration."""
    daemon.run("create", "--name", "box", "-e", "A=1", "-e", "B=2", busybox, "true")
    body = {"Env": ["A=3"], "Cmd": ["env"]}
    made = daemon.api.post("/commit?container=box&repo=made&tag=plain", body)["Id"]
    shown = daemon.api.get(f"/images/{made}/json")
    assert (
        shown["RootFS"]["Layers"] == daemon.api.get(f"/images/{busybox}/json")["RootFS"]["Layers"]
    )
    out = daemon.run("run", "--rm", "made:plain").decode().split()
    assert {"A=3", "B=2"} <= set(out)


def test_a_commit_stops_the_container_and_lets_it_go_on(daemon: Hyperd, busybox: str) -> None:
    """Two files that are written one after the other are of one moment in the image."""
    script = (
        "put() { echo $i > /t; mv /t $1; }; i=0; put /a; put /b; echo up; "
        "while :; do i=$((i+1)); put /a; put /b; done"
    )
    daemon.run("run", "-d", "--name", "busy", busybox, "sh", "-c", script)
    follow(daemon, "busy", "up")
    daemon.api.post("/commit?container=busy&repo=made&tag=busy")
    out = daemon.run("run", "--rm", "made:busy", "sh", "-c", "cat /a /b").split()
    assert int(out[0]) - int(out[1]) in (0, 1)
    first = exec_shell(daemon, "busy", "cat /b")
    while exec_shell(daemon, "busy", "cat /b") == first:
        pass
