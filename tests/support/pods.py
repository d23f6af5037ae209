"""Pods as tests make them and look at them, through Hyper's own API."""

from __future__ import annotations

from typing import Any

from tests.support.hyperd import Hyperd


def box(image: str, name: str, script: str, **more: Any) -> dict[str, Any]:
    """A container of a pod that runs a script. ``more``: of its body, or of the container itself."""
    parts = {key: more.pop(key) for key in ("Mounts", "Files", "Liveness") if key in more}
    return {"Name": name, "Body": {"Image": image, "Cmd": ["sh", "-c", script], **more}, **parts}


def make(daemon: Hyperd, *containers: dict[str, Any], start: bool = True, **body: Any) -> Any:
    """The view of a new pod called ``web``."""
    daemon.api.post("/hyper/v1/pods", {"Name": "web", "Containers": list(containers), **body})
    if start:
        daemon.api.post("/hyper/v1/pods/web/start")
    return view(daemon)


def view(daemon: Hyperd) -> Any:
    """The pod ``web`` as it is."""
    return daemon.api.get("/hyper/v1/pods/web")


def states(daemon: Hyperd) -> dict[str, str]:
    """The status of each container of the pod ``web``."""
    return {item["Name"]: item["Status"] for item in view(daemon)["Containers"]}


def nothing_is_left(daemon: Hyperd) -> None:
    """No pod, container, volume, machine or folder of one."""
    assert daemon.api.get("/hyper/v1/pods") == []
    assert daemon.api.get("/containers/json?all=1") == []
    assert daemon.api.get("/volumes")["Volumes"] == []
    assert list((daemon.data_root / "containers").iterdir()) == []
    assert list(daemon.exec_root.glob("vm/*")) == []
    assert daemon.machines() == []
