"""Environment of containers, and references ``$(NAME)`` in it and in commands.

Source: Kubernetes API reference v1.31, EnvVar, EnvFromSource; "Define Dependent Environment Variables".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hyper.errors import InvalidRequest
from hyper.manifest import checks
from hyper.manifest.draft import Budget
from hyper.manifest.fields import Fields
from hyper.manifest.kube_objects import Metadata, Objects

_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^()$]*)\))")
_BY_KEY: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
#: What references may make of one text.
_MAX_TEXT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """The sources that a container's environment may be taken from."""

    objects: Objects
    metadata: Metadata
    budget: Budget
    service_account: str = "default"


def environment(item: Fields, facts: Facts) -> dict[str, str]:
    """The variables of a container: those of ``envFrom``, then those of ``env``, which win.

    Raises:
        InvalidRequest: one has no name, or comes from something that the file does not have.
    """
    made: dict[str, str] = {}
    for source in item.items("envFrom"):
        made |= _whole(source, facts)
    for part in item.items("env"):
        name = checks.variable(part.required("name"), part.at("name"))
        source_given = part.part("valueFrom")
        if source_given is not None and part.text("value"):
            raise part.wrong("valueFrom", "there is a value, too")
        if source_given is None:
            found: str | None = expanded(part.text("value"), made, part.at("value"))
        else:
            found = _value_from(source_given, facts)
        part.finish()
        if found is None:
            continue  # optional, and not there
        made[name] = found
        facts.budget.spend(len(name) + len(found), part.path)
    return made


def expanded(text: str, known: dict[str, str], path: str) -> str:
    """``text`` with each ``$(NAME)`` of a known variable replaced; ``$$`` is a dollar, other references stay.

    Raises:
        InvalidRequest: that makes it too long.
    """
    longer = sum(len(known.get(found[1] or "", "")) for found in _REFERENCE.finditer(text))
    if len(text) + longer > _MAX_TEXT:
        raise InvalidRequest(f"{path}: with its variables it is longer than {_MAX_TEXT} letters")
    return _REFERENCE.sub(
        lambda found: "$" if found[1] is None else known.get(found[1], found[0]), text
    )


def _whole(source: Fields, facts: Facts) -> dict[str, str]:
    prefix, kind = source.text("prefix"), source.one_of("configMapRef", "secretRef")
    reference = source.part(kind) if kind else None
    if reference is None:
        raise InvalidRequest(f"{source.path}: must have one of configMapRef and secretRef")
    objects = facts.objects
    kept = objects.secrets if kind == "secretRef" else objects.texts
    content = _object(reference, kept, "name") or {}
    reference.finish()
    source.finish()
    size = sum(len(prefix) + len(key) + len(data) for key, data in content.items())
    facts.budget.spend(size, source.path)
    return {
        checks.variable(prefix + key, source.at("prefix")): _text(data, f"{reference.path}: {key}")
        for key, data in content.items()
    }


def _object(
    reference: Fields, kept: dict[str, dict[str, bytes]], name_field: str
) -> dict[str, bytes] | None:
    """The content of the object that ``reference`` names; None: it is optional and not there."""
    name, optional = reference.required(name_field), reference.boolean("optional")
    if name not in kept and not optional:
        known = ", ".join(sorted(kept)[:10]) or "none"
        raise reference.wrong(
            name_field, f"there is no {name[:80]!r} in the file", hint=f"there are: {known}"
        )
    return kept.get(name)


def _value_from(source: Fields, facts: Facts) -> str | None:
    source.refuse(
        {
            "resourceFieldRef": "limits are not passed on as variables",
            "fileKeyRef": "variables are not read from files",
        }
    )
    kind = source.one_of("configMapKeyRef", "secretKeyRef", "fieldRef")
    reference = source.part(kind) if kind else None
    source.finish()
    if reference is None:
        raise InvalidRequest(
            f"{source.path}: must have one of configMapKeyRef, secretKeyRef and fieldRef"
        )
    if kind == "fieldRef":
        return _of_field(reference, facts)
    objects = facts.objects
    return _of_key(reference, objects.secrets if kind == "secretKeyRef" else objects.texts)


def _of_key(reference: Fields, kept: dict[str, dict[str, bytes]]) -> str | None:
    content = _object(reference, kept, "name")
    key, optional = reference.required("key"), reference.boolean("optional")
    reference.finish()
    if content is None or (key not in content and optional):
        return None
    if key not in content:
        keys = ", ".join(sorted(content)[:10]) or "none"
        raise reference.wrong("key", f"there is no key {key[:80]!r}", hint=f"its keys: {keys}")
    return _text(content[key], f"{reference.path}: {key}")


def _of_field(reference: Fields, facts: Facts) -> str:
    reference.ignore(["apiVersion"], silently=True)
    path = reference.required("fieldPath")
    reference.finish()
    known = {
        "metadata.name": facts.metadata.name,
        "metadata.namespace": facts.metadata.namespace,
        "spec.serviceAccountName": facts.service_account,
    }
    if path in known:
        return known[path]
    by_key = _BY_KEY.fullmatch(path)
    if by_key is None:
        raise reference.wrong(
            "fieldPath",
            f"{path[:80]!r} cannot be known before the pod runs, or is no field",
            hint=f"use {', '.join(known)}, metadata.labels['KEY'] or metadata.annotations['KEY']",
        )
    table = facts.metadata.labels if by_key[1] == "labels" else facts.metadata.annotations
    return table.get(by_key[2], "")


def _text(data: bytes, path: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path[:200]}: it is no text: no variable can have it") from None
    if "\0" in text:
        raise InvalidRequest(f"{path[:200]}: it has a zero byte: no variable can have it")
    return text
