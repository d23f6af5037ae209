"""Objects that a manifest has beside pods: config maps, secrets and claims, by their names.

Source: Kubernetes API reference v1.31, ConfigMap, Secret, PersistentVolumeClaim, ObjectMeta.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from hyper.manifest import quantity
from hyper.manifest.checks import base64_decoded
from hyper.manifest.fields import Fields, text_of
from hyper.units import MIB

T = TypeVar("T")

KINDS: Final = ("Pod", "ConfigMap", "Secret", "PersistentVolumeClaim", "List")
#: Kinds that hold a pod's template.
_TEMPLATES: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
#: What the API server or its tools write: it asks for nothing.
_WRITTEN: Final = (
    "creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generation managedFields "
    "ownerReferences resourceVersion selfLink uid"
).split()
_MAX_LISTS: Final = 4


@dataclass(frozen=True, slots=True)
class Metadata:
    """An object's name, namespace, labels and annotations."""

    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(slots=True)
class Objects:
    """Config maps and secrets (content by key), and claims (driver options of their volumes), by name.

    ``texts``: the ``data`` of the config maps: only texts can be in variables.
    """

    config_maps: dict[str, dict[str, bytes]] = field(default_factory=dict)
    texts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    claims: dict[str, dict[str, str]] = field(default_factory=dict)


def resources(documents: list[Any], notes: list[str]) -> Iterable[tuple[str, Fields]]:
    """Each object of the documents with its kind; objects in lists are taken out of them.

    Raises:
        InvalidRequest: a document is no object of a known kind.
    """
    alone = len(documents) == 1
    for number, document in enumerate(documents):
        path = "" if alone else f"documents[{number}]"
        yield from _unpacked(Fields(document, path, notes), 0)


def _unpacked(found: Fields, depth: int) -> Iterable[tuple[str, Fields]]:
    kind, version = found.required("kind"), found.required("apiVersion")
    if kind not in KINDS:
        hint = f"use {', '.join(KINDS)}"
        if kind in _TEMPLATES:
            hint = "take the pod out of its template: a Pod is what runs here"
        raise found.wrong("kind", f"{kind[:60]} is not supported", hint=hint)
    if version != "v1":
        raise found.wrong("apiVersion", f"must be v1, not {version[:40]!r}")
    if kind != "List":
        yield kind, found
        return
    if depth == _MAX_LISTS:
        raise found.wrong("items", "there are too many lists in each other")
    found.ignore(["metadata"], silently=True)
    inner = found.items("items")
    found.finish()
    for item in inner:
        yield from _unpacked(item, depth + 1)


def metadata(found: Fields) -> Metadata:
    """The ``metadata`` of an object.

    Raises:
        InvalidRequest: it has none, or no name.
    """
    part = found.part("metadata")
    if part is None:
        raise found.wrong("metadata", "it is missing")
    part.refuse({"generateName": "names are not made up here: give it a name"})
    made = Metadata(
        name=part.required("name"),
        namespace=part.text("namespace") or "default",
        labels=part.table("labels"),
        annotations=part.table("annotations"),
    )
    if made.namespace != "default":
        part.warn("namespace", "there are no namespaces here: it was ignored")
    part.ignore(_WRITTEN, silently=True)
    part.finish()
    return made


def add(objects: Objects, kind: str, found: Fields) -> None:
    """The object ``found`` is added to ``objects``.

    Raises:
        InvalidRequest: it is malformed, or there is another of its kind and name.
    """
    name = metadata(found).name
    match kind:
        case "PersistentVolumeClaim":
            _keep(objects.claims, name, _claim(found), found)
        case "Secret":
            _keep(objects.secrets, name, _secret(found), found)
        case _:
            texts = {key: text.encode() for key, text in found.table("data").items()}
            _keep(objects.config_maps, name, _config_map(found, texts), found)
            objects.texts[name] = texts
    found.finish()


def _keep(kept: dict[str, T], name: str, made: T, found: Fields) -> None:
    if name in kept:
        raise found.wrong("metadata", f"there is another one of its kind called {name[:80]!r}")
    kept[name] = made


def _config_map(found: Fields, texts: dict[str, bytes]) -> dict[str, bytes]:
    found.ignore(["immutable"], silently=True)
    return _keyed(found, texts, _decoded(found, "binaryData"))


def _secret(found: Fields) -> dict[str, bytes]:
    found.ignore(["immutable", "type"], silently=True)
    plain = {key: text.encode() for key, text in found.table("stringData").items()}
    # Where both have a key, stringData wins: it is what a person wrote.
    return _keyed(found, _decoded(found, "data") | plain, {})


def _keyed(found: Fields, one: dict[str, bytes], other: dict[str, bytes]) -> dict[str, bytes]:
    for key in (*one, *other):
        if _KEY.fullmatch(key) is None or key in (".", ".."):
            raise found.wrong(
                "data", f"{key[:80]!r} is no key", hint="use letters, digits, -, _ and ."
            )
    for key in one.keys() & other.keys():
        raise found.wrong("binaryData", f"the key {key} is in data, too")
    return one | other


def _decoded(found: Fields, name: str) -> dict[str, bytes]:
    path = found.at(name)
    return {
        key: base64_decoded(text.encode(), f"{path}.{key[:80]}")
        for key, text in found.table(name).items()
    }


def _claim(found: Fields) -> dict[str, str]:
    """Driver options of a claim's volume: as large as asked, or a directory where several pods may have it at once."""
    found.ignore(["status"], silently=True)
    spec = found.part("spec")
    if spec is None:
        return {}
    modes = [text_of(value, path) for path, value in spec.elements("accessModes")]
    asked, size = spec.part("resources"), None
    if asked is not None:
        requests = asked.part("requests")
        if requests is not None:
            size = requests.take("storage")
            size = None if size is None else quantity.size(size, requests.at("storage"))
            requests.finish()
        asked.ignore(["limits"])
        asked.finish()
    spec.refuse(
        {
            "selector": "there are no volumes to select from here",
            "volumeName": "a claim is a volume of its own name",
            "dataSource": "volumes are not copied",
            "dataSourceRef": "volumes are not copied",
        }
    )
    if spec.text("volumeMode") not in ("", "Filesystem"):
        raise spec.wrong("volumeMode", "must be Filesystem")
    spec.ignore(["storageClassName", "volumeAttributesClassName"])
    spec.finish()
    if any(mode.endswith("Many") for mode in modes):
        return {"type": "directory"}
    return {} if size is None else {"size": f"{max(1, -(-size // MIB))}m"}
