"""Reader of both kinds of files, that makes plans of the pods they describe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hyper.errors import InvalidRequest
from hyper.manifest import hyper_pod, kube
from hyper.manifest.document import documents
from hyper.manifest.draft import Sources
from hyper.manifest.plan import PodPlan
from hyper.types.pod import PodVolume


def plans(data: bytes, sources: Sources, *, only_kubernetes: bool = False) -> list[PodPlan]:
    """The pods ``data`` describes: one of Hyper's pod files, or a Kubernetes manifest with all its documents.

    Raises:
        InvalidRequest: it is malformed; the field is named, in one line. No other error, whatever ``data`` is.
    """
    with _in_one_line():
        found = _plans(data, sources, only_kubernetes=only_kubernetes)
    return [_printable(plan) for plan in found]


def addition(data: bytes, sources: Sources, volumes: list[PodVolume]) -> PodPlan:
    """The containers that ``data``, one of Hyper's pod files, describes for a pod with ``volumes``.

    Raises:
        InvalidRequest: as ``plans``.
    """
    with _in_one_line():
        found = documents(data)
        if len(found) != 1 or _is_kubernetes(found[0]):
            raise InvalidRequest("it must be one of Hyper's own pod files, with one document")
        plan = hyper_pod.convert_addition(found[0], sources, volumes)
    return _printable(plan)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except InvalidRequest as error:
        hint = None if error.hint is None else printable(error.hint)
        raise InvalidRequest(printable(error.message), hint=hint) from error


def _printable(plan: PodPlan) -> PodPlan:
    return replace(plan, warnings=tuple(map(printable, plan.warnings)))


def printable(text: str) -> str:
    """``text`` for a terminal: names of a hostile file must not move its cursor."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _plans(data: bytes, sources: Sources, *, only_kubernetes: bool) -> list[PodPlan]:
    found = documents(data)
    if not found:
        raise InvalidRequest("it is empty")
    if any(_is_kubernetes(item) for item in found):
        return kube.convert(found)
    if only_kubernetes:
        raise InvalidRequest(
            "it is no Kubernetes manifest: it has no kind",
            hint="hyper pod run takes Hyper's own pod files",
        )
    if len(found) > 1:
        raise InvalidRequest("a pod file describes one pod, and this has more than one document")
    return [hyper_pod.convert(found[0], sources)]


def _is_kubernetes(document: Any) -> bool:
    return isinstance(document, dict) and ("apiVersion" in document or "kind" in document)
