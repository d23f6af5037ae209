"""What a client may get wrong: always a 4xx with one clear sentence, never a 500, and nothing is made."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from hyper.engine.lifecycle.execs import MAX_WAITING
from hyper.proto.limits import MAX_ARGS
from tests.support.bad_values import HUGE
from tests.support.containers import create
from tests.support.daemon_log import bugs
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm


def ask(
    daemon: Hyperd, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, str]:
    """Status and message of an answer; the body is sent as it is when it is bytes."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    status, content = daemon.api.raw(method, path, data, **headers)
    if status < 400:
        return status, ""
    if path.partition("?")[0].endswith("/attach"):
        # As dockerd, which writes them into the connection that it has taken over.
        assert content.endswith(b"\r\n")
        return status, content.decode().removesuffix("\r\n")
    answer = json.loads(content)
    # What programs act on is said apart from the words (docs/api-compat.md), and nothing else is.
    kind = {"kind": "image-not-found"} if answer["message"].startswith("No such image") else {}
    assert answer == {"message": answer["message"], **kind}
    assert answer["message"].strip(), "an empty message helps nobody"
    assert "Traceback" not in answer["message"]
    return status, str(answer["message"])


def refused(
    daemon: Hyperd, status: int, words: str, method: str, path: str, body: Any = None
) -> None:
    """The answer has this status and these words."""
    got = ask(daemon, method, path, body)
    assert got[0] == status, got
    assert words.lower() in got[1].lower(), got


@pytest.fixture
def stopped(shared_daemon: Hyperd, busybox: str) -> Iterator[str]:
    """A container that was made and never started; nothing else may be left of a refused request."""
    container = create(shared_daemon, busybox, "true", name="stopped")
    before = shared_daemon.api.get("/containers/json?all=1")
    yield container
    after = shared_daemon.api.get("/containers/json?all=1")
    known = {item["Id"] for item in before}
    for item in after:
        if item["Id"] == container or item["Id"] not in known:
            shared_daemon.api.delete(f"/containers/{item['Id']}?force=1")
    assert {item["Id"] for item in after} == known


