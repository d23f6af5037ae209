"""The plan of a pod, made from its description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hyper.types.pod import PodBody

#: When an image is fetched before the pod is made: always; if it is not there; not at all.
ALWAYS, MISSING, NEVER = "always", "missing", "never"
_ORDER: Final = (ALWAYS, MISSING, NEVER)


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod to make. ``pull``: when each image is fetched. ``warnings``: fields that have no effect."""

    body: PodBody
    pull: dict[str, str]
    warnings: tuple[str, ...] = ()


def stricter(one: str, other: str) -> str:
    """The stricter of two containers' pull policies for one image: the one that fetches more."""
    return min(one, other, key=_ORDER.index)
