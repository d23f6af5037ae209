"""``hyper pod`` and ``hyper play kube`` against a daemon that only answers: requests, output, exit codes."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyper.cli.main import main
from tests.support.fake_pods import FakePods, fake_pods

SHOP = """
id: shop
containers:
  - {name: web, image: nginx, command: [serve]}
  - {name: cache, image: redis}
"""
Hyper = Callable[..., int]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakePods]:
    with fake_pods(tmp_path) as running:
        running.images = {"nginx", "redis"}
        yield running


@pytest.fixture
def hyper(fake: FakePods, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hyper:
    """Runs a command line against the daemon; ``shop.yml`` is in the folder it runs in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYPER_HOST", fake.host)
    (tmp_path / "shop.yml").write_text(SHOP)
    return lambda *words: main([*words])


Out = pytest.CaptureFixture[str]


def test_create_says_warnings_and_the_id(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    assert hyper("pod", "create", "shop.yml") == 0
    assert capfd.readouterr() == ("1" * 64 + "\n", "WARNING: beware\n")
    (body,) = fake.bodies
    assert body["Name"] == "shop"
    assert body["Containers"][0]["Body"]["Cmd"] == ["serve"]
    assert "Dns" not in body  # nobody asked


def test_missing_images_are_pulled_once(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    fake.images = {"nginx"}
    assert hyper("pod", "create", "-q", "shop.yml") == 0
    assert [path for path in fake.asked("POST") if "images" in path] == [
        "/images/create?fromImage=redis&tag=latest&source=nearest"
    ]
    assert "Unable to find image 'redis:latest' locally" in capfd.readouterr().err


def test_when_images_are_pulled(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    """The flag wins over the file: always pulls what is there, never leaves what is missing."""
    assert hyper("pod", "create", "-q", "--pull", "always", "shop.yml") == 0
    assert len([path for path in fake.asked("POST") if "images" in path]) == 2
    fake.images, fake.requests[:] = set(), []
    assert hyper("pod", "create", "--pull", "never", "--name", "other", "shop.yml") == 1
    assert not [path for path in fake.asked("POST") if "images" in path]
    assert "No such image: nginx" in capfd.readouterr().err


def test_run_shows_each_container(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    fake.output = {"shop-web": b"hello\nbye", "shop-cache": b"ready\n"}
    fake.status = 3
    assert hyper("pod", "run", "--rm", "shop.yml") == 3
    out = capfd.readouterr().out
    assert sorted(out.splitlines()) == ["cache | ready", "web   | bye", "web   | hello"]
    assert out.index("hello") < out.index("bye")
    assert fake.asked("DELETE") == [f"/hyper/v1/pods/{'1' * 64}?force=1&v=1"]


def test_run_shows_what_a_container_writes_after_its_restart(
    hyper: Hyper, fake: FakePods, capfd: Out
) -> None:
    """Read from the log, from the end of the run before."""
    fake.output, fake.later = {"shop-web": b"first\n"}, {"shop-web": b"second\n"}
    assert hyper("pod", "run", "shop.yml") == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["web   | first", "web   | second"]
    (asked,) = [path for path in fake.asked("GET") if "logs" in path]
    assert "since=2.000000003" in asked


def test_run_from_standard_input_with_one_container(
    hyper: Hyper, fake: FakePods, capfd: Out, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its output is not changed."""
    (tmp_path / "one.json").write_text('{"containers": [{"image": "redis", "name": "a"}]}')
    fake.output = {"made_up-a": b"\x00raw"}
    with (tmp_path / "one.json").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert hyper("pod", "run", "-") == 0
    assert capfd.readouterr().out == "\x00raw"


def test_a_pod_that_does_not_start(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    """Streams of what never ran do not hold us; the code is that of run."""
    fake.start_error = "container web: exec: serve: executable file not found in $PATH"
    fake.start_kind = "program-not-found"
    assert hyper("pod", "run", "shop.yml") == 127
    assert capfd.readouterr().err.splitlines()[-1] == f"hyper: {fake.start_error}"
    fake.start_error, fake.start_kind = "no room", ""
    assert hyper("pod", "run", "-d", "--name", "two", "shop.yml") == 125


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_pod(
    hyper: Hyper, fake: FakePods, capfd: Out, number: signal.Signals
) -> None:
    assert interrupted(hyper, fake, number) == 137
    assert "stopping pod shop" in capfd.readouterr().err
    assert "/hyper/v1/pods/shop/stop" in fake.asked("POST")


def test_a_signal_ends_a_start(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    """That this start failed is no news to whoever wanted it to."""
    fake.starts_for_ever = True
    assert interrupted(hyper, fake, signal.SIGINT) == 137
    assert capfd.readouterr().err.splitlines()[1:] == [
        "hyper: stopping pod shop; once more kills it"
    ]


def interrupted(hyper: Hyper, fake: FakePods, number: signal.Signals) -> int:
    """The code of a run that is sent ``number`` once the daemon has been asked to start the pod."""
    fake.until_stopped = True
    fake.status = 137
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt() -> None:
        assert fake.started.wait(30)
        signal.pthread_kill(main_thread, number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = hyper("pod", "run", "shop.yml")
    thread.join()
    return code


def test_run_detached(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    assert hyper("pod", "run", "-d", "shop.yml") == 0
    assert capfd.readouterr().out == "1" * 64 + "\n"
    assert fake.asked("POST")[-1].endswith("/start")
    assert hyper("pod", "run", "-d", "--rm", "shop.yml") == 2


def test_a_bad_file_is_named_with_its_field(
    hyper: Hyper, fake: FakePods, capfd: Out, tmp_path: Path
) -> None:
    (tmp_path / "bad.yml").write_text("containers: [{image: nginx, comand: [x]}]")
    assert hyper("pod", "run", "bad.yml") == 1
    assert capfd.readouterr().err == (
        'hyper: bad.yml: containers[0].comand: no such field\ndid you mean "command"?\n'
    )
    assert hyper("pod", "run", "nowhere.yml") == 1
    assert capfd.readouterr().err.startswith("hyper: cannot read nowhere.yml: No such file or dir")
    assert hyper("pod", "run", ".") == 1
    assert fake.requests == []


def test_ls_and_inspect(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    hyper("pod", "create", "shop.yml")
    capfd.readouterr()
    assert hyper("pod", "ls") == 0
    heading, row = capfd.readouterr().out.splitlines()
    assert heading.split() == [
        "POD",
        "ID",
        "NAME",
        "READY",
        "STATUS",
        "RESTARTS",
        "CREATED",
        "IP",
        "PORTS",
    ]
    assert row.split()[:4] == ["1" * 12, "shop", "2/2", "running"]
    assert row.endswith("172.17.0.2   0.0.0.0:8080->80/tcp")
    assert hyper("pod", "ls", "-q", "--no-trunc") == 0
    assert hyper("pod", "ls", "--format", "{{.Name}} {{.Containers}} {{.Memory}}") == 0
    assert hyper("pod", "inspect", "-f", "{{.Ip}}", "shop") == 0
    assert capfd.readouterr().out == f"{'1' * 64}\nshop web,cache 256MiB\n172.17.0.2\n"
    assert hyper("pod", "inspect", "shop") == 0
    assert json.loads(capfd.readouterr().out)[0]["Name"] == "shop"


def test_start_stop_rm(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    hyper("pod", "create", "shop.yml")
    capfd.readouterr()
    assert hyper("pod", "start", "shop") == 0
    assert hyper("pod", "stop", "-t", "3", "shop") == 0
    assert hyper("pod", "stop", "shp") == 1
    assert capfd.readouterr() == ("shop\nshop\n", "hyper: No such pod: shp\n")
    assert "/hyper/v1/pods/shop/stop?t=3" in fake.asked("POST")
    assert hyper("pod", "rm", "-f", "-v", "shop", "nope") == 0
    assert capfd.readouterr() == ("shop\n", "hyper: No such pod: nope\n")


def test_logs_of_all_and_of_one(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    hyper("pod", "create", "shop.yml")
    capfd.readouterr()
    fake.output = {"shop-web": b"hello\n", "shop-cache": b"ready\n"}
    assert hyper("pod", "logs", "shop") == 0
    assert capfd.readouterr().out == "web   | hello\ncache | ready\n"
    assert hyper("pod", "logs", "-f", "shop") == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["cache | ready", "web   | hello"]
    assert hyper("pod", "logs", "-n", "5", "shop", "cache") == 0
    assert capfd.readouterr().out == "ready\n"
    assert "tail=5" in fake.asked("GET")[-1]
    assert hyper("pod", "logs", "shop", "wbe") == 1
    assert capfd.readouterr().err == "hyper: pod shop has no container 'wbe'\ndid you mean web?\n"


def test_exec_chooses_the_container(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    """The daemon here runs nothing: what matters is which container is asked."""
    hyper("pod", "create", "shop.yml")
    capfd.readouterr()
    assert hyper("pod", "exec", "shop/cache", "redis-cli", "-x") == 1
    assert fake.asked("POST")[-1] == "/containers/shop-cache/exec"
    assert hyper("pod", "exec", "shop", "ls") == 1
    assert fake.asked("POST")[-1] == "/containers/shop-web/exec"
    assert "in web, the first of 2 containers" in capfd.readouterr().err
    assert hyper("pod", "exec", "shp", "ls") == 1
    assert "No such pod: shp\ndid you mean shop?" in capfd.readouterr().err


KUBE = """
{apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: [{name: a, image: nginx}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two}, spec: {containers: [{name: a, image: %s}], tolerations: [{key: x}]}}
"""


def test_play_kube(hyper: Hyper, fake: FakePods, capfd: Out, tmp_path: Path) -> None:
    (tmp_path / "kube.yml").write_text(KUBE % "redis")
    assert hyper("play", "kube", "kube.yml") == 0
    out, err = capfd.readouterr()
    assert out == "one\ntwo\n"
    assert "WARNING: documents[1].spec.tolerations: it has no effect here" in err
    assert hyper("pod", "run", "kube.yml") == 1
    assert "it describes 2 pods\nhyper play kube takes them all" in capfd.readouterr().err
    assert hyper("play", "kube", "shop.yml") == 1
    assert capfd.readouterr().err == (
        "hyper: shop.yml: it is no Kubernetes manifest: it has no kind\n"
        "hyper pod run takes Hyper's own pod files\n"
    )
    assert hyper("play", "kube", "--down", "kube.yml") == 0
    assert hyper("play", "kube", "--down", "kube.yml") == 0
    assert capfd.readouterr().out == "one\ntwo\n"
    assert fake.pods == {}


def test_until_it_is_ready(hyper: Hyper, fake: FakePods, capfd: Out) -> None:
    """``--wait`` asks the daemon for that once the pod is started, and says what became of it otherwise."""
    assert hyper("pod", "run", "-d", "--wait", "shop.yml") == 0
    assert capfd.readouterr().out == "1" * 64 + "\n"
    assert fake.asked("GET")[-1].endswith("/wait?condition=ready")
    fake.unready = "pod shop is not running"
    assert hyper("pod", "start", "--wait", "shop") == 1
    assert capfd.readouterr() == ("", "hyper: pod shop is not running\n")


@pytest.mark.parametrize(
    "words",
    [
        ("pod", "run", "--wait", "shop.yml"),
        ("play", "kube", "--wait", "--down", "shop.yml"),
        ("play", "kube", "--wait", "--no-start", "shop.yml"),
    ],
)
def test_what_is_not_to_be_waited_for(hyper: Hyper, fake: FakePods, words: tuple[str, ...]) -> None:
    """Refused before anything is made."""
    assert hyper(*words) == 2
    assert fake.pods == {}


def test_of_several_pods_all_are_made_or_none(
    hyper: Hyper, fake: FakePods, capfd: Out, tmp_path: Path
) -> None:
    (tmp_path / "kube.yml").write_text(KUBE % "missing")
    assert hyper("play", "kube", "--pull", "never", "kube.yml") == 1
    assert "No such image: missing" in capfd.readouterr().err
    assert fake.pods == {}
    assert not [path for path in fake.asked("POST") if path.endswith("/start")]


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["pod", "r"], ["rm", "run"]),
        (["pod", "run", ""], [":files"]),
        (["pod", "run", "--pull", "a"], ["always"]),
        (["pod", "stop", ""], ["shop"]),
        (["pod", "start", ""], []),
        (["pod", "rm", "shop", ""], []),
        (["pod", "logs", "s"], ["shop"]),
        (["pod", "logs", "shop", ""], ["web", "cache"]),
        (["pod", "exec", ""], ["shop", "shop/cache", "shop/web"]),
        (["pod", "exec", "shop", ""], [":files"]),
        (["play", "kube", "x"], [":files"]),
    ],
)
def test_completion(hyper: Hyper, capfd: Out, words: list[str], made: list[str]) -> None:
    hyper("pod", "create", "shop.yml")
    capfd.readouterr()
    assert hyper("__complete", *words) == 0
    assert [line.split("\t")[0] for line in capfd.readouterr().out.splitlines()] == made
