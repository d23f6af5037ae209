"""``hyper`` beside ``docker`` on the same engine: the same words, the same output, the same exit code."""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyper.proto.docker_stream import DockerStreamDecoder
from tests.support.api import Api
from tests.support.command import DOCKER, HYPER, TIMEOUT_S, Run, call, same, timeless
from tests.support.dockerd import Engine

pytestmark = pytest.mark.root


@pytest.fixture
def clean(engine: Engine) -> Iterator[None]:
    """After the test no container and no volume is left."""
    yield
    for look, remove in (
        (["ps", "-aq"], ["rm", "-f", "-v"]),
        (["volume", "ls", "-q"], ["volume", "rm"]),
    ):
        left = call(engine, DOCKER, *look).stdout.decode().split()
        if left:
            call(engine, DOCKER, *remove, *left)


@pytest.fixture
def sleeper(hyper: Run, engine: Engine, clean: None) -> str:
    """A running container."""
    words = (
        "run",
        "-d",
        "--name",
        "sleeper",
        "-e",
        "WHO=me",
        "--init",
        engine.image,
        "sleep",
        "600",
    )
    assert hyper(*words).returncode == 0
    return "sleeper"


def test_ages_do_not_count() -> None:
    """Two tables of different moments are one; anything else still tells them apart."""
    table = b"IMAGE   CREATED          SIZE\nbox     10 seconds ago   2MB\n"
    later = b"IMAGE   CREATED              SIZE\nbox     About a minute ago   2MB\n"
    assert timeless(table) == timeless(later) == b"IMAGE CREATED SIZE\nbox AGE 2MB\n"
    assert timeless(table) != timeless(later.replace(b"2MB", b"3MB"))
    assert timeless(b"a  b\n") == b"a  b\n"


RUNS = {
    "hello": ([], ["echo", "hi"]),
    "status": ([], ["sh", "-c", "exit 17"]),
    "signalled": (["--init"], ["sh", "-c", "kill -9 $$"]),
    "terminated": (["--init"], ["sh", "-c", "kill -TERM $$; sleep 9"]),
    "both_streams": ([], ["sh", "-c", "echo o; echo e >&2"]),
    "not_found": ([], ["nosuch"]),
    "no_such_file": ([], ["/no/such"]),
    "is_a_folder": ([], ["/tmp"]),
    "not_executable": ([], ["/etc/passwd"]),
    "bad_folder": (["-w", "/etc/passwd"], ["true"]),
    "dashes": ([], ["echo", "--", "-x", "--rm"]),
    "dashes_first": ([], ["--", "echo"]),
    "no_rm": (["--rm=false"], ["true"]),
    "env": (["-e", "A=b c", "-e", "FROM_US", "-e", "UNSET", "--env=Z="], ["env"]),
    "env_short": (["-eA=b"], ["sh", "-c", "echo $A"]),
    "user": (["-u", "nobody", "--group-add", "50"], ["id"]),
    "user_number": (["-u", "1000:1000"], ["id"]),
    "no_such_user": (["-u", "ghost"], ["id"]),
    "workdir": (["-w", "/a/b"], ["pwd"]),
    "hostname": (["-h", "box"], ["hostname"]),
    "entrypoint": (["--entrypoint", "echo"], ["-n", "x"]),
    "entrypoint_reset": (["--entrypoint", ""], ["echo", "x"]),
    "read_only": (["--read-only"], ["touch", "/x"]),
    "tmpfs": (["--tmpfs", "/scratch:size=1m"], ["sh", "-c", "grep /scratch /proc/mounts"]),
    "volume": (["-v", "/etc/hostname:/h:ro"], ["cat", "/h"]),
    "anonymous_volume": (["-v", "/data"], ["sh", "-c", "touch /data/x && ls /data"]),
    "mount": (["--mount", "type=bind,source=/etc/hostname,target=/h,readonly"], ["cat", "/h"]),
    "ulimit": (["--ulimit", "nofile=64:128"], ["sh", "-c", "ulimit -n"]),
    "tty_without_stdin": (["-t"], ["echo", "hi"]),
    "attach_stderr_only": (["-a", "stderr"], ["sh", "-c", "echo o; echo e >&2"]),
    "conflict": (["--name", "twice", "--name", "bad name"], ["true"]),
    "dead_stdin": ([], ["cat"]),
}