DEEP = b'{"Labels":' * 2000 + b"1" + b"}" * 2000
BODIES = {
    "no JSON": b"hello",
    "half of it": b'{"Image": "x"',
    "a list": b"[]",
    "a number": b"5",
    "a string": b'"x"',
    "null": b"null",
    "bytes that are no text": b'{"Image": "\xff\xfe"}',
    "a lone surrogate": b'{"Image": "\\ud800"}',
    "deep lists": b"[" * 100_000,
    "deep objects": DEEP,
    "deep where an object is expected": b'{"HostConfig":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "image is a number": b'{"Image": 5}',
    "command is a number": b'{"Image": "x", "Cmd": 5}',
    "command of numbers": b'{"Image": "x", "Cmd": [1]}',
    "HostConfig is a list": b'{"Image": "x", "HostConfig": []}',
    "memory is text": b'{"Image": "x", "HostConfig": {"Memory": "1g"}}',
    "memory is a fraction": b'{"Image": "x", "HostConfig": {"Memory": 1.5}}',
    "memory beyond any integer": b'{"Image": "x", "HostConfig": {"Memory": ' + b"9" * 400 + b"}}",
    "an exponent": b'{"Image": "x", "HostConfig": {"Memory": 1e999}}',
    "infinity": b'{"Image": "x", "HostConfig": {"Memory": Infinity}}',
    "two objects": b"{}{}",
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("path", ["/containers/create", "/containers/stopped/exec"])
def test_malformed_body_on_every_route_is_refused(
    shared_daemon: Hyperd, stopped: str, path: str, what: str
) -> None:
    """Every route that takes a body says what is wrong with it."""
    status, message = ask(shared_daemon, "POST", path, BODIES[what])
    if path.endswith("exec") and status == 409:
        return  # an exec's body has no such member: the container's state is what is wrong
    assert status in (400, 404), message
    assert len(message) < 1000


def test_another_content_type_is_refused(shared_daemon: Hyperd, stopped: str) -> None:
    """As dockerd does it."""
    body = b"a=b"
    got = ask(shared_daemon, "POST", "/containers/create", body, **{"Content-Type": "text/html"})
    assert got[0] == 400
    assert "Content-Type" in got[1]


def test_a_huge_body_is_refused(shared_daemon: Hyperd, stopped: str) -> None:
    """Five megabytes; the daemon has not kept them and serves on."""
    body = b'{"Image": "' + b"x" * (5 << 20) + b'"}'
    assert ask(shared_daemon, "POST", "/containers/create", body)[0] in (400, 413)
    assert shared_daemon.api.get("/_ping") == b"OK"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nosuch",
        "/containers",
        "/containers/x/y/z",
        "/v1.47",
        "/v1.47/",
        "/v1.47/nosuch",
        "/vx/info",
        "/v1/info",
        "//containers/json",
        "/containers/../info2",
        "/%00",
        "/images",
        "/exec/x",
        "/v1.47/v1.47/info",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH"])
def test_unknown_route_is_404_in_json(shared_daemon: Hyperd, method: str, path: str) -> None:
    """404 and JSON, as every client expects."""
    refused(shared_daemon, 404, "", method, path)


def test_unknown_http_method_is_refused(shared_daemon: Hyperd) -> None:
    """Refused by the HTTP server itself."""
    status, _ = shared_daemon.api.raw("BREW", "/containers/json")
    assert 400 <= status < 500


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/build", 501, "building images is not implemented by Hyper yet"),
        ("POST", "/session", 501, "building images is not implemented by Hyper yet"),
        ("POST", "/swarm/init", 501, "POST /swarm/init is not implemented by Hyper yet"),
        ("POST", "/plugins/pull", 501, "POST /plugins/pull is not implemented by Hyper yet"),
        ("GET", "/plugins/nosuch/json", 404, 'plugin "nosuch" not found'),
        ("DELETE", "/plugins/nosuch", 404, 'plugin "nosuch" not found'),
        ("POST", "/swarm/leave", 503, "This node is not part of a swarm"),
        *(
            ("GET", path, 503, "This node is not a swarm manager")
            for path in ("/swarm", "/services", "/services/x", "/nodes", "/tasks", "/secrets/x")
        ),
    ],
)
def test_unimplemented_route_is_refused_with_a_sentence(
    shared_daemon: Hyperd, method: str, path: str, status: int, words: str
) -> None:
    """A sentence that says so, or what dockerd says to who looks for something; with and without version."""
    for prefix in ("", "/v1.47"):
        got, message = ask(shared_daemon, method, prefix + path)
        assert got == status
        assert message.startswith(words)


def test_options_on_any_path_is_answered(shared_daemon: Hyperd) -> None:
    """OPTIONS with nothing, as dockerd does; a list of plugins is empty; nobody keeps a ping."""
    for path in ("/", "/v1.47/containers/json", "/nosuch"):
        assert shared_daemon.api.raw("OPTIONS", path) == (200, b"")
    assert shared_daemon.api.get("/plugins") == []
    pinged = subprocess.run(
        ["curl", "-si", "--unix-socket", shared_daemon.socket, "http://d/_ping"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert b"Pragma: no-cache\r\n" in pinged.stdout


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.23", "client version 1.23 is too old"),
        ("0.1", "too old"),
        ("1.99", "client version 1.99 is too new"),
        ("2.0", "too new"),
        ("999999999.0", "too new"),
    ],
)
def test_unsupported_api_version_is_refused(
    shared_daemon: Hyperd, version: str, words: str
) -> None:
    """In Docker's words, with what we do speak."""
    refused(shared_daemon, 400, words, "GET", f"/v{version}/info")


def test_api_version_of_five_thousand_digits_is_refused(shared_daemon: Hyperd) -> None:
    """Python refuses to read such numbers: nobody may ask it to."""
    refused(shared_daemon, 404, "page not found", "GET", f"/v{HUGE}.1/info")


