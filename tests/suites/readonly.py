"""``python -m tests.suites.readonly``: schemathesis over the routes that only read, by Docker's own contract.

It sends what the description allows and what it does not. No answer may be a server's error (5xx), and each JSON answer
is one that the description has. Names in paths are of things that are there, or of none.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from tools import imagebuilder

from tests.suites.catalogue import BY_NAME
from tests.suites.environment import Environment
from tests.support.api import CONTRACT
from tests.support.hyperd import Hyperd, hyperd
from tests.support.programs import add_unpacked_programs
from tests.support.registry import registry

#: Not Hyper's, without an end, or questions to registries elsewhere.
_OUT = re.compile(
    r"/(swarm|nodes|services|tasks|secrets|configs|plugins|session|events|distribution|images/search)|/(logs|stats|ws|export)$"
)
_CHECKS = "not_a_server_error,response_schema_conformance"
_MAX_S = 45
_TIMEOUT_S = 300


def main() -> int:
    """Schemathesis' exit code: 0 when nothing was found."""
    add_unpacked_programs()
    environment = BY_NAME["dockerpy"].environment
    environment.prepare()
    with registry() as hub, hyperd("-H", "tcp://127.0.0.1:0") as daemon:
        image = hub.push(imagebuilder.busybox(), "busybox:latest")
        daemon.run("pull", "-q", image)
        daemon.run("run", "-d", "--name", "box", image, "sleep", "3600")
        (address,) = re.findall(r"serving on tcp://(\S+)", daemon.log.read_text())
        with tempfile.TemporaryDirectory(prefix="readonly-") as name:
            file = Path(name, "contract.json")
            file.write_text(json.dumps(readable(_names(daemon, image))))
            return _run(environment, file, f"http://{address}/v1.47", Path(name))


def _names(daemon: Hyperd, image: str) -> list[str]:
    exec_id = daemon.api.post("/containers/box/exec", {"Cmd": ["true"]})["Id"]
    return ["box", image, "bridge", "nosuch", exec_id]


def readable(names: list[str]) -> dict[str, Any]:
    """The contract with GET and HEAD alone, of what Hyper has. Lists and maps may be null, as dockerd has them."""
    whole = yaml.load(CONTRACT.read_text(), Loader=yaml.CSafeLoader)
    paths = {}
    for path, item in whole["paths"].items():
        kept = {method: item[method] for method in ("get", "head") if method in item}
        if kept and not _OUT.search(path):
            for operation in kept.values():
                _name_things(operation, names)
                operation["responses"] = {
                    key: _loose(one) for key, one in operation["responses"].items()
                }
            paths[path] = kept
    # dockerd answers null while an exec has not ended, and clients look for that.
    answer = paths["/exec/{id}/json"]["get"]["responses"][200]["schema"]
    answer["properties"]["ExitCode"]["x-nullable"] = True
    return {**whole, "paths": paths, "definitions": _loose(whole["definitions"])}


def _name_things(operation: dict[str, Any], names: list[str]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            parameter["enum"] = names


def _loose(node: Any) -> Any:
    if isinstance(node, list):
        return [_loose(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _loose(value) for key, value in node.items() if key != "example"}
    if made.get("type") in ("array", "object"):
        made["x-nullable"] = True
    return made


def _run(environment: Environment, contract: Path, url: str, folder: Path) -> int:
    # Methods that a path does not have are another test's.
    (folder / "schemathesis.toml").write_text("[phases.coverage]\nunexpected-methods = []\n")
    argv = [
        environment.python.with_name("schemathesis"),
        "run",
        contract,
        "--url",
        url,
        "--no-color",
    ]
    argv += [
        "--checks",
        _CHECKS,
        "--max-examples",
        "10",
        "--generation-deterministic",
        "--warnings",
        "off",
    ]
    argv += [
        "--max-time",
        str(_MAX_S),
        "--request-timeout",
        "20",
        "--continue-on-failure",
        "--no-shrink",
    ]
    done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, timeout=_TIMEOUT_S)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
