"""App Container Images run: from files, from servers, with all that their manifests say."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tools.imagebuilder import busybox_items, directory, file

from tests.support import aci
from tests.support.command import HYPER
from tests.support.containers import SERVE, port_of
from tests.support.hyperd import Hyperd, hyperd

pytestmark = pytest.mark.vm

DOCS = Path(__file__).parents[2] / "docs/rkt.md"
SHOW = [
    "/bin/sh",
    "-c",
    "id -u; id -g; id -G; pwd; env; grep CapBnd /proc/self/status; df -m / >/dev/null",
]


class Cli:
    """``hyper`` in a folder, against a daemon."""

    def __init__(self, daemon: Hyperd, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder

    def call(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = [*HYPER, "-H", self.daemon.host, *words]
        return subprocess.run(argv, input=stdin, capture_output=True, cwd=self.folder, timeout=120)

    def __call__(self, *words: str) -> str:
        """What it printed. Raises: AssertionError if it failed."""
        done = self.call(*words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def fails(self, *words: str) -> str:
        """What it complained of."""
        done = self.call(*words)
        assert done.returncode != 0, done.stdout.decode()
        return done.stderr.decode()

    def write(self, name: str, data: bytes) -> str:
        """A file in the folder; how to name it."""
        (self.folder / name).write_bytes(data)
        return f"./{name}"


@pytest.fixture(scope="module")
def site() -> Iterator[aci.Site]:
    """A server with an authority of its own."""
    with aci.site() as running:
        yield running


@pytest.fixture(scope="module")
def own(site: aci.Site) -> Iterator[Hyperd]:
    """A daemon that trusts the site's authority, as one of its host's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(site.ca))
        with hyperd() as daemon:
            yield daemon


@pytest.fixture
def cli(own: Hyperd, tmp_path: Path) -> Iterator[Cli]:
    """The command line; after the test the daemon has no container, no image and no key."""
    run = Cli(own, tmp_path)
    yield run
    own.clear()
    for key in run("trust", "ls", "--format", "{{.Fingerprint}}").split():
        run("trust", "rm", key)
    for found in own.api.get("/images/json?all=1"):
        own.api.delete(f"/images/{found['Id']}?force=1")


def test_aci_file_when_run_is_an_image_like_any_other(cli: Cli) -> None:
    """By its name, compressed or not; it is an image like any other, and known by both its ids and its name."""
    data = aci.busybox()
    path = cli.write("app.aci", aci.compressed(data, "gzip"))
    assert cli("run", "--rm", path) == "hello\n"
    (found,) = json.loads(cli("inspect", "example.com/app:1.0"))
    assert found["Aci"]["Id"] == aci.image_id(data)
    assert found["RepoTags"] == ["example.com/app:1.0"]
    assert cli.daemon.api.get(f"/images/{found['Id']}/json")["Aci"] == found["Aci"]
    assert cli("run", "--rm", aci.image_id(data)[:30]) == "hello\n"
    assert cli("run", "--rm", found["Id"]) == "hello\n"
    assert cli.daemon.run("run", "--rm", "example.com/app:1.0") == b"hello\n"


def test_aci_of_the_specs_example_runs(cli: Cli) -> None:
    """Made with its own words: tar and gzip; handlers around the program, user, group, groups, working directory."""
    described = aci.spec_example()
    base = aci.archive(
        aci.manifest("example.com/reduce-worker-base", labels={"os": "linux", "env": "canary"}),
        [directory("etc"), file("etc/reduce-worker.conf", "base\n"), file("etc/gone", "x")],
    )
    described["dependencies"][0] |= {"imageID": aci.image_id(base), "size": len(base)}
    programs = ("busybox", "reduce-worker", "data-downloader", "deregister-worker")
    described["pathWhitelist"] = [
        "/etc/reduce-worker.conf",
        "/opt/work/",
        *(f"/usr/bin/{name}" for name in programs),
    ]
    image = aci.by_hand(cli.folder, described)
    cli("pull", cli.write("base.aci", base))
    done = cli.call("run", "--name", "worker", str(image))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == [
        "data-downloader ",
        "reduce-worker --quiet",
        "deregister-worker --verbose",
    ]
    (found,) = json.loads(cli("inspect", "worker"))
    assert found["HostConfig"]["NanoCpus"] == 500_000_000
    assert found["HostConfig"]["GroupAdd"] == ["400", "500"]
    assert found["Config"]["User"] == "100:300"
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/var/lib/work"]
    box = ["run", "--rm", "--entrypoint", "/usr/bin/busybox", "example.com/reduce-worker:1.0.0"]
    assert "base" in cli(*box, "cat", "/etc/reduce-worker.conf")
    assert "gone" not in cli(*box, "ls", "/etc")
    assert "\n/opt/work\n" in cli(*box, "pwd")