@pytest.mark.parametrize(
    "name", ["-x", ".x", "_x", "x", "a b", "a/b", "ü" * 3, "a" * 256, "a\n", "a%", "//x", "../x"]
)
def test_container_name_when_invalid_is_refused(
    shared_daemon: Hyperd, stopped: str, busybox: str, name: str
) -> None:
    """Docker's rule, Docker's words."""
    path = f"/containers/create?name={quote(name, safe='')}"
    refused(shared_daemon, 400, "Invalid container name", "POST", path, {"Image": busybox})


def test_container_name_when_taken_is_refused(
    shared_daemon: Hyperd, stopped: str, busybox: str
) -> None:
    """With and without its slash."""
    for name in ("stopped", "/stopped"):
        words = f'The container name "/stopped" is already in use by container "{stopped}"'
        refused(
            shared_daemon,
            409,
            words,
            "POST",
            f"/containers/create?name={name}",
            {"Image": busybox, "Cmd": ["true"]},
        )


@pytest.mark.parametrize(
    "missing", ["nosuch", "0" * 64, "%20", "%F0%9F%90%B3", "%ff", "..", "a%2Fb", "x" * 4000, "%00"]
)
@pytest.mark.parametrize(
    ("method", "verb"),
    [
        ("GET", "/json"),
        ("POST", "/start"),
        ("POST", "/stop"),
        ("POST", "/kill"),
        ("POST", "/wait"),
        ("POST", "/attach"),
        ("GET", "/logs?stdout=1"),
        ("DELETE", ""),
        ("POST", "/exec"),
        ("POST", "/resize?h=1&w=1"),
    ],
)
def test_unknown_container_on_every_route_is_404(
    shared_daemon: Hyperd, missing: str, method: str, verb: str
) -> None:
    """404 everywhere, with the name."""
    # A body that is no exec's is refused before anything is looked for.
    body = {"Cmd": ["true"]} if method == "POST" else None
    status, message = ask(shared_daemon, method, f"/containers/{missing}{verb}", body)
    assert status == 404
    assert message.startswith(("No such container", "page not found"))


@pytest.mark.parametrize(
    ("method", "verb"), [("GET", "/json"), ("POST", "/start"), ("POST", "/resize?h=1&w=1")]
)
def test_unknown_exec_on_every_route_is_404(shared_daemon: Hyperd, method: str, verb: str) -> None:
    """404, with the id."""
    refused(shared_daemon, 404, "No such exec instance: nosuch", method, f"/exec/nosuch{verb}", {})


def test_ambiguous_id_prefix_is_refused(daemon: Hyperd, busybox: str) -> None:
    """With seventeen containers two begin with the same digit."""
    ids = [create(daemon, busybox, "true") for _ in range(17)]
    firsts = [identifier[0] for identifier in ids]
    twice = next(digit for digit in firsts if firsts.count(digit) > 1)
    refused(
        daemon,
        400,
        f"Multiple IDs found with provided prefix: {twice}",
        "GET",
        f"/containers/{twice}/json",
    )
    refused(daemon, 400, "Multiple IDs", "DELETE", f"/containers/{twice}")
    assert len(daemon.api.get("/containers/json?all=1")) >= 17


GARBAGE_FILTERS = [
    "x",
    "[]",
    "5",
    '"x"',
    "{",
    '{"status":5}',
    '{"status":"x"}',
    '{"status":["nosuch"]}',
    '{"nosuch":["x"]}',
    '{"status":{"running":"yes"}}',
    '{"before":["nosuch"]}',
    "[" * 1500,
    '{"label":[null]}',
    "\x00",
    '{"id":[1]}',
]


@pytest.mark.parametrize("text", GARBAGE_FILTERS)
@pytest.mark.parametrize("path", ["/containers/json", "/images/json", "/events"])
def test_filters_when_malformed_are_refused(shared_daemon: Hyperd, path: str, text: str) -> None:
    """Refused whether there is anything to filter or not; of events, filters that nobody knows are not looked at."""
    separator = "?until=1&" if path == "/events" else "?"
    status, message = ask(shared_daemon, "GET", f"{path}{separator}filters={quote(text, safe='')}")
    passed = path == "/events" and text.endswith('"]}')
    assert status in ((200,) if passed else (400, 404)), message