@pytest.mark.parametrize("case", RUNS)
def test_run(hyper: Run, docker: Run, engine: Engine, clean: None, case: str) -> None:
    """``hyper run`` prints and returns what ``docker run`` does."""
    flags, command = RUNS[case]
    words = ["run", "--rm", *flags, engine.image, *command]
    mine, theirs = (r(*words, stdin=b"ignored", FROM_US="here") for r in (hyper, docker))
    # The host name of each container is its own.
    if case == "env":
        assert _without(mine.stdout, b"HOSTNAME") == _without(theirs.stdout, b"HOSTNAME")
    else:
        same(mine, theirs)
    if case == "both_streams":
        assert mine.stderr == b"e\n"


def _without(lines: bytes, name: bytes) -> list[bytes]:
    return sorted(line for line in lines.splitlines() if not line.startswith(name))


@pytest.mark.parametrize("size", [0, 1, 4096, 300_000])
def test_stdin_is_passed_on_and_its_end_too(hyper: Run, engine: Engine, size: int) -> None:
    """The program gets all of standard input, and its end."""
    data = os.urandom(size)
    done = hyper("run", "--rm", "-i", engine.image, "cat", stdin=data)
    assert (done.returncode, done.stdout) == (0, data)


def test_thirty_megabytes_go_through_both_ways_at_once(hyper: Run, engine: Engine) -> None:
    """No byte is lost where both directions are full."""
    data = os.urandom(1024 * 1024) * 30
    done = hyper("run", "--rm", "-i", engine.image, "cat", stdin=data)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_container_that_ends_before_its_input_ends_the_command(
    hyper: Run, engine: Engine
) -> None:
    """A program that reads three bytes of three megabytes is not waited for any longer."""
    done = hyper("run", "--rm", "-i", engine.image, "head", "-c", "3", stdin=b"x" * 3_000_000)
    assert (done.returncode, done.stdout) == (0, b"xxx")


def test_a_reader_that_leaves_ends_the_command_quietly(engine: Engine, clean: None) -> None:
    """A closed pipe is no error that is told."""
    words = [*HYPER, "run", "--rm", engine.image, "yes"]
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=engine.environ(),
    )
    assert process.stdout is not None
    assert process.stdout.read(4) == b"y\ny\n"
    process.stdout.close()
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, said) == (141, b"")


EXECS = {
    "status": ([], ["sh", "-c", "echo o; exit 3"]),
    "not_found": ([], ["nosuch"]),
    "env": (["-e", "A=b"], ["sh", "-c", "echo $A $WHO"]),
    "user": (["-u", "nobody"], ["id"]),
    "workdir": (["-w", "/tmp"], ["pwd"]),
    "stdin": (["-i"], ["cat"]),
    "detached": (["-d"], ["true"]),
    "dashes": ([], ["echo", "--", "-i"]),
    "tty": (["-t"], ["echo", "hi"]),
}


@pytest.mark.parametrize("case", EXECS)
def test_exec(hyper: Run, docker: Run, sleeper: str, case: str) -> None:
    """``hyper exec`` prints and returns what ``docker exec`` does."""
    flags, command = EXECS[case]
    words = ["exec", *flags, sleeper, *command]
    mine, theirs = (r(*words, stdin=b"some input\n") for r in (hyper, docker))
    same(mine, theirs)


