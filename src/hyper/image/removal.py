"""``docker rmi``: Docker's rules of which names go, when the image goes with them, and what forbids it.

Source: moby daemon/images/image_delete.go (v20.10 to v27), whose texts clients match on.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyper import ids
from hyper.errors import Conflict
from hyper.image import query
from hyper.image.reference import Reference, parse
from hyper.image.store import Store, chain_ids

Records = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, about which image, and who uses it."""

    name: str
    image_id: str
    force: bool
    containers: list[str]
    running: list[str]


def remove(store: Store, request: Request) -> Records:
    """Remove a name or the image. What was done, in Docker's form.

    Raises:
        Conflict: forbidden; the text says whether force helps.
    """
    names = store.references(request.image_id)
    single = _single_repository(names)
    if not query.is_id_prefix(request.image_id, request.name):
        return _remove_name(store, request, names, single=single)
    if not single and not request.force:
        raise _conflict(request, "must be forced", "image is referenced in multiple repositories")
    _check_containers(request)
    return _delete(store, request, names)


def _remove_name(
    store: Store, request: Request, names: list[Reference], *, single: bool
) -> Records:
    name = parse(request.name).with_default_tag()
    if name.digest is not None:
        name = name.with_digest(name.digest)
    if not request.force and single and request.containers:
        raise Conflict(
            f'conflict: unable to remove repository reference "{request.name}" (must force) - '
            f"container {ids.short_id(request.containers[0])} is using its referenced image "
            f"{ids.short_id(request.image_id)}"
        )
    going = [name]
    others = [other for other in names if other != name]
    if name.digest is None and not any(
        other.tag is not None and other.name == name.name for other in others
    ):
        # With its last tag a repository's digests go too.
        going += [other for other in others if other.name == name.name]
        others = [other for other in others if other.name != name.name]
    if not others:
        _check_containers(request)
        return _delete(store, request, going)
    store.drop_references(going)
    return [{"Untagged": one.familiar} for one in going]


def _delete(store: Store, request: Request, names: list[Reference]) -> Records:
    layers = store.layers_of(request.image_id)
    chains = chain_ids(layers)
    store.hide(request.image_id)
    gone = set(store.collect())
    records = [{"Untagged": name.familiar} for name in names]
    records.append({"Deleted": request.image_id})
    for diff_id, chain in reversed(list(zip(layers, chains, strict=True))):
        if diff_id in gone:
            records.append({"Deleted": chain})
    return records


def _check_containers(request: Request) -> None:
    if request.running:
        raise _conflict(
            request,
            "cannot be forced",
            f"image is being used by running container {ids.short_id(request.running[0])}",
        )
    if request.containers and not request.force:
        raise _conflict(
            request,
            "must be forced",
            f"image is being used by stopped container {ids.short_id(request.containers[0])}",
        )


def _conflict(request: Request, remedy: str, why: str) -> Conflict:
    short = ids.short_id(request.image_id)
    return Conflict(f"conflict: unable to delete {short} ({remedy}) - {why}")


def _single_repository(names: list[Reference]) -> bool:
    """Whether there is at most one tag, and no digest of another repository."""
    if len(names) <= 1:
        return True
    tags = [name for name in names if name.tag is not None]
    digests = {name.name for name in names if name.digest is not None}
    if len(tags) > 1:
        return False
    first = tags[0] if tags else names[0]
    return digests == {first.name}