def test_aci_manifest_settings_when_run_hold_in_the_guest(cli: Cli) -> None:
    """User, group, groups, working directory, variables, capabilities, mount points; the client's words win."""
    app = {
        "exec": SHOW,
        "user": "app",
        "group": "staff",
        "supplementaryGIDs": [400, 500],
        "workingDirectory": "/home/app",
        "environment": aci.pairs({"A": "1", "B": "2"}),
        "isolators": [
            {"name": "resource/memory", "value": {"limit": "192M"}},
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
        ],
        "mountPoints": [
            {"name": "work", "path": "/work"},
            {"name": "ro", "path": "/ro", "readOnly": True},
        ],
    }
    path = cli.write("app.aci", aci.busybox(app))
    lines = cli("run", "-e", "B=3", "--name", "all", path).splitlines()
    assert lines[:2] == ["1000", "50"]
    assert set(lines[2].split()) == {"50", "400", "500"}
    assert lines[3] == "/home/app"
    assert {"A=1", "B=3", "AC_APP_NAME=app", "container=hyper"} <= set(lines)
    assert any(re.fullmatch(r"CapBnd:\s*0*20", line) for line in lines)
    (found,) = json.loads(cli("inspect", "all"))
    assert found["HostConfig"]["Memory"] == 184 * 1024 * 1024
    assert {point["Destination"]: point["RW"] for point in found["Mounts"]} == {
        "/work": True,
        "/ro": False,
    }
    as_root = [
        "run",
        "--rm",
        "-u",
        "0",
        "-m",
        "128m",
        "--cap-add",
        "CHOWN",
        "--entrypoint",
        "sh",
        path,
        "-c",
    ]
    assert cli(*as_root, "touch /work/x && echo w; touch /ro/x 2>&1; true") == (
        "w\ntouch: /ro/x: Read-only file system\n"
    )


def test_aci_user_given_as_a_path_is_the_owner_of_that_file(cli: Cli) -> None:
    """The manifest may name a path whose owner is meant."""
    app = {"exec": ["/bin/id"], "user": "/etc/mine", "group": "/etc/mine"}
    data = aci.busybox(app, extra=[file("etc/mine", "", uid=33, gid=50)])
    assert cli("run", "--rm", cli.write("app.aci", data)).startswith(
        "uid=33(www-data) gid=50(staff)"
    )


def handlers(**programs: str) -> dict[str, Any]:
    main = programs.pop("main")
    return {
        "exec": ["/bin/sh", "-c", main],
        "eventHandlers": [
            {"name": name.replace("_", "-"), "exec": ["/bin/sh", "-c", words]}
            for name, words in programs.items()
        ],
    }


@pytest.mark.parametrize("tty", [False, True])
def test_handlers_run_around_the_program(cli: Cli, tty: bool) -> None:
    """In its root, in order, whatever it ends with; its status is the container's."""
    app = handlers(
        pre_start="echo before > /before; echo before",
        main="cat /before; echo main; exit 7",
        post_stop="echo after; cat /before; exit 3",
    )
    flags = ["-t"] if tty else []
    path = cli.write("app.aci", aci.busybox(app))
    (name,) = cli("create", "--name", "hooks", *flags, path).split()[:1]
    cli.daemon.api.post(f"/containers/{name}/start")
    assert cli.daemon.api.post(f"/containers/{name}/wait")["StatusCode"] == 7
    assert cli("logs", "hooks").split() == ["before", "before", "main", "after", "before"]


def test_a_program_does_not_start_when_its_handler_fails(cli: Cli) -> None:
    """The handler's status is the container's, and a line tells why."""
    app = handlers(pre_start="echo no >&2; exit 9", main="echo main", post_stop="echo after")
    done = cli.call("run", "--rm", cli.write("app.aci", aci.busybox(app)))
    assert done.returncode == 9
    assert done.stdout == b""
    assert b"no\nhyper: the pre-start handler ended with status 9\n" in done.stderr


def test_what_cannot_be_executed_between_handlers_is_told(cli: Cli) -> None:
    """A program, and a handler, that are not there."""
    app = handlers(pre_start="true", main="x") | {"exec": ["/nothing"]}
    done = cli.call("run", "--rm", cli.write("a.aci", aci.busybox(app)))
    assert done.returncode == 127
    assert b'exec: "/nothing"' in done.stderr
    app = handlers(main="echo main", post_stop="x")
    app["eventHandlers"][0]["exec"] = ["/nothing"]
    done = cli.call("run", "--rm", cli.write("b.aci", aci.busybox(app, name="example.com/b")))
    assert (done.returncode, done.stdout) == (0, b"main\n")
    assert b'exec: "/nothing"' in done.stderr