@pytest.mark.parametrize(
    "value", ["x", "1.5", "1e3", HUGE, "--1", "0x10", "%00", "1%0a", "%D9%A8x"]
)
def test_query_number_when_malformed_is_refused(
    shared_daemon: Hyperd, stopped: str, value: str
) -> None:
    """limit, t, h and w; a signal and times too."""
    for method, path in (
        ("GET", "/containers/json?limit="),
        ("POST", "/containers/stopped/stop?t="),
        ("POST", "/containers/stopped/resize?h=1&w="),
        ("POST", "/containers/stopped/kill?signal="),
        ("POST", "/containers/stopped/stop?signal="),
    ):
        refused(shared_daemon, 400, "invalid", method, path + value)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "-1",
        HUGE,
        HUGE[:300] + "h",
        "9" * 18,
        "2024-13-45",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1.0000000000001",
        "%00",
    ],
)
@pytest.mark.parametrize("name", ["since", "until"])
def test_query_time_when_malformed_is_no_failure(
    shared_daemon: Hyperd, stopped: str, name: str, value: str
) -> None:
    """400, or a time nobody has an event or a line for: never a failure."""
    other = "&until=1" if name == "since" else ""
    for path in ("/events?", "/containers/stopped/logs?stdout=1&"):
        value_ = quote(value, safe="%")
        if path == "/events?" and name == "until" and value.startswith("9999-"):
            continue  # a valid time: the stream would go on until then
        status, message = ask(shared_daemon, "GET", f"{path}{name}={value_}{other}")
        assert status in (200, 400), message


@pytest.mark.parametrize(
    "size", ["h=-1&w=1", "h=65536&w=1", "h=1", "w=1", "", f"h={HUGE}&w=1", "h=&w="]
)
def test_terminal_size_when_malformed_is_refused(
    shared_daemon: Hyperd, stopped: str, running: str, size: str
) -> None:
    """For containers, running or not."""
    for container in (stopped, running):
        refused(shared_daemon, 400, "invalid", "POST", f"/containers/{container}/resize?{size}")


def test_resize_of_what_does_not_run_is_refused(shared_daemon: Hyperd, stopped: str) -> None:
    """The container's state forbids it."""
    refused(shared_daemon, 409, "is not running", "POST", "/containers/stopped/resize?h=1&w=1")


@pytest.mark.parametrize("condition", ["never", "not-running2", "%00", HUGE[:100]])
def test_wait_condition_when_unknown_is_refused(
    shared_daemon: Hyperd, stopped: str, condition: str
) -> None:
    """Before any head was sent."""
    refused(
        shared_daemon,
        400,
        "invalid condition",
        "POST",
        f"/containers/stopped/wait?condition={condition}",
    )


@pytest.mark.parametrize(
    "keys",
    ["ctrl-", "ctrl-%C4%B0", "ab", ",", "ctrl-1", "ctrl-%E2%84%AA", "%C3%BC", "ctrl-p,,ctrl-q"],
)
def test_detach_keys_when_malformed_are_refused(
    shared_daemon: Hyperd, stopped: str, running: str, keys: str
) -> None:
    """Also letters whose small form is longer than one character."""
    refused(
        shared_daemon,
        400,
        "invalid detach keys",
        "POST",
        f"/containers/stopped/attach?detachKeys={keys}",
    )


def test_logs_of_no_stream_are_refused(shared_daemon: Hyperd, stopped: str) -> None:
    """In Docker's words."""
    refused(
        shared_daemon, 400, "you must choose at least one stream", "GET", "/containers/stopped/logs"
    )


def test_action_that_the_state_forbids_is_304_or_409(
    shared_daemon: Hyperd, stopped: str, running: str
) -> None:
    """304 for what is so already, 409 for what cannot be."""
    api = shared_daemon
    assert ask(api, "POST", f"/containers/{running}/start")[0] == 304
    assert ask(api, "POST", "/containers/stopped/stop")[0] == 304
    refused(api, 409, "is not running", "POST", "/containers/stopped/kill")
    refused(api, 409, "is not running", "POST", "/containers/stopped/exec", {"Cmd": ["true"]})
    words = "container is running: stop the container before removing or force remove"
    refused(api, 409, words, "DELETE", f"/containers/{running}")
    assert api.api.get(f"/containers/{running}/json")["State"]["Running"]


