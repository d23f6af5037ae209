"""``hyper`` beside ``docker`` on the same engine, verb by verb: the same output, the same exit code.

On hyperd a route that is not served yet answers both alike.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.command import DOCKER, Run, call, same
from tests.support.dockerd import Engine

pytestmark = pytest.mark.root

SCRIPT = "echo hi >/tmp/f; mkdir -p /d/e; echo x >/d/y; ln -s /tmp/f /lnk; ln -s y /d/rel; exec sleep 6000"


@pytest.fixture(scope="module")
def engine(full_engine: Engine) -> Iterator[Engine]:
    """An engine with networks, on which a container ``box`` runs."""
    made = call(
        full_engine, DOCKER, "run", "-d", "--init", "--name", "box", full_engine.image, "sh", "-c", SCRIPT
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    call(full_engine, DOCKER, "exec", "box", "sh", "-c", "until [ -e /d/rel ]; do :; done")
    yield full_engine
    call(full_engine, DOCKER, "rm", "-f", "-v", "box")


LOOKS = [
    "pause nosuch",
    "unpause box",
    "rename nosuch x",
    "rename box box",
    "update box",
    "update --pids-limit 99 box nosuch",
    "update --restart no box",
    "diff nosuch",
    "top box -o user,pid,ppid,tty,time,args",  # all that ps shows but what the clock changes
    "top box -o pid,comm",
    "top nosuch",
    "stats --no-stream nosuch",
    "stats --no-stream box nosuch",
    "stats --no-stream -a --format {{.Name}}|{{.Container}}",
    "stats --no-stream --format {{.ID}}|{{.PIDs}} box",
    "history IMAGE",
    "history --no-trunc IMAGE",
    "history -q IMAGE",
    "history -H=false IMAGE",
    "history --format {{.ID}}|{{.CreatedAt}}|{{.Comment}} IMAGE",
    "history nosuch",
    "tag nosuch y",
    "tag IMAGE Bad:Name:x",
    "save nosuch",
    "export nosuch",
    "import /nosuch",
    "load -i /nosuch",
    "commit nosuch",
    "system df --format {{.Type}}:{{.TotalCount}}",
    "volume ls",
    "volume inspect nosuch",
    "volume rm nosuch",
    "network ls -f driver=bridge",
    "network ls -q --no-trunc",
    "network ls --format {{.Name}}:{{.Driver}}:{{.Scope}}:{{.Internal}}:{{.CreatedAt}}",
    "network inspect bridge",
    "inspect bridge",
    "inspect --type network bridge",
    "inspect --type volume bridge",
    "inspect nosuch",
    "network inspect nosuch bridge",
    "network rm nosuch",
    "network rm bridge",
    "network connect nosuch box",
    "network disconnect bridge nosuch",
    "container prune -f",
    "image prune -f",
    "network prune -f",
    "system prune -f",
    "volume prune -f",
    "container prune",
    "image prune",
    "network prune",
    "image ls",
    "image rm nosuch",
    "container ls -aq --no-trunc",
    "container inspect nosuch",
    "container inspect box",
    "image inspect IMAGE",
    "system info --format {{.OSType}}",
]


@pytest.mark.parametrize("words", LOOKS)
def test_words_that_change_nothing(hyper: Run, docker: Run, engine: Engine, words: str) -> None:
    """Answers of every kind of object, and what is said where there is none."""
    argv = [engine.image if word == "IMAGE" else word for word in words.split()]
    same(hyper(*argv), docker(*argv))


def test_limit_in_stats(hyper: Run, docker: Run, engine: Engine) -> None:
    """How much memory there is; the kernel counts what is in use in batches, so that figure changes at rest too."""
    limit = '{{index (split .MemUsage " / ") 1}}'
    words = ("stats", "--no-stream", "--format", limit, "box")
    same(hyper(*words), docker(*words))


def test_pause_rename_update(hyper: Run, docker: Run, engine: Engine) -> None:
    """hyper does it, docker sees it, and the other way round."""
    paused = hyper("pause", "box")
    state = docker("inspect", "-f", "{{.State.Status}}", "box").stdout
    assert (paused.stdout, state) == (
        (b"box\n", b"paused\n") if paused.returncode == 0 else (b"", b"running\n")
    )
    same(hyper("unpause", "box"), docker("unpause", "box") if paused.returncode else paused)
    done = hyper("rename", "box", "crate")
    assert done.stdout == b""
    if done.returncode == 0:
        assert docker("rename", "crate", "box").returncode == 0


def test_a_volume(hyper: Run, docker: Run, engine: Engine) -> None:
    """Made, listed, looked at and removed."""
    made = hyper("volume", "create", "--label", "a=b", "data")
    if made.returncode:
        same(made, docker("volume", "create", "data"))
        return
    assert made.stdout == b"data\n"
    looks = ["ls", "ls -q", "ls -f name=data", "inspect data", "inspect data nosuch"]
    looks += [
        "inspect -f {{.Name}}|{{.Labels}} data",
        "ls --format {{.Name}}|{{.Labels}}|{{.Size}}",
    ]
    # docker orders the fields anew: only dockerd sends them in that order.
    looks = [look for look in looks if not (engine.is_hyper and look.startswith("inspect data"))]
    for words in map(str.split, looks):
        same(hyper("volume", *words), docker("volume", *words))
    assert hyper("volume", "rm", "nosuch", "data").stdout == b"data\n"
    assert docker("volume", "ls", "-q").stdout == b""


NETWORKS = {
    "plain": [],
    "internal": ["--internal", "--label", "a=b", "--attachable"],
    "addresses": ["--subnet", "10.251.0.0/16", "--ip-range", "10.251.7.0/24", "--gateway", "10.251.7.9",
                  "--aux-address", "printer=10.251.7.20"],
    "options": ["-o", "com.docker.network.bridge.enable_icc=false", "-d", "bridge"],
}  # fmt: skip


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network(hyper: Run, docker: Run, case: str) -> None:
    """What hyper asks for is what docker asks for with the same words."""
    seen = []
    for run in (hyper, docker):
        made = run("network", "create", *NETWORKS[case], "mine")
        if made.returncode == 0:
            found = json.loads(docker("network", "inspect", "mine").stdout)[0]
            for field in ("Id", "Created"):
                del found[field]
            if "--subnet" not in NETWORKS[case]:
                del found["IPAM"]["Config"]
            seen.append(found)
            gone = run("network", "rm", "mine")
            assert gone.stdout == b"mine\n"
        else:
            seen.append([made.returncode, made.stdout])
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "flags", [["--subnet", "x"], ["--gateway", "1.2.3.4"], ["--subnet", "10.1.0.0/16", "--gateway", "9.9.9.9"]]
)  # fmt: skip
def test_addresses_that_make_no_sense(hyper: Run, docker: Run, flags: list[str]) -> None:
    """Refused by both, and nothing is made."""
    assert docker("network", "create", *flags, "odd").returncode
    assert hyper("network", "create", *flags, "odd").returncode
    assert docker("network", "inspect", "odd").returncode == 1


def test_connect_and_disconnect(hyper: Run, docker: Run) -> None:
    """The container has the alias and the address that were asked for."""
    if docker("network", "create", "--subnet", "10.252.0.0/24", "back").returncode:
        return
    try:
        joined = hyper(
            "network", "connect", "--alias", "db,sql", "--ip", "10.252.0.77", "back", "box"
        )
        if joined.returncode == 0:
            shape = '{{json (index .NetworkSettings.Networks "back")}}'
            endpoint = json.loads(docker("inspect", "-f", shape, "box").stdout)
            assert endpoint["IPAddress"] == "10.252.0.77"
            assert {"db", "sql"} <= set(endpoint["Aliases"])
            same(hyper("network", "rm", "back"), docker("network", "rm", "back"))
            assert hyper("network", "disconnect", "back", "box").returncode == 0
        else:
            same(joined, docker("network", "connect", "back", "box"))
    finally:
        docker("network", "rm", "back")


def test_images_as_archives(hyper: Run, docker: Run, engine: Engine, tmp_path: Path) -> None:
    """export, import with changes, commit, save to a file, load: the image that docker sees is the one meant."""
    exported = hyper("export", "box")
    if exported.returncode:
        same(exported, docker("export", "box"))
        return
    with tarfile.open(fileobj=BytesIO(exported.stdout)) as tar:
        assert "d/y" in [name.removeprefix("./") for name in tar.getnames()]
    made = hyper("import", "-c", 'CMD ["true"]', "-m", "why", "-", "mine:1", stdin=exported.stdout)
    assert made.returncode == 0, made.stderr
    shape = "{{json .Config.Cmd}} {{.Comment}}"
    assert docker("image", "inspect", "-f", shape, "mine:1").stdout == b'["true"] why\n'
    assert docker("image", "inspect", "-f", "{{.Id}}", "mine:1").stdout == made.stdout
    archive = tmp_path / "mine.tar"
    archive.write_text("to be replaced")
    assert hyper("save", "-o", str(archive), "mine:1").returncode == 0
    docker("rmi", "mine:1")
    loaded = hyper("load", "-q", "-i", str(archive))
    assert loaded.stdout == b"Loaded image: mine:1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar"]
    committed = hyper("commit", "-a", "me", "-m", "msg", "-c", "ENV A=b", "box", "made:2")
    shape = "{{.Id}} {{.Author}} {{.Comment}} {{json .Config.Env}}"
    said = docker("image", "inspect", "-f", shape, "made:2").stdout.decode()
    assert said.startswith(f"{committed.stdout.decode().strip()} me msg")
    assert '"A=b"' in said
    docker("rmi", "mine:1", "made:2")


def test_a_file_that_cannot_be_written(hyper: Run, engine: Engine) -> None:
    """One line with the reason, and no partial file."""
    done = hyper("save", "-o", "/nosuch/folder/x.tar", engine.image)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) <= 2


CREATIONS = {
    "limits": "--pids-limit 50 --cpuset-cpus 0 --cpu-shares 512 -m 64m --memory-swap 128m --memory-reservation 32m",
    "quota": "--cpu-period 50000 --cpu-quota 25000 --memory-swappiness 10 --oom-score-adj 500 --blkio-weight 300",
    "health": "--health-cmd true --health-interval 1m30s --health-retries 4 --health-timeout 3s",
    "no_health": "--no-healthcheck",
    "log": "--log-driver json-file --log-opt max-size=1m --log-opt max-file=3",
    "log_none": "--log-driver none",
    "dns": "--dns 9.9.9.9 --dns-option ndots:2 --dns-search a.example --dns-search b.example --domainname d.example",
    "mounts": "--mount type=volume,src=v,dst=/v,volume-nocopy --mount type=tmpfs,dst=/t,tmpfs-mode=1777",
    "binds": "--mount type=bind,src=/tmp,dst=/b,ro,bind-propagation=rslave --volumes-from box:ro -v vol:/w",
    "devices": "--device /dev/null:/dev/nix:r --device /dev/zero --device-cgroup-rule=c+1:3+r",
    "network": "--network none",
    "links": "--link box:other --expose 9",
    "names": "--userns host --uts host --ipc private --cgroupns private --runtime runc",
    "labels": "--label-file FILE -l x=y",
    "restart": "--restart unless-stopped --stop-timeout 3 --init",
    "ports": "-p 127.0.0.1:0:80 -p 7000-7002:90-92/udp -P --expose 1",
}


@pytest.mark.parametrize("case", CREATIONS)
def test_create_asks_for_the_same(
    hyper: Run, docker: Run, engine: Engine, tmp_path: Path, case: str
) -> None:
    """The container that hyper makes is the one docker makes with the same flags; so is a refusal.

    What is asked for is the client's doing: dockerd, which keeps it as it came, shows it.
    """
    if engine.is_hyper:
        return
    labels = tmp_path / "labels"
    labels.write_text("# these\na=b\nalone\n")
    flags = [
        word.replace("+", " ") for word in CREATIONS[case].replace("FILE", str(labels)).split()
    ]
    seen = []
    for run in (hyper, docker):
        made = run("create", "--name", "made", *flags, engine.image, "true")
        if made.returncode == 0:
            found = json.loads(docker("inspect", "made").stdout)[0]
            seen.append(_asked_for(found))
            docker("rm", "-v", "made")
        else:
            seen.append([made.returncode, made.stdout])
    docker("volume", "rm", "-f", "v", "vol")
    assert seen[0] == seen[1]


def _asked_for(found: dict[str, dict[str, object]]) -> object:
    config, host = found["Config"], found["HostConfig"]
    if len(str(config["Hostname"])) == 12:
        del config["Hostname"]
    endpoints = found["NetworkSettings"]["Networks"]
    assert isinstance(endpoints, dict)
    asked = {name: [e.get("IPAMConfig"), e.get("Links")] for name, e in endpoints.items()}
    return [
        {k: v for k, v in part.items() if v not in (None, [], {}, "", [0, 0], -1)}
        for part in (config, host, asked)
    ]


def test_a_name_that_is_nearly_right(hyper: Run, docker: Run, engine: Engine) -> None:
    """The error says which container may have been meant."""
    docker("create", "--name", "crate-of-tea", engine.image, "true")
    try:
        assert b"did you mean crate-of-tea?" in hyper("logs", "crate-off-tea").stderr
        assert b"did you mean" not in hyper("logs", "zzzzzz").stderr
    finally:
        docker("rm", "crate-of-tea")