def test_a_stopped_program_has_its_last_handler_run(cli: Cli) -> None:
    """SIGTERM goes to the program; what it leaves is cleared up before the machine goes."""
    app = handlers(
        main="trap 'echo term; exit 5' TERM; echo up; sleep 1000 & wait", post_stop="echo after"
    )
    path = cli.write("app.aci", aci.busybox(app))
    cli("run", "-d", "--name", "stopped", path)
    logs = subprocess.Popen(
        [*HYPER, "-H", cli.daemon.host, "logs", "-f", "stopped"], stdout=subprocess.PIPE, text=True
    )
    assert logs.stdout is not None
    assert logs.stdout.readline() == "up\n"
    cli("stop", "stopped")
    assert logs.stdout.read() == "term\nafter\n"
    logs.stdout.close()
    assert logs.wait() == 0
    assert cli.daemon.api.get("/containers/stopped/json")["State"]["ExitCode"] == 5


def test_a_port_is_published_by_its_name(cli: Cli) -> None:
    """``-p HOST:NAME``: an answer comes from the port the image calls so."""
    app = {
        "exec": ["/bin/sh", "-c", SERVE],
        "ports": [{"name": "http", "port": 80, "protocol": "tcp"}],
    }
    path = cli.write("app.aci", aci.busybox(app))
    cli("run", "-d", "--name", "web", "-p", "127.0.0.1::http", path)
    logs = subprocess.Popen(
        [*HYPER, "-H", cli.daemon.host, "logs", "-f", "web"], stdout=subprocess.PIPE, text=True
    )
    assert logs.stdout is not None
    assert logs.stdout.readline() == "up\n"
    port = port_of(cli.daemon, "web", "80")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        assert answer.read() == b"hello\n"
    cli("rm", "-f", "web")
    logs.stdout.close()
    logs.wait()
    assert "the image has no port called 'web'" in cli.fails("create", "-p", "1:web", path)


def test_aci_by_url_and_by_name_is_fetched(cli: Cli, site: aci.Site) -> None:
    """Over TLS of an authority of its own; by discovery with a dependency."""
    base = aci.archive(aci.manifest("localhost/base"), busybox_items())
    top = aci.archive(
        aci.manifest(
            "localhost/app",
            app={"exec": ["/bin/cat", "/word"]},
            dependencies=[{"imageName": "localhost/base", "imageID": aci.image_id(base)}],
        ),
        [file("word", "found\n")],
    )
    site.announce("/", site.template)
    site.publish("localhost/base-latest", aci.compressed(base, "bzip2"))
    url = site.publish("localhost/app-1.0", aci.compressed(top, "xz"))
    assert cli("run", "--rm", f"aci:{site.host}/app:1.0") == "found\n"
    assert cli("pull", "-q", url).startswith("sha256:")
    assert cli("run", "--rm", url) == "found\n"
    complaint = cli.fails("run", f"aci:{site.host}/nothing:1.0")
    assert "no App Container Image localhost/nothing:1.0" in complaint


#: A name nobody has, at an address of loopback that is hardly anybody's: names without a port are asked at 443.
WHERE, ADDRESS = "appc.test", f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.77"


class Elsewhere(Hyperd):
    """A daemon that sees names of its own in /etc/hosts."""

    def argv(self) -> list[str]:
        hosts = self.folder / "hosts"
        hosts.write_text(f"{Path('/etc/hosts').read_text()}\n{ADDRESS} {WHERE}\n")
        words = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "-m", "sh", "-c", words, str(hosts), *super().argv()]


def test_a_name_that_no_registry_has_is_discovered(tmp_path: Path) -> None:
    """``hyper run appc.test/app:1.0``: no registry is there, its pages say where the image is. And then it is here.

    Where that fails too, the error names both attempts; where the host is a registry, its own alone.
    """
    with aci.site(WHERE, ADDRESS, 443) as site, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(site.ca))
        data = aci.busybox(name=f"{WHERE}/app")
        site.announce("/app", f"https://{WHERE}/{{name}}-{{version}}.{{ext}}")
        site.files[f"/{WHERE}/app-1.0.aci"] = site.files[f"/{WHERE}/app-latest.aci"] = data
        daemon = Elsewhere(Path(tempfile.mkdtemp(prefix="hyperd-")))
        daemon.start()
        try:
            run = Cli(daemon, tmp_path)
            assert run("run", "--rm", f"{WHERE}/app:1.0") == "hello\n"
            site.asked.clear()
            assert run("run", "--rm", "--pull", "never", f"{WHERE}/app:1.0") == "hello\n"
            assert site.asked == []
            assert run("pull", "-q", f"{WHERE}/app") == f"{WHERE}/app:1.0\n"
            assert run("run", "--rm", "--pull", "never", f"{WHERE}/app") == "hello\n"
            complaint = run.fails("run", f"{WHERE}/other:1.0")
            assert (
                "and as an App Container Image: no App Container Image appc.test/other" in complaint
            )
            site.files["/v2/"] = b"{}"
            complaint = run.fails("run", f"{WHERE}/other:1.0")
            assert "App Container" not in complaint
            run("rmi", f"{WHERE}/app:1.0", f"{WHERE}/app:latest")
        finally:
            daemon.close()