def test_exec_when_malformed_is_refused_at_its_creation(
    shared_daemon: Hyperd, running: str
) -> None:
    """Refused when they are made, not when they are started."""
    path = f"/containers/{running}/exec"
    refused(shared_daemon, 400, "No exec command specified", "POST", path, {})
    refused(shared_daemon, 400, "No exec command specified", "POST", path, {"Cmd": []})
    refused(shared_daemon, 400, "absolute path", "POST", path, {"Cmd": ["x"], "WorkingDir": "x"})
    refused(shared_daemon, 400, "NUL", "POST", path, {"Cmd": ["x\0y"]})
    refused(shared_daemon, 400, "longer than", "POST", path, {"Cmd": ["x"] * (MAX_ARGS + 1)})
    refused(shared_daemon, 400, "longer than", "POST", path, {"Cmd": ["x" * 200_000]})
    refused(
        shared_daemon,
        400,
        "invalid detach keys",
        "POST",
        path,
        {"Cmd": ["x"], "DetachKeys": "ctrl-"},
    )


def test_exec_when_started_twice_is_a_conflict(shared_daemon: Hyperd, running: str) -> None:
    """The second time is a conflict, in both forms; and it cannot be resized once it has ended."""
    api = shared_daemon.api
    exec_id = api.post(f"/containers/{running}/exec", {"Cmd": ["true"], "AttachStdout": True})["Id"]
    refused(shared_daemon, 409, "is not running", "POST", f"/exec/{exec_id}/resize?h=1&w=1")
    assert api.raw("POST", f"/exec/{exec_id}/start", b"{}")[0] == 200
    for detach in (True, False):
        refused(
            shared_daemon,
            409,
            f"exec command {exec_id} has already run",
            "POST",
            f"/exec/{exec_id}/start",
            {"Detach": detach},
        )
    refused(shared_daemon, 409, "is not running", "POST", f"/exec/{exec_id}/resize?h=1&w=1")
    assert api.get(f"/exec/{exec_id}/json")["ExitCode"] == 0


def test_exec_that_nobody_starts_is_kept_until_the_program_ends(
    daemon: Hyperd, busybox: str
) -> None:
    """They are kept until their container's program ends, as with dockerd, whatever others do; and there is an end to
    how many."""
    box = create(daemon, busybox, "sleep", "3600")
    daemon.api.post(f"/containers/{box}/start")
    path, body = f"/containers/{box}/exec", {"Cmd": ["true"], "AttachStdout": True}
    ids = [daemon.api.post(path, body)["Id"] for _ in range(MAX_WAITING)]
    words = f"{MAX_WAITING} execs that were created and not started"
    refused(daemon, 409, words, "POST", path, body)
    for exec_id in ids[:2]:
        assert daemon.api.raw("POST", f"/exec/{exec_id}/start", b"{}")[0] == 200
    assert all(daemon.api.get(f"/exec/{exec_id}/json")["ID"] == exec_id for exec_id in ids)
    daemon.api.post(path, body)
    daemon.api.post(f"/containers/{box}/kill")
    assert daemon.api.get(f"/exec/{ids[0]}/json")["ExitCode"] == 0
    refused(daemon, 404, f"No such exec instance: {ids[-1]}", "GET", f"/exec/{ids[-1]}/json")


@pytest.mark.parametrize(
    "reference",
    ["nosuch", "nosuch:tag", "localhost:1/x", "sha256:" + "0" * 64, "x@sha256:" + "0" * 64],
)
def test_unknown_image_is_404_in_dockers_words(
    shared_daemon: Hyperd, stopped: str, reference: str
) -> None:
    """docker-py looks for these words."""
    refused(
        shared_daemon,
        404,
        "No such image",
        "POST",
        "/containers/create",
        {"Image": reference, "Cmd": ["x"]},
    )


