"""A pod, or more containers for one, from a plan: images first, as ``hyper run`` does it."""

from __future__ import annotations

import msgspec

from hyper.cli.commands.pull import pull_for_run
from hyper.cli.context import say
from hyper.cli.pods import PODS, find_pod, pod_path
from hyper.client.engine import container_path, image_path
from hyper.client.errors import ApiError
from hyper.errors import HyperError
from hyper.manifest.plan import ALWAYS, NEVER, PodPlan
from hyper.types.container import without_nulls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context


def make(context: Context, plan: PodPlan, *, when: str | None, quiet: bool) -> dict[str, Any]:
    """The daemon's answer for the new pod: its Id and Name. Images were pulled where the plan, or ``when``, says.

    Raises:
        HyperError: the daemon refused; no pod was made.
    """
    return _Making(context, plan, when, quiet=quiet).post(PODS, plan.body)


def add(
    context: Context, pod: dict[str, Any], plan: PodPlan, *, when: str | None, quiet: bool
) -> list[str]:
    """Ids of the containers of ``plan``, added to ``pod``. Images were pulled where the plan, or ``when``, says.

    Raises:
        HyperError: the daemon refused one, or one did not start; none was added.
    """
    making = _Making(context, plan, when, quiet=quiet)
    path = pod_path(pod["Id"], "/containers")
    added: list[str] = []
    for item in plan.body.containers:
        try:
            added.append(making.post(path, item)["Id"])
        except HyperError:
            known = {box["Id"] for box in pod["Containers"]}
            _take_back(context, find_pod(context, pod["Id"]), item.name, known, added)
            raise
    return added


def _take_back(
    context: Context, pod: dict[str, Any], failed: str, known: set[str], added: list[str]
) -> None:
    """The containers ``added`` and the one that ``failed``, which may exist although it did not start, are removed."""
    for box in pod["Containers"]:
        stillborn = box["Name"] == failed and box["Status"] == "created" and box["Id"] not in known
        if box["Id"] in added or stillborn:
            context.engine.delete(container_path(box["Id"]), force=True, v=True)


class _Making:
    """The making of objects of ``plan`` by the daemon; images are pulled where the plan, or ``when``, says."""

    def __init__(self, context: Context, plan: PodPlan, when: str | None, *, quiet: bool) -> None:
        self._context = context
        self._plan = plan
        self._quiet = quiet
        self._pull = {image: when or policy for image, policy in plan.pull.items()}
        for warning in plan.warnings:
            say(f"WARNING: {warning}")
        for image, policy in self._pull.items():
            if policy == ALWAYS:
                self._fetch(image, missing=False)

    def post(self, path: str, body: Any) -> dict[str, Any]:
        """The daemon's answer to ``body``, a part of the plan; its warnings were shown. Raises: HyperError."""
        engine = self._context.engine
        try:
            made = engine.post(path, _json(body))
        except ApiError as error:
            if error.status != 404 or not self._fetch_missing():
                raise
            made = engine.post(path, _json(body))
        for warning in made.get("Warnings") or ():
            say(f"WARNING: {warning}")
        return dict(made)

    def _fetch_missing(self) -> bool:
        """Whether any image was missing that the plan allows to fetch; all of these are there now."""
        missing = [
            image
            for image, policy in self._pull.items()
            if policy != NEVER and not _is_there(self._context, image)
        ]
        for image in missing:
            self._fetch(image, missing=True)
        return bool(missing)

    def _fetch(self, image: str, *, missing: bool) -> None:
        """The image is here, and the plan has its name here."""
        name = pull_for_run(self._context, image, platform=None, quiet=self._quiet, missing=missing)
        for item in (*self._plan.body.init, *self._plan.body.containers):
            if item.body.image == image:
                item.body.image = name


def _json(body: Any) -> Any:
    return without_nulls(msgspec.to_builtins(body))


def _is_there(context: Context, image: str) -> bool:
    try:
        context.engine.get(image_path(image, "/json"))
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True