def test_a_name_of_nobody_is_told_in_one_error(cli: Cli) -> None:
    """Neither a registry nor a site answers there."""
    complaint = cli.fails("run", "nowhere.invalid/app:1.0")
    assert "nowhere.invalid" in complaint
    assert "and as an App Container Image: " in complaint


def test_aci_file_when_bad_is_refused_with_the_reason(cli: Cli) -> None:
    """No file, no image, another kind; nothing is left of it."""
    assert "no such file: ./none.aci" in cli.fails("run", "./none.aci")
    assert "this is no App Container Image" in cli.fails(
        "run", cli.write("a.aci", b"garbage" * 1000)
    )
    other = json.dumps(aci.manifest() | {"acKind": "PodManifest"}).encode()
    assert "acKind is 'PodManifest'" in cli.fails(
        "pull", cli.write("b.aci", aci.archive(other, []))
    )
    assert cli.daemon.api.get("/images/json?all=1") == []
    assert cli.daemon.api.get("/containers/json?all=1") == []


def test_bad_requests_have_a_status_each(own: Hyperd) -> None:
    """The routes under /hyper/v1, asked by somebody who does not know them."""
    for expected, method, path, body, headers in (
        (400, "POST", "/hyper/v1/images/aci", b"x" * 600, {}),
        (400, "POST", "/hyper/v1/images/aci", b"", {}),
        (400, "POST", "/hyper/v1/images/aci", aci.busybox(), {"X-Hyper-Signature": "?"}),
        (400, "POST", "/hyper/v1/images/fetch", None, {}),
        (400, "POST", "/hyper/v1/images/fetch?name=A", None, {}),
        (400, "POST", "/hyper/v1/images/fetch?name=https://[", None, {}),
        (400, "POST", "/hyper/v1/trust", b"garbage", {}),
        (400, "POST", "/hyper/v1/trust?prefix=../x", b"garbage", {}),
        (404, "DELETE", "/hyper/v1/trust/0123456789ABCDEF", None, {}),
        (404, "DELETE", "/hyper/v1/trust/..", None, {}),
    ):
        status, answer = own.api.raw(method, path, body, **headers)
        assert status == expected, (path, answer)
        assert "message" in json.loads(answer)
    assert own.api.get("/images/json?all=1") == []


def test_aci_signature_when_not_trusted_is_refused(cli: Cli) -> None:
    """Added, listed, effective on files, removed; a wrong signature is refused."""
    data = aci.busybox()
    path = cli.write("app.aci", data)
    with aci.Signer() as signer:
        cli.write("key.asc", signer.public)
        assert (
            cli("trust", "add", "--prefix", "example.com", "key.asc").strip() == signer.fingerprint
        )
        assert cli("trust", "ls").splitlines()[1].split()[:2] == ["example.com", signer.fingerprint]
        assert "is not signed" in cli.fails("run", path)
        cli.write("app.aci.asc", signer.sign(data + b"x"))
        assert "the signature of example.com/app is not good" in cli.fails("run", path)
        assert cli.daemon.api.get("/images/json?all=1") == []
        cli.write("app.aci.asc", signer.sign(data))
        assert cli("run", "--rm", path) == "hello\n"
        known = signer.fingerprint
    assert cli("trust", "rm", known).strip() == known
    (cli.folder / "app.aci.asc").unlink()
    done = cli.call("run", "--rm", path)
    assert done.stdout == b"hello\n"
    assert "no such trusted key" in cli.fails("trust", "rm", known)


def test_examples_of_the_rkt_page_print_what_it_says(cli: Cli) -> None:
    """Each example of docs/rkt.md prints what it says."""
    hello = aci.busybox(
        {"exec": ["/bin/echo", "hello from example.com/hello"]}, "example.com/hello"
    )
    with aci.Signer() as signer:
        cli.write("key.asc", signer.public)
        cli.write("hello.aci", hello)
        cli.write("hello.aci.asc", signer.sign(hello))
        cli.write("unsigned.aci", aci.busybox(name="example.com/unsigned"))
    examples = re.findall(r"```console\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert examples
    for example in examples:
        for step in re.split(r"^\$ ", example, flags=re.MULTILINE)[1:]:
            command, _, expected = step.partition("\n")
            done = cli.call(*shlex.split(command)[1:])
            shown = done.stdout if done.returncode == 0 else done.stderr
            if expected:
                assert shown.decode() == expected, command
            else:
                assert done.returncode == 0, done.stderr.decode()
