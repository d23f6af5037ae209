"""Generated garbage against a real daemon: whatever a client sends, it never meets a bug of ours."""

from __future__ import annotations

import json
import string
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bad_values import HUGE
from tests.support.daemon_log import bugs
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "/", "0", "-1", "80/tcp", "a=b", "\0", "root", "../..", HUGE[:400]]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
HOST_KEYS = (
    "Memory NanoCpus CpuQuota CpuPeriod PortBindings CapAdd CapDrop Ulimits Dns DnsSearch DnsOptions ExtraHosts Tmpfs "
    "ShmSize NetworkMode RestartPolicy LogConfig Binds Mounts Sysctls GroupAdd SecurityOpt MaskedPaths ReadonlyPaths "
    "ConsoleSize AutoRemove Privileged ReadonlyRootfs PublishAllPorts IpcMode PidMode Isolation Runtime PidsLimit Init"
).split()
CONFIG_KEYS = (
    "Hostname Domainname User Tty OpenStdin StdinOnce Env Cmd Entrypoint Volumes WorkingDir Labels StopSignal "
    "StopTimeout ExposedPorts AttachStdin Healthcheck OnBuild NetworkingConfig"
).split()
QUERY = st.text(max_size=30) | st.sampled_from(
    ["", "1", "-1", "0", "true", HUGE[:6000], "{}", "[]", '{"a":["b"]}']
)
MANY = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def encoded(value: Any) -> bytes:
    """JSON, surrogates and NaN included: a client may send them."""
    return json.dumps(value).encode()


def survived(daemon: Hyperd, method: str, path: str, body: bytes | None = None) -> bytes:
    """The answer, which blames nobody but the client."""
    status, content = daemon.api.raw(method, path, body)
    assert status < 500 or status == 501, (status, content, path, body)
    return content if status < 300 else b""


@MANY
@given(
    config=st.dictionaries(st.sampled_from(CONFIG_KEYS), JSON, max_size=3),
    host=st.dictionaries(st.sampled_from(HOST_KEYS), JSON, max_size=3) | JSON,
    name=st.text(alphabet=string.printable, max_size=10),
)
def test_create_survives_anything(
    shared_daemon: Hyperd, busybox: str, config: dict[str, Any], host: Any, name: str
) -> None:
    """Garbage in every member, one at a time and together; what is made by chance can be looked at and removed."""
    body = encoded({"Image": busybox, "Cmd": ["true"], "HostConfig": host, **config})
    path = f"/containers/create?name={quote(name, safe='')}"
    made = survived(shared_daemon, "POST", path, body)
    if made:
        container = json.loads(made)["Id"]
        shared_daemon.api.get(f"/containers/{container}/json")
        shared_daemon.api.get("/containers/json?all=1")
        shared_daemon.api.delete(f"/containers/{container}")


@MANY
@given(body=st.binary(max_size=200))
def test_create_survives_any_bytes(shared_daemon: Hyperd, body: bytes) -> None:
    """Of any kind."""
    assert survived(shared_daemon, "POST", "/containers/create", body) == b""


@MANY
@given(
    body=st.dictionaries(
        st.sampled_from(
            "Cmd Env User WorkingDir Tty DetachKeys ConsoleSize Privileged AttachStdin".split()
        ),
        JSON,
        max_size=4,
    ),
    start=st.dictionaries(st.sampled_from(["Detach", "Tty", "ConsoleSize", "x"]), JSON, max_size=3),
)
def test_exec_survives_anything(
    shared_daemon: Hyperd, running: str, body: dict[str, Any], start: dict[str, Any]
) -> None:
    """Made and, if it could be made, started and looked at."""
    made = survived(
        shared_daemon, "POST", f"/containers/{running}/exec", encoded({"Cmd": ["true"], **body})
    )
    if made:
        exec_id = json.loads(made)["Id"]
        survived(
            shared_daemon, "POST", f"/exec/{exec_id}/start", encoded({**start, "Detach": True})
        )
        shared_daemon.api.get(f"/exec/{exec_id}/json")


@MANY
@given(
    path=st.sampled_from(
        ["/containers/json", "/images/json", "/containers/stop-me/logs", "/containers/stop-me/json"]
    ),
    query=st.dictionaries(
        st.sampled_from(
            "all limit size filters since until tail stdout stderr timestamps before".split()
        ),
        QUERY,
        max_size=4,
    ),
)
def test_queries_survive_anything(
    shared_daemon: Hyperd, running: str, path: str, query: dict[str, str]
) -> None:
    """Every value that fits into a URL, of a container that exists."""
    target = path.replace("stop-me", running)
    text = "&".join(
        f"{key}={quote(value, safe='', errors='replace')}" for key, value in query.items()
    )
    survived(shared_daemon, "GET", f"{target}?{text}"[:8000].rstrip("%"))


@MANY
@given(
    values=st.dictionaries(
        st.sampled_from(
            "id name label status ancestor exited before since publish expose volume health".split()
        )
        | st.text(max_size=5),
        st.lists(QUERY.map(lambda text: text[:500]), max_size=3)
        | st.dictionaries(st.text(max_size=5), st.booleans(), max_size=3),
    )
)
def test_filters_survive_anything(shared_daemon: Hyperd, running: str, values: Any) -> None:
    """In both forms, with containers to filter."""
    text = quote(json.dumps(values), safe="")[:7500].rstrip("%")
    survived(shared_daemon, "GET", f"/containers/json?all=1&filters={text}")
    survived(shared_daemon, "GET", f"/images/json?filters={text}")
    survived(shared_daemon, "GET", f"/events?until=1&filters={text}")


def test_daemon_after_fuzzing_runs_containers_without_a_bug_logged(
    shared_daemon: Hyperd, busybox: str
) -> None:
    """It met no bug of its own, and it runs containers."""
    assert shared_daemon.run("run", "--rm", busybox, "echo", "well") == b"well\n"
    assert bugs(shared_daemon) == []