@pytest.mark.parametrize(
    "reference",
    ["", "UPPER", "a b", "x:", ":x", "x@sha256:zz", "x" * 5000, "a//b", "\0", "http://x/y"],
)
def test_image_name_when_malformed_is_refused(
    shared_daemon: Hyperd, stopped: str, reference: str
) -> None:
    """A 4xx for a client's mistake."""
    status, message = ask(
        shared_daemon, "POST", "/containers/create", {"Image": reference, "Cmd": ["x"]}
    )
    assert status in (400, 404), message
    status, message = ask(
        shared_daemon, "POST", f"/images/create?fromImage={quote(reference, safe='')[:6000]}"
    )
    assert status in (400, 404, 501), message


HOSTS: list[tuple[int, str, dict[str, Any]]] = [
    (400, "Minimum memory limit allowed is 6MB", {"Memory": 5 << 20}),
    (400, "Minimum memory limit allowed is", {"Memory": -1}),
    (400, "Maximum memory limit allowed is", {"Memory": 1 << 60}),
    (400, "Range of CPUs is from 0.01", {"NanoCpus": 1000 * 10**9}),
    (400, "must not be negative", {"NanoCpus": -1}),
    (400, "Conflicting options", {"NanoCpus": 10**9, "CpuQuota": 1000}),
    (400, "CPU cfs quota", {"CpuQuota": 1}),
    (400, "CPU cfs period", {"CpuPeriod": 1}),
    (400, "invalid port specification", {"PortBindings": {"0/tcp": [{}]}}),
    (400, "invalid port specification", {"PortBindings": {"http": [{}]}}),
    (400, "invalid port specification", {"PortBindings": {HUGE: [{}]}}),
    (400, 'invalid port specification: "70000"', {"PortBindings": {"80": [{"HostPort": "70000"}]}}),
    (400, 'invalid port specification: "9-5"', {"PortBindings": {"80": [{"HostPort": "9-5"}]}}),
    (400, "invalid port specification", {"PortBindings": {"80/tcp": [{"HostPort": HUGE}]}}),
    (400, "invalid IP address", {"PortBindings": {"80/tcp": [{"HostIp": "nowhere"}]}}),
    (400, 'unknown capability: "FLY"', {"CapAdd": ["FLY"]}),
    (400, "unknown capability", {"CapDrop": [""]}),
    (400, "invalid ulimit type", {"Ulimits": [{"Name": "x", "Soft": 1, "Hard": 1}]}),
    (400, "", {"Ulimits": [{"Name": "nofile"}]}),
    (400, "", {"Ulimits": [{"Name": "nofile", "Soft": 2**70, "Hard": 1}]}),
    (400, "bad format for add-host", {"ExtraHosts": ["x"]}),
    (400, "invalid IP address for DNS", {"Dns": ["x\nnameserver 1.2.3.4"]}),
    (400, "invalid tmpfs option", {"Tmpfs": {"/t": "lowerdir=/"}}),
    (400, "invalid size", {"Tmpfs": {"/t": "size=" + HUGE + "p"}}),
    (400, "invalid mount path: 't' mount path must be absolute", {"Tmpfs": {"t": ""}}),
    (400, "invalid specification: destination can't be '/'", {"Tmpfs": {"/": ""}}),
    (400, "SHM size", {"ShmSize": -1}),
    (400, "network mode host is impossible", {"NetworkMode": "host"}),
    (400, "NUL", {"GroupAdd": ["a\0"]}),
    (400, "Duplicate mount point", {"Binds": ["/a:/x", "/b:/x"]}),
    (400, "mount path must be absolute", {"Binds": ["/a:x"]}),
    (400, "invalid mode", {"Binds": ["/a:/x:bad"]}),
    (400, "invalid volume specification", {"Binds": ["/a:/b:ro:x"]}),
    (400, "includes invalid characters", {"Binds": ["../a:/x"]}),
    (400, "mount type unknown", {"Mounts": [{"Type": "npipe", "Source": "/", "Target": "/h"}]}),
    (400, "No such container: nobody", {"VolumesFrom": ["nobody"]}),
    (400, "could not get container for nobody: No such container", {"Links": ["nobody:x"]}),
    (400, "invalid IPC mode: x", {"IpcMode": "x"}),
    (400, "invalid PID mode: x", {"PidMode": "x"}),
    (400, "invalid UTS mode: x", {"UTSMode": "x"}),
    (400, "the empty string is not permitted as an annotation key", {"Annotations": {"": "x"}}),
    (400, "Nano CPUs and CPU Period cannot both", {"NanoCpus": 10**9, "CpuPeriod": 100_000}),
    (400, "Invalid value 0,, for cpuset cpus: invalid format", {"CpusetCpus": "0,,"}),
    (400, "no devices of the host", {"Devices": [{"PathOnHost": "/dev/sda"}]}),
    (400, "invalid container format container:<name|id>", {"NetworkMode": "container:"}),
    (400, "unknown policy 'often'; use one of", {"RestartPolicy": {"Name": "often"}}),
    (
        400,
        "only be used with 'on-failure'",
        {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 1}},
    ),
    (
        400,
        "can't create 'AutoRemove' container with restart policy",
        {"RestartPolicy": {"Name": "always"}, "AutoRemove": True},
    ),
    (400, "logger: no log driver named 'syslog' is registered", {"LogConfig": {"Type": "syslog"}}),
    (400, "PidMode host is impossible", {"PidMode": "host"}),
]


