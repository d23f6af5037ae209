"""What Compose files are made of, with the real ``docker compose``: its own tests are in no registry's package."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Without -f, httpd goes to the background once it listens: "ready" is true then.
SERVE = (
    "mkdir -p /www; echo hello >/www/index.html; httpd -p 80 -h /www; echo ready; exec sleep 1000"
)
_TIMEOUT_S = 300
HEALTHY = {"interval": "1s", "timeout": "60s", "retries": 100}


class Project:
    """A folder with a Compose file. Everything of it is removed at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"p{folder.name}".lower().replace("_", "-")

    def write(self, services: dict[str, Any], name: str = "compose.yaml", **rest: Any) -> None:
        """Its file (JSON is YAML). A service that says nothing else is a busybox that sleeps."""
        for service in services.values():
            service.setdefault("image", "busybox")
            service.setdefault("stop_grace_period", "0s")
            if "command" not in service:
                service["command"] = ["sleep", "1000"]
        (self.folder / name).write_text(json.dumps({"services": services, **rest}))

    def call(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """``docker compose WORDS``, to its end."""
        argv = ["docker", "compose", "-p", self.name, *words]
        return subprocess.run(
            argv,
            cwd=self.folder,
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )

    def run(self, *words: str, **environ: str) -> str:
        """What it printed. Raises: AssertionError if it failed."""
        done = self.call(*words, **environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self, *words: str) -> None:
        """Its services run."""
        self.run("up", "-d", "--quiet-pull", *words)

    def says(self, service: str, script: str) -> str:
        """What a shell in the container of ``service`` prints."""
        return self.run("exec", "-T", service, "sh", "-c", script)

    def states(self) -> dict[str, str]:
        """The state of each container, ended ones too, by service."""
        lines = self.run("ps", "-a", "--format", "json").splitlines()
        return {one["Service"]: one["State"] for one in map(json.loads, lines)}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project without services."""
    made = Project(tmp_path)
    yield made
    made.run("down", "-v", "-t", "0", "--remove-orphans")
    assert made.run("ps", "-a", "-q") == ""


def _page(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/", timeout=60) as answer:
        return str(answer.read().decode())


def test_health_and_completion_conditions(project: Project) -> None:
    """One service waits for another's health and a third's end; its page is published; logs have its line."""
    check = {"test": ["CMD", "wget", "-qO-", "http://127.0.0.1/"], **HEALTHY}
    project.write(
        {
            "web": {
                "command": ["sh", "-c", SERVE],
                "ports": ["127.0.0.1::80"],
                "healthcheck": check,
            },
            "once": {"command": ["sh", "-c", "echo done >/v/f"], "volumes": ["data:/v"]},
            "user": {
                "command": ["sh", "-c", "cat /v/f; wget -qO- http://web/; sleep 1000"],
                "volumes": ["data:/v:ro"],
                "depends_on": {
                    "web": {"condition": "service_healthy"},
                    "once": {"condition": "service_completed_successfully"},
                },
            },
        },
        volumes={"data": {}},
    )
    project.up("--wait", "web", "user")
    assert _page(project.run("port", "web", "80").strip()) == "hello\n"
    assert project.states() == {"web": "running", "once": "exited", "user": "running"}
    with subprocess.Popen(
        ["docker", "compose", "-p", project.name, "logs", "-f", "--no-log-prefix", "user"],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as logs:
        assert logs.stdout is not None
        assert [logs.stdout.readline() for _ in range(2)] == ["done\n", "hello\n"]
        logs.terminate()


def test_a_dependency_that_fails(project: Project) -> None:
    """Who depends on it is not started, and up says why."""
    project.write(
        {
            "bad": {"command": ["sh", "-c", "exit 3"]},
            "user": {"depends_on": {"bad": {"condition": "service_completed_successfully"}}},
        }
    )
    done = project.call("up", "-d", "--quiet-pull")
    assert done.returncode != 0
    assert "didn't complete successfully: exit 3" in done.stderr
    assert project.states() == {"bad": "exited", "user": "created"}


def test_networks(project: Project) -> None:
    """Aliases, a static address, an internal network, extra hosts, a host name; scaled services share a name."""
    project.write(
        {
            "web": {
                "command": ["sh", "-c", SERVE],
                "hostname": "called",
                "networks": {"front": {"aliases": ["www"], "ipv4_address": "10.213.7.77"}},
            },
            "many": {"networks": ["front"], "deploy": {"replicas": 2}},
            "user": {"networks": ["front", "back"], "extra_hosts": ["other:10.1.2.3"]},
            "inner": {"networks": ["back"]},
        },
        networks={
            "front": {"ipam": {"config": [{"subnet": "10.213.7.0/24"}]}},
            "back": {"internal": True},
        },
    )
    project.up()
    assert project.says("user", "until wget -qO- http://www/; do sleep 1; done") == "hello\n"
    assert "10.213.7.77" in project.says("user", "nslookup -type=a web")
    assert (
        project.says("user", "nslookup -type=a many").count("Address:") == 3
    )  # one is the server's
    assert "10.1.2.3" in project.says("user", "cat /etc/hosts")
    assert project.says("web", "hostname") == "called\n"
    assert project.says("inner", "ping -c1 -W60 user >/dev/null; echo $?") == "0\n"
    assert project.says("inner", "ip route") == project.says("inner", "ip route | grep -v default")


def test_configs_secrets_and_environment(project: Project) -> None:
    """From files, the environment and the Compose file; env_file; interpolation; profiles that are not asked for."""
    (project.folder / "s.txt").write_text("secret of a file")
    (project.folder / "e.env").write_text("FROM_FILE=f\nBOTH=file\n")
    (project.folder / ".env").write_text("TAG=latest\n")
    project.write(
        {
            "app": {
                "image": "busybox:${TAG}",
                "env_file": ["e.env", {"path": "none.env", "required": False}],
                "environment": {"BOTH": "here", "GIVEN": "${GIVEN:-default}"},
                "secrets": ["of_file", {"source": "of_env", "target": "/run/secrets/renamed"}],
                "configs": [{"source": "inline", "target": "/etc/app.conf", "mode": 0o440}],
            },
            "debug": {"profiles": ["debug"]},
        },
        secrets={"of_file": {"file": "./s.txt"}, "of_env": {"environment": "SECRET"}},
        configs={"inline": {"content": "a = ${GIVEN:-default}\n"}},
    )
    project.run("up", "-d", "--quiet-pull", SECRET="of the environment", GIVEN="given")
    assert project.says("app", "echo $FROM_FILE $BOTH $GIVEN") == "f here given\n"
    assert project.says("app", "cat /run/secrets/of_file") == "secret of a file"
    assert project.says("app", "cat /run/secrets/renamed") == "of the environment"
    assert project.says("app", "cat /etc/app.conf; stat -c %a /etc/app.conf") == "a = given\n440\n"
    assert project.states() == {"app": "running"}
    project.run("--profile", "debug", "up", "-d", SECRET="of the environment", GIVEN="given")
    assert project.states() == {"app": "running", "debug": "running"}


def test_scale_recreate_override(project: Project) -> None:
    """Replicas come and go; what has not changed is left alone, what has is made anew with its volume."""
    project.write({"a": {"volumes": ["/data"]}, "b": {}})
    project.write({"a": {"environment": {"NEW": "1"}}}, name="more.yaml")
    project.up()
    first = project.run("ps", "-q", "a", "b").split()
    project.says("a", "echo kept >/data/f")
    project.up("--scale", "b=3")
    assert len(project.run("ps", "-q", "b").split()) == 3
    project.up("--scale", "b=1")
    files = ["-f", "compose.yaml", "-f", "more.yaml"]
    project.run(*files, "up", "-d")
    second = project.run("ps", "-q", "a", "b").split()
    assert len(set(first) & set(second)) == 1
    assert project.says("a", "echo $NEW; cat /data/f") == "1\nkept\n"
    project.run(*files, "up", "-d", "--force-recreate")
    assert set(project.run("ps", "-q", "a", "b").split()).isdisjoint(second)


def test_exit_codes(project: Project) -> None:
    """Of up and of run; one that fails ends the others."""
    project.write({"bad": {"command": ["sh", "-c", "exit 7"]}, "other": {}})
    assert project.call("up", "--quiet-pull", "--exit-code-from", "bad").returncode == 7
    assert project.call("up", "--abort-on-container-failure").returncode == 7
    assert project.states()["other"] == "exited"
    done = project.call("run", "--rm", "-T", "other", "sh", "-c", "echo said; exit 4")
    assert (done.returncode, done.stdout) == (4, "said\n")


def test_everyday_verbs(project: Project) -> None:
    """pause, unpause, stop, start, restart, kill, top, cp both ways, events, config, images, ls."""
    project.write({"a": {}})
    since = str(int(time.time()))
    project.up()
    project.run("pause", "a")
    assert project.states() == {"a": "paused"}
    project.run("unpause", "a")
    assert "sleep 1000" in project.run("top", "a")
    (project.folder / "in.txt").write_text("brought")
    project.run("cp", "in.txt", "a:/tmp/in.txt")
    project.run("cp", "a:/tmp/in.txt", "out.txt")
    assert (project.folder / "out.txt").read_text() == "brought"
    for verb in ("stop", "start", "restart", "kill"):
        project.run(verb, "a")
    assert project.states() == {"a": "exited"}
    # Compose calls the end of the stream an error (EOF), with dockerd, too.
    told = project.call("events", "--json", "--since", since, "--until", str(int(time.time()) + 1))
    actions = [json.loads(line)["action"] for line in told.stdout.splitlines()]
    assert [one for one in actions if one in ("create", "pause", "unpause")] == [
        "create",
        "pause",
        "unpause",
    ]
    assert "busybox" in project.run("images")
    assert project.name in project.run("ls", "-a")
    project.run("config", "-q")
    project.run("rm", "-f", "a")


def test_what_a_container_gets(project: Project) -> None:
    """User, folder, read-only root, tmpfs, limits, capabilities, sysctls, init, labels, shared memory, stop signal."""
    project.write(
        {
            "a": {
                "user": "1000:50",
                "working_dir": "/var/log",
                "read_only": True,
                "tmpfs": ["/scratch:size=1m"],
                "ulimits": {"nofile": {"soft": 1000, "hard": 2000}},
                "cap_drop": ["ALL"],
                "cap_add": ["NET_BIND_SERVICE"],
                "sysctls": {"net.core.somaxconn": "1234"},
                "init": True,
                "labels": {"one": "1"},
                "shm_size": "16m",
                "stop_signal": "SIGUSR1",
                "security_opt": ["no-new-privileges:true"],
                "deploy": {"resources": {"limits": {"memory": "200m", "cpus": "0.5", "pids": 50}}},
            }
        }
    )
    project.up()
    assert project.says("a", "id -u; id -g; pwd") == "1000\n50\n/var/log\n"
    assert project.says("a", "touch /x 2>/dev/null || echo refused") == "refused\n"
    assert "1024" in project.says("a", "df -k /scratch")
    assert project.says("a", "ulimit -n; ulimit -Hn") == "1000\n2000\n"
    assert "CapBnd:\t0000000000000400" in project.says("a", "cat /proc/self/status")
    assert project.says("a", "cat /proc/sys/net/core/somaxconn") == "1234\n"
    assert "16384" in project.says("a", "df -k /dev/shm")
    told = json.loads(
        subprocess.run(
            ["docker", "inspect", project.run("ps", "-q", "a").strip()],
            check=True,
            capture_output=True,
        ).stdout
    )[0]
    assert told["HostConfig"]["Memory"] == 200 << 20
    assert told["HostConfig"]["PidsLimit"] == 50
    assert told["HostConfig"]["NanoCpus"] == 500_000_000
    assert told["Config"]["StopSignal"] == "SIGUSR1"
    assert told["Config"]["Labels"]["one"] == "1"


def test_volumes(project: Project) -> None:
    """Named, bound, anonymous, of another service, external; down keeps named ones, down -v does not."""
    subprocess.run(["docker", "volume", "create", "outside"], check=True, capture_output=True)
    (project.folder / "host").mkdir()
    bind = {"type": "bind", "source": "./host", "target": "/host"}
    made = {
        "type": "bind",
        "source": "./made",
        "target": "/made",
        "bind": {"create_host_path": True},
    }
    project.write(
        {
            "a": {"volumes": ["data:/data", bind, made, "/anonymous", "ext:/ext"]},
            "b": {"volumes": ["data:/data:ro"], "profiles": ["b"]},
        },
        volumes={"data": {"labels": {"of": "test"}}, "ext": {"external": True, "name": "outside"}},
    )
    project.up()
    project.says("a", "echo 1 >/data/f; echo 2 >/host/f; echo 3 >/made/f; echo 4 >/ext/f")
    assert (project.folder / "host/f").read_text() == "2\n"
    assert (project.folder / "made/f").read_text() == "3\n"
    project.run("down", "-t", "0")
    assert project.run("run", "--rm", "-T", "b", "cat", "/data/f") == "1\n"
    project.run("down", "-v", "-t", "0")
    names = subprocess.run(["docker", "volume", "ls", "-q"], check=True, capture_output=True)
    left = set(names.stdout.decode().split())
    assert "outside" in left
    assert f"{project.name}_data" not in left
    subprocess.run(["docker", "volume", "rm", "outside"], check=True, capture_output=True)


def test_a_service_in_anothers_network(project: Project) -> None:
    """``network_mode: service:``: one address, localhost is shared."""
    project.write(
        {
            "web": {"command": ["sh", "-c", SERVE]},
            "side": {"network_mode": "service:web", "depends_on": ["web"]},
        }
    )
    project.up()
    page = project.says("side", "until wget -qO- http://127.0.0.1/; do sleep 1; done")
    assert page == "hello\n"


def test_restart_policies(project: Project) -> None:
    """``on-failure`` starts again so many times and gives up; ``always`` is there again after a kill from inside."""
    project.write(
        {
            "fails": {"command": ["sh", "-c", "exit 1"], "restart": "on-failure:2"},
            "always": {"command": ["sh", "-c", "echo up; read x </f"], "restart": "always"},
        }
    )
    project.up()
    argv = ["docker", "wait", project.run("ps", "-a", "-q", "fails").strip()]
    assert subprocess.run(argv, check=True, capture_output=True).stdout == b"1\n"
    always = ["docker", "events", "--filter", f"label=com.docker.compose.project={project.name}"]
    with subprocess.Popen(
        [
            *always,
            "--since",
            "0",
            "--filter",
            "event=start",
            "--format",
            "{{.Actor.Attributes.name}}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as events:
        assert events.stdout is not None
        seen = {"always": 0, "fails": 0}
        while seen["always"] < 2 or seen["fails"] < 3:
            seen[events.stdout.readline().rsplit("-", 2)[-2]] += 1
        events.terminate()
    assert seen["fails"] == 3


def test_ports(project: Project) -> None:
    """A range, UDP, the long form; two replicas get two ports."""
    project.write(
        {
            "web": {
                "command": ["sh", "-c", SERVE],
                "ports": ["80", {"target": 53, "protocol": "udp", "mode": "host"}],
                "deploy": {"replicas": 2},
            }
        }
    )
    project.up()
    ports = {project.run("port", f"--index={n}", "web", "80").strip() for n in (1, 2)}
    assert len(ports) == 2
    assert project.run("port", "--protocol=udp", "web", "53").strip()


def test_files_are_watched(project: Project) -> None:
    """``watch`` brings what changes into the container."""
    (project.folder / "src").mkdir()
    (project.folder / "src/f").write_text("first")
    rules = [{"action": "sync", "path": "./src", "target": "/srv"}]
    project.write(
        {
            "a": {
                "command": ["sh", "-c", "mkdir -p /srv; exec sleep 1000"],
                "develop": {"watch": rules},
            }
        }
    )
    project.up()
    with subprocess.Popen(
        ["docker", "compose", "-p", project.name, "watch", "--no-up"],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        next(line for line in watch.stdout if "Watch enabled" in line)
        (project.folder / "src/f").write_text("second")
        next(line for line in watch.stdout if "Syncing" in line)
        until = "until grep -q second /srv/f 2>/dev/null; do sleep 1; done; cat /srv/f"
        assert project.says("a", until) == "second"
        watch.terminate()
