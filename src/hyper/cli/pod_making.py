"""A pod from its plan: images first, as ``hyper run`` does it."""

from __future__ import annotations

import msgspec

from hyper.cli.commands.pull import pull_for_run
from hyper.cli.context import say
from hyper.cli.pods import PODS
from hyper.client.engine import image_path
from hyper.client.errors import ApiError
from hyper.manifest.plan import ALWAYS, NEVER, PodPlan
from hyper.types.container import without_nulls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context


def make(context: Context, plan: PodPlan, *, when: str | None, quiet: bool) -> dict[str, Any]:
    """What the daemon answers for the new pod: its Id and Name. Images were pulled where the plan, or ``when``, says.

    Raises:
        HyperError: the daemon refused; nothing was made.
    """
    for warning in plan.warnings:
        say(f"WARNING: {warning}")
    pull = {image: when or policy for image, policy in plan.pull.items()}
    for image, policy in pull.items():
        if policy == ALWAYS:
            name = pull_for_run(context, image, platform=None, quiet=quiet, missing=False)
            _rename(plan, image, name)
    try:
        made = context.engine.post(PODS, _body(plan))
    except ApiError as error:
        if error.status != 404 or not _pull_missing(context, plan, pull, quiet=quiet):
            raise
        made = context.engine.post(PODS, _body(plan))
    for warning in made.get("Warnings") or ():
        say(f"WARNING: {warning}")
    return dict(made)


def _body(plan: PodPlan) -> Any:
    return without_nulls(msgspec.to_builtins(plan.body))


def _rename(plan: PodPlan, image: str, name: str) -> None:
    """What was asked for as ``image`` is here as ``name``."""
    for item in (*plan.body.init, *plan.body.containers):
        if item.body.image == image:
            item.body.image = name


def _pull_missing(context: Context, plan: PodPlan, pull: dict[str, str], *, quiet: bool) -> bool:
    """Whether any image was missing and could be fetched; all of these are there now."""
    missing = [
        image for image, policy in pull.items() if policy != NEVER and not _is_there(context, image)
    ]
    for image in missing:
        name = pull_for_run(context, image, platform=None, quiet=quiet, missing=True)
        _rename(plan, image, name)
    return bool(missing)


def _is_there(context: Context, image: str) -> bool:
    try:
        context.engine.get(image_path(image, "/json"))
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True
