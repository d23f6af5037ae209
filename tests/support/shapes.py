"""Which members an engine's answers have, which are null, which are empty: one scenario, asked of any engine.

``python -m tests.support.shapes SOCKET >tests/golden/shapes-dockerd-28.5.2.json`` records a dockerd (any engine that
has an image ``busybox``, imported as ``tests.support.dockerd`` does it, and nothing else).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.support.api import Api

_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
#: Says something of every member that can be said without a device or another container.
FULL: dict[str, Any] = {
    "Image": "busybox",
    "Cmd": ["sleep", "1000"],
    "Env": ["A=b"],
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/anonymous": {}},
    "Labels": {"a": "b"},
    "OnBuild": ["RUN true"],
    "Shell": ["/bin/sh", "-c"],
    "StopSignal": "TERM",
    "StopTimeout": 1,
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 3600 * 10**9},
    "HostConfig": {
        "Annotations": {"a": "b"},
        "Binds": ["named:/named"],
        "CapAdd": ["NET_ADMIN"],
        "Dns": ["192.0.2.1"],
        "ExtraHosts": ["a:192.0.2.1"],
        "Init": False,
        "Mounts": [{"Type": "tmpfs", "Target": "/t"}],
        "NetworkMode": "mine",
        "PidsLimit": 100,
        "PortBindings": {"80/tcp": [{}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "Sysctls": {"net.core.somaxconn": "100"},
        "Tmpfs": {"/tmp": ""},
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 100}],
    },
    "NetworkingConfig": {"EndpointsConfig": {"mine": {"Aliases": ["x"]}}},
}
#: As the docker client sends a container of which nothing was said: empty lists and maps.
CLIENT: dict[str, Any] = {
    "Image": "busybox",
    "Cmd": ["true"],
    "Env": [],
    "Volumes": {},
    "ExposedPorts": {},
    "Labels": {},
    "HostConfig": {
        **{name: [] for name in ("Dns", "DnsOptions", "DnsSearch", "Devices", "Links")},
        **{name: [] for name in ("BlkioWeightDevice", "BlkioDeviceReadBps", "Ulimits", "Binds")},
        "PortBindings": {},
        "MemorySwappiness": -1,
        "OomKillDisable": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Config": {}},
    },
    "NetworkingConfig": {"EndpointsConfig": {}},
}
_ASKED = (
    ("GET", "/containers/bare/json"),
    ("GET", "/containers/bare/json?size=1"),
    ("GET", "/containers/full/json"),
    ("GET", "/containers/client/json"),
    ("GET", "/containers/json?all=1"),
    ("POST", "/containers/bare/update"),
    ("GET", "/containers/bare/changes"),
    ("GET", "/images/json"),
    ("GET", "/images/busybox/json"),
    ("GET", "/images/busybox/history"),
    ("GET", "/volumes"),
    ("GET", "/volumes/labelled"),
    ("GET", "/networks/bridge"),
    ("GET", "/networks/mine"),
    ("GET", "/info"),
    ("GET", "/version"),
    ("GET", "/system/df"),
    ("GET", "/plugins"),
    *(("POST", f"/{what}/prune") for what in ("containers", "images", "networks", "volumes")),
    ("POST", "/build/prune"),
)
#: Nothing is pruned, so that it can be asked of any engine.
_NOTHING = 'filters={"label":["nosuch"]}'.replace('"', "%22")


def shape(value: Any) -> Any:
    """What there is of ``value``: names, and whether what they name is null, empty, or of which type."""
    if isinstance(value, dict):
        return {_ID.sub("ID", key): shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "null" if value is None else type(value).__name__


def observe(api: Api) -> dict[str, Any]:
    """The shapes of an engine's answers; what was made for it is gone again."""
    answers: dict[str, Any] = {}

    def ask(method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        status, content = api.raw(method, f"/v1.47{path}", data)
        assert status < 300, (method, path, content)
        return json.loads(content) if content.strip() else None

    answers["network"] = ask("POST", "/networks/create", {"Name": "mine"})
    answers["volume"] = ask("POST", "/volumes/create", {"Name": "named"})
    ask("POST", "/volumes/create", {"Name": "labelled", "Labels": {"a": "b"}})
    bodies = {"bare": {"Image": "busybox"}, "full": FULL, "client": CLIENT}
    for name, body in bodies.items():
        answers[f"create {name}"] = ask("POST", f"/containers/create?name={name}", body)
    for method, path in _ASKED:
        query = f"?{_NOTHING}" if path.endswith("prune") else ""
        body = {} if path.endswith("update") else None
        answers[f"{method} {path}"] = ask(method, path + query, body)
    _choose(answers)
    listed = answers.pop("GET /containers/json?all=1")
    for item in listed:
        answers[f"listed {item['Names'][0]}"] = item
    answers |= _running(ask)
    for name in bodies:
        ask("DELETE", f"/containers/{name}?force=1&v=1")
    for name in ("named", "labelled"):
        ask("DELETE", f"/volumes/{name}")
    ask("DELETE", "/networks/mine")
    return {name: shape(answer) for name, answer in answers.items()}


def _choose(answers: dict[str, Any]) -> None:
    """Of lists in no order the same item is looked at everywhere."""
    for path in ("/volumes", "/system/df"):
        answer = answers[f"GET {path}"]
        answer["Volumes"] = [item for item in answer["Volumes"] if item["Name"] == "labelled"]
    for item in answers["GET /containers/json?all=1"]:
        item["Mounts"].sort(key=lambda mount: str(mount["Destination"]))
    for name in ("bare", "full", "client"):
        answers[f"GET /containers/{name}/json"]["Mounts"].sort(key=lambda m: str(m["Destination"]))


def _running(ask: Any) -> dict[str, Any]:
    """Of a container that runs, and of its execs."""
    ask("POST", "/containers/full/start")
    made = ask("POST", "/containers/full/exec", {"Cmd": ["true"], "AttachStdout": True})
    answers = {
        "exec": made,
        "running": ask("GET", "/containers/full/json"),
        "exec before its start": ask("GET", f"/exec/{made['Id']}/json"),
        "top": ask("GET", "/containers/full/top?ps_args=-ef"),
        "network with a container": ask("GET", "/networks/mine"),
    }
    [answers["listed running"]] = ask("GET", "/containers/json")
    ask("POST", f"/exec/{made['Id']}/start", {"Detach": False})
    answers["exec after its end"] = ask("GET", f"/exec/{made['Id']}/json")
    answers["execs that have ended"] = ask("GET", "/containers/full/json")["ExecIDs"]
    ask("POST", "/containers/full/kill")
    for name in ("running", "listed running"):
        answers[name]["Mounts"].sort(key=lambda mount: str(mount["Destination"]))
    answers["wait"] = ask("POST", "/containers/full/wait")
    answers["ended"] = ask("GET", "/containers/full/json")
    answers["ended"]["Mounts"].sort(key=lambda mount: str(mount["Destination"]))
    return answers


def differences(ours: Any, theirs: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two shapes differ: ours and theirs by path, ``absent`` where a member is not there."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = {}
        for key in {*ours, *theirs}:
            pair = ours.get(key, "absent"), theirs.get(key, "absent")
            found |= differences(*pair, f"{path}.{key}" if path else key)
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and ours and theirs:
        return differences(ours[0], theirs[0], f"{path}[]")
    return {} if ours == theirs else {path: (ours, theirs)}


if __name__ == "__main__":
    print(json.dumps(observe(Api(Path(sys.argv[1]))), indent=1, sort_keys=True))
