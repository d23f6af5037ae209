"""What the values of flags mean: ports, variables, mounts, sizes, keys, formats."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.cli import ago, columns, mounts, values
from hyper.cli.addresses import displayed
from hyper.cli.body import request_body
from hyper.cli.commands.run import start_failure_code
from hyper.cli.creation import CREATION, HOST, HOST_MAPS
from hyper.cli.devices import device
from hyper.cli.environment import read_env_file, variable
from hyper.cli.flags import UsageError, parse_flags
from hyper.cli.ports import Published
from hyper.cli.reference import full_name, split_reference
from hyper.cli.selector import compile_format
from hyper.client.errors import ApiError
from hyper.errors import InvalidRequest
from hyper.proto.detach import DetachKeys, parse_keys


def published(*specs: str) -> dict[str, list[tuple[str, str]]]:
    ports = Published()
    for spec in specs:
        ports.publish(spec)
    # Which port a name is, the daemon knows.
    assert ports.exposed.keys() == {
        key for key in ports.bindings if key[0].isdigit() and "/" in key
    }
    return {k: [(b["HostIp"], b["HostPort"]) for b in v] for k, v in ports.bindings.items()}


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("80", {"80/tcp": [("", "")]}),
        ("8080:80", {"80/tcp": [("", "8080")]}),
        ("8080:80/udp", {"80/udp": [("", "8080")]}),
        ("8080:80/TCP", {"80/tcp": [("", "8080")]}),
        ("0:80", {"80/tcp": [("", "0")]}),
        ("127.0.0.1:8080:80", {"80/tcp": [("127.0.0.1", "8080")]}),
        ("127.0.0.1::80/sctp", {"80/sctp": [("127.0.0.1", "")]}),
        ("[::1]:8080:80", {"80/tcp": [("::1", "8080")]}),
        ("::1:8080:80", {"80/tcp": [("::1", "8080")]}),
        ("90-91:80-81", {"80/tcp": [("", "90")], "81/tcp": [("", "91")]}),
        ("80-81", {"80/tcp": [("", "")], "81/tcp": [("", "")]}),
        ("9000-9009:80", {"80/tcp": [("", "9000-9009")]}),
        ("8080:http", {"http": [("", "8080")]}),
        ("http:8080", {"http": [("", "8080")]}),
        ("127.0.0.1:8080:web-2", {"web-2": [("127.0.0.1", "8080")]}),
        (":http", {"http": [("", "")]}),
    ],
)
def test_ports(spec: str, meant: dict[str, list[tuple[str, str]]]) -> None:
    assert published(spec) == meant


def test_one_port_published_twice() -> None:
    assert published("1:80", "2:80") == {"80/tcp": [("", "1"), ("", "2")]}


@pytest.mark.parametrize(
    "spec",
    ["", ":", "x", "80/icmp", "80/", "0", "65536", "1:65536", "2-1", "1-2:1-3",
     "1.2.3:1:2", "a:1:2", "1:2:", "-1", "8 0", "²", "host:1:1", "99999:1", "http", "1:http/udp", "a:b", "1:HTTP"],
)  # fmt: skip
def test_what_is_no_port(spec: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|unknown|length"):
        published(spec)


@given(st.text(alphabet="0123456789:-[]./udptc", max_size=14))
def test_ports_parse_or_are_refused(spec: str) -> None:
    try:
        for bound in published(spec).values():
            assert bound
    except ValueError:
        pass


def test_variables() -> None:
    assert variable("A=b=c", {}) == "A=b=c"
    assert variable("A", {"A": "ours"}) == "A=ours"
    assert variable("A", {}) == "A"
    with pytest.raises(ValueError, match="no name"):
        variable("=x", {})


def test_env_file(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"\xef\xbb\xbfA=1\n# no\n\n  B=two words \r\nOURS\nUNSET\nC=#x\n")
    assert read_env_file(str(path), {"OURS": "o"}) == ["A=1", "B=two words ", "OURS=o", "C=#x"]


@pytest.mark.parametrize("text", [b"A B=1\n", b"=x\n", b"A =1\n", b"\xff=1\n"])
def test_bad_env_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "env"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"line 1|UTF-8"):
        read_env_file(str(path), {})


def test_missing_env_file() -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_env_file("/no/such", {})


def test_volumes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert mounts.volume("/a:/b") == ("/a:/b", "")
    assert mounts.volume("/a:/b:ro") == ("/a:/b:ro", "")
    assert mounts.volume("name:/b") == ("name:/b", "")
    assert mounts.volume("./x:/b") == (f"{tmp_path}/x:/b", "")
    assert mounts.volume(".:/b") == (f"{tmp_path}:/b", "")
    assert mounts.volume("/only") == (None, "/only")
    for bad in ("", "name", "/a:b", ":/b", "/a:/b:ro:x"):
        with pytest.raises(ValueError, match=r"absolute|SOURCE"):
            mounts.volume(bad)


def test_mounts() -> None:
    assert mounts.mount("type=bind,src=/a,dst=/b,ro") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
    }
    assert mounts.mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700") == {
        "Type": "tmpfs",
        "Target": "/t",
        "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 0o700},
    }
    assert mounts.tmpfs("/t:size=1m,ro") == ("/t", "size=1m,ro")
    for bad in (
        "",
        "type=bind,target=/b",
        "type=x,target=/b",
        "target=b",
        "src=/a",
        "huh=1,target=/b",
    ):
        with pytest.raises(ValueError, match=r"needs|unknown|absolute|target"):
            mounts.mount(bad)


def test_mounts_with_options() -> None:
    """Fields are those of a CSV line; options belong to their type."""
    assert mounts.mount(
        'src=v,dst=/v,volume-nocopy,volume-driver=d,"volume-opt=o=a,b",volume-label=x=y'
    ) == {
        "Type": "volume",
        "Source": "v",
        "Target": "/v",
        "VolumeOptions": {
            "NoCopy": True,
            "DriverConfig": {"Name": "d", "Options": {"o": "a,b"}},
            "Labels": {"x": "y"},
        },
    }
    for bad in (
        "dst=/v,tmpfs-size=1m",
        "type=bind,src=/a,dst=/b,volume-nocopy",
        "dst=/v,volume-nocopy=maybe",
        "type=tmpfs,dst=/t,tmpfs-mode=999",
        'dst=/v,"x',
        "dst=/a\ndst=/b",
    ):
        with pytest.raises(
            ValueError, match=r"mix|true or false|octal|unknown|expected|new-line|absolute"
        ):
            mounts.mount(bad)


@given(st.text(alphabet='typebindsrctmf=,"/-\n', max_size=40))
def test_mounts_parse_or_are_refused(spec: str) -> None:
    try:
        made = mounts.mount(spec)
    except ValueError:
        return
    assert made["Target"].startswith("/")


def test_devices() -> None:
    assert device("/dev/a") == {
        "PathOnHost": "/dev/a",
        "PathInContainer": "/dev/a",
        "CgroupPermissions": "rwm",
    }
    assert device("/dev/a:/dev/b:r")["PathInContainer"] == "/dev/b"
    assert device("/dev/a:rw")["CgroupPermissions"] == "rw"
    for bad in ("", ":/x", "/a:/b:x", "/a:/b:r:w", "a:b", "rel"):
        with pytest.raises(ValueError, match=r"use|invalid|absolute"):
            device(bad)


def test_networks() -> None:
    """One or several, with addresses and names; what is asked twice is refused."""
    assert "NetworkingConfig" not in body("--network", "back")
    assert body("--network", "back")["HostConfig"]["NetworkMode"] == "back"
    two = body(
        "--network", "name=a,alias=x,alias=y,ip=10.0.0.9", "--network", "b", "--network-alias", "z"
    )
    assert two["NetworkingConfig"]["EndpointsConfig"] == {
        "a": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["x", "y", "z"]},
        "b": {},
    }
    mac = body("--mac-address", "02:42:ac:11:00:99")
    assert mac["MacAddress"] == "02:42:ac:11:00:99"
    assert mac["NetworkingConfig"]["EndpointsConfig"]["default"] == {
        "MacAddress": "02:42:ac:11:00:99"
    }
    for bad in (
        ["--network", "a", "--network", "a"],
        ["--network", "name=a,ip=1.2.3.4", "--ip", "1.2.3.5"],
        ["--network", "alias=x"],
        ["--network", "name=a,what=x"],
        ["--network", "name=a,ip"],
        ["--network", "name=a,gw-priority=x"],
    ):
        with pytest.raises(UsageError):
            body(*bad)


def test_health() -> None:
    asked = body("--health-cmd", "curl x", "--health-interval", "1m30s")["Healthcheck"]
    assert asked == {"Test": ["CMD-SHELL", "curl x"], "Interval": 90_000_000_000}
    assert body("--no-healthcheck")["Healthcheck"] == {"Test": ["NONE"]}
    with pytest.raises(UsageError):
        body("--no-healthcheck", "--health-cmd", "x")


def test_each_field_has_one_flag() -> None:
    """The tables name no flag and no field twice."""
    spelled = [name for flag in CREATION for name in flag.names]
    assert len(spelled) == len(set(spelled))
    fields = [field for table in (HOST, HOST_MAPS) for field, _ in table]
    assert len(fields) == len(set(fields))


def test_other_values() -> None:
    assert values.cpus("1.5") == 1_500_000_000
    assert values.ulimit("nofile=1:2") == "nofile=1:2"
    assert values.ulimit("core=-1") == "core=-1:-1"
    assert values.add_host("a=::1") == "a:::1"
    assert values.add_host("a:[::1]") == "a:::1"
    assert values.capability("net_admin") == "CAP_NET_ADMIN"
    assert values.restart("on-failure:3") == "on-failure:3"
    for parse, bad in (
        (values.cpus, "0"), (values.cpus, "nan"), (values.cpus, "x"), (values.ulimit, "nofile=2:1"),
        (values.ulimit, "x"), (values.restart, "always:3"), (values.restart, "x"), (values.add_host, "x"),
        (values.label, "=x"), (values.pair, "x"), (values.security, "seccomp=/no/such"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            parse(bad)


def body(*argv: str) -> dict[str, Any]:
    given_flags = parse_flags([*argv, "image", "cmd", "-x"], CREATION, passes_on=True)
    return request_body(given_flags, (False, True, True))


def test_a_request_holds_only_what_was_asked_for() -> None:
    assert body() == {
        "Image": "image",
        "Cmd": ["cmd", "-x"],
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
    }


def test_a_stop_timeout_of_nothing_is_something() -> None:
    assert body("--stop-timeout", "0")["StopTimeout"] == 0


@pytest.mark.parametrize(
    ("text", "size"), [("64m", 64 << 20), ("1.5g", 3 << 29), ("1000", 1000), ("2GiB", 2 << 30)]
)
def test_memory(text: str, size: int) -> None:
    assert body("-m", text)["HostConfig"]["Memory"] == size


def test_keys() -> None:
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("ctrl-@,ctrl-[,a,ctrl-A") == b"\x00\x1ba\x01"
    assert parse_keys("") == b""
    for strange in ("ctrl-\u0130", "ctrl-\u212a"):  # their small forms are two characters, and k
        with pytest.raises(ValueError, match="unknown key"):
            parse_keys(strange)
    for bad in ("ctrl-", "ctrl-1", "xy", "a,,b", "ctrl-pp", "é"):
        with pytest.raises(ValueError, match="key"):
            parse_keys(bad)


@given(
    st.binary(max_size=30), st.sampled_from([b"\x10\x11", b"aab", b"aa", b"a", b"abab"]), st.data()
)
def test_detach_keys_however_they_are_split(typed: bytes, keys: bytes, data: st.DataObject) -> None:
    """What passes is what precedes the first match; without one, all but a held beginning of it."""
    typed = bytes(keys[b % len(keys)] if b & 1 else b for b in typed)
    watch, passed, detached = DetachKeys(keys), b"", False
    rest = typed
    while rest and not detached:
        size = data.draw(st.integers(1, len(rest)))
        out, detached = watch.feed(rest[:size])
        passed, rest = passed + out, rest[size:]
    found = typed.find(keys)
    assert detached == (found >= 0)
    if detached:
        assert passed == typed[:found]
    else:
        assert typed.startswith(passed)
        assert keys.startswith(typed[len(passed) :])


OBJECT = {
    "A": {"B": "x", "C": [1, "two"], "D": None, "k/v": 5}, "Up": True, "F": 1.5, "E": {}, "L": ["a", "b"],
    "Ports": {"80/tcp": [{"HostPort": "8080"}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("{{.A.B}}", "x"),
        ("{{ .A.B }}-{{.Up}}", "x-true"),
        ("{{.A.C}}", "[1 two]"),
        ("{{.A.D}} {{.Nope.X}}", "<no value> <no value>"),
        ("{{json .A.C}}", '[1,"two"]'),
        ("{{json .E}}", "{}"),
        ("{{.E}} {{.F}}", "map[] 1.5"),
        ("A.B", "x"),
        (".A.C.0", "1"),
        ("plain text", "plain text"),
        (r"{{.A.B}}\t{{.F}}", "x\t1.5"),
        ("json", json.dumps(OBJECT, separators=(",", ":"))),
        # From here on gotpl's.
        ('{{index .A "k/v"}} {{index .A.C 0}}', "5 1"),
        ("{{len .A.C}}", "2"),
        ('{{join .L ","}}{{range split "a-b" "-"}} {{.}}{{end}}', "a,b a b"),
        ('{{upper .A.B}}{{lower "A"}}{{title "ab cd"}}', "XaAb Cd"),
        ('[{{pad .A.B 1 2}}{{truncate "abcd" 3}}]', "[ x  abc]"),
        ("{{.A.C | json}} {{- /* nothing */ -}} {{.A.B}}", '[1,"two"]x'),
        ("{{range $i, $e := .A.C}}{{$i}}={{$e}};{{else}}none{{end}}", "0=1;1=two;"),
        ("{{range .E}}x{{else}}none{{end}}", "none"),
        ('{{if and .Up (eq .A.B "x")}}yes{{else}}no{{end}}{{with .A}}{{.B}}{{end}}', "yesx"),
        ('{{printf "%-3s|%q|%.2f" .A.B .A.B .F}}', 'x  |"x"|1.50'),
        ("{{range $p, $c := .Ports}}{{$p}}->{{(index $c 0).HostPort}}{{end}}", "80/tcp->8080"),
    ],
)
def test_formats(text: str, printed: str) -> None:
    """Each prints what docker prints."""
    assert compile_format(text)(OBJECT) == printed


@pytest.mark.parametrize("text", ["{{range .A}}", "{{if .A}}", "{{}}", "{{.A", "{{nope .A}}"])
def test_formats_that_are_none(text: str) -> None:
    """The reason is told before anything is asked of the daemon."""
    with pytest.raises(ValueError, match="template parsing error: template:1:"):
        compile_format(text)


def test_a_format_that_does_not_fit() -> None:
    """The error names the place; it is none of ours."""
    with pytest.raises(InvalidRequest, match="index out of range"):
        compile_format("{{index .L 7}}")(OBJECT)


@given(st.text(alphabet='{}.AB json"index len 0', max_size=20))
def test_formats_compile_or_are_refused(text: str) -> None:
    """And print or say what does not fit."""
    try:
        render = compile_format(text)
    except ValueError:
        return
    with contextlib.suppress(InvalidRequest):
        assert isinstance(render(OBJECT), str)


def test_spans_of_time() -> None:
    minute, hour, day = 60, 3600, 86400
    said = {
        0.5: "Less than a second", 1: "1 second", 59: "59 seconds", 61: "About a minute",
        2 * minute: "2 minutes", 45 * minute: "45 minutes", hour: "About an hour", 5 * hour: "5 hours",
        3 * day: "3 days", 15 * day: "2 weeks", 70 * day: "2 months", 800 * day: "2 years",
    }  # fmt: skip
    assert {seconds: ago.in_words(seconds) for seconds in said} == said
    assert ago.since(0) == "N/A"
    assert ago.since("0001-01-01T00:00:00Z") == "N/A"


def test_listed_ports() -> None:
    ports = [
        {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "0.0.0.0"},
        {"PrivatePort": 81, "PublicPort": 8081, "Type": "tcp", "IP": "0.0.0.0"},
        {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "::"},
        {"PrivatePort": 443, "Type": "tcp"},
    ]
    assert displayed(ports) == "0.0.0.0:8080-8081->80-81/tcp, [::]:8080->80/tcp, 443/tcp"
    assert displayed([]) == ""


def test_columns() -> None:
    assert columns.aligned([["A", "B", "C"], ["long enough", "x", "y"]]) == (
        "A             B         C\nlong enough   x         y\n"
    )
    assert columns.shortened("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("image", "split"),
    [
        ("nginx", ("nginx", "latest")),
        ("nginx:1", ("nginx", "1")),
        ("localhost:5000/nginx", ("localhost:5000/nginx", "latest")),
        ("localhost:5000/nginx:1", ("localhost:5000/nginx", "1")),
        ("nginx@sha256:ab", ("nginx", "sha256:ab")),
    ],
)
def test_references(image: str, split: tuple[str, str]) -> None:
    assert split_reference(image) == split
    assert full_name(image).startswith(image)


@pytest.mark.parametrize(
    ("kind", "code"), [("program-not-found", 127), ("program-not-executable", 126), ("", 125)]
)
def test_start_failures(kind: str, code: int) -> None:
    """The exit code follows the machine-readable kind of the failure, whatever its words are."""
    error = ApiError("no such file or directory: permission denied", status=400, kind=kind)
    assert start_failure_code(error) == code
