"""hyperd's words: dockerd's work, or are refused with the reason; in the file as on the command line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hyper.config import Config, certs_dirs, defaults, usual_engines
from hyper.daemon import options
from hyper.daemon.fixed import FIXED
from hyper.engine.spec import defaults as container_defaults
from hyper.errors import Conflict, HyperError, InvalidRequest
from hyper.system import pidfile
from hyper.types.container import HostConfig, LogConfig, Ulimit

PAGE = Path(__file__).parents[2] / "docs/daemon.md"
#: (words, file, field, value): the same said twice.
DEFAULTS = [
    (["--dns", "192.0.2.1"], {"dns": ["192.0.2.1"]}, "dns", ("192.0.2.1",)),
    (["--dns-search", "a.example"], {"dns-search": ["a.example"]}, "dns_search", ("a.example",)),
    (["--dns-opt", "ndots:2"], {"dns-opts": ["ndots:2"]}, "dns_opts", ("ndots:2",)),
    (
        ["--default-ulimit", "nofile=10:20"],
        {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}}},
        "default_ulimits",
        (("nofile", 10, 20),),
    ),
    (["--default-shm-size", "8m"], {"default-shm-size": "8m"}, "default_shm_size", 8 << 20),
    (["--init"], {"init": True}, "init", True),
    (["--no-new-privileges"], {"no-new-privileges": True}, "no_new_privileges", True),
    (["--log-driver", "local"], {"log-driver": "local"}, "log_driver", "local"),
    (["--log-opt", "k=v"], {"log-opts": {"k": "v"}}, "log_opts", {"k": "v"}),
    (["-p", "/x/pid"], {"pidfile": "/x/pid"}, "pidfile", Path("/x/pid")),
    (["--label", "a=b"], {"labels": ["a=b"]}, "labels", ("a=b",)),
    (["--http-proxy", "http://p:1"], {"http-proxy": "http://p:1"}, "http_proxy", "http://p:1"),
    (
        ["--https-proxy", "p:1"],
        {"proxies": {"https-proxy": "p:1", "no-proxy": "x"}},
        "https_proxy",
        "p:1",
    ),
    (["--no-proxy", "a,b"], {"proxies": {"no-proxy": "a,b"}}, "no_proxy", "a,b"),
    (["--registry-ca", "/x/ca"], {"registry-ca": ["/x/ca"]}, "registry_ca", (Path("/x/ca"),)),
    (
        ["--allowed-host", "b.example"],
        {"allowed-hosts": ["b.example"]},
        "allowed_hosts",
        ("b.example",),
    ),
    (
        ["--allowed-origin", "https://c.example"],
        {"allowed-origins": ["https://c.example"]},
        "allowed_origins",
        ("https://c.example",),
    ),
    (["--local-engines=false"], {"local-engines": False}, "local_engines", ()),
    (["--local-engines"], {"local-engines": True}, "local_engines", usual_engines()),
    (
        ["--local-engines", "unix:///a,unix:///b"],
        {"local-engines": ["unix:///a", "unix:///b"]},
        "local_engines",
        (Path("/a"), Path("/b")),
    ),
]


def read_file(tmp_path: Path, content: Any) -> Config:
    """What a daemon with this configuration file would be."""
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps(content))
    return options.read(["--config-file", str(path)])[0]


@pytest.mark.parametrize(("words", "content", "name", "value"), DEFAULTS)
def test_an_option_and_its_key_say_the_same(
    tmp_path: Path, words: list[str], content: dict[str, Any], name: str, value: Any
) -> None:
    """Each of dockerd's spellings ends in the same setting."""
    assert getattr(options.read(words)[0], name) == value
    assert getattr(read_file(tmp_path, content), name) == value


@pytest.mark.parametrize("item", FIXED, ids=lambda item: item.word)
def test_what_cannot_be_had_is_refused_with_the_reason(tmp_path: Path, item: Any) -> None:
    """One line each, on the command line and in the file; what is true already is accepted in both."""
    with pytest.raises(
        InvalidRequest, match=f"^--{item.word}=something else cannot be had: "
    ) as no:
        options.read([f"--{item.word}=something else"])
    assert item.why in no.value.message
    with pytest.raises(InvalidRequest, match=f"key {item.name}: .* cannot be had: "):
        read_file(tmp_path, {item.name: "something else"})
    for value in ("30",) if item.is_number else item.accepted:
        options.read([f"--{item.word}={value}"])
        read_file(tmp_path, {item.name: [value] if item.key else value})