LOOKS = [
    ["ps", "--format", "{{.Names}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Ports}}|{{.Labels}}"],
    ["ps", "-a", "--format", "table {{.Names}}\t{{.Image}}"],
    ["ps", "-a", "--format", "table {{upper .Names}}\t{{if .Ports}}{{.Ports}}{{else}}none{{end}}"],
    ["ps", "-a", "--format", '{{range split .Names ","}}{{printf "%-9s|" .}}{{end}}{{len .Image}}'],
    ["ps", "-aq", "--no-trunc"],
    ["ps", "-a", "-f", "name=sleeper", "-f", "status=running", "--format", "{{.ID}}"],
    ["ps", "-f", "name=nobody"],
    ["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.CreatedAt}} {{.Networks}}"],
    ["images"],
    ["images", "-q"],
    ["images", "--no-trunc", "--digests"],
    ["images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"],
    ["images", "nosuch"],
    ["inspect", "-f", "{{.State.Status}} {{.State.Running}} {{json .Config.Cmd}}", "sleeper"],
    ["inspect", "-f", "{{.Config.Cmd}} {{.State.Pid}} {{.State.StartedAt}}", "sleeper"],
    [
        "inspect",
        "-f",
        "{{range $i, $e := .Config.Env}}{{$i}}={{$e}};{{end}}{{.Name | json}}",
        "sleeper",
    ],
    [
        "inspect",
        "-f",
        "{{with .State}}{{if and .Running (not .Paused)}}{{title .Status}}{{end}}{{end}}",
        "sleeper",
    ],
    [
        "inspect",
        "-f",
        '{{index .Config.Env 0}} {{len .Config.Cmd}} {{join .Config.Cmd ","}}',
        "sleeper",
    ],
    ["inspect", "--type", "image", "-f", "{{.Os}}/{{.Architecture}} {{.RepoTags}}", "busybox"],
    ["inspect", "sleeper", "busybox"],
    ["inspect", "nosuch"],
    ["inspect", "-f", "{{.Id}}", "sleeper", "nosuch"],
    ["logs", "sleeper"],
    ["logs", "nosuch"],
    ["port", "sleeper"],
    ["port", "sleeper", "80"],
    ["exec", "nosuch", "true"],
    ["start", "nosuch"],
    ["attach", "nosuch"],
    ["wait", "nosuch"],
    ["rm", "nosuch"],
    ["rm", "sleeper"],
    ["rm", "-f", "nosuch"],
    ["kill", "nosuch"],
    ["stop", "nosuch", "also"],
    ["rmi", "nosuch"],
    ["create", "--pull", "never", "nosuch"],
    ["run", "--pull", "never", "nosuch"],
    ["run", "-it", "busybox", "true"],
    ["exec", "-it", "sleeper", "true"],
    ["pull", "localhost:1/nothing"],
    ["pull", "-q", "localhost:1/nothing:tag"],
]


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_words_that_change_nothing(
    hyper: Run, docker: Run, engine: Engine, sleeper: str, words: list[str]
) -> None:
    """Commands that only look print what docker's print."""
    words = [engine.image if word == "busybox" else word for word in words]
    same(hyper(*words), docker(*words))


SIZES = [
    ["ps", "-a", "--format", "{{.Names}} {{.Size}}"],
    ["ps", "-as", "--format", "table {{.Names}}\t{{.Size}}"],
    ["inspect", "--size", "-f", "{{.SizeRw}}", "wrote"],
    ["system", "df"],
]


@pytest.fixture
def wrote(hyper: Run, engine: Engine, clean: None) -> str:
    """A container that has written and ended: what a running one wrote counts once its machine has written it back."""
    words = ("run", "--name", "wrote", engine.image, "sh", "-c", "yes | head -c 3000000 >/file")
    assert hyper(*words).returncode == 0
    # When its program has ended the machine still writes back; who stops it waits for that.
    assert hyper("stop", "wrote").returncode == 0
    return "wrote"


