"""Tools that commands about pods share: paths, and which container of a pod is meant."""

from __future__ import annotations

from hyper.cli.flags import Flag, LocalError, suggestion
from hyper.client.quote import quote
from hyper.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context

PODS = "/hyper/v1/pods"
WAIT = Flag("--wait", help="Return once all its containers are ready, as their probes say")


def pod_path(name: str, rest: str = "") -> str:
    """The path of a pod in the API: ``/hyper/v1/pods/NAME`` + ``rest``.

    Raises:
        InvalidRequest: the name is empty (the path would mean something else).
    """
    if not name.strip():
        raise InvalidRequest("a pod's name or id must not be empty")
    return f"{PODS}/{quote(name)}{rest}"


def find_pod(context: Context, name: str) -> dict[str, Any]:
    """The pod ``name`` as it is now."""
    found: dict[str, Any] = context.engine.get(pod_path(name))
    return found


def until_ready(context: Context, name: str) -> None:
    """All containers of the pod ``name`` are ready.

    Raises:
        ApiError: the pod does not run (any more).
    """
    context.engine.get(pod_path(name, "/wait"), condition="ready")


def member(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """The container ``name`` of ``pod``.

    Raises:
        LocalError: the pod has none of this name.
    """
    for box in pod["Containers"]:
        if box["Name"] == name:
            return dict(box)
    names = [box["Name"] for box in pod["Containers"]]
    hint = suggestion(name, names) or f"it has {', '.join(names)}"
    raise LocalError(f"pod {pod['Name']} has no container {name!r}", hint=hint)


def lasting(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of ``pod`` that are no init containers."""
    return [dict(box) for box in pod["Containers"] if not box.get("Init")]