def test_every_one_of_them_is_in_the_documentation() -> None:
    """Word, accepted values and reason, as the code has them."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `--")]
    expected = []
    for item in FIXED:
        accepted = ["any number"] if item.is_number else [f"`{value}`" for value in item.accepted]
        words = f"`--{item.word}`" + (f", `-{item.short}`" if item.short else "")
        expected.append(f"| {words} | {', '.join(accepted) or '–'} | {item.why} |")
    assert rows == expected


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"no-such-key": 1}, "unknown key: no-such-key"),
        ({"dns": "192.0.2.1"}, "key dns: Expected `array`"),
        ({"init": "yes"}, "key init: Expected `bool`"),
        ({"default-ulimits": {"nofile": 3}}, "key default-ulimits: Expected `object`"),
        ({"default-shm-size": "much"}, "key default-shm-size: invalid size"),
        ({"iptables": False}, "key iptables: false cannot be had"),
        ({"exec-opts": ["native.cgroupdriver=systemd"]}, "cgroupdriver=systemd cannot be had"),
        ({"local-engines": ["/a"]}, "key local-engines: '/a' is neither true nor false nor unix"),
        ({"local-engines": 1}, "key local-engines: Expected"),
        ({"runtimes": {"nvidia": {"path": "x"}}}, "key runtimes: nvidia="),
    ],
)
def test_a_files_mistakes_are_named(tmp_path: Path, content: Any, why: str) -> None:
    """The key and what is wrong with it."""
    with pytest.raises(InvalidRequest, match=why):
        read_file(tmp_path, content)


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Either case, capitals first; the file wins over it, the command line over both."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.setenv(name.lower(), f"small-{name.lower()}")
    assert defaults().http_proxy == "small-http_proxy"
    monkeypatch.setenv("HTTP_PROXY", "capital")
    found = defaults()
    assert found.http_proxy == "capital"
    assert (found.https_proxy, found.no_proxy) == ("small-https_proxy", "small-no_proxy")
    content = {"proxies": {"http-proxy": "file"}}
    assert read_file(tmp_path, content).http_proxy == "file"
    words = ["--config-file", str(tmp_path / "daemon.json"), "--http-proxy", "word"]
    assert options.read(words)[0].http_proxy == "word"
    with pytest.raises(InvalidRequest, match=r"key proxies: .*unknown field `ftp-proxy`"):
        read_file(tmp_path, {"proxies": {"ftp-proxy": "x"}})


def test_folders_of_registries_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's before the system's, Hyper's before Docker's; root has the system's only."""
    system = [Path("/etc/hyper/certs.d"), Path("/etc/docker/certs.d")]
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert [*certs_dirs()] == system
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    assert [*certs_dirs()] == [Path("/c/hyper/certs.d"), Path("/c/docker/certs.d"), *system]


def test_the_usual_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's and podman's sockets; a user's own come first. The command line has the last word over the file."""
    system = [Path("/var/run/docker.sock"), Path("/run/podman/podman.sock")]
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert [*defaults().local_engines] == system
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    own = [Path("/run/user/1000/docker.sock"), Path("/run/user/1000/podman/podman.sock")]
    assert [*usual_engines()] == own + system
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert [*usual_engines()] == system


def test_the_command_line_switches_local_engines_on_again(tmp_path: Path) -> None:
    """Though the file says no."""
    path = tmp_path / "daemon.json"
    path.write_text('{"local-engines": false}')
    config, _ = options.read(["--config-file", str(path), "--local-engines=true"])
    assert config.local_engines == usual_engines()


def test_what_the_file_leaves_empty_asks_for_nothing(tmp_path: Path) -> None:
    """As tools write it that know all keys."""
    read_file(tmp_path, {"bridge": "", "runtimes": {}, "storage-opts": [], "features": None})


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--dns", "here"], "invalid IP address for DNS"),
        (["--default-ulimit", "wings=2"], "invalid ulimit type: wings"),
        (["--log-driver", "syslog"], "no log driver named 'syslog'"),
    ],
)
def test_a_default_that_no_container_could_have_is_refused(words: list[str], why: str) -> None:
    """When the daemon starts, not when the first container does."""
    with pytest.raises(HyperError, match=why):
        container_defaults.check(options.read(words)[0])


def test_containers_say_otherwise() -> None:
    """The daemon's word counts for what a container leaves out, and for nothing else."""
    words = "--dns 192.0.2.1 --default-ulimit nofile=10 --default-ulimit core=0 --init --default-shm-size 8m"
    config = options.read([*words.split(), "--no-new-privileges", "--log-opt", "a=1"])[0]
    silent = container_defaults.filled(HostConfig(), config)
    assert (silent.dns, silent.init, silent.shm_size) == (["192.0.2.1"], True, 8 << 20)
    assert silent.ulimits == [Ulimit("nofile", 10, 10), Ulimit("core", 0, 0)]
    assert (silent.security_opt, silent.log_config.config) == (["no-new-privileges"], {"a": "1"})
    asked = HostConfig(
        dns=["192.0.2.9"],
        init=False,
        shm_size=1 << 20,
        ulimits=[Ulimit("nofile", 5, 5)],
        security_opt=["no-new-privileges=false"],
        log_config=LogConfig("local", {}),
    )
    said = container_defaults.filled(asked, config)
    assert (said.dns, said.init, said.shm_size) == (["192.0.2.9"], False, 1 << 20)
    assert said.ulimits == [Ulimit("nofile", 5, 5), Ulimit("core", 0, 0)]
    assert said.security_opt == ["no-new-privileges=false"]
    assert said.log_config == LogConfig("local", {})


def test_no_defaults_change_nothing() -> None:
    """A daemon that was told nothing leaves a container as it was asked for."""
    host = container_defaults.filled(HostConfig(), defaults())
    assert (host.dns, host.ulimits, host.init, host.security_opt) == (None, None, None, None)


def test_the_pid_file_is_ours_while_it_lasts(tmp_path: Path) -> None:
    """A living process's is refused, a dead one's taken over, another's successor left alone."""
    path = tmp_path / "pid"
    with pidfile.written(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        path.write_text(str(other.pid))
        with (
            pytest.raises(Conflict, match=f"PID {other.pid} is still running"),
            pidfile.written(path),
        ):
            pass
        assert other.stdin is not None
        other.stdin.close()
    for leaving in (str(other.pid), "", "no number", "0"):
        path.write_text(leaving)
        with pidfile.written(path):
            pass
    with pidfile.written(path):
        path.write_text("1\n")
    assert path.read_text() == "1\n"


def test_a_pid_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It names the file and the reason."""
    with (
        pytest.raises(HyperError, match=r"cannot write the PID file .*: No such file"),
        pidfile.written(tmp_path / "no" / "pid"),
    ):
        pass