@pytest.mark.parametrize(("status", "words", "host"), HOSTS, ids=lambda value: str(value)[:50])
def test_host_config_when_invalid_is_refused(
    shared_daemon: Hyperd, stopped: str, busybox: str, status: int, words: str, host: dict[str, Any]
) -> None:
    """Refused with a reason when the container is made; nothing is made."""
    body = {"Image": busybox, "Cmd": ["true"], "HostConfig": host}
    refused(shared_daemon, status, words, "POST", "/containers/create", body)


CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("invalid signal", {"StopSignal": "SIGNOPE"}),
    ("invalid signal", {"StopSignal": HUGE}),
    ("invalid signal", {"StopSignal": "RTMIN+" + HUGE}),
    ("invalid environment variable", {"Env": ["=x"]}),
    (
        "invalid port specification",
        {"ExposedPorts": {"x": {}}, "HostConfig": {"PublishAllPorts": True}},
    ),
    ("invalid mount path", {"Volumes": {"data": {}}}),
    ("destination can't be '/'", {"Volumes": {"/.././": {}}}),
    ("absolute path", {"WorkingDir": "relative"}),
    ("invalid hostname", {"Hostname": "x" * 65}),
    ("NUL", {"Env": ["A=\0"]}),
    ("NUL", {"User": "a\0b"}),
    ("longer than", {"Cmd": ["x" * 200_000]}),
    ("longer than", {"Env": ["A=" + "x" * 200_000]}),
]


@pytest.mark.parametrize(("words", "config"), CONFIGS, ids=lambda value: str(value)[:50])
def test_container_config_when_invalid_is_refused(
    shared_daemon: Hyperd, stopped: str, busybox: str, words: str, config: dict[str, Any]
) -> None:
    """The same for what is not the host's."""
    body = {"Image": busybox, "Cmd": ["true"], **config}
    refused(shared_daemon, 400, words, "POST", "/containers/create", body)


def test_container_without_a_program_is_refused(
    shared_daemon: Hyperd, stopped: str, busybox: str
) -> None:
    """An empty program name is none either."""
    body = {"Image": busybox, "Entrypoint": [""], "Cmd": []}
    refused(shared_daemon, 400, "no command specified", "POST", "/containers/create", body)


def test_daemon_after_bad_input_runs_containers_without_a_bug_logged(
    shared_daemon: Hyperd, busybox: str
) -> None:
    """It never met a bug of its own (those are logged with a trace), and it runs containers."""
    assert shared_daemon.run("run", "--rm", busybox, "echo", "well") == b"well\n"
    assert bugs(shared_daemon) == []