@pytest.mark.parametrize("words", SIZES, ids=" ".join)
def test_words_that_tell_sizes(hyper: Run, docker: Run, wrote: str, words: list[str]) -> None:
    """Sizes are docker's, in its units."""
    mine = hyper(*words)
    same(mine, docker(*words))
    assert re.search(rb"3(\.\d+)?MB|3\d{6}", mine.stdout)


def test_ps_and_list(hyper: Run, docker: Run, sleeper: str) -> None:
    """The tables; the age may tick between the two."""
    mine, theirs = (r("ps", "-a").stdout.decode().split("\n") for r in (hyper, docker))
    assert mine[0].split() == theirs[0].split()
    assert len(mine) == len(theirs)
    listed = hyper("list").stdout.decode()
    assert listed.split("\n")[0].split() == (
        "CONTAINER ID NAME IMAGE STATUS DRIVER VCPUS MEMORY BOOT PORTS".split()
    )
    assert "sleeper" in listed


@pytest.mark.parametrize(
    "words",
    [["stop", "-t", "0"], ["kill"], ["kill", "-s", "TERM"], ["rm", "-f"], ["restart", "-t", "0"]],
    ids=" ".join,
)
def test_words_that_end_a_container(
    hyper: Run, docker: Run, engine: Engine, clean: None, words: list[str]
) -> None:
    """Commands that end a container print its name, as docker's do."""
    for run in (docker, hyper):
        assert (
            run("run", "-d", "--init", "--name", "ending", engine.image, "sleep", "600").returncode
            == 0
        )
        done = run(*words, "ending")
        assert (done.returncode, done.stdout) == (0, b"ending\n")
        docker("rm", "-f", "ending")


def test_create_start_wait_logs_remove(
    hyper: Run, engine: Engine, clean: None, tmp_path: Path
) -> None:
    """A container's life by single commands, with its id in a file that is not written over."""
    cidfile = tmp_path / "cid"
    script = "echo out; echo err >&2; exit 4"
    made = hyper(
        "create", "--name", "job", "--cidfile", str(cidfile), engine.image, "sh", "-c", script
    )
    assert made.stdout.decode().strip() == cidfile.read_text()
    again = hyper("create", "--cidfile", str(cidfile), engine.image)
    assert again.returncode == 1
    assert hyper("start", "job").stdout == b"job\n"
    assert hyper("wait", "job").stdout == b"4\n"
    logs = hyper("logs", "job")
    assert (logs.stdout, logs.stderr) == (b"out\n", b"err\n")
    stamped = hyper("logs", "-t", "--tail", "1", "--since", "1h", "job")
    assert (stamped.stdout + stamped.stderr).count(b"Z ") == 1
    attached = hyper("start", "-a", "job")
    assert (attached.returncode, attached.stdout) == (4, b"out\n")
    assert hyper("attach", "job").returncode == 1
    assert hyper("rm", "job").stdout == b"job\n"


def test_details_of_logs(hyper: Run, docker: Run, engine: Engine, clean: None) -> None:
    """Labels and variables that the container's log options name, before each line and after its time."""
    options = ["--log-opt", "labels=a,nosuch", "--log-opt", "env=E,NOSUCH"]
    words = ["-l", "a=x y", "-l", "b=z", "-e", "E=1&2", engine.image, "printf", "one\\ntwo\\n"]
    assert docker("run", "--name", "told", *options, *words).stdout == b"one\ntwo\n"
    docker("run", "--name", "plain", engine.image, "echo", "out")
    for run in (docker, hyper):
        assert run("logs", "--details", "told").stdout == b"E=1%262,a=x+y one\nE=1%262,a=x+y two\n"
        stamped = run("logs", "--details", "-t", "-n", "1", "told").stdout
        assert re.fullmatch(rb"[-:.T0-9]+Z E=1%262,a=x\+y two\n", stamped), stamped
        assert run("logs", "--details", "plain").stdout == b" out\n"


