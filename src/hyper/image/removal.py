"""The removal of images (``docker rmi``): which names go, when the image goes too, what forbids it; Docker's rules.

Source: moby daemon/images/image_delete.go (v20.10 to v27), whose texts clients match on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hyper import ids
from hyper.errors import Conflict
from hyper.image import query
from hyper.image.reference import Reference, parse
from hyper.image.store import Store, chain_ids

Records = list[dict[str, str]]
#: Ids of the containers of an image.
Users = Callable[[str], list[str]]
#: Hears of each ("untag" or "delete", image id).
Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """The request for a removal: which image, and which containers use it. ``prune``: untagged parents go too."""

    name: str
    image_id: str
    force: bool
    prune: bool
    in_use: Users
    running: Users
    tell: Tell


def remove(store: Store, request: Request) -> Records:
    """Remove a name or the image. The removals, in Docker's form.

    Raises:
        Conflict: forbidden; the text says whether force helps.
    """
    names = store.references(request.image_id)
    records: Records = []
    quiet = not query.is_id_prefix(request.image_id, request.name)
    if quiet:
        records += _remove_name(store, request, names)
        if store.references(request.image_id):
            return records
    elif _single_repository(names):
        _check(store, request, named=False)
        records += _untag(store, request, names)
    _delete(store, request, records, quiet=quiet)
    return records


def _remove_name(store: Store, request: Request, names: list[Reference]) -> Records:
    name = parse(request.name).with_default_tag()
    if name.digest is not None:
        name = name.with_digest(name.digest)
    containers = request.in_use(request.image_id)
    if not request.force and _single_repository(names) and containers:
        raise Conflict(
            f'conflict: unable to remove repository reference "{request.name}" (must force) - '
            f"container {ids.short_id(containers[0])} is using its referenced image "
            f"{ids.short_id(request.image_id)}"
        )
    going = [name]
    others = [other for other in names if other.name == name.name and other != name]
    if name.digest is None and not any(other.tag is not None for other in others):
        # With its last tag a repository's digests go too.
        going += others
    return _untag(store, request, going)


def _untag(store: Store, request: Request, going: list[Reference]) -> Records:
    store.drop_references(going)
    for _ in going:
        request.tell("untag", request.image_id)
    return [{"Untagged": one.familiar} for one in going]


def _delete(store: Store, request: Request, records: Records, *, quiet: bool) -> None:
    """The image goes, and parents that nothing else needs. ``quiet``: a prohibition is no error, the image stays."""
    try:
        _check(store, request, named=True)
    except Conflict:
        in_use = request.in_use(request.image_id)
        dangling = not store.references(request.image_id) and not children(store, request.image_id)
        if quiet and (not dangling or in_use):
            return
        raise
    parent = parent_of(store, request.image_id)
    records += _untag(store, request, store.references(request.image_id))
    layers = store.layers_of(request.image_id)
    chains = chain_ids(layers)
    store.hide(request.image_id)
    gone = set(store.collect())
    records.append({"Deleted": request.image_id})
    request.tell("delete", request.image_id)
    for diff_id, chain in reversed(list(zip(layers, chains, strict=True))):
        if diff_id in gone:
            records.append({"Deleted": chain})
    if request.prune and parent and query.by_prefix(store, parent.removeprefix("sha256:")):
        _delete(store, replace(request, image_id=parent, force=False), records, quiet=True)


def children(store: Store, image_id: str) -> list[str]:
    """The images made from this one that are still there."""
    rows = store.rows("SELECT id FROM images WHERE visible AND parent = ?", image_id)
    return [str(row[0]) for row in rows]


def parent_of(store: Store, image_id: str) -> str:
    """The image from which the image was made on this host, "" if none."""
    ((parent,),) = store.rows("SELECT parent FROM images WHERE id = ?", image_id)
    return str(parent)


def _check(store: Store, request: Request, *, named: bool) -> None:
    """The image may be deleted; raises Docker's conflict otherwise. ``named``: a name forbids it, unless forced."""
    if children(store, request.image_id):
        raise _conflict(request, "cannot be forced", "image has dependent child images")
    running = request.running(request.image_id)
    if running:
        raise _conflict(
            request,
            "cannot be forced",
            f"image is being used by running container {ids.short_id(running[0])}",
        )
    if request.force:
        return
    if named and store.references(request.image_id):
        raise _conflict(request, "must be forced", "image is referenced in multiple repositories")
    containers = request.in_use(request.image_id)
    if containers:
        raise _conflict(
            request,
            "must be forced",
            f"image is being used by stopped container {ids.short_id(containers[0])}",
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