def test_each_line_of_a_log_is_a_frame_of_its_own(docker: Run, engine: Engine, clean: None) -> None:
    """Also the last one without its end: clients take a frame for a line."""
    docker("run", "--name", "lines", engine.image, "printf", "a\\nbb\\n\\nc")
    api = Api(Path(engine.host.removeprefix("unix://")))
    status, content = api.raw("GET", "/containers/lines/logs?stdout=1")
    frames = DockerStreamDecoder().feed(content)
    assert (status, [data for _, data in frames]) == (200, [b"a\n", b"bb\n", b"\n", b"c"])


def test_follow_ends_with_the_container(hyper: Run, engine: Engine, clean: None) -> None:
    """``logs -f`` has all output, and ends with the program."""
    script = "echo a; sleep 1; echo b"
    hyper("run", "-d", "--name", "talk", engine.image, "sh", "-c", script)
    followed = hyper("logs", "-f", "talk")
    assert (followed.returncode, followed.stdout) == (0, b"a\nb\n")


CREATIONS = {
    "plain": [],
    "terminal": ["-it"],
    "input": ["-i"],
    "ports": [
        "-p",
        "80",
        "-p",
        "127.0.0.1:8080:81/udp",
        "-p",
        "9000-9002:90-92",
        "--expose",
        "7-8",
    ],
    "port_range_to_one": ["-p", "8000-8010:80", "-p", "[::1]:1:2", "-P"],
    "limits": ["-m", "64m", "--cpus", "1.5", "--shm-size", "8m", "--ulimit", "nofile=10:20"],
    "names": ["-h", "box", "--add-host", "a:1.2.3.4", "--add-host", "b=::1", "--dns", "9.9.9.9"],
    "labels": ["-l", "a=b", "--label", "alone", "--label", "x=y=z"],
    "caps": ["--cap-add", "NET_ADMIN", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
    "stop": ["--stop-signal", "INT", "--stop-timeout", "0", "--init"],
    "restart": ["--restart", "on-failure:3"],
    "always": ["--restart", "always"],
    "volumes": ["-v", "/a:/b:ro", "-v", "/anonymous", "-v", "named:/n", "--tmpfs", "/t:size=1m"],
    "privileged": ["--privileged", "--read-only", "--sysctl", "net.ipv4.ip_forward=1"],
    "no_network": ["--network", "none"],
    "user": ["-u", "1:2", "--group-add", "3", "-w", "/x", "--entrypoint", "a", "-e", "B=c"],
}


@pytest.mark.parametrize("case", CREATIONS)
def test_create_asks_for_the_same_container(
    hyper: Run, docker: Run, engine: Engine, clean: None, case: str
) -> None:
    """The same options make the same container as docker's client makes."""
    seen = []
    for name, run in (("mine", hyper), ("theirs", docker)):
        made = run("create", "--name", name, *CREATIONS[case], engine.image, "sleep", "1")
        assert made.returncode == 0, made.stderr
        found = json.loads(docker("inspect", name).stdout)[0]
        seen.append(_asked_for(found))
    assert seen[:1] == seen[1:]


def _asked_for(found: dict[str, object]) -> object:
    """Config and HostConfig without what differs by nature (ids) or means the same (null, [], {})."""
    config, host = found["Config"], found["HostConfig"]
    assert isinstance(config, dict)
    assert isinstance(host, dict)
    if len(config["Hostname"]) == 12:
        del config["Hostname"]
    # The docker client keeps -v in a map: its order is chance.
    host["Binds"] = sorted(host.get("Binds") or [])
    return [
        {k: v for k, v in d.items() if v not in (None, [], {}, "", [0, 0])} for d in (config, host)
    ]


SCRIPT = """
trap 'echo got TERM; exit 5' TERM
trap 'echo got INT; exit 6' INT
trap 'echo got USR1; exit 7' USR1
echo ready
while :; do sleep 0.05; done
"""


@pytest.mark.parametrize(
    ("number", "word", "code"),
    [(signal.SIGTERM, b"TERM", 5), (signal.SIGINT, b"INT", 6), (signal.SIGUSR1, b"USR1", 7)],
)
def test_a_signal_is_passed_on(
    engine: Engine, clean: None, number: int, word: bytes, code: int
) -> None:
    """A signal to the command is the program's, whose exit code is the command's."""
    words = [*HYPER, "run", "--rm", engine.image, "sh", "-c", SCRIPT]
    process = _start(engine, words)
    process.send_signal(number)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (out, process.returncode) == (b"got " + word + b"\n", code)


def test_without_sig_proxy_a_signal_ends_only_the_command(
    engine: Engine, docker: Run, clean: None
) -> None:
    """The container runs on where ``--sig-proxy=false`` was said."""
    words = [
        *HYPER,
        "run",
        "--sig-proxy=false",
        "--name",
        "stays",
        engine.image,
        "sh",
        "-c",
        SCRIPT,
    ]
    process = _start(engine, words)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert docker("inspect", "-f", "{{.State.Running}}", "stays").stdout == b"true\n"


def test_three_signals_end_a_command_whose_container_ignores_them(
    engine: Engine, docker: Run, clean: None
) -> None:
    """The third interrupt ends the command with 130; the container runs on."""
    script = "trap 'echo again' INT; echo ready; while :; do sleep 0.05; done"
    process = _start(engine, [*HYPER, "run", "--name", "deaf", engine.image, "sh", "-c", script])
    assert process.stdout is not None
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"again\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert docker("inspect", "-f", "{{.State.Running}}", "deaf").stdout == b"true\n"


def _start(engine: Engine, words: list[str]) -> subprocess.Popen[bytes]:
    """A command whose container has said ``ready``."""
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=engine.environ(),
    )
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], TIMEOUT_S)[0]
    assert process.stdout.readline() == b"ready\n"
    return process


def test_events_of_the_past(hyper: Run, docker: Run, engine: Engine, clean: None) -> None:
    """Events of the last hour are printed as docker's client prints them."""
    hyper("run", "--rm", "--name", "eventful", engine.image, "true")
    # Whole seconds: docker drops the fraction of a relative time.
    until = str(int(time.time()) + 1)
    words = ["events", "--since", "1h", "--until", until, "--filter", "container=eventful"]
    same(hyper(*words), docker(*words))


def test_no_daemon(hyper: Run) -> None:
    """A command without a daemon says where it looked; ``run`` ends with 125."""
    done = hyper("-H", "unix:///nowhere/x.sock", "ps")
    assert done.returncode == 1
    assert (
        b"Cannot connect to hyperd at unix:///nowhere/x.sock. Is the daemon running?" in done.stderr
    )
    assert hyper("-H", "unix:///nowhere/x.sock", "run", "x").returncode == 125


def test_hosts_are_honoured_in_order(hyper: Run, engine: Engine) -> None:
    """``-H`` comes before HYPER_HOST, and that before DOCKER_HOST."""
    assert hyper("ps", HYPER_HOST="unix:///nowhere").returncode == 1
    assert hyper("ps", HYPER_HOST=engine.host, DOCKER_HOST="unix:///nowhere").returncode == 0
    assert hyper("-H", engine.host, "ps", HYPER_HOST="unix:///nowhere").returncode == 0


def test_version_and_info(hyper: Run, docker: Run) -> None:
    """``version`` and ``info`` tell of the daemon, with templates as docker's."""
    words = ["version", "--format", "{{.Server.Version}}"]
    same(hyper(*words), docker(*words))
    assert b"Server:" in hyper("version").stdout
    assert b"Containers:" in hyper("info").stdout
    words = ["info", "--format", "{{.OSType}} {{json .ServerVersion}}"]
    same(hyper(*words), docker(*words))
